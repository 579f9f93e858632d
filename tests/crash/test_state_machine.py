"""The library beside a model of itself: a few programs, by `MODELREPO_CRASH_SEED` (0).

`MODELREPO_CRASH_ALL=1` takes many.
"""

from __future__ import annotations

from pathlib import Path

from . import model
from .samples import EVERYTHING, chance

EXAMPLES = 200 if EVERYTHING else 6


def test_the_repository_is_what_the_model_says_behind_every_step_and_every_accident(tmp_path: Path) -> None:
    number = chance().getrandbits(32)
    tally = model.run(tmp_path, number=number, examples=EXAMPLES, steps=20)
    assert tally.counts["steps"] > EXAMPLES
