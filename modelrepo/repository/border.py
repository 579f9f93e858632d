"""The library's border: what comes in is checked, and no `OSError` goes out."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from datetime import timedelta

from modelrepo.core.refs import MAX_NUMBER, Ref, Version, parse_ref
from modelrepo.core.values import check_text
from modelrepo.errors import RequestError, from_os

#: With less, Python and TensorFlow themselves do not start, and the model would be blamed.
LEAST_MEMORY = 256 * 1024**2
#: How long a load may take unless the caller says otherwise.
LOAD_TIMEOUT = timedelta(minutes=5)

_OP = re.compile(r"[A-Za-z0-9_.>/-]{1,200}")


@contextlib.contextmanager
def border(doing: str, *, outside: bool = False) -> Iterator[None]:
    """No `OSError` leaves the library unwrapped; see `from_os`."""
    try:
        yield
    except OSError as error:
        raise from_os(error, doing, outside=outside) from error


def parsed(ref: str | Version) -> Ref:
    """A ref, from its text or from a version."""
    return parse_ref(str(ref))


def ref_or_path(argument: str | Version | os.PathLike[str]) -> str:
    """A ref, or a path as it stands where either may: what is given as a path is none that could be a ref.

    >>> from pathlib import Path
    >>> ref_or_path("latest"), ref_or_path(Version(7)), ref_or_path(Path("export")) == os.path.abspath("export")
    ('latest', 'v7', True)
    """
    return os.path.abspath(argument) if isinstance(argument, os.PathLike) else str(argument)


def said(reason: str | None) -> str | None:
    """What somebody said as a reason, checked."""
    return None if reason is None else check_text(reason, "the reason")


def counted(limit: int | None) -> int | None:
    """How many to show, checked."""
    require("limit", limit, 1)
    return limit


def require(name: str, value: int | None, least: int) -> None:
    """Refuse a number that is too small with a `RequestError`."""
    if value is not None and value < least:
        raise RequestError(f"{name} is too small", kind="number-malformed", expected=f"at least {least}", got=value)


def numbered(number: int | None) -> int | None:
    """A version's number that somebody asks for, checked."""
    require("number", number, 1)
    if number is not None and number >= MAX_NUMBER:
        raise RequestError(
            "number is too large", kind="number-malformed", expected=f"less than {MAX_NUMBER}", got=number
        )
    return number


def place(path: str | os.PathLike[str], what: str) -> str:
    """A path that somebody gave. An empty one is an unset variable, not the working directory."""
    text = os.fspath(path)
    if not text or "\0" in text:
        raise RequestError(f"{what} is an empty path", kind="path-malformed", expected="a path", got=ascii(text))
    return text


def ops(names: Collection[str]) -> frozenset[str]:
    """Names of ops, checked."""
    if isinstance(names, str):
        raise RequestError("ops are given as a list", kind="op-malformed", expected="a list of names", got=names)
    for name in names:
        if not _OP.fullmatch(name):
            raise RequestError(
                f"{name!a} is not an op's name",
                kind="op-malformed",
                expected="a name such as ReadFile",
                got=ascii(name),
            )
    return frozenset(names)


def seconds(duration: timedelta) -> float:
    """How long a load may take, checked."""
    if duration <= timedelta(0):
        raise RequestError("a load needs some time", kind="duration-malformed", expected="more than 0s", got="0s")
    return duration.total_seconds()


def memory(size: int | None) -> int | None:
    """How much memory a load may take, checked."""
    if size is not None and size < LEAST_MEMORY:
        least = f"at least {LEAST_MEMORY // 1024**2} MiB, without which TensorFlow does not start"
        raise RequestError("a load needs some memory", kind="size-malformed", expected=least, got=f"{size} bytes")
    return size
