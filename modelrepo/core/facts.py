"""What the journal's lines say of single versions: where each line stands, and what it says once somebody asks."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeVar

from modelrepo.core.refs import Version
from modelrepo.core.versions import Versions

T = TypeVar("T")
#: Where the lines of one version stand: their offsets in the journal, in their order.
Lines = tuple[int, ...]
#: A number and an offset for each line of each version.
Columns = tuple["array[int]", "array[int]"]
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
        number = version.number
        if number not in self._known:
            lines = self._spread().get(number)
            if lines is None or self._read is None:
                raise KeyError(version)
            self._known[number] = self._read(version, lines)
        return self._known[number]

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
