"""What a power cut may leave of a sequence of operations on files, under two models of a file system.

POSIX's minimum: an operation that no sync has covered is lost or kept, whatever became of the others. A file's bytes,
length and mode need the sync of that file, a name needs the sync of its directory; a rename is one step, done once
either of its directories is synced; `syncfs` covers everything.

Journalling (ext4 with ordered data, XFS): names, modes and lengths come back as they were after some number of them, in
their order, and a sync covers all of them before what it was called for. The bytes of a file that was not synced may
be missing all the same: it is as it was, or has its length and zeros.

In both, a write that was not synced may be there in part: its beginning, zeros in its place, or zeros in the place of
one sector. Owners, times and `sync_file_range`, which promises nothing, are not modelled.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

SECTOR = 512
#: Of more than so many operations that may be lost, not each is lost alone, nor is the journal cut behind each.
_MANY = 24
#: The directory that everything lies in.
TOP = 0
#: How a link's text begins that leads below the top by an absolute path, wherever the tree is built.
HERE = "/here!"


@dataclass(frozen=True)
class Node:
    """A file, directory or link, whatever its names are."""

    kind: Literal["file", "directory", "link"]
    mode: int = 0
    data: bytes = b""
    text: str = ""
    names: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def told(self) -> bytes:
        """What tells it from another, but for what is in a directory."""
        said = self.text.encode() if self.kind == "link" else digest(self.data)
        return b"%s\0%o\0%s\n" % (self.kind.encode(), self.mode, said)


@dataclass(frozen=True)
class Make:
    """A new file, directory or link, by its first name."""

    directory: int
    name: str
    inode: int
    node: Node


@dataclass(frozen=True)
class Link:
    """One more name of a file."""

    directory: int
    name: str
    inode: int


@dataclass(frozen=True)
class Remove:
    """A name goes: `unlink` or `rmdir`."""

    directory: int
    name: str


@dataclass(frozen=True)
class Move:
    """A rename."""

    directory: int
    name: str
    to_directory: int
    to_name: str
    inode: int


@dataclass(frozen=True)
class Write:
    """Bytes at an offset; the file grows where need be."""

    inode: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Grow:
    """Zeros up to a length, as a block leaves them whose bytes were never written."""

    inode: int
    size: int


@dataclass(frozen=True)
class Truncate:
    """A file's new length."""

    inode: int
    size: int


@dataclass(frozen=True)
class Mode:
    """A file's or directory's new mode."""

    inode: int
    mode: int


@dataclass(frozen=True)
class Sync:
    """`fsync` of a file or directory."""

    inode: int


@dataclass(frozen=True)
class SyncAll:
    """`syncfs`."""


Operation = Make | Link | Remove | Move | Write | Grow | Truncate | Mode | Sync | SyncAll


@lru_cache(maxsize=4096)
def digest(data: bytes) -> bytes:
    """The SHA-256 of bytes."""
    return hashlib.sha256(data).digest()


class Disk:
    """A tree of files. Nodes are values: a copy is cheap, and changing one changes no other."""

    def __init__(self, nodes: Mapping[int, Node]) -> None:
        self._nodes = dict(nodes)

    def copy(self) -> Disk:
        """One more of the same."""
        return Disk(self._nodes)

    def __getitem__(self, inode: int) -> Node:
        return self._nodes[inode]

    def do(self, operation: Operation) -> None:
        """Do one operation, also where one that it was built on is lost."""
        match operation:
            case Make(directory, name, inode, node):
                # What was done to it already, by its number, stays: its name may be lost, not its bytes.
                self._nodes.setdefault(inode, node)
                self._name(directory, name, inode)
            case Link(directory, name, inode):
                self._name(directory, name, inode)
            case Remove(directory, name):
                self._unname(directory, name)
            case Move(directory, name, to_directory, to_name, inode):
                if self._nodes[directory].names.get(name) == inode:
                    self._unname(directory, name)
                elif self._nodes[inode].kind == "directory":  # it has one name, wherever it came by it
                    for above, named in [(above, dict(node.names)) for above, node in self._nodes.items()]:
                        for other in [other for other, number in named.items() if number == inode]:
                            self._unname(above, other)
                self._name(to_directory, to_name, inode)
            case _:
                self._change(operation)

    def _change(self, operation: Operation) -> None:
        """Do what is about a file, not about names."""
        match operation:
            case Write(inode, offset, data):
                old = self._nodes[inode].data
                self._fill(inode, old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :])
            case Grow(inode, size):
                self._fill(inode, self._nodes[inode].data.ljust(size, b"\0"))
            case Truncate(inode, size):
                self._fill(inode, self._nodes[inode].data[:size].ljust(size, b"\0"))
            case Mode(inode, mode):
                self._nodes[inode] = replace(self._nodes[inode], mode=mode)
            case _:
                pass

    def add(self, operation: Operation) -> None:
        """Let a file be known by its number before it has a name, as one whose name is lost is."""
        if isinstance(operation, Make):
            self._nodes.setdefault(operation.inode, operation.node)

    def _fill(self, inode: int, data: bytes) -> None:
        self._nodes[inode] = Node("file", self._nodes[inode].mode, data)

    def _name(self, directory: int, name: str, inode: int) -> None:
        node = self._nodes[directory]
        self._nodes[directory] = Node("directory", node.mode, names={**node.names, name: inode})

    def _unname(self, directory: int, name: str) -> None:
        node = self._nodes[directory]
        names = {other: number for other, number in node.names.items() if other != name}
        self._nodes[directory] = Node("directory", node.mode, names=names)

    def walk(self, inode: int = TOP, prefix: str = "") -> Iterator[tuple[str, int, Node]]:
        """Everything that has a name, by its path: a directory before what is in it."""
        for name, number in sorted(self._nodes[inode].names.items()):
            node = self._nodes[number]
            yield f"{prefix}{name}", number, node
            if node.kind == "directory":
                yield from self.walk(number, f"{prefix}{name}/")

    def find(self, path: str) -> Node | None:
        """What has a path; None where nothing has."""
        node = self._nodes[TOP]
        for name in path.split("/"):
            if name not in node.names:
                return None
            node = self._nodes[node.names[name]]
        return node

    def digest(self) -> str:
        """What tells one state from another: names, kinds, modes, bytes and what links say."""
        told = hashlib.sha256()
        for path, _, node in self.walk():
            told.update(path.encode(errors="surrogateescape") + b"\0" + node.told)
        return told.hexdigest()

    def build(self, place: Path) -> None:
        """Make it for real in an empty directory."""
        made: dict[int, str] = {}
        closed = []
        for path, number, node in self.walk():
            real = f"{place}/{path}"
            if node.kind == "directory":
                os.mkdir(real)
                closed.append((real, node.mode))
            elif node.kind == "link":
                absolute = node.text.startswith(HERE)
                os.symlink(f"{place}{node.text.removeprefix(HERE)}" if absolute else node.text, real)
            elif number in made:
                os.link(made[number], real)
            else:
                made[number] = real
                descriptor = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.write(descriptor, node.data)
                os.fchmod(descriptor, node.mode)
                os.close(descriptor)
        for real, mode in reversed(closed):
            os.chmod(real, mode)


