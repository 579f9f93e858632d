"""Everything hostile, in turn: repositories, sources, journals, clocks. Each of them ends when all of it was done."""

from __future__ import annotations

import random
from collections.abc import Iterator

from . import clocks, journals, matrix, sources
from .tracer import why_not
from .trials import Trial


def trials(generator: random.Random) -> Iterator[Trial]:
    """All trials, once; the sources that change only where a push can be traced."""
    parts = [matrix.trials(generator), journals.trials(generator), clocks.trials(generator)]
    if why_not() is None:
        parts.append(sources.trials(generator))
    while parts:
        for part in list(parts):
            trial = next(part, None)
            if trial is None:
                parts.remove(part)
            else:
                yield trial
