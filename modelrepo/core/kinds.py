"""Kinds of single fields: each takes what JSON or TOML gave, and returns the field's value or says what is wrong.

For what every command reads, the settings and the journal's records: pydantic, which reads whole documents
(`documents`), takes longer to import than such a command has.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

Kind = Callable[[Any], Any]


def text(value: object) -> str:
    """A text."""
    if type(value) is not str:
        raise ValueError("it is no text")
    return value


def truth(value: object) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise ValueError("it is neither true nor false")
    return value


def number(value: object) -> float:
    """A finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # a whole number may have more digits than a float has room for
            if math.isfinite(value):
                return float(value)
    raise ValueError("it is no finite number")


def whole(low: int, high: int | None = None) -> Kind:
    """A whole number within bounds, which belong to it."""
    bounds = f"from {low} on" if high is None else f"from {low} to {high}"

    def kind(value: object) -> int:
        if type(value) is not int or value < low or (high is not None and value > high):
            raise ValueError(f"it is no whole number {bounds}")
        return value

    return kind


def one_of(*words: str) -> Kind:
    """One of some words."""
    known = frozenset(words)

    def kind(value: object) -> str:
        if type(value) is not str or value not in known:
            raise ValueError(f"it is none of {', '.join(words)}")
        return value

    return kind


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    if type(value) is not list:
        raise ValueError("it is no list")
    return tuple(map(text, value))


def each(kind: Kind) -> Kind:
    """Values of a kind by name."""

    def read_all(value: object) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError("it has no keys")
        return {key: kind(part) for key, part in value.items()}

    return read_all


def maybe(kind: Kind) -> Kind:
    """A kind, or nothing."""
    return lambda value: None if value is None else kind(value)


def every(kind: Kind) -> Kind:
    """A list of a kind."""

    def read_all(value: object) -> list[Any]:
        if type(value) is not list:
            raise ValueError("it is no list")
        return [kind(part) for part in value]

    return read_all


def exactly(fields: Mapping[str, Kind], optional: Collection[str] = ()) -> Kind:
    """An object of these fields and no others; those that are not optional must be there.

    >>> exactly({"size": whole(0, 9), "name": text}, ["name"])({"size": 3})
    {'size': 3}
    """
    required = frozenset(fields) - frozenset(optional)

    def read_all(value: object) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError("it has no keys")
        if wrong := (required - value.keys()) | (value.keys() - fields.keys()):
            raise ValueError(f"missing or unknown: {', '.join(sorted(wrong))}")
        return {name: fields[name](part) for name, part in value.items()}

    return read_all


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object's keys and values, as `json.loads` hands them to its `object_pairs_hook`.

    Raises:
        ValueError: A key stands twice: readers could differ about what it says.
    """
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def read(kinds: Mapping[str, Kind], fields: object, required: Collection[str] = (), prefix: str = "") -> dict[str, Any]:
    """Read fields of some kinds.

    Args:
        kinds: What each field must be.
        fields: What was given. Nothing, as JSON writes it, stands for a field that is not there.
        required: The fields that must be there.
        prefix: What their names begin with, for messages.

    Raises:
        ValueError: One is unknown, missing, or of another kind: which, and why, in one line.

    >>> read({"size": whole(0, 9), "name": text}, {"size": 3})
    {'size': 3}
    >>> read({"size": whole(0, 9)}, {"size": 12})
    Traceback (most recent call last):
    ValueError: size: it is no whole number from 0 to 9
    """
    if type(fields) is not dict:
        raise ValueError(f"{prefix.rstrip('.')}: it has no keys" if prefix else "it has no keys")
    values = {}
    name = ""
    try:  # once, not for each field: a journal has a million
        for name, given in fields.items():
            if given is not None:
                values[name] = kinds[name](given)
    except ValueError as error:
        raise ValueError(f"{prefix}{name}: {error}") from None
    except KeyError:
        raise ValueError(f"{prefix}{name}: unknown key") from None
    for name in required:
        if name not in values:
            raise ValueError(f"{prefix}{name}: it is missing")
    return values
