"""The index: the journal's sum up to one line, as a file from which a command takes what it needs.

It is derived: a lost or wrong one costs time and nothing else. What records say of versions it does not repeat, it
says where their lines stand; but for the digests of manifests, which a list of ten thousand compares with the bytes. A
header of JSON, then columns of numbers, then a checksum of both.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from modelrepo.core import history
from modelrepo.core.facts import DIGEST_BYTES, Digests, Facts, Lines
from modelrepo.core.history import State
from modelrepo.core.records import Record
from modelrepo.core.refs import Version, is_channel
from modelrepo.core.values import Value
from modelrepo.core.versions import Stack, Versions
from modelrepo.errors import IntegrityError

T = TypeVar("T")
_FORMAT = 2
_NUMBER_BYTES = 8
_MANIFESTS = "manifests"
_SEAL = re.compile(rb"[0-9a-f]{8}\n")
_SEAL_BYTES = 9


class Stamp(Value):
    """By what the system tells that nobody has touched a journal: any write changes at least one of these."""

    inode: int
    size: int
    modified: int
    changed: int


class Mark(Value):
    """A line of a journal, and all that stands before it.

    Attributes:
        seq: Its number.
        start: Its offset.
        end: The offset behind it.
        digest: Of its raw bytes.
        crc: The CRC-32 of all bytes up to `end`.
    """

    seq: int
    start: int
    end: int
    digest: str
    crc: int


class Index(Value):
    """A journal's sum up to a line that left no intent open, and the journal as it was then."""

    mark: Mark
    stamp: Stamp
    state: State


def seal(data: bytes) -> bytes:
    """A derived file: bytes and their checksum, so that a torn one is found out."""
    return data + b"%08x\n" % zlib.crc32(data)


