"""What the tests of accidents share."""

from __future__ import annotations

import pytest

from .tracer import why_not


@pytest.fixture
def traceable() -> None:
    """Skips where nothing can be traced."""
    if reason := why_not():
        pytest.skip(reason)
