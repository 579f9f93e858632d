"""A call in a process of its own that hangs is no reason to wait for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import steps


@pytest.mark.parametrize("wait", [steps.Child.outcome, steps.Child.steps, steps.Child.is_stopped])
def test_a_call_that_hangs_is_killed_and_said(
    wait: Callable[[steps.Child], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = steps.Child(lambda: time.sleep(600), Path("/nowhere"))
    with monkeypatch.context() as patch:
        patch.setattr(steps, "_SECONDS", 0.1)
        with pytest.raises(AssertionError, match="neither stops nor ends"):
            wait(child)
    assert child.outcome() == steps.Outcome(None)


def test_a_call_stops_at_each_of_its_steps(tmp_path: Path) -> None:
    def twice() -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()

    child = steps.Child(twice, tmp_path, 1, 2)
    for names in ([], ["one"]):
        assert child.is_stopped()
        assert [path.name for path in tmp_path.iterdir()] == names
        child.go_on()
    assert child.outcome().code == 0
