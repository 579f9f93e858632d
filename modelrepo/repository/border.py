"""The library's border: what comes in is checked, and no `OSError` goes out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from modelrepo.core.refs import Ref, Version, parse_ref
from modelrepo.core.values import check_text
from modelrepo.errors import RequestError, from_os


@contextlib.contextmanager
def border(doing: str) -> Iterator[None]:
    """No `OSError` leaves the library unwrapped."""
    try:
        yield
    except OSError as error:
        raise from_os(error, doing) from error


def parsed(ref: str | Version) -> Ref:
    """A ref, from its text or from a version."""
    return parse_ref(str(ref))


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
