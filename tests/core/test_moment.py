"""Ages on two clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.moment import Moment

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_within_one_boot_a_jump_of_the_wall_clock_changes_no_age(jump: int, passed: int) -> None:
    then = Moment(NOON, "boot", 100.0)
    now = Moment(NOON + timedelta(hours=jump), "boot", 100.0 + passed)
    assert then.age(now) == timedelta(seconds=passed)


@pytest.mark.parametrize("boots", [("one", "other"), ("", ""), ("", "one"), ("one", "")])
def test_across_boots_or_without_a_boot_the_wall_clock_counts(boots: tuple[str, str]) -> None:
    then = Moment(NOON, boots[0], 5000.0)
    assert then.age(Moment(NOON + timedelta(hours=2), boots[1], 3.0)) == timedelta(hours=2)


@pytest.mark.parametrize("boot", ["boot", "other"])
def test_what_lies_in_the_future_is_of_age_zero(boot: str) -> None:
    then = Moment(NOON, "boot", 100.0)
    assert then.age(Moment(NOON - timedelta(days=1), boot, 1.0)) == timedelta(0)
