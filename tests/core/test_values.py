"""The base of all values, and people's texts, labels and metrics."""

from __future__ import annotations

import copy
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.refs import Version
from modelrepo.core.training import Training
from modelrepo.core.values import (
    TEXT_LIMIT,
    Actor,
    Value,
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


@given(TIMES)
def test_a_time_is_written_in_utc_with_microseconds_and_read_as_the_same(time: datetime) -> None:
    text = format_time(time)
    assert len(text) == len("2026-01-02T03:04:05.000000Z")
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == time


class Sample(Value, renamed={"origin": "from"}):
    """A value."""

    origin: Version | None
    when: tuple[datetime, ...] = ()
    inner: Value | None = None


def test_a_value_knows_its_fields_and_takes_no_other() -> None:
    made: Any = Sample
    for fields in ({}, {"origin": None, "more": 1}, {"when": ()}):
        with pytest.raises(TypeError, match=r"Sample: unknown .*, missing"):
            made(**fields)
    assert Sample(origin=None).when == ()
    assert Sample(Version(1), ()) == Sample(origin=Version(1))
    with pytest.raises(TypeError, match="by position"):
        made(None, (), None, 4)
    with pytest.raises(TypeError, match="by position"):
        made(None, origin=None)


def test_a_value_cannot_be_changed_and_equals_its_like() -> None:
    value = Sample(origin=Version(1))
    with pytest.raises(AttributeError, match=r"Sample\.origin cannot be set"):
        setattr(value, "origin", None)  # noqa: B010 - mypy knows that it cannot be set
    with pytest.raises(AttributeError, match=r"Sample\.origin cannot be set"):
        delattr(value, "origin")
    assert value == Sample(origin=Version(1))
    assert hash(value) == hash(Sample(origin=Version(1)))
    assert value != Sample(origin=Version(2))
    assert value != object()
    assert value.replaced(origin=None) == Sample(origin=None)
    assert copy.deepcopy(value) == value


@given(TIMES, st.integers(1, 2**63 - 1).map(Version))
def test_a_value_writes_itself_as_the_documentation_says(time: datetime, version: Version) -> None:
    value = Sample(origin=version, when=(time,), inner=Sample(origin=None))
    assert value.as_json() == {
        "from": str(version),
        "when": [format_time(time)],
        "inner": {"from": None, "when": [], "inner": None},
    }


def test_a_value_may_hold_documents_and_people() -> None:
    class Held(Value):
        findings: tuple[Training, ...]
        by: Actor

    held = Held(findings=(Training(variables=2),), by=Actor(user="a", uid=1, host="h"))
    assert held.as_json() == {
        "findings": [{"signatures": [], "variables": 2, "size": 0}],
        "by": {"user": "a", "uid": 1, "host": "h", "claims": {}},
    }


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
