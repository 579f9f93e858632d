"""Eight processes at once, killed and stopped: a sample of the family, by `MODELREPO_CRASH_SEED` (0)."""

from __future__ import annotations

import os
import random
from pathlib import Path

from . import races

# Read before the fixture that clears the environment.
SEED = os.environ.get("MODELREPO_CRASH_SEED", "0")
SECONDS = 600 if os.environ.get("MODELREPO_CRASH_ALL") else 20


def test_eight_processes_at_once_break_no_promise(tmp_path: Path) -> None:
    trial = next(races.trials(random.Random(SEED), SECONDS))  # noqa: S311 - a sample, no secret
    tally = trial.run(tmp_path)
    assert min(tally.counts[what] for what in ("operations", "kills", "stops", "reads", "looks")) > 0, tally
