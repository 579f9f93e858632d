"""Durations, times and sizes, as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.units import format_duration, format_size, parse_duration, parse_seconds, parse_size, parse_time
from modelrepo.errors import RequestError


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("007d", timedelta(days=7)),
    ],
)
def test_a_duration_is_an_integer_and_a_unit(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", ["", "5", "h", "1.5h", "-1h", "+1h", "1 h", "1H", "1y", "1h30m", "1h\n", "\u0661h", "1e3s", "9" * 20 + "s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_duration(text)
    assert caught.value.kind == "duration-malformed"


@given(st.integers(0, 10**12).map(str), st.sampled_from("smhdw"))
def test_a_duration_of_any_size_is_read_or_refused_in_words(number: str, unit: str) -> None:
    try:
        duration = parse_duration(f"{number}{unit}")
    except RequestError:
        return
    assert duration >= timedelta(0)


@given(st.integers(0, 10**9 - 1))
def test_what_is_written_for_a_duration_means_the_same(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=61), "61s"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=7), "1w"),
        (timedelta(days=8), "8d"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("12B", 12),
        ("4GiB", 4 * 2**30),
        ("4Gi", 4 * 2**30),
        ("4G", 4 * 10**9),
        ("500MB", 500 * 10**6),
        ("500 MB", 500 * 10**6),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("2TiB", 2 * 2**40),
    ],
)
def test_a_size_is_an_integer_and_a_unit_or_none(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "B", "GB", "1.5GB", "-1", "+1", "1  GB", "1XB", "1iB", "1 GB ", "1GB\n", "\u0661", "1e9", "9" * 16]
)
def test_anything_else_is_no_size(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_size(text)
    assert caught.value.kind == "size-malformed"


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), ("0", 0.0), ("2m", 120.0), ("0s", 0.0), ("1h", 3600.0)])
def test_a_wait_is_a_duration_or_a_bare_number_of_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5", "inf", "nan", "\u0661", "\u00b2", "9" * 10, "soon"])
def test_no_other_wait_is_taken(text: str) -> None:
    with pytest.raises(RequestError):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (999_999_999, "1.0 GB"),
        (1_500_000_000_000, "1.5 TB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_a_size_is_written_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 10**16))
def test_a_written_size_is_within_half_a_tenth_of_the_real_one(size: int) -> None:
    number, unit = format_size(size).split()
    power = {"B": 0, "kB": 1, "MB": 2, "GB": 3, "TB": 4}[unit]
    assert abs(float(number) * 1000**power - size) <= 0.0501 * 1000**power
    assert float(number) < 1000 or unit == "TB"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
        ("2026-11-25T10:20Z", datetime(2026, 11, 25, 10, 20, tzinfo=UTC)),
        ("2026-11-25t10:20:30z", datetime(2026, 11, 25, 10, 20, 30, tzinfo=UTC)),
        ("2026-11-25 10:20:30", datetime(2026, 11, 25, 10, 20, 30, tzinfo=UTC)),
        ("2026-11-25T10:20:30.123456Z", datetime(2026, 11, 25, 10, 20, 30, 123456, tzinfo=UTC)),
        ("2026-11-25T10:20:30.123456789Z", datetime(2026, 11, 25, 10, 20, 30, 123456, tzinfo=UTC)),
        ("2026-11-25T10:20:30+05:30", datetime(2026, 11, 25, 4, 50, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, time: datetime) -> None:
    assert parse_time(text) == time
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-02-30", "2026-11-25T25:00", "20261125", "2026-W48-3", "2026-11-25T", "0000-01-01",
     "9999-12-31T23:59:59-05:00", "\uff12026-11-25", "2026-11-25T10:20:30Z\n"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_time(text)
    assert caught.value.kind == "time-malformed"
