"""What every writing command does first: lock, recover, let views follow."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import BusyError, IntegrityError, RequestError, SystemRefusedError
from modelrepo.fs import native
from modelrepo.repository.writing import writing

COMMANDS: dict[str, Callable[[Repository], object]] = {
    "promote": lambda repository: repository.promote("v2"),
    "rollback": lambda repository: repository.rollback(),
    "pin": lambda repository: repository.pin("v1"),
    "unpin": lambda repository: repository.unpin("v1"),
    "cleanup": lambda repository: repository.cleanup(),
    "push": lambda repository: repository.push(repository.root.parent / "exports" / "two", load=False),
    "repair": lambda repository: repository.verify(repair=True),
}


@pytest.fixture
def moved(filled: Repository) -> Repository:
    """v1, then v3 is latest."""
    filled.promote("v1")
    filled.promote("v3")
    return filled


def intend(layout: Layout, action: Any, name: str | None = None, **fields: Any) -> None:
    """What a command leaves that died behind its intent."""
    with writing(layout, None) as writer:
        writer.record("intent", action, token=name, **fields)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_writing_command_closes_an_open_intent_first(moved: Repository, layout: Layout, command: str) -> None:
    intend(layout, "promote", channel="latest", origin=Version(3), to=Version(2), reason="died")
    assert [problem.kind for problem in moved.verify().findings] == ["unfinished"]
    COMMANDS[command](moved)
    assert moved.verify().findings == ()
    assert "died" not in [entry.reason for entry in moved.history()]


def test_a_move_whose_link_moved_is_done_by_its_own_actor(moved: Repository, layout: Layout) -> None:
    intend(layout, "promote", channel="latest", origin=Version(3), to=Version(2), reason="died")
    (layout.staging / "link").symlink_to("v2")
    (layout.staging / "link").rename(layout.channel("latest"))
    assert moved.status().channels["latest"] == Version(2)
    assert moved.status().rollback_to["latest"] == Version(3)
    moved.pin("v1")
    entry = moved.history(limit=2)[1]
    assert (entry.action, entry.to, entry.reason) == ("promote", Version(2), "died")
    assert entry.recorded_by is not None
    assert os.listdir(layout.view("latest")) == ["2"]


def test_a_move_whose_link_is_elsewhere_is_unknown_and_the_link_is_the_truth(moved: Repository, layout: Layout) -> None:
    intend(layout, "promote", channel="latest", origin=Version(3), to=Version(2))
    (layout.staging / "link").symlink_to("v1")
    (layout.staging / "link").rename(layout.channel("latest"))
    moved.pin("v1")
    assert [entry.action for entry in moved.history(limit=2)] == ["pin", "external"]
    assert os.readlink(layout.channel("latest")) == "v1"
    assert moved.verify().findings == ()


def test_a_rollback_that_died_behind_its_link_pops_once(moved: Repository, layout: Layout) -> None:
    intend(layout, "rollback", channel="latest", origin=Version(3), to=Version(1), steps=1)
    (layout.staging / "link").symlink_to("v1")
    (layout.staging / "link").rename(layout.channel("latest"))
    assert moved.status().rollback_to["latest"] is None
    moved.pin("v1")
    assert moved.status().rollback_to["latest"] is None
    assert moved.history(limit=2)[1].action == "rollback"


def test_a_push_that_died_before_its_rename_spends_its_number(moved: Repository, layout: Layout) -> None:
    intend(layout, "push", version=Version(4), name="push-x", digest="d", manifest_digest="m", size=1, files=1)
    assert [str(row.version) for row in moved.list()] == ["v3", "v2", "v1"]
    moved.pin("v1")
    result = moved.push(moved.root.parent / "exports" / "two", load=False, allow_duplicate=True)
    assert str(result.version) == "v5"


def test_a_directory_put_at_the_number_of_a_dead_push_is_foreign(moved: Repository, layout: Layout) -> None:
    intend(layout, "push", version=Version(4), name="push-x", digest="d", manifest_digest="m", size=1, files=1)
    (moved.root / "v4").mkdir()
    moved.pin("v1")
    assert [problem.path for problem in moved.status().problems if problem.kind == "foreign"] == ["v4"]
    assert moved.verify().ok


def test_a_deletion_that_died_behind_its_rename_is_done(moved: Repository, layout: Layout) -> None:
    intend(layout, "cleanup", version=Version(2), name="v2-x")
    (moved.root / "v2").rename(layout.trash / "v2-x")
    assert [str(row.version) for row in moved.list()] == ["v3", "v1"]
    moved.pin("v1")
    assert (moved.history(limit=2)[1].action, moved.history(limit=2)[1].version) == ("cleanup", Version(2))
    moved.cleanup()
    assert os.listdir(layout.trash) == []
    assert moved.verify().findings == ()


def test_a_deletion_that_died_before_its_rename_did_not_happen(moved: Repository, layout: Layout) -> None:
    intend(layout, "cleanup", version=Version(2), name="v2-x")
    moved.pin("v1")
    assert [str(row.version) for row in moved.list()] == ["v3", "v2", "v1"]
    assert moved.verify().findings == ()


@pytest.mark.parametrize("harm", ["empty", "gone", "old", "both"])
def test_the_view_is_made_to_follow(moved: Repository, layout: Layout, harm: str) -> None:
    place = layout.view("latest")
    if harm in {"empty", "gone", "old"}:
        (place / "3").unlink()
    if harm == "gone":
        place.rmdir()
    if harm in {"old", "both"}:
        (place / "1").symlink_to("../../v1")
    assert [problem.kind for problem in moved.status().problems] == ["view"]
    moved.pin("v1")
    assert {path.name: os.readlink(path) for path in place.iterdir()} == {"3": "../../v3"}


def test_what_is_not_modelrepos_in_a_view_stays(moved: Repository, layout: Layout) -> None:
    place = layout.view("latest")
    (place / "7").symlink_to("/elsewhere")
    (place / "8").mkdir()
    (place / "notes").touch()
    moved.promote("v2")
    assert sorted(os.listdir(place)) == ["2", "7", "8", "notes"]


def test_the_lock_is_waited_for_and_the_holder_named(
    filled: Repository, flock: Callable[..., subprocess.Popen[str]], layout: Layout
) -> None:
    holder = flock(layout.lock, exclusive=True)
    waiting = Repository(filled.root, lock_timeout=0.3)
    began = time.monotonic()
    with pytest.raises(BusyError) as caught:
        waiting.pin("v1")
    assert time.monotonic() - began >= 0.3
    assert f"process {holder.pid}" in caught.value.message
    assert "hold.py" in caught.value.message
    holder.communicate("")
    assert waiting.pin("v1").changed


def test_the_lock_timeout_comes_from_the_environment_unless_said(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with layout.lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for text, expected in (("0", "0"), ("1s", "1")):
            monkeypatch.setenv("MODELREPO_LOCK_TIMEOUT", text)
            for call in (lambda: filled.pin("v1"), filled.cleanup):
                with pytest.raises(BusyError, match="locked") as caught:
                    call()
                assert caught.value.expected == f"the lock within {expected} s"
        monkeypatch.setenv("MODELREPO_LOCK_TIMEOUT", "soon")
        with pytest.raises(RequestError):
            filled.pin("v1")


@pytest.mark.parametrize("command", COMMANDS)
def test_writing_on_a_file_system_that_promises_nothing_is_refused(
    moved: Repository, monkeypatch: pytest.MonkeyPatch, command: str, look: Callable[[Path], dict[str, Any]]
) -> None:
    before = look(moved.root)
    monkeypatch.setattr(native, "file_system", lambda _: ("nfs", False))
    with pytest.raises(SystemRefusedError) as caught:
        COMMANDS[command](moved)
    assert (caught.value.kind, caught.value.got) == ("file-system", "nfs")
    assert look(moved.root) == before
    assert len(moved.list()) == 3


@pytest.mark.parametrize("name", ["staging", "trash", "removed", "ballast", "lock", "serving"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_half_deleted_state_is_healed_or_5_but_no_unexpected_failure(
    moved: Repository, layout: Layout, ageless: dict[str, Any], name: str, command: str
) -> None:
    """Somebody removed one of modelrepo's own directories: nothing is lost, and the answer is clear."""
    import shutil

    place = layout.serving if name == "serving" else layout.state / name
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    do = (lambda repository: repository.cleanup(**ageless)) if command == "cleanup" else COMMANDS[command]
    with contextlib.suppress(IntegrityError):
        do(moved)
    assert {row.problem for row in moved.list()} == {None}
    assert str(moved.path("newest").version) == "v3"


def test_pieces_of_ballast_that_were_given_up_are_made_again(moved: Repository, layout: Layout) -> None:
    for name in ("00", "15"):
        (layout.ballast / name).unlink()
    moved.pin("v1")
    assert len(os.listdir(layout.ballast)) == 16
