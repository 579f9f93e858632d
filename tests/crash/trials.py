"""A trial: one accident, done to a repository of its own, after which the promises are checked.

Each family of accidents (kills, power cuts, errors, races, hostile input) is a module with a function `trials`. The
tests run a seeded sample of them; `scripts/torture` runs as many as its time allows, in turn, and adds up what they
counted.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """What trials did: how often, by name ("kill points", "injected errors", …), and the distinct states reached."""

    counts: Counter[str] = field(default_factory=Counter)
    states: set[str] = field(default_factory=set)

    def add(self, other: Tally) -> None:
        """Take another's counts and states in."""
        self.counts += other.counts
        self.states |= other.states


@contextlib.contextmanager
def saying(what: str) -> Iterator[None]:
    """Let a broken promise say after what."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Trial:
    """One accident.

    `name` says it so that somebody can do it again. `run` gets an empty directory of its own, leaves nothing running,
    and raises AssertionError where a promise is broken, naming which.
    """

    name: str
    run: Callable[[Path], Tally]
