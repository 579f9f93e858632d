"""Killed before any of its calls, a command leaves what was there before or after, and the next one goes on.

So it is where the next one is killed, too. A sample of the calls, by `MODELREPO_CRASH_SEED` (0);
`MODELREPO_CRASH_ALL=1` takes all (minutes).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from .kill import every, kill
from .stage import COMMANDS
from .tracer import why_not

# Read before the fixture that clears the environment.
SEED = os.environ.get("MODELREPO_CRASH_SEED", "0")
EVERYTHING = bool(os.environ.get("MODELREPO_CRASH_ALL"))
#: How many recoveries are killed of each command.
RECOVERIES = 2


@pytest.fixture(autouse=True)
def _traceable() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_before_any_call_the_tree_is_whole_and_the_next_command_goes_on(tmp_path: Path, name: str) -> None:
    points = every(name)
    chosen = random.Random(f"{name} {SEED}").sample(  # noqa: S311 - a sample, no secret
        points, len(points) if EVERYTHING else min(COMMANDS[name].sample, len(points))
    )
    assert chosen
    for index, number in enumerate(chosen):
        place = tmp_path / str(number)
        place.mkdir()
        # One of them is the real command line, not a fork of a process that has imported it.
        tally = kill(name, number, whole=index == 0).run(place)
        assert tally.counts.total() == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recovery_that_is_killed_too_is_completed_by_the_one_after_it(tmp_path: Path, name: str) -> None:
    generator = random.Random(f"{name} again {SEED}")  # noqa: S311
    points = every(name)
    for number in points if EVERYTHING else generator.sample(points, RECOVERIES):
        place = tmp_path / str(number)
        place.mkdir()
        assert kill(name, number, again=generator.random()).run(place).counts["kill points of a recovery"] == 1
