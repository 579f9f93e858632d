"""Which processes hold a version's files: open, mapped, or as their working or root directory. Linux only.

A file is known by device and inode, because a process in another mount namespace sees it under another path. Where
versions share a file (hard links), the directory that the process opened it in tells which of them is in use: a
directory has one inode and one place, and it is looked up as the process itself sees it. Where it tells nothing, each
version that has the file is in use.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from modelrepo.core.refs import Version
from modelrepo.fs import processes

_DELETED = " (deleted)"

#: Device and inode.
_Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Use:
    """What was found.

    Attributes:
        by: For each version in use, the processes that use it.
        unseen: How many processes could not be looked at: others' processes, for an ordinary user.
    """

    by: Mapping[Version, tuple[int, ...]]
    unseen: int


def in_use(directories: Mapping[Version, os.PathLike[str] | str], only: Collection[Version] | None = None) -> Use:
    """Look at every process once.

    Args:
        directories: All versions that may share files, and where they are.
        only: The versions asked about; None for all.
    """
    asked = directories if only is None else [version for version in only if version in directories]
    if not asked:
        return Use({}, 0)
    files = _Files(directories, asked)
    found: dict[Version, set[int]] = {}
    unseen = 0
    for process in processes.running():
        if process == os.getpid():
            continue
        try:
            for version in _used_by(process, files):
                found.setdefault(version, set()).add(process)
        except PermissionError:
            unseen += 1
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
    return Use({version: tuple(sorted(users)) for version, users in found.items()}, unseen)


class _Files:
    """What lies in the versions asked about, by inode number.

    A directory's listing gives the numbers of its files without a look at each of them; the device is compared only
    for the few numbers that are met again in a process.

    Attributes:
        by_number: Of each inode number, the versions that have it and the path below the version's directory.
        elsewhere: The files of mappings that were found to be no version's, as `/proc` writes them.
    """

    def __init__(self, directories: Mapping[Version, os.PathLike[str] | str], asked: Collection[Version]) -> None:
        self._directories = directories
        self._asked = {str(directories[version]): version for version in asked}
        self._parents = {os.path.dirname(place) for place in self._asked}
        self.by_number: dict[int, list[tuple[Version, str]]] = {}
        self.elsewhere: set[bytes] = set()
        self._having: dict[_Key, set[Version]] = {}
        for place, version in self._asked.items():
            self._note(place, version)

    def _note(self, directory: str, version: Version) -> None:
        """Note what lies in a version's directory and below, and the directory itself."""
        by_number, stack = self.by_number, [""]
        while stack:
            below = stack.pop()
            with contextlib.suppress(FileNotFoundError, PermissionError):
                # Of a directory, overlay's listing may give another number than `stat`.
                number = os.stat(f"{directory}{below}", follow_symlinks=False).st_ino
                by_number.setdefault(number, []).append((version, below))
                with os.scandir(f"{directory}{below}") as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(f"{below}/{entry.name}")
                        else:
                            by_number.setdefault(entry.inode(), []).append((version, f"{below}/{entry.name}"))

    def having(self, key: _Key) -> set[Version]:
        """The versions that have this very file or directory."""
        if key not in self._having:
            places = self.by_number.get(key[1], ())
            self._having[key] = {version for version, below in places if self._has(version, below, key)}
        return self._having[key]

    def ending(self, number: int, path: str) -> set[Version]:
        """The versions that have a file of this number where a path ends, whatever its device."""
        return {version for version, below in self.by_number.get(number, ()) if below and path.endswith(below)}

    def holding(self, path: str) -> set[Version]:
        """The version that a path leads into from here, by its text alone."""
        for parent in self._parents:
            start = f"{parent.rstrip('/')}/"
            if path.startswith(start):
                name, slash, _ = path[len(start) :].partition("/")
                if slash and f"{start}{name}" in self._asked:
                    return {self._asked[f"{start}{name}"]}
        return set()

    def around(self, place: str, key: _Key) -> Version | None:
        """The version in whose directory a file lies; None where that cannot be seen.

        Args:
            place: The file, by a path that can be looked up from here.
            key: What the file is: the version must have it under the same name.
        """
        above = place
        while above := above.rpartition("/")[0]:
            directory = _key(above)
            version = None if directory is None else self._tops.get(directory)
            if version is not None:
                return version if self._has(version, place[len(above) :], key) else None
        return None

    def _has(self, version: Version, below: str, key: _Key) -> bool:
        return _key(f"{self._directories[version]}{below}", follow_symlinks=False) == key

    @cached_property
    def _tops(self) -> Mapping[_Key, Version]:
        keys = {_key(str(place), follow_symlinks=False): version for version, place in self._directories.items()}
        return {key: version for key, version in keys.items() if key is not None}


