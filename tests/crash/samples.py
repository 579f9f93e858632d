"""Which sample of all accidents the tests run: by `MODELREPO_CRASH_SEED` (0), or all with `MODELREPO_CRASH_ALL=1`.

Read at import: a fixture clears the environment for each test.
"""

from __future__ import annotations

import os
import random

SEED = os.environ.get("MODELREPO_CRASH_SEED", "0")
EVERYTHING = bool(os.environ.get("MODELREPO_CRASH_ALL"))


def chance(what: str = "") -> random.Random:
    """The choice for a test, by the seed and what tells it from other tests."""
    return random.Random(f"{what} {SEED}")  # noqa: S311 - a sample, no secret
