"""The base of all values, and people's texts, labels and metrics."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelrepo.core.refs import Version
from modelrepo.core.values import (
    TEXT_LIMIT,
    Actor,
    Timestamp,
    Value,
    VersionField,
    check_key,
    check_labels,
    check_metrics,
    check_text,
    format_time,
    has_control,
)
from modelrepo.errors import RequestError

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=ZONES)  # noqa: DTZ001 - bounds have no zone


class Sample(Value):
    """A value with every shared field."""

    time: Timestamp
    version: VersionField


@given(TIMES)
def test_a_time_is_written_in_utc_with_microseconds_and_read_as_the_same(time: datetime) -> None:
    text = format_time(time)
    assert len(text) == len("2026-01-02T03:04:05.000000Z")
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == time


@given(TIMES, st.integers(1, 2**63 - 1).map(Version))
def test_a_value_is_read_from_the_json_that_it_writes(time: datetime, version: Version) -> None:
    value = Sample(time=time, version=version)
    assert value.time.tzinfo is UTC
    assert Sample.model_validate_json(value.model_dump_json()) == value
    assert value.model_dump(mode="json") == {"time": format_time(time), "version": str(version)}


@pytest.mark.parametrize(
    "time",
    ["2026-01-02T03:04:05", "2026-01-02", "yesterday", "", 0, None, datetime(2026, 1, 1)],  # noqa: DTZ001
)
def test_a_time_without_a_zone_is_no_time(time: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"time": time, "version": "v1"})


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_a_time_that_utc_cannot_express_is_a_wrong_value_not_a_crash(time: str) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"time": time, "version": "v1"})


@pytest.mark.parametrize("version", ["1", "v0", "v01", "latest", "", 1, None, 1.0])
def test_a_version_is_written_with_its_letter(version: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate({"time": "2026-01-01T00:00:00Z", "version": version})


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Actor.model_validate({"user": "a", "uid": 1, "host": "h", "extra": 1})


def test_a_value_cannot_be_changed() -> None:
    actor = Actor(user="a", uid=1, host="h")
    with pytest.raises(ValidationError, match="frozen"):
        setattr(actor, "user", "b")  # noqa: B010 - mypy knows that it cannot be set


@given(st.text())
def test_a_text_without_control_characters_does_nothing_to_a_terminal(text: str) -> None:
    expected = any(ord(character) in {*range(32), *range(127, 160)} for character in text)
    assert has_control(text) == expected


@pytest.mark.parametrize("text", ["", "two\nlines", "a\ttab", "caf\u00e9 \u6570", "x" * TEXT_LIMIT])
def test_a_persons_text_is_stored_as_given(text: str) -> None:
    assert check_text(text, "the message") == text


@pytest.mark.parametrize("text", ["\x1b[31m", "a\rb", "\x00", "\x9b", "\udcff", "x" * (TEXT_LIMIT + 1)])
def test_a_text_that_acts_on_a_terminal_or_is_too_long_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_text(text, "the message")
    assert caught.value.kind == "text-malformed"
    assert caught.value.message.startswith("the message ")


@pytest.mark.parametrize("key", ["a", "A.b-c_9", "x" * 64, "-", "."])
def test_a_key_has_up_to_64_plain_characters(key: str) -> None:
    assert check_key(key, "a label") == key


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "a=b", "a/b", "caf\u00e9", "a\n", "\u0661"])
def test_any_other_key_is_refused(key: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_key(key, "a label")
    assert caught.value.kind == "key-malformed"


def test_labels_and_metrics_are_sorted_by_key() -> None:
    assert list(check_labels({"b": "2", "a": "1"})) == ["a", "b"]
    assert list(check_metrics({"b": 2, "a": 1.5}).items()) == [("a", 1.5), ("b", 2.0)]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_metric_is_a_finite_number(number: float) -> None:
    with pytest.raises(RequestError) as caught:
        check_metrics({"auc": number})
    assert caught.value.kind == "metric-malformed"


def test_a_label_with_a_malformed_text_is_refused() -> None:
    with pytest.raises(RequestError, match="label team"):
        check_labels({"team": "\x1b]0;title\x07"})