def _key(path: str, *, follow_symlinks: bool = True) -> _Key | None:
    try:
        status = os.stat(path, follow_symlinks=follow_symlinks)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _used_by(process: int, files: _Files) -> Iterator[Version]:
    hidden: PermissionError | None = None
    for base in _threads(process):
        numbers, mapped = list[str](), list[bytes]()
        try:
            numbers = os.listdir(f"{base}/fd")
            with open(f"{base}/maps", "rb") as maps:
                mapped = maps.readlines()
        except PermissionError as error:
            hidden = error
        for name in ("cwd", "root", *(f"fd/{number}" for number in numbers)):
            try:
                status = os.stat(f"{base}/{name}")
            except PermissionError as error:
                hidden = error
                continue
            except OSError:  # it was closed, its process ended, or it lies on a mount that is dead
                continue
            if status.st_ino in files.by_number:
                having = files.having((status.st_dev, status.st_ino))
                if having:
                    yield from _opened(process, _link(f"{base}/{name}"), status.st_ino, having, files)
        for line in mapped:
            yield from _mapped(process, line, files)
    if hidden is not None:
        raise hidden  # behind all that could be seen


def _threads(process: int) -> Iterator[str]:
    """Where `/proc` shows what a process has open: at its first thread, and at others that have something else.

    The first may have ended before the others: then it has nothing. A thread may have left the others' descriptors, or
    their working directory. Whoever has as many of the same numbers is taken to share them.
    """
    base = f"/proc/{process}"
    yield base
    others = [f"{base}/task/{thread}" for thread in os.listdir(f"{base}/task") if thread != str(process)]
    seen = {_held(base)} if others else set()
    for thread in others:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended
            held = _held(thread)
            if held not in seen:
                seen.add(held)
                yield thread


def _held(base: str) -> tuple[object, ...] | None:
    """What tells threads apart that hold other things; None where nobody may look."""
    try:
        return frozenset(os.listdir(f"{base}/fd")), _key(f"{base}/cwd"), _key(f"{base}/root")
    except PermissionError:
        return None


def _mapped(process: int, line: bytes, files: _Files) -> Collection[Version]:
    # A line is: addresses, permissions, offset, device (hexadecimal), inode, path. Of a line break in a path, `\012`.
    file = line.split(None, 3)[3]
    if file in files.elsewhere:
        return ()
    device, inode, *rest = file.split(None, 2)
    number = int(inode)
    path = os.fsdecode(rest[0].rstrip(b"\n").replace(rb"\012", b"\n")) if rest and number else ""
    if number in files.by_number and path:
        major, _, minor = device.partition(b":")
        having = files.having((os.makedev(int(major, 16), int(minor, 16)), number))
        return _opened(process, path, number, having, files)
    into = files.holding(path)
    if not into:
        files.elsewhere.add(file)
    return into


def _opened(process: int, path: str, number: int, having: set[Version], files: _Files) -> Collection[Version]:
    """The versions that a process uses by having a file open.

    Args:
        process: Which process.
        path: The file's path as `/proc` gives it.
        number: The file's inode.
        having: The versions that have the file; empty where no version has it on the device that `/proc` gives, which
            on btrfs and overlay is another than `stat`'s.
        files: All files asked about.
    """
    seen = _seen(process, path, number)
    if seen is None:
        return having or files.ending(number, path.removesuffix(_DELETED)) or files.holding(path)
    place, key = seen
    having = having or files.having(key) or files.holding(path)
    told = files.around(place, key)
    return having if told is None else having & {told}


def _seen(process: int, path: str, number: int) -> tuple[str, _Key] | None:
    """A file as the process sees it: its place, looked up from here, and what it is; None where nothing is there.

    A path in `/proc` begins at the root of a mount namespace; a process may stand in a root that lies below.
    """
    start = path.find("/")
    while start >= 0:
        place = f"/proc/{process}/root{path[start:]}"
        key = _key(place, follow_symlinks=False)
        if key is not None and key[1] == number:
            return place, key
        start = path.find("/", start + 1)
    return None


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