def look(place: Path) -> tuple[Disk, dict[tuple[int, int], int]]:
    """Read a real directory; and which of its files, by device and inode, has which number."""
    numbers: dict[tuple[int, int], int] = {}
    nodes: dict[int, Node] = {}

    def read(path: str) -> int:
        status = os.lstat(path)
        identity = status.st_dev, status.st_ino
        if identity in numbers:
            return numbers[identity]
        number = numbers[identity] = len(numbers)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            nodes[number] = Node("link", text=placed(os.readlink(path), place))
        elif stat.S_ISDIR(status.st_mode):
            nodes[number] = Node("directory", mode, names={name: read(f"{path}/{name}") for name in os.listdir(path)})
        else:
            nodes[number] = Node("file", mode, data=Path(path).read_bytes())
        return number

    read(os.path.realpath(place))
    return Disk(nodes), numbers


def placed(text: str, place: Path) -> str:
    """What a link says, independent of where the tree stands."""
    top = os.path.realpath(place)
    return f"{HERE}{text.removeprefix(top)}" if text == top or text.startswith(f"{top}/") else text


@dataclass(frozen=True)
class Trace:
    """What commands did, one behind the other.

    Attributes:
        start: What was there before, all of it on the disk.
        operations: What they did.
        ends: How many operations had been done when each of them had ended.
    """

    start: Disk
    operations: tuple[Operation, ...]
    ends: tuple[int, ...]

    def after(self, count: int) -> Disk:
        """What everybody sees after so many operations, while there is power."""
        disk = self.start.copy()
        for operation in self.operations[:count]:
            disk.do(operation)
        return disk

    def points(self) -> list[int]:
        """Where to cut: before each sync and where a command has ended.

        Until the next sync, more operations mean more that may be lost or kept: the last moment before it has all
        the states of those before.
        """
        syncs = [at for at, operation in enumerate(self.operations) if isinstance(operation, Sync | SyncAll)]
        return sorted({*syncs, *self.ends})


@dataclass(frozen=True)
class State:
    """What one power cut left.

    Attributes:
        point: How many operations had been called.
        disk: What is there.
        said: What became of what was not synced.
    """

    point: int
    disk: Disk
    said: str


#: What may become of one operation: what is done in its place.
Fate = tuple[Operation, ...]
Model = Callable[[Trace, int, random.Random, int], Iterator[State]]


def belongs(operation: Operation, sync: Sync | SyncAll) -> bool:
    """Whether a sync covers an operation that was done before it."""
    match operation, sync:
        case _, SyncAll():
            return True
        case ((Write(inode) | Truncate(inode) | Mode(inode) | Grow(inode)), Sync(synced)):
            return inode == synced
        case ((Make(directory) | Link(directory) | Remove(directory)), Sync(synced)):
            return directory == synced
        case Move(directory, _, to_directory), Sync(synced):
            return synced in {directory, to_directory}
    return False