def unseal(data: bytes) -> memoryview:
    """The bytes of a derived file.

    Raises:
        ValueError: It is not whole.

    >>> bytes(unseal(seal(b"abc")))
    b'abc'
    """
    body, end = memoryview(data)[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
    if not _SEAL.fullmatch(end) or int(end, 16) != zlib.crc32(body):
        raise ValueError("it is not whole")
    return body


def encode(index: Index) -> bytes:
    """Write an index.

    Args:
        index: Its state was folded from lines, and leaves nothing open.
    """
    state = index.state
    parts: list[tuple[str, array[int]]] = []
    for name in _FACTS:
        facts: Facts[Any] = getattr(state, name)
        parts += zip((name, f"{name}@"), facts.columns(), strict=True)
    numbers, digests = state.manifests.columns()
    parts += [(_MANIFESTS, numbers), (f"{_MANIFESTS}#", array("q", digests))]
    parts += [(f"stack:{name}", stack.numbers) for name, stack in state.stacks.items()]
    parts += [(f"rolled:{name}", array("q", those.numbers)) for name, those in state.rolled_back.items()]
    header = {
        "index": _FORMAT,
        "order": _order(),
        "mark": [*vars(index.mark).values()],
        "stamp": [*vars(index.stamp).values()],
        "highest": state.highest,
        "size": state.size,
        "former": sorted(state.former),
        "columns": [(name, len(numbers)) for name, numbers in parts],
    }
    head = json.dumps(header, separators=(",", ":")).encode() + b"\n"
    return seal(b"".join((head, *(numbers.tobytes() for _, numbers in parts))))


def decode(data: bytes, read: Callable[[int], Record]) -> Index:
    """Read an index.

    Args:
        data: The file.
        read: Reads the journal's record at an offset, when a fact is asked for.

    Raises:
        ValueError: It is not whole, or of another program or machine.
    """
    body = unseal(data)
    start = data.find(b"\n") + 1
    try:
        header = json.loads(bytes(body[:start]))
        if (header["index"], header["order"]) != (_FORMAT, _order()):
            raise ValueError("it is of another program or machine")
        columns = _columns(header["columns"], body[start:])
        facts: dict[str, Any] = {
            name: Facts(_pair(columns[name], columns[f"{name}@"]), _reader(name, read)) for name in _FACTS
        }
        manifests = _digests(columns[_MANIFESTS], columns[f"{_MANIFESTS}#"])
        stacks = {name: Stack.of(_numbers(column)) for name, column in _named(columns, "stack").items()}
        rolled_back = {name: Versions.of(_numbers(column)) for name, column in _named(columns, "rolled").items()}
        *places, digest, crc = header["mark"]
        seq, start, end, crc, highest, size = _naturals([*places, crc, header["highest"], header["size"]])
        return Index(
            Mark(seq, start, end, str(digest), crc),
            Stamp(*_naturals(header["stamp"])),
            State(
                highest,
                size,
                manifests=manifests,
                stacks=stacks,
                rolled_back=rolled_back,
                former=_channels(header["former"]),
                **facts,
            ),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("it is no index") from error


def _columns(named: Sequence[tuple[str, int]], body: memoryview) -> dict[str, array[int]]:
    """The columns, one behind the other."""
    columns: dict[str, array[int]] = {}
    start = 0
    for name, count in named:
        (end,) = _naturals([start + _naturals([count])[0] * _NUMBER_BYTES])
        columns[name] = array("q")
        columns[name].frombytes(body[start:end])
        start = end
    if start != len(body):
        raise ValueError("it is no index: its columns have other lengths")
    return columns


def _naturals(values: Sequence[object]) -> list[int]:
    """Whole numbers that are not negative, and nothing else."""
    found = [value for value in values if type(value) is int and value >= 0]
    if len(found) != len(values):
        raise TypeError
    return found


def _numbers(column: array[int]) -> array[int]:
    """Numbers of versions."""
    if column and min(column) < 1:
        raise ValueError("it is no index: no version has such a number")
    return column


def _pair(numbers: array[int], lines: array[int]) -> tuple[array[int], array[int]]:
    """Versions, and where a line stands for each."""
    if len(numbers) != len(lines) or (lines and min(lines) < 0):
        raise ValueError("it is no index: its lines are not its versions'")
    return _numbers(numbers), lines


def _digests(numbers: array[int], column: array[int]) -> Digests:
    """Versions, and a digest for each."""
    if len(column) * _NUMBER_BYTES != len(numbers) * DIGEST_BYTES or len(set(numbers)) != len(numbers):
        raise ValueError("it is no index: its digests are not its versions'")
    return Digests(_numbers(numbers), column.tobytes())


def _order() -> str:
    """How this machine writes numbers."""
    return array("q", (1,)).tobytes().hex()


def _channels(names: object) -> frozenset[str]:
    """Names of channels: paths are made of them."""
    if type(names) is not list or not all(type(name) is str and is_channel(name) for name in names):
        raise ValueError("it is no index: its channels are none")
    return frozenset(names)


def _named(columns: Mapping[str, array[int]], kind: str) -> dict[str, array[int]]:
    """The columns of channels; names of paths are made of these."""
    return {
        name: numbers
        for key, numbers in columns.items()
        for found, colon, name in (key.partition(":"),)
        if colon and found == kind and is_channel(name)
    }


def _reader(name: str, read: Callable[[int], Record]) -> Callable[[Version, Lines], Any]:
    """What reads a version's fact from its lines."""
    make, about = _FACTS[name]

    def call(version: Version, lines: Lines) -> Any:  # noqa: ANN401 - whatever the fact is
        records = [read(line) for line in lines]
        if about is not None and any(about(record) != version for record in records):
            raise misfit()
        return make(records)

    return call


def misfit() -> IntegrityError:
    """The error for an index whose checksum is right and which is wrong all the same: no accident has written it."""
    return IntegrityError(
        "the index does not fit the journal",
        kind="index-damaged",
        hint="delete .modelrepo/index: it is made again from the journal; then `modelrepo verify`",
    )


def _version(record: Record) -> Version | None:
    return record.version


#: The facts of a state: what makes each from its lines, and which version a line is about.
_FACTS: dict[str, tuple[Callable[[Sequence[Record]], Any], Callable[[Record], Version | None] | None]] = {
    "stored": (history.stored, _version),
    "removed": (lambda records: records[-1].time, _version),
    "pins": (history.pin, _version),
    "annotations": (history.annotation, _version),
    "left": (lambda records: records[-1].moment, None),  # a link that led elsewhere was left, too
}
