"""The base of all values, who did something, and the texts that people attach.

A value is frozen, knows all its fields, and writes itself as JSON the way `docs/scripting.md` promises: versions as
`"v7"`, times in UTC with microseconds and `Z`, what is absent as `null`. What comes from outside as a whole document
is read by `documents`, with pydantic, which a quick command has no time to import.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, dataclass_transform

from modelrepo.core.refs import Version
from modelrepo.errors import RequestError

#: Keys of labels and metrics.
KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: Longest text that a person may attach (a message, a reason, a label's value), in characters.
TEXT_LIMIT = 4096
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")


@dataclass_transform(frozen_default=True)
class Value:
    """A frozen value. Two of one class with equal fields are equal.

    The annotations of a class are its fields, as for a dataclass; unlike one, it costs the start of a command nothing
    to speak of: nothing is compiled for it.

    >>> class Point(Value, renamed={"before": "from"}):
    ...     before: Version | None
    ...     size: int = 0
    >>> Point(before=Version(7)), Point(before=Version(7)).as_json(), Point(before=None) == Point(before=None, size=0)
    (Point(before=Version(7), size=0), {'from': 'v7', 'size': 0}, True)
    """

    _renamed: ClassVar[Mapping[str, str]] = {}
    _defaults: ClassVar[Mapping[str, Any]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, renamed: Mapping[str, str] | None = None, *, kw_only: bool = False) -> None:
        """Note the fields.

        Args:
            renamed: What fields are called in JSON, where that is not their name.
            kw_only: For the type checker: a field without a default may stand behind one that has it.
        """
        del kw_only
        cls._renamed = renamed or cls._renamed
        own = [name for name in cls.__annotations__ if not name.startswith("_")]
        cls._defaults = {**cls._defaults, **{name: cls.__dict__.get(name) for name in own}}
        cls._required = cls._required.union(own).difference(cls.__dict__)
        setattr(cls, "__match_args__", tuple(cls._defaults))  # noqa: B010 - mypy says that it has none

    def __init__(self, *given: Any, **fields: Any) -> None:  # noqa: ANN401 - the fields of the class
        if given:
            named = dict(zip(self._defaults, given, strict=False))
            if len(named) != len(given) or not named.keys().isdisjoint(fields):
                message = f"{type(self).__name__}: {len(given)} values by position, and {sorted(fields)}"
                raise TypeError(message)
            fields |= named
        values = {**self._defaults, **fields}
        if len(values) != len(self._defaults) or not self._required <= fields.keys():
            unknown, missing = fields.keys() - self._defaults.keys(), self._required - fields.keys()
            message = f"{type(self).__name__}: unknown {sorted(unknown)}, missing {sorted(missing)}"
            raise TypeError(message)
        self.__dict__.update(values)

    def __setattr__(self, name: str, _value: object) -> None:
        message = f"{type(self).__name__}.{name} cannot be set"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def replaced(self, **fields: Any) -> Self:  # noqa: ANN401 - the fields of the class
        """The same with other values in some fields."""
        return type(self)(**{**self.__dict__, **fields})

    def as_json(self) -> dict[str, Any]:
        """Its fields as `json.dumps` takes them."""
        return {name: as_json(value) for name, value in plain(self).items()}


def as_json(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    """A value, a document, or what they are made of, as `json.dumps` takes it."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    return as_json(plain(value))


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    """What JSON has no word for, in words that it has; `json.dumps(…, default=plain)` asks again for what is in there.

    >>> import json
    >>> json.dumps({"since": [Version(7), datetime(2026, 1, 2, tzinfo=UTC)]}, default=plain)
    '{"since": ["v7", "2026-01-02T00:00:00.000000Z"]}'
    """
    if isinstance(value, Version):
        return str(value)
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Value):
        names = value._renamed  # noqa: SLF001 - of this class
        return {names.get(name, name): each for name, each in value.__dict__.items()} if names else value.__dict__
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    return vars(value) if is_dataclass(value) else value.model_dump(mode="json", by_alias=True)  # a document


def format_time(moment: datetime) -> str:
    """Write a time as RFC 3339, UTC, with microseconds.

    >>> format_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05.000000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_time(value: object) -> datetime:
    """A time in UTC, of a text or of a time that says its zone.

    Raises:
        ValueError: It is none.
    """
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        message = "a time needs a date, a time and a zone"
        raise ValueError(message)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        message = "a time must lie in the years 1 to 9999 in UTC"
        raise ValueError(message) from None


def read_version(value: object) -> Version:
    """A version, of its name.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, Version):
        return value
    version = Version.from_name(value) if isinstance(value, str) else None
    if version is None:
        message = "a version is written v1, v2, …"
        raise ValueError(message)
    return version


@dataclass(frozen=True, kw_only=True)
class Actor:
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
    claims: dict[str, str] = field(default_factory=dict)
    #: A document may hold one.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


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
