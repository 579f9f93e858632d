"""Durations, times and sizes: as people write them, and as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from modelrepo.core.refs import MAX_NUMBER
from modelrepo.errors import RequestError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 36500 * 86400
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SIZE = re.compile(r"([0-9]{1,15}) ?(?:([kKMGT])(i)?)?B?")
_LARGEST = 2**60
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_POWER = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_duration(text: str) -> timedelta:
    """Read a duration: an integer and one of `s m h d w`.

    Raises:
        RequestError: It is something else.

    >>> parse_duration("24h"), parse_duration("0s")
    (datetime.timedelta(days=1), datetime.timedelta(0))
    """
    match = _DURATION.fullmatch(text)
    if not match or not text.isascii():
        raise RequestError(
            f"{text!a} is not a duration",
            kind="duration-malformed",
            expected="an integer and one of s m h d w, such as 24h",
            got=ascii(text),
        )
    duration = int(match[1]) * _SECONDS[match[2]]
    if duration > _LONGEST:
        raise RequestError(
            f"{text} is too long", kind="duration-malformed", expected="at most 36500d, a hundred years", got=text
        )
    return timedelta(seconds=duration)


def format_duration(duration: timedelta) -> str:
    """Write a duration in its largest whole unit.

    >>> format_duration(timedelta(hours=24)), format_duration(timedelta(seconds=90))
    ('1d', '90s')
    """
    seconds = int(duration.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def parse_time(text: str) -> datetime:
    """Read a time: RFC 3339, or a date, which means its first moment. UTC unless it says otherwise.

    Raises:
        RequestError: It is something else.

    >>> parse_time("2026-11-25").isoformat(), parse_time("2026-11-25T10:00:00+01:00").isoformat()
    ('2026-11-25T00:00:00+00:00', '2026-11-25T09:00:00+00:00')
    """
    try:
        time = datetime.fromisoformat(text.upper()) if _TIME.fullmatch(text) else None
        if time is not None:
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # the 30th of February, or the year 10000 in UTC
        pass
    raise RequestError(
        f"{text[:200]!a} is not a time",
        kind="time-malformed",
        expected="a date, or a date and a time, such as 2026-11-25 or 2026-11-25T10:00:00Z",
        got=ascii(text[:200]),
    )


def parse_size(text: str) -> int:
    """Read a size in bytes: `4GiB`, `500MB`, `1048576`.

    Raises:
        RequestError: It is something else.

    >>> parse_size("4GiB"), parse_size("500 MB"), parse_size("12")
    (4294967296, 500000000, 12)
    """
    match = _SIZE.fullmatch(text)
    if not match or not text.isascii():
        raise RequestError(
            f"{text!a} is not a size",
            kind="size-malformed",
            expected="an integer with kB, MB, GB, KiB … or nothing behind it, such as 4GiB",
            got=ascii(text),
        )
    base: int = (1024 if match[3] else 1000) ** _POWER[match[2] or ""]
    size = int(match[1]) * base
    if size > _LARGEST:
        raise RequestError(f"{text} is too large", kind="size-malformed", expected="at most 1048576TiB", got=text)
    return size


def parse_seconds(text: str) -> float:
    """Read how long to wait: a duration, or a bare number of seconds.

    Raises:
        RequestError: It is something else.

    >>> parse_seconds("30"), parse_seconds("2m")
    (30.0, 120.0)
    """
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    return parse_duration(text).total_seconds()


def format_size(size: int) -> str:
    """Write a size for people, decimal units.

    >>> [format_size(size) for size in (0, 999, 408016, 1073741824)]
    ['0 B', '999 B', '408.0 kB', '1.1 GB']
    >>> format_size(10**400) == format_size(2**63)
    True
    """
    value = float(min(size, MAX_NUMBER))  # what somebody forged may have more digits than a float
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.95 or (unit == "B" and size < 1000):
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
