"""Kills: a command is killed before one of its calls, and so may be the next one, which recovers from that.

Every call over all threads and processes that changes or syncs something in the place is a kill point. What a power
cut may leave is another matter: the calls that were made are all in the page cache here.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelrepo.fs import native

from .commands import FOUNDINGS
from .stage import COMMANDS, calls, check, digest, follow_up, perform, set_up
from .tracer import Action, Call, Go, Kill, Onlooker
from .trials import Tally, Trial, saying

#: One trial in so many runs the real command line rather than a fork of the server.
_WHOLE = 20


@dataclass
class _Killer(Onlooker):
    """Kills before one call."""

    number: int
    at: str = ""

    def before(self, call: Call) -> Action:
        if call.number != self.number:
            return Go()
        self.at = str(call)
        return Kill()


def next_words(name: str) -> tuple[str, ...]:
    """What is said to a repository behind an accident, which then recovers: another change, or the founding again."""
    return COMMANDS[name].words if name in FOUNDINGS else ("pin", "v2")


def kill(name: str, number: int, *, again: float | None = None, whole: bool = False) -> Trial:
    """Kill a command before its N-th call.

    Args:
        name: Which command.
        number: Which call, from 1.
        again: Kill the next command, too, so far on its way: 0 before its first call, just below 1 before its last.
        whole: Whether to start the real command line.
    """

    def run(place: Path) -> Tally:
        set_up(name, place)
        killer = _Killer(number)
        done = perform(place, *COMMANDS[name].words, watcher=killer, whole=whole)
        tally = Tally(Counter({"kill points": 1}))
        if done.code == 0 and not killer.at:
            tally.counts = Counter({"ended before the call": 1})  # threads make a few calls in no fixed order
        else:
            assert done.code == -9, f"it was not killed: {done}"
        _judged(name, place, killer.at, tally)
        if again is not None:
            words = next_words(name)
            second = _Killer(1 + int(again * _length(place, words)))
            perform(place, *words, watcher=second, whole=whole)
            tally.counts["kill points of a recovery" if second.at else "ended before the call"] += 1
            _judged(name, place, f"{killer.at}, and then {second.at}", tally)
        with saying(f"behind {killer.at}"):
            follow_up(name, place)
        return tally

    then = "" if again is None else f", the next one {again:.3f} of the way"
    return Trial(f"{name} killed before call {number}{then}{' (real)' if whole else ''}", run)


def _judged(name: str, place: Path, at: str, tally: Tally) -> None:
    tally.states.add(digest(place))
    with saying(f"killed before {at}"):
        check(name, place)


def _length(place: Path, words: tuple[str, ...]) -> int:
    """How many calls the next command makes in this state."""
    with tempfile.TemporaryDirectory() as text:
        copy = Path(text) / "place"
        shutil.copytree(place, copy, symlinks=True)
        journal = Path("ranker", ".modelrepo", "journal.jsonl")
        if (place / journal).exists():  # what it has reserved is not copied, and would be reserved by one call more
            with (copy / journal).open("r+b") as file:
                native.preallocate(file.fileno(), 512 * (place / journal).stat().st_blocks)
        return perform(copy, *words, watcher=Onlooker()).calls


def every(name: str) -> list[int]:
    """Every kill point of a command."""
    return list(calls(name))


def trials(random: random.Random) -> Iterator[Trial]:
    """Every kill point of every command once, in turn with kills of recoveries; then recoveries for ever."""
    points = [(name, number) for name in COMMANDS for number in every(name)]
    left = list(points)
    random.shuffle(left)
    while True:
        if left:
            name, number = left.pop()
            yield kill(name, number, whole=random.randrange(_WHOLE) == 0)
        name, number = random.choice(points)
        yield kill(name, number, again=random.random(), whole=random.randrange(_WHOLE) == 0)
