"""Eight processes at once, killed and stopped: a sample of the family, by `MODELREPO_CRASH_SEED` (0)."""

from __future__ import annotations

from pathlib import Path

from . import races
from .samples import EVERYTHING, chance

SECONDS = 600 if EVERYTHING else 10


def test_eight_processes_at_once_break_no_promise(tmp_path: Path) -> None:
    trial = next(races.trials(chance(), SECONDS))
    tally = trial.run(tmp_path)
    assert min(tally.counts[what] for what in ("operations", "kills", "stops", "reads", "looks")) > 0, tally
