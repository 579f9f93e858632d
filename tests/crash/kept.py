"""What the tests of the operations keep beside a version, for accidents."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path


def _keep() -> Callable[..., tuple[Path, bool]]:
    place = Path(__file__).parents[1] / "repository" / "kept.py"
    spec = importlib.util.spec_from_file_location("modelrepo_tests_kept", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., tuple[Path, bool]] = module.keep
    return found


keep = _keep()
