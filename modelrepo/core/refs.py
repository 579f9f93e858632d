"""Names of versions: `v7`, `7`, a channel, `latest~1`, `newest`, `sha256:` and hex digits.

Parsing is strict: what is not exactly one of these is a `RequestError`, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelrepo.errors import RequestError

#: TensorFlow Serving reads version numbers as signed 64-bit integers.
MAX_NUMBER = 2**63 - 1
_DIGITS = len(str(MAX_NUMBER))
#: The channel that commands mean when none is named.
LATEST = "latest"

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = re.compile(r"serving|newest|v[0-9]+")
_BACK = re.compile(r"0|[1-9][0-9]{0,5}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{8,64}")


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """The number of one immutable version.

    >>> Version(7), str(Version(7)), Version.from_name("v7") == Version(7)
    (Version(7), 'v7', True)
    >>> Version.from_name("v07") is None, Version.from_name("7") is None
    (True, True)
    """

    number: int

    def __str__(self) -> str:
        return f"v{self.number}"

    def __repr__(self) -> str:
        return f"Version({self.number})"

    @classmethod
    def from_name(cls, name: str) -> Version | None:
        """Return the version that a directory of this name would be, or None."""
        number = number_of(name)
        return None if number is None else cls(number)


def number_of(name: str) -> int | None:
    """Return the number of the version that a directory of this name would be, or None."""
    digits = name[1:]
    # A look at ten thousand names asks ten thousand times: this takes half of what `_NUMBER` would.
    if name[:1] != "v" or not digits.isdecimal() or not digits.isascii() or digits[0] == "0" or len(digits) > _DIGITS:
        return None
    number = int(digits)
    return number if number <= MAX_NUMBER else None


@dataclass(frozen=True, slots=True)
class NumberRef:
    """`v7` or `7`."""

    version: Version

    def __str__(self) -> str:
        return str(self.version)


@dataclass(frozen=True, slots=True)
class ChannelRef:
    """`latest`, or `latest~2`: where two rollbacks would lead."""

    channel: str
    back: int = 0

    def __str__(self) -> str:
        return f"{self.channel}~{self.back}" if self.back else self.channel


@dataclass(frozen=True, slots=True)
class NewestRef:
    """`newest`: the highest number there is."""

    def __str__(self) -> str:
        return "newest"


@dataclass(frozen=True, slots=True)
class DigestRef:
    """`sha256:` and at least 8 digits of a version's digest."""

    prefix: str

    def __str__(self) -> str:
        return self.prefix


Ref = NumberRef | ChannelRef | NewestRef | DigestRef


def is_channel(name: str) -> bool:
    """Tell whether this may be a channel's name.

    >>> [is_channel(name) for name in ("latest", "canary_2", "v2", "serving", "Latest", "")]
    [True, True, False, False, False, False]
    """
    return name.isascii() and bool(_CHANNEL.fullmatch(name)) and not _RESERVED.fullmatch(name)


def parse_channel(name: str) -> str:
    """Return the name of a channel, or refuse it.

    Raises:
        RequestError: It is malformed or reserved.
    """
    if is_channel(name):
        return name
    reserved = _RESERVED.fullmatch(name) is not None
    raise RequestError(
        f"{name!a} is {'a reserved word' if reserved else 'not a channel name'}",
        kind="channel-malformed",
        expected="a lower-case letter, then up to 63 of a-z 0-9 _; not serving, newest or v with digits",
        got=ascii(name),
    )


def parse_ref(text: str) -> Ref:
    """Return what a text refers to.

    Raises:
        RequestError: It is none of the forms.

    >>> parse_ref("7"), parse_ref("latest~2"), str(parse_ref("sha256:0011223344"))
    (NumberRef(version=Version(7)), ChannelRef(channel='latest', back=2), 'sha256:0011223344')
    """
    number = text.removeprefix("v")
    if text.isascii() and _NUMBER.fullmatch(number) and int(number) <= MAX_NUMBER:
        return NumberRef(Version(int(number)))
    if text == "newest":
        return NewestRef()
    if text.isascii() and _DIGEST.fullmatch(text):
        return DigestRef(text)
    channel, tilde, back = text.partition("~")
    if is_channel(channel) and (not tilde or _BACK.fullmatch(back)):
        return ChannelRef(channel, int(back or 0))
    raise RequestError(
        f"{text[:200]!a} is not a ref",
        kind="ref-malformed",
        expected="v7, 7, a channel, latest~1, newest, or sha256: with 8 to 64 hex digits",
        got=ascii(text[:200]),
        hint=_meant(text),
    )


def _meant(text: str) -> str | None:
    """What somebody who wrote a version's path, or its name in another way, may have meant."""
    name = text.rstrip("/").rpartition("/")[2].lower()
    match = re.fullmatch(r"v?0*([1-9][0-9]{0,17})", name, re.ASCII)
    if match:
        return f"did you mean v{match[1]}?"
    return f"did you mean {name}?" if is_channel(name) else None


def looks_like_path(text: str) -> bool:
    """Tell whether an argument is a path where a path or a ref may stand.

    >>> [looks_like_path(text) for text in ("./export", "..", "latest", "v7", "models/v7")]
    [True, True, False, False, True]
    """
    return "/" in text or text in {".", ".."}
