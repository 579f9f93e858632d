"""The base of all values, and the fields that several of them share.

A value is frozen, knows all its fields, and writes itself as JSON the way `docs/scripting.md` promises: versions as
`"v7"`, times in UTC with microseconds and `Z`, what is absent as `null`.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from modelrepo.core.refs import Version
from modelrepo.errors import RequestError

#: Keys of labels and metrics.
KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Longest text that a person may attach (a message, a reason, a label's value), in characters.
TEXT_LIMIT = 4096
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")


class Value(BaseModel):
    """A frozen value without surprises: unknown fields are errors.

    Its validator is built when it is first used, not at import: most commands use a few of the many values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)


def format_time(moment: datetime) -> str:
    """Write a time as RFC 3339, UTC, with microseconds.

    >>> format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05.000000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _to_time(value: object) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        message = "a time needs a date, a time and a zone"
        raise ValueError(message)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        message = "a time must lie in the years 1 to 9999 in UTC"
        raise ValueError(message) from None


def _to_version(value: object) -> Version:
    if isinstance(value, Version):
        return value
    version = Version.from_name(value) if isinstance(value, str) else None
    if version is None:
        message = "a version is written v1, v2, …"
        raise ValueError(message)
    return version


Timestamp = Annotated[
    datetime,
    BeforeValidator(_to_time),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
VersionField = Annotated[
    Version,
    BeforeValidator(_to_version),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^v[1-9][0-9]*$"}),
]


class Actor(Value):
    """Who did something: what the system knows, and beside it what the environment claims.

    Attributes:
        user: The user's name, or the number where the system has no name for it.
        uid: The effective user id.
        host: The host's name.
        claims: `MODELREPO_ACTOR` and `SUDO_USER` where they were set. Anybody can set them: claims, not facts.
    """

    user: str
    uid: int
    host: str
    claims: dict[str, str] = Field(default_factory=dict)


def has_control(text: str) -> bool:
    r"""Tell whether a text holds characters that would act on a terminal (C0, DEL, C1).

    >>> has_control("caf\u00e9"), has_control("a\x1b[31m"), has_control("a\nb")
    (False, True, True)
    """
    return _CONTROL.search(text) is not None


def check_text(text: str, what: str) -> str:
    """Return a person's text, or refuse it.

    Raises:
        RequestError: It is longer than `TEXT_LIMIT`, holds control characters other than newline and tab, or cannot be
            written as UTF-8.
    """
    stripped = text.replace("\n", " ").replace("\t", " ")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RequestError(f"{what} is not valid UTF-8", kind="text-malformed") from None
    if has_control(stripped):
        raise RequestError(f"{what} holds control characters", kind="text-malformed", got=ascii(text))
    if len(text) > TEXT_LIMIT:
        raise RequestError(
            f"{what} is too long", kind="text-malformed", expected=f"at most {TEXT_LIMIT} characters", got=len(text)
        )
    return text


def check_key(key: str, what: str) -> str:
    """Return the key of a label or metric, or refuse it with a `RequestError`."""
    if not KEY.fullmatch(key):
        raise RequestError(
            f"{what} has a malformed key",
            kind="key-malformed",
            expected="1 to 64 of the characters A-Z a-z 0-9 _ . -",
            got=ascii(key),
        )
    return key


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return the labels, sorted by key, or refuse them with a `RequestError`."""
    return {check_key(key, "a label"): check_text(labels[key], f"label {key}") for key in sorted(labels)}


def check_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics, sorted by key, or refuse them with a `RequestError`: numbers must be finite."""
    for key, number in metrics.items():
        check_key(key, "a metric")
        if not math.isfinite(number):
            raise RequestError(
                f"metric {key} is not a finite number", kind="metric-malformed", expected="a number", got=number
            )
    return {key: float(metrics[key]) for key in sorted(metrics)}
