"""Running commands and timing them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Nothing that is measured takes so long.
_LONGEST = 1800


#: The program as it is installed.
PROGRAM = str(Path(sys.executable).with_name("modelrepo"))
SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"


def modelrepo(root: Path, *words: str) -> list[str]:
    """The command line."""
    return [PROGRAM, "--repo", str(root), *words]


def call(words: Sequence[object], env: Mapping[str, str] | None = None, place: Path | None = None) -> str:
    """Run a command; what it says on standard output.

    Raises:
        CalledProcessError: It failed.
    """
    done = subprocess.run(
        [*map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        env={**os.environ, **(env or {})},
        cwd=place,
    )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        done.check_returncode()
    return done.stdout


def seconds(action: Callable[[], object]) -> float:
    """How long something takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@dataclass
class Row:
    """What was measured.

    Attributes:
        name: Of what.
        times: Seconds of each run.
        beside: What ran beside it, and its seconds.
        unit: Of `times`, where they are none.
    """

    name: str
    times: list[float] = field(default_factory=list)
    beside: tuple[str, list[float]] | None = None
    unit: str = "s"

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def ratio(self) -> float | None:
        """The median in medians of what ran beside it."""
        return None if self.beside is None else self.median / statistics.median(self.beside[1])

    def __str__(self) -> str:
        """One line."""
        text = f"{self.name:<42} {self.median:8.3f} {self.unit}  ({min(self.times):.3f} to {max(self.times):.3f})"
        if self.beside is not None:
            name, times = self.beside
            text += f"  = {self.ratio:.2f} x {name} ({statistics.median(times):.3f} {self.unit})"
        return text


def rows(names: Sequence[str], runs: int, actions: Mapping[str, Callable[[int], object]]) -> dict[str, Row]:
    """Measure several things in turn, run by run; each is given the number of the run.

    Args:
        names: What to call them.
        runs: How often.
        actions: What to measure, by name.
    """
    found = {name: Row(name) for name in names}
    for number in range(runs):
        for name in names:
            found[name].times.append(seconds(lambda name=name, number=number: actions[name](number)))  # type: ignore[misc]
    return found


def beside(row: Row, reference: Row) -> Row:
    """A row with what ran beside it."""
    row.beside = (reference.name, reference.times)
    return row