def pending(trace: Trace, point: int) -> list[int]:
    """The places of the operations before a point that no sync before it covers."""
    left: list[int] = []
    for at, operation in enumerate(trace.operations[:point]):
        if isinstance(operation, Sync | SyncAll):
            left = [before for before in left if not belongs(trace.operations[before], operation)]
        else:
            left.append(at)
    return left


def fates(operation: Operation) -> tuple[Fate, ...]:
    """What may become of an operation that was not synced: kept, lost, or kept in part."""
    if not isinstance(operation, Write):
        return (operation,), ()
    inode, offset, data = operation.inode, operation.offset, operation.data
    whole = Grow(inode, offset + len(data))
    parts: list[Fate] = [(Write(inode, offset, data[:size]),) for size in {len(data) // 2, len(data) - 1} if size > 0]
    first = SECTOR - offset % SECTOR
    if first < len(data):  # the first sector is missing, the rest is there
        parts.append((whole, Write(inode, offset + first, data[first:])))
    return (operation,), (), (whole,), *parts


def posix(trace: Trace, point: int, source: random.Random, limit: int) -> Iterator[State]:
    """The states of POSIX's minimum at one point: all of them, where there are no more than the limit.

    Else: all kept, all lost, each one (of very many: some) alone kept, lost or torn, and as many at random as the
    limit says.
    """
    left = pending(trace, point)
    state = _States(trace, min(left, default=point), point)
    choices = [fates(trace.operations[at]) for at in left]
    for chosen in _choose([len(choice) for choice in choices], source, limit):
        yield state.of({at: choice[which] for at, choice, which in zip(left, choices, chosen, strict=True)})


def _choose(sizes: Sequence[int], source: random.Random, limit: int) -> Iterator[tuple[int, ...]]:
    if math.prod(sizes) <= limit:
        yield from itertools.product(*map(range, sizes))
        return
    kept, lost = [0] * len(sizes), [1] * len(sizes)
    yield tuple(kept)
    yield tuple(lost)
    for at in _some(len(sizes), _MANY, source):
        size = sizes[at]
        yield (*lost[:at], 0, *lost[at + 1 :])
        for which in range(1, size):
            yield (*kept[:at], which, *kept[at + 1 :])
    for _ in range(limit):
        share = source.choice((0.2, 0.5, 0.8))
        yield tuple(0 if source.random() < share else source.randrange(1, size) for size in sizes)


def _some(count: int, most: int, source: random.Random) -> Sequence[int]:
    """The numbers below one; the first, the last and a sample, where there are too many."""
    if count <= most:
        return range(count)
    return [0, *sorted(source.sample(range(1, count - 1), most - 2)), count - 1]


def journalling(trace: Trace, point: int, source: random.Random, limit: int) -> Iterator[State]:
    """The states of a journalling file system at one point: every number of names kept, with and without bytes.

    Of very many names: none, all, and as many numbers between as `_MANY` or the limit says.
    """
    left = pending(trace, point)
    names = [at for at in range(_committed(trace, point), point) if _is_journalled(trace.operations[at])]
    writes = [at for at in left if isinstance(trace.operations[at], Write)]
    state = _States(trace, min(names + writes, default=point), point)
    for kept in _some(len(names) + 1, max(limit, _MANY), source):
        order: dict[int, Fate] = dict.fromkeys(names[kept:], ())
        choices = [fates(trace.operations[at]) for at in writes]
        uniform = [tuple(min(which, len(choice) - 1) for choice in choices) for which in range(3)]
        some = _choose([len(choice) for choice in choices], source, max(4, limit // 8))
        for chosen in dict.fromkeys((*uniform, *itertools.islice(some, limit // 4))):
            data = {at: choice[which] for at, choice, which in zip(writes, choices, chosen, strict=True)}
            yield state.of({**order, **data})


def _is_journalled(operation: Operation) -> bool:
    return isinstance(operation, Make | Link | Remove | Move | Mode | Truncate)


def _committed(trace: Trace, point: int) -> int:
    """How many operations a sync has put into the journal: all before the last one that it was called for.

    No more than that: a sync of what was not changed since need not write the journal.
    """
    committed = 0
    for at, operation in enumerate(trace.operations[:point]):
        if isinstance(operation, Sync | SyncAll):
            covered = (
                before for before in range(at, committed, -1) if belongs(trace.operations[before - 1], operation)
            )
            committed = next(covered, committed)
    return committed


class _States:
    """The states at one point; what comes before the first operation that may be lost is done once."""

    def __init__(self, trace: Trace, settled: int, point: int) -> None:
        self._base = trace.after(settled)
        self._rest = list(enumerate(trace.operations))[settled:point]
        self._point = point

    def of(self, fate: Mapping[int, Fate]) -> State:
        """The state that these fates make; operations that are not named are kept."""
        disk = self._base.copy()
        said = []
        for at, operation in self._rest:
            disk.add(operation)
            done = fate.get(at, (operation,))
            if done != (operation,):
                said.append(f"{at} {f'{operation} became {done}' if done else f'{operation} lost'}")
            for each in done:
                disk.do(each)
        return State(self._point, disk, "; ".join(said) or "all kept")


MODELS: Mapping[str, Model] = {"posix": posix, "journalling": journalling}
