"""A repository of format 1, as it was written when that was new, is opened by every later program."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version

COMMITTED = Path(__file__).parent / "format_1" / "ranker"


@pytest.fixture
def old(tmp_path: Path) -> Repository:
    """A copy. Git keeps no empty directories, and of modes only the executable bit: both are put right here."""
    root = tmp_path / "ranker"
    shutil.copytree(COMMITTED, root, symlinks=True)
    for name in ("staging", "trash", "ballast"):
        (root / ".modelrepo" / name).mkdir(mode=0o700, exist_ok=True)
    for path in root.glob("v*/**/*"):
        path.chmod(0o755 if path.is_dir() else 0o444)
    return Repository(root)


def test_it_is_small_and_names_no_machine() -> None:
    files = [path for path in COMMITTED.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < 60_000
    for path in files:
        if path.suffix in {".json", ".jsonl", ".toml"}:
            text = path.read_text()
            assert not re.search(r"/(root|home|tmp|work|var|usr)\b", text), path
            assert set(re.findall(r'"(?:host|user)": ?"([^"]*)"', text)) <= {"host.example", "somebody"}, path


def test_links_are_links(old: Repository) -> None:
    assert {name: os.readlink(old.root / name) for name in ("latest", "canary")} == {"latest": "v2", "canary": "v4"}
    assert os.readlink(old.root / "serving" / "latest" / "2") == "../../v2"


def test_it_can_be_read_where_it_lies(run: Callable[..., Any]) -> None:
    """By the program, from a checkout: without the empty directories, with other modes, and changing nothing."""
    for command in ("list", "status", "history", "path latest", "show v3", "serving-config"):
        done = run("-r", COMMITTED, *command.split(), "--json")
        assert (done.code, done.err) == (0, ""), command


def test_list_says_what_it_said(old: Repository) -> None:
    rows = [(str(row.version), row.message, row.channels, row.pinned, row.labels, row.metrics) for row in old.list()]
    assert rows == [
        ("v4", "number four", ("canary",), False, {"n": "four"}, {"auc": 0.5}),
        ("v2", "number two", ("latest",), False, {"n": "two"}, {"auc": 0.5}),
        ("v1", "number one", (), True, {"n": "one"}, {"auc": 0.5}),
    ]
    assert all(row.problem is None and row.signatures == ("serving_default",) for row in old.list())


def test_status_and_paths_say_what_they_said(old: Repository) -> None:
    status = old.status()
    assert status.channels == {"canary": Version(4), "latest": Version(2)}
    assert status.rollback_to == {"canary": None, "latest": Version(1)}
    assert (status.pinned, status.problems) == ((Version(1),), ())
    assert old.path("latest").path == str(old.root / "v2")
    assert str(old.path("latest~1").version) == "v1"
    assert old.show("v3").removed_at is not None


def test_an_older_program_that_does_not_know_the_index_leaves_it_behind_and_it_is_followed(old: Repository) -> None:
    """It writes to the journal and not to the index: here that is put back as it was before."""
    old.pin("v2", reason="the index is made")
    index = old.root / ".modelrepo" / "index"
    behind = index.read_bytes()
    old.promote("v1", reason="by the older program")
    old.unpin("v2")
    index.unlink()
    index.write_bytes(behind)
    assert str(old.path("latest").version) == "v1"
    assert old.status().pinned == (Version(1),)
    assert old.rollback().to == Version(2)
    assert [entry.reason for entry in old.history(limit=3)] == [None, None, "by the older program"]
    assert index.read_bytes() != behind
    assert old.verify().ok


def test_an_older_program_that_does_not_know_what_is_kept_beside_versions_leaves_it_and_the_next_cleanup_goes_on(
    old: Repository,
) -> None:
    """It looks at none of it, and deletes a version without it: what it leaves is as if a crash had left it."""
    place = old.root / ".modelrepo" / "derived"
    assert old.show("v4").derived == ()
    made = place / "v2" / "tflite-0123456789ab"
    made.mkdir(parents=True)
    (made / "record.json").write_text("{}")
    (place / "v9").mkdir()
    assert [each.problem is not None for each in old.show("v2").derived] == [True]
    assert [(found.path, found.note) for found in old.status().problems] == [(".modelrepo/derived/v9", True)]
    old.cleanup()
    assert os.listdir(place) == ["v2"]


def test_an_index_of_what_a_program_writes_anew_is_none(old: Repository) -> None:
    """An older program that repairs a journal begins it anew: the index is of another one."""
    old.pin("v2")
    index, journal = old.root / ".modelrepo" / "index", old.root / ".modelrepo" / "journal.jsonl"
    behind = index.read_bytes()
    journal.write_bytes(journal.read_bytes().replace(b'"size":', b'"size" :', 1))
    old.verify(repair=True)
    index.unlink()
    index.write_bytes(behind)
    assert old.status().rollback_to == {"canary": None, "latest": None}
    assert str(old.path("latest").version) == "v2"
    assert old.promote("v1").changed
    assert old.verify().ok


def test_history_says_what_it_said(old: Repository) -> None:
    told = [
        (entry.action, str(entry.version or f"{entry.channel} {entry.origin} {entry.to}"), entry.reason)
        for entry in reversed(old.history())
    ]
    assert told == [
        ("push", "v1", None),
        ("push", "v2", None),
        ("push", "v3", None),
        ("push", "v4", None),
        ("promote", "latest None v1", "first"),
        ("promote", "latest v1 v2", None),
        ("promote", "latest v2 v4", None),
        ("promote", "canary None v4", None),
        ("rollback", "latest v4 v2", "slower"),
        ("push-again", "v4", None),
        ("pin", "v1", "audit"),
        ("pin", "v2", None),
        ("unpin", "v2", None),
        ("cleanup", "v3", None),
    ]
    assert {entry.actor.user for entry in old.history()} == {"somebody"}


def test_it_verifies(old: Repository) -> None:
    assert old.verify(quick=True).findings == ()
    assert old.verify().findings == ()


def test_as_git_leaves_it_only_modes_are_wrong_and_repair_mends_them(tmp_path: Path) -> None:
    """A checkout has 0644 where 0444 was; nothing else may be found."""
    root = tmp_path / "ranker"
    shutil.copytree(COMMITTED, root, symlinks=True)
    for path in root.glob("v*/**/*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for name in ("staging", "trash"):
        (root / ".modelrepo" / name).mkdir(exist_ok=True)
    repository = Repository(root)
    assert {problem.kind for problem in repository.verify(quick=True).findings} == {"mode"}
    assert repository.verify(repair=True).ok
    assert repository.verify().findings == ()


def test_it_goes_on_living(old: Repository, samples: Path) -> None:
    assert str(old.rollback().to) == "v1"
    assert str(old.push(samples / "tf1_linear", load=False).version) == "v5"
    assert str(old.promote("v5").to) == "v5"
    assert [str(old.rollback().to)] == ["v1"]
    assert [str(version) for version in old.cleanup(keep_last=1).removed] == []
    assert old.verify().findings == ()
