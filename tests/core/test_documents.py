"""What comes from outside as a whole document, and the fields that several documents share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from modelrepo.core.documents import Document, Timestamp, VersionField
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor, format_time

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=ZONES)  # noqa: DTZ001 - bounds have no zone


class Sample(Document):
    """A document with every shared field."""

    time: Timestamp
    version: VersionField


@given(TIMES, st.integers(1, 2**63 - 1).map(Version))
def test_a_document_is_read_from_the_json_that_it_writes(time: datetime, version: Version) -> None:
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
    with pytest.raises(ValidationError, match=r"extra|unexpected"):
        TypeAdapter(Actor).validate_python({"user": "a", "uid": 1, "host": "h", "extra": 1})


def test_a_document_cannot_be_changed() -> None:
    sample = Sample(time=datetime.now(UTC), version=Version(1))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(sample, "version", Version(2))  # noqa: B010 - mypy knows that it cannot be set
