"""Commands for several repositories go on after a failure, and exit with the gravest code."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo.cli.exits import gravest

Run = Callable[..., Any]
AGELESS = ("--keep-last", "0", "--keep-rollback", "1", "--min-age", "0s", "--grace", "0s")


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Path:
    """Two repositories, `ranker` and `ads`, with v1 to v3 each, latest at v2; between them by name: nothing."""
    shutil.copytree(root, tmp_path / "ads", symlinks=True)
    return tmp_path


def test_each_is_asked_and_the_one_that_is_not_there_is_said(run: Run, place: Path) -> None:
    done = run("status", "ranker", "nothing", "ads")
    assert done.code == 10
    assert [line.split(":")[0] for line in done.out.splitlines() if "3 versions" in line] == [
        f"{place}/ranker", f"{place}/ads",
    ]  # fmt: skip
    assert f"there is no repository at {place}/nothing" in done.err


def test_the_document_has_one_entry_each_with_its_code_and_its_own_fields(run: Run, place: Path) -> None:
    done = run("--json", "status", "ranker", "nothing", "ads")
    assert done.code == 10
    assert [(entry["repo"], entry["code"]) for entry in done.json] == [
        (f"{place}/ranker", 0), (f"{place}/nothing", 10), (f"{place}/ads", 0),
    ]  # fmt: skip
    assert [entry["error"] and entry["error"]["kind"] for entry in done.json] == [None, "no-repository", None]
    assert done.json[2]["channels"] == {"latest": "v2"}
    assert [entry["repo"] for entry in run("status", "ads", "--json").json] == [f"{place}/ads"]


def test_verify_takes_paths_for_repositories_and_all_else_for_versions(run: Run, place: Path) -> None:
    (place / "ads" / "v1" / "saved_model.pb").unlink()
    done = run("verify", "--quick", "./ranker", "./nothing", "./ads")
    assert done.code == 5
    assert f"{place}/ranker:\n3 versions checked, no bytes read: all is as it should be" in done.out
    assert f"{place}/ads:\nPROBLEM: v1/saved_model.pb" in done.out
    assert run("-r", "ads", "verify", "v2", "v3").code == 0
    mixed = run("-r", "ads", "verify", "v2", "./ads", "--json")
    assert (mixed.code, mixed.json["error"]["kind"]) == (2, "options-exclude")


def test_cleanup_goes_on_behind_a_locked_one_and_is_quiet_where_nothing_is_to_do(run: Run, place: Path) -> None:
    with open(place / "ranker" / ".modelrepo" / "lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("cleanup", "ranker", "ads", *AGELESS)
    assert done.code == 11
    assert "the repository is locked" in done.err
    assert f"{place}/ads:\ndeleted v3" in done.out
    assert (place / "ranker" / "v3").is_dir()
    done = run("cleanup", "ads", *AGELESS)
    assert (done.code, done.out) == (0, "")


def test_with_q_versions_stand_below_their_repository(run: Run, place: Path) -> None:
    assert run("-q", "cleanup", "ranker", "ads/", *AGELESS).out == f"{place}/ranker/v3\n{place}/ads/v3\n"


@pytest.mark.usefixtures("place")
def test_a_repository_beside_repo_is_refused(run: Run) -> None:
    done = run("-r", "ads", "status", "ranker", "--json")
    assert (done.code, done.json["error"]["kind"]) == (2, "options-exclude")


@pytest.mark.usefixtures("place")
def test_a_configuration_that_is_not_complete_says_so(run: Run) -> None:
    done = run("serving-config", "ranker", "nothing", "ads", "--json")
    assert done.code == 10
    assert set(done.json["models"]) == {"ranker", "ads"}
    assert "not complete" in done.json["error"]["hint"]
    assert run("serving-config", "ranker", "ads").code == 0
    assert run("serving-config", "nothing").code == 10


@pytest.mark.usefixtures("place")
def test_a_configuration_whose_every_channel_was_left_out_says_so(run: Run, place: Path) -> None:
    assert run("-r", "fresh", "init").code == 0
    done = run("serving-config", "ranker", "fresh", "--leave-out", "latest", "--json")
    error = done.json["error"]
    assert (done.code, error["kind"], error["got"]) == (3, "nothing-to-serve", "left out: ranker")
    assert error["message"] == "every channel that could be served was left out"
    assert "promote a version" not in error["hint"]
    assert f"{place}/fresh has no channel to serve yet" in done.err
    none = run("serving-config", "fresh")
    assert (none.code, "promote a version first" in none.err) == (3, True)


@pytest.mark.parametrize(
    ("codes", "said"),
    [((0, 0), 0), ((0, 11), 11), ((11, 4), 4), ((10, 5, 0), 5), ((1, 8), 1), ((7, 8), 7), ((), 0)],
)
def test_the_gravest_code_is_the_answer(codes: tuple[int, ...], said: int) -> None:
    assert gravest(codes) == said
    assert gravest(reversed(codes)) == said


def test_an_interrupt_in_the_middle_says_what_was_done_before(started: Callable[..., Any], place: Path) -> None:
    """The second repository's lock is waited for; the first one's answer is out already."""
    with open(place / "ads" / ".modelrepo" / "lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ("cleanup", place / "ranker", place / "ads", "--lock-timeout", "60s", *AGELESS)
        child = started(*words)
        assert child.stdout.readline() == f"{place}/ranker:\n"
        assert child.stdout.readline().startswith("deleted v3")
        child.send_signal(2)
        assert child.wait(60) == 130
    assert "v3" in os.listdir(place / "ads")
