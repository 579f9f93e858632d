"""A wall clock that was set to another time, as a command sees it: history keeps its order, and what is young stays."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .invariants import check_tree
from .runner import runner
from .scene import set_up
from .trials import Tally, Trial

#: Ten years, in seconds.
_DECADE = 10 * 365 * 86_400
_YEARS = {"ten years back": -_DECADE, "right": 0, "ten years on": _DECADE}


def jumps(*years: str) -> Trial:
    """Move a channel, push and clean up, the clock set anew before each: four times."""

    def run(place: Path) -> Tally:
        root = set_up(place)
        skews = [_YEARS[year] for year in years]

        def said(number: int, *words: str) -> Any:
            ran = runner().run(place, ["-r", "ranker", "--json", *words], skew=skews[number])
            assert ran.code == 0, ran
            return ran.document

        said(0, "promote", "v5")
        said(1, "promote", "v6")
        pushed = said(2, "push", "exports/new", "--no-load")
        assert pushed["version"] == "v7"
        cleaned = said(3, "cleanup", "--keep-last", "0", "--keep-rollback", "1")
        assert cleaned["removed"] == [], f"something young was deleted: {cleaned['removed']}"
        history = said(3, "history", "--channel", "latest")
        assert [(row["action"], row["to"]) for row in history][:4] == [
            ("promote", "v6"), ("promote", "v5"), ("promote", "v3"), ("promote", "v2"),
        ]  # fmt: skip
        sequence = [row["seq"] for row in history]
        assert sequence == sorted(sequence, reverse=True), sequence
        moves = [said(number % 4, "rollback") for number in range(3)]
        assert [move["to"] for move in moves] == ["v5", "v3", "v2"]
        assert said(3, "verify")["ok"]
        check_tree(root)
        return Tally(Counter({"clocks that jump": 1}), {f"clock {', '.join(years)}"})

    return Trial(f"clock {', '.join(years)}", run)


def trials(generator: random.Random) -> Iterator[Trial]:
    """Every order of clocks, once."""
    every = [jumps(*years) for years in itertools.product(_YEARS, repeat=4)]
    generator.shuffle(every)
    yield from every


def sample(generator: random.Random) -> list[Trial]:
    """Back and on, and one more."""
    chosen = [("ten years on", "ten years back", "ten years back", "ten years on")]
    chosen.append(("ten years back", "ten years on", "ten years on", "right"))
    return [jumps(*years) for years in (*chosen, tuple(generator.choices(list(_YEARS), k=4)))]
