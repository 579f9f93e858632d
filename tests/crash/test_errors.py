"""Whatever a call says, the exit code tells what has happened, the tree stays whole, and the next command goes on.

A sample of the calls and of what happens to them, by `MODELREPO_CRASH_SEED` (0).
"""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from .errors import MISHAPS, READ_MISHAPS, READERS, points, reader_points, spoil, spoil_reader
from .stage import COMMANDS, perform, set_up
from .tracer import Action, Call, Fail, Go, Onlooker, why_not

# Read before the fixture that clears the environment.
SEED = os.environ.get("MODELREPO_CRASH_SEED", "0")
SAMPLE, READING_SAMPLE = 5, 3


@pytest.fixture(autouse=True)
def _traceable() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_exit_code_says_what_a_change_with_an_error_has_done(tmp_path: Path, name: str) -> None:
    generator = random.Random(f"{name} {SEED}")  # noqa: S311 - a sample, no secret
    every = [(mishap, number) for mishap in MISHAPS + READ_MISHAPS for number in points(name, mishap)]
    for index, (mishap, number) in enumerate(generator.sample(every, SAMPLE)):
        place = tmp_path / str(index)
        place.mkdir()
        assert spoil(name, mishap, number).run(place).counts["injected errors"]


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_cannot_read_says_so_and_changes_nothing(tmp_path: Path, name: str) -> None:
    generator = random.Random(f"{name} {SEED}")  # noqa: S311
    every = [(mishap, number) for mishap in READ_MISHAPS for number in reader_points(name, mishap)]
    for index, (mishap, number) in enumerate(generator.sample(every, READING_SAMPLE)):
        place = tmp_path / str(index)
        place.mkdir()
        assert spoil_reader(name, mishap, number).run(place).counts["injected errors"]


def test_a_lock_that_cannot_be_given_back_does_not_make_a_change_that_was_made_a_failure(tmp_path: Path) -> None:
    class Unlocking(Onlooker):
        def before(self, call: Call) -> Action:
            return Fail(errno.ENOLCK) if call.name == "flock" and call.arguments[1] == 8 else Go()  # LOCK_UN

    set_up("pin", tmp_path)
    done = perform(tmp_path, "pin", "v1", watcher=Unlocking())
    assert (done.code, done.errors) == (0, "")
