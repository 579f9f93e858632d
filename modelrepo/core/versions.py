"""Many versions at once, kept as plain numbers: a repository of ten thousand makes no ten thousand objects per look."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, overload

from modelrepo.core.refs import Version


class Versions(AbstractSet[Version]):
    """A set of versions, frozen.

    >>> present = Versions((Version(3), Version(1)))
    >>> Version(3) in present, len(present), list(present.newest()), present - {Version(3)} == {Version(1)}
    (True, 2, [Version(3), Version(1)], True)
    """

    __slots__ = ("numbers",)

    def __init__(self, versions: Iterable[Version] = ()) -> None:
        self.numbers = frozenset(version.number for version in versions)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Versions:
        """The versions of these numbers."""
        made = cls()
        made.numbers = frozenset(numbers)
        return made

    def __contains__(self, version: object) -> bool:
        return isinstance(version, Version) and version.number in self.numbers

    def __iter__(self) -> Iterator[Version]:
        return map(Version, self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __hash__(self) -> int:
        return hash(self.numbers)

    def __eq__(self, other: object) -> bool:
        return self.numbers == other.numbers if isinstance(other, Versions) else super().__eq__(other)

    def __and__(self, other: AbstractSet[Any]) -> Versions:
        return Versions.of(self.numbers & _numbers(other))

    def __sub__(self, other: AbstractSet[Any]) -> Versions:
        return Versions.of(self.numbers - _numbers(other))

    def __or__(self, other: AbstractSet[Any]) -> Versions:
        return Versions.of(self.numbers | _numbers(other))

    def __repr__(self) -> str:
        return f"Versions({sorted(self)})"

    def newest(self) -> Iterator[Version]:
        """All of them, the highest number first."""
        return map(Version, sorted(self.numbers, reverse=True))

    @property
    def highest(self) -> int:
        """The highest number; 0 where there is none."""
        return max(self.numbers, default=0)


def _numbers(versions: AbstractSet[Any]) -> frozenset[int]:
    if isinstance(versions, Versions):
        return versions.numbers
    return frozenset(version.number for version in versions if isinstance(version, Version))


class Stack(Sequence[Version]):
    """A channel's targets, the present one last, frozen.

    >>> stack = Stack((Version(1), Version(2)))
    >>> stack[-1], stack[-1:] == (Version(2),), stack.pushed(Version(2)) is stack, stack.pushed(Version(1))
    (Version(2), True, True, Stack(Version(1), Version(2), Version(1)))
    """

    __slots__ = ("numbers",)

    def __init__(self, versions: Iterable[Version] = ()) -> None:
        self.numbers = array("q", (version.number for version in versions))

    @classmethod
    def of(cls, numbers: array[int]) -> Stack:
        """The targets of these numbers, which nobody changes any more."""
        made = cls()
        made.numbers = numbers
        return made

    @overload
    def __getitem__(self, index: int) -> Version: ...

    @overload
    def __getitem__(self, index: slice) -> Stack: ...

    def __getitem__(self, index: int | slice) -> Version | Stack:
        found = self.numbers[index]
        return Version(found) if isinstance(found, int) else Stack.of(found)

    def __len__(self) -> int:
        return len(self.numbers)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Stack):
            return self.numbers == other.numbers
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Stack({', '.join(map(repr, self))})"

    def pushed(self, to: Version) -> Stack:
        """The stack after a move to a target; a move to where it is changes nothing."""
        if self.numbers and self.numbers[-1] == to.number:
            return self
        return Stack.of(self.numbers + array("q", (to.number,)))


def without(numbers: array[int], gone: AbstractSet[int]) -> array[int]:
    """A stack's numbers after versions were deleted; equal neighbours merge.

    >>> list(without(array("q", (1, 2, 1, 3)), {2}))
    [1, 3]
    """
    merged = array("q")
    before = None
    for number in numbers:
        if number not in gone and number != before:
            merged.append(number)
            before = number
    return merged
