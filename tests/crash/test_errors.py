"""Whatever a call says, the exit code tells what has happened, the tree stays whole, and the next command goes on.

A sample of the calls and of what happens to them, by `MODELREPO_CRASH_SEED` (0).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .commands import FOUNDINGS
from .errors import MISHAPS, READ_MISHAPS, READERS, points, reader_points, spoil, spoil_reader
from .samples import chance
from .stage import COMMANDS, check, follow_up, perform, seen, set_up
from .tracer import Action, Call, Fail, Go, Lie, Onlooker

SAMPLE, READING_SAMPLE = 5, 3
pytestmark = pytest.mark.usefixtures("traceable")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_exit_code_says_what_a_change_with_an_error_has_done(tmp_path: Path, name: str) -> None:
    every = [(mishap, number) for mishap in MISHAPS + READ_MISHAPS for number in points(name, mishap)]
    for index, (mishap, number) in enumerate(chance(name).sample(every, SAMPLE)):
        place = tmp_path / str(index)
        place.mkdir()
        assert spoil(name, mishap, number).run(place).counts["injected errors"]


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_cannot_read_says_so_and_changes_nothing(tmp_path: Path, name: str) -> None:
    every = [(mishap, number) for mishap in READ_MISHAPS for number in reader_points(name, mishap)]
    for index, (mishap, number) in enumerate(chance(name).sample(every, READING_SAMPLE)):
        place = tmp_path / str(index)
        place.mkdir()
        assert spoil_reader(name, mishap, number).run(place).counts["injected errors"]


@dataclass
class Once(Onlooker):
    """Does something to the first call that fits; with `behind`, only behind a call that fits that."""

    action: Action
    fits: Callable[[Call], bool]
    behind: Callable[[Call], bool] | None = None
    hit: bool = False

    def before(self, call: Call) -> Action:
        if self.behind is not None:
            self.behind = None if self.behind(call) else self.behind
        elif not self.hit and self.fits(call):
            self.hit = True
            return self.action
        return Go()


def settles(call: Call) -> bool:
    """Whether it renames the settings in, which makes the repository."""
    return call.name == "rename" and call.paths[1].endswith("/config.toml")


def syncs(call: Call) -> bool:
    return call.name == "fsync"


def answer(place: Path, *words: str, watcher: Once) -> tuple[int, dict[str, Any]]:
    done = perform(place, "--json", *words, watcher=watcher)
    assert watcher.hit
    return done.code, json.loads(done.output)


def test_a_lock_that_cannot_be_given_back_does_not_make_a_change_that_was_made_a_failure(tmp_path: Path) -> None:
    set_up("pin", tmp_path)
    watcher = Once(Fail(errno.ENOLCK), lambda call: call.name == "flock" and call.arguments[1] == fcntl.LOCK_UN)
    code, body = answer(tmp_path, "pin", "v1", watcher=watcher)
    assert (code, body["pinned"]) == (0, True)


@pytest.mark.parametrize("name", FOUNDINGS)
def test_a_repository_that_is_made_but_not_synced_is_7_and_the_next_writer_syncs_it(tmp_path: Path, name: str) -> None:
    set_up(name, tmp_path)
    code, body = answer(tmp_path, *FOUNDINGS[name].words, watcher=Once(Fail(errno.EIO), syncs, settles))
    assert (code, body["created"], body["durable"], body["recorded"]) == (7, True, False, True)
    check(name, tmp_path)
    state = os.path.realpath(tmp_path / "ranker" / ".modelrepo")
    for words in (("init",), ("push", "exports/three", "--no-load")):
        synced = Once(Go(), lambda call: syncs(call) and call.paths == (state,))
        assert answer(tmp_path, *words, watcher=synced)[0] == 0


def test_an_adoption_whose_view_cannot_be_made_is_7(tmp_path: Path) -> None:
    set_up("adopt", tmp_path)
    watcher = Once(Fail(errno.EIO), lambda call: call.name == "symlink", settles)
    code, body = answer(tmp_path, "init", "--adopt", watcher=watcher)
    assert (code, body["adopted"], body["view"]) == (7, ["v1", "v2"], False)
    follow_up("adopt", tmp_path)


def test_a_foreign_version_that_cannot_be_adopted_hides_none_that_was(tmp_path: Path) -> None:
    set_up("pin", tmp_path)
    for number, text in ((8, "four"), (9, "five")):
        shutil.copytree(tmp_path / "exports" / text, tmp_path / "ranker" / f"v{number}")
    watcher = Once(
        Fail(errno.EIO),
        lambda call: call.name == "renameat2",
        lambda call: call.name == "renameat2" and call.paths[1].endswith("v8/manifest.json"),
    )
    code, body = answer(tmp_path, "init", "--adopt", watcher=watcher)
    assert (code, body["adopted"]) == (1, ["v8"])


def test_a_removal_that_fails_at_the_second_version_says_that_the_first_is_gone(tmp_path: Path) -> None:
    set_up("remove", tmp_path)
    watcher = Once(
        Fail(errno.EIO), lambda call: call.name == "pwrite64" and b'"intent"' in call.data and b'"v3"' in call.data
    )
    code, body = answer(tmp_path, "remove", "v1", "v3", watcher=watcher)
    assert (code, body["removed"]) == (1, ["v1"])


def test_an_export_whose_rename_is_done_and_said_to_have_failed_is_there(tmp_path: Path) -> None:
    set_up("export", tmp_path)
    watcher = Once(Lie(errno.EIO), lambda call: call.name == "rename" and call.paths[1].endswith("/copy"))
    assert answer(tmp_path, "export", "v1", "copy", watcher=watcher)[0] == 0
    check("export", tmp_path)


@dataclass
class Always(Onlooker):
    """Lets every call fail that fits."""

    number: int
    fits: Callable[[Call], bool]

    def before(self, call: Call) -> Action:
        return Fail(self.number) if self.fits(call) else Go()


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("list",), ".modelrepo/journal.jsonl"),
        (("show", "v1"), "v1/manifest.json"),
        (("remove", "v1"), "manifest.json"),
    ],
)
def test_what_cannot_be_opened_for_want_of_descriptors_is_not_called_gone(
    tmp_path: Path, words: tuple[str, ...], file: str
) -> None:
    set_up("pin", tmp_path)
    before = seen(tmp_path)
    watcher = Always(errno.EMFILE, lambda call: call.name == "openat" and call.paths[0].endswith(file))
    done = perform(tmp_path, "--json", *words, watcher=watcher, reads=True)
    assert (done.code, json.loads(done.output)["error"]["kind"]) == (8, "too-many-open-files")
    assert seen(tmp_path) == before


def test_a_model_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    set_up("pin", tmp_path)
    watcher = Always(errno.EIO, lambda call: call.name == "read" and call.paths[0].endswith("v1/saved_model.pb"))
    done = perform(tmp_path, "--json", "inspect", "v1", watcher=watcher, reads=True)
    error = json.loads(done.output)["error"]
    assert (done.code, error["kind"]) == (1, "storage")
    assert os.strerror(errno.EIO) in error["message"]


def test_a_directory_in_the_trash_that_cannot_be_listed_is_left_and_named(tmp_path: Path) -> None:
    set_up("pin", tmp_path)
    watcher = Always(errno.EIO, lambda call: call.name == "getdents64" and "/trash/v1-" in call.paths[0])
    done = perform(tmp_path, "--json", "remove", "v1", watcher=watcher, reads=True)
    body = json.loads(done.output)
    assert (done.code, body["error"]["kind"], body["removed"]) == (7, "unconfirmed", ["v1"])
    assert "/.modelrepo/trash/v1-" in body["error"]["items"][0]
