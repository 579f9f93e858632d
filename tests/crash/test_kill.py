"""Killed before any of its calls, a command leaves what was there before or after, and the next one goes on.

So it is where the next one is killed, too. A sample of the calls, by `MODELREPO_CRASH_SEED` (0);
`MODELREPO_CRASH_ALL=1` takes all (minutes).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .kill import every, kill
from .samples import EVERYTHING, chance
from .stage import COMMANDS

#: How many recoveries are killed of each command.
RECOVERIES = 2
pytestmark = pytest.mark.usefixtures("traceable")


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_before_any_call_the_tree_is_whole_and_the_next_command_goes_on(tmp_path: Path, name: str) -> None:
    points = every(name)
    chosen = chance(name).sample(points, len(points) if EVERYTHING else min(COMMANDS[name].sample, len(points)))
    assert chosen
    for index, number in enumerate(chosen):
        place = tmp_path / str(number)
        place.mkdir()
        # One of them is the real command line, not a fork of a process that has imported it.
        tally = kill(name, number, whole=index == 0).run(place)
        assert tally.counts.total() == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recovery_that_is_killed_too_is_completed_by_the_one_after_it(tmp_path: Path, name: str) -> None:
    generator = chance(f"{name} again")
    points = every(name)
    for number in points if EVERYTHING else generator.sample(points, RECOVERIES):
        place = tmp_path / str(number)
        place.mkdir()
        assert kill(name, number, again=generator.random()).run(place).counts["kill points of a recovery"] == 1
