"""What the journal's lines say of single versions: where each line stands, and what it says once somebody asks."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar, overload

from modelrepo.core.refs import Version
from modelrepo.core.versions import Versions

T = TypeVar("T")
U = TypeVar("U")
#: Where the lines of one version stand: their offsets in the journal, in their order.
Lines = tuple[int, ...]
#: A number and an offset for each line of each version.
Columns = tuple["array[int]", "array[int]"]
DIGEST_BYTES = 32
_DIGEST = re.compile("sha256:([0-9a-f]{64})")
_NOTHING: Any = object()
_NO_COLUMNS: Columns = (array("q"), array("q"))


class Facts(Mapping[Version, T]):
    """One fact for each of some versions.

    What was folded from records is known. What an index told is where the lines are, and they are read when somebody
    asks for that version: few commands ask for more than two.

    Args:
        columns: Where the lines stand.
        read: Reads a version's fact from its lines; needed where there are columns.
    """

    __slots__ = ("_columns", "_known", "_lines", "_read")

    def __init__(self, columns: Columns = _NO_COLUMNS, read: Callable[[Version, Lines], T] | None = None) -> None:
        self._columns: Columns | None = columns
        self._lines: dict[int, Lines] = {}
        self._known: dict[int, T] = {}
        self._read = read

    def _spread(self) -> dict[int, Lines]:
        if self._columns is not None:
            numbers, lines = self._columns
            self._lines = dict(zip(numbers, zip(lines, strict=True), strict=True))
            if len(self._lines) != len(numbers):  # several lines for one version: one by one
                self._lines = {}
                for number, line in zip(numbers, lines, strict=True):
                    self._lines[number] = (*self._lines.get(number, ()), line)
            self._columns = None
        return self._lines

    def __getitem__(self, version: Version) -> T:
        found = self.get(version, _NOTHING)
        if found is _NOTHING:
            raise KeyError(version)
        return found

    @overload
    def get(self, version: Version) -> T | None: ...

    @overload
    def get(self, version: Version, default: U) -> T | U: ...

    def get(self, version: Version, default: object = None) -> object:
        """The fact, or what stands in for it: for most versions there is no pin and no annotation."""
        number = version.number
        if number in self._known:
            return self._known[number]
        lines = self._spread().get(number)
        if lines is None or self._read is None:
            return default
        fact = self._known[number] = self._read(version, lines)
        return fact

    def __contains__(self, version: object) -> bool:
        return isinstance(version, Version) and version.number in self._spread()

    def __iter__(self) -> Iterator[Version]:
        return map(Version, self._spread())

    def __len__(self) -> int:
        return len(self._spread())

    def __repr__(self) -> str:
        return f"Facts({dict(self)})"

    @property
    def versions(self) -> Versions:
        """The versions that it knows something of."""
        return Versions.of(self._spread())

    def __copy__(self) -> Facts[T]:
        made = Facts[T](_NO_COLUMNS, self._read)
        made._columns, made._lines, made._known = self._columns, dict(self._lines), dict(self._known)
        return made

    def put(self, version: Version, fact: T, line: Iterable[int]) -> None:
        """Note a fact, instead of what was known of that version."""
        self._spread()[version.number] = tuple(line)
        self._known[version.number] = fact

    def add(self, version: Version, fact: T, line: Iterable[int]) -> None:
        """Note a fact that one more line has changed."""
        self.put(version, fact, (*self._spread().get(version.number, ()), *line))

    def drop(self, version: Version) -> None:
        """Forget what was known of a version."""
        self._spread().pop(version.number, None)
        self._known.pop(version.number, None)

    def columns(self) -> Columns:
        """Where the lines stand, to be written into an index."""
        if self._columns is not None:
            return self._columns
        numbers, lines = array("q", self._lines), array("q", chain.from_iterable(self._lines.values()))
        if len(numbers) != len(lines):  # several lines for one version
            numbers = array("q", (number for number, many in self._lines.items() for _ in many))
        return numbers, lines


class Digests:
    """A SHA-256 for each of some versions, as 32 bytes.

    Args:
        numbers: The versions, where an index told.
        column: Their digests, one behind the other.
    """

    __slots__ = ("_column", "_known", "_numbers")

    def __init__(self, numbers: array[int] | None = None, column: bytes = b"") -> None:
        self._numbers = numbers
        self._column = column
        self._known: dict[int, bytes] = {}

    def _spread(self) -> dict[int, bytes]:
        if self._numbers is not None:
            column = self._column
            places = range(0, len(column), DIGEST_BYTES)
            self._known = dict(zip(self._numbers, (column[at : at + DIGEST_BYTES] for at in places), strict=True))
            self._numbers, self._column = None, b""
        return self._known

    def get(self, version: Version) -> bytes | None:
        """A version's; None where there is none."""
        return self._spread().get(version.number)

    def __repr__(self) -> str:
        return f"Digests({self._spread()})"

    def __eq__(self, other: object) -> bool:
        return self._spread() == other._spread() if isinstance(other, Digests) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __copy__(self) -> Digests:
        made = Digests(self._numbers, self._column)
        made._known = dict(self._known)
        return made

    def put(self, version: Version, digest: str) -> None:
        """Note a digest, written `sha256:` and 64 hex digits; what is written otherwise is none."""
        match = _DIGEST.fullmatch(digest)
        if match:
            self._spread()[version.number] = bytes.fromhex(match[1])
        else:
            self.drop(version)

    def drop(self, version: Version) -> None:
        """Forget a version's."""
        self._spread().pop(version.number, None)

    def columns(self) -> tuple[array[int], bytes]:
        """The versions and their digests, to be written into an index."""
        if self._numbers is not None:
            return self._numbers, self._column
        return array("q", self._known), b"".join(self._known.values())
