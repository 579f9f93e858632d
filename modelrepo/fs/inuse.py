"""Which processes hold a version's files: open, mapped, or as their working or root directory. Linux only.

Files are known by device and inode, because a process in another mount namespace sees them under another path; the path
is compared too, because on btrfs and overlay `/proc/PID/maps` gives another device than `stat`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelrepo.core.refs import Version
from modelrepo.fs.look import walk


@dataclass(frozen=True, slots=True)
class Use:
    """What was found.

    Attributes:
        by: For each version in use, the processes that use it.
        unseen: How many processes could not be looked at: others' processes, for an ordinary user.
    """

    by: Mapping[Version, tuple[int, ...]]
    unseen: int


def in_use(directories: Mapping[Version, Path]) -> Use:
    """Look at every process once.

    Args:
        directories: The versions asked about, and where they are.
    """
    if not directories:
        return Use({}, 0)
    inodes: dict[tuple[int, int], Version] = {}
    for version, directory in directories.items():
        for key in _inodes(directory):
            inodes[key] = version
    prefixes = {f"{directory}/": version for version, directory in directories.items()}
    found: dict[Version, set[int]] = {}
    unseen = 0
    for process in _processes():
        try:
            for version in _used_by(process, inodes, prefixes):
                found.setdefault(version, set()).add(process)
        except PermissionError:
            unseen += 1
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
    return Use({version: tuple(sorted(processes)) for version, processes in found.items()}, unseen)


def _inodes(directory: Path) -> Iterator[tuple[int, int]]:
    try:
        paths: Iterable[Path] = [directory, *(directory / found.path for found in walk(directory))]
        for path in paths:
            status = os.stat(path, follow_symlinks=False)
            yield status.st_dev, status.st_ino
    except (FileNotFoundError, PermissionError):
        return


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    except FileNotFoundError:
        return []


def _used_by(
    process: int, inodes: Mapping[tuple[int, int], Version], prefixes: Mapping[str, Version]
) -> Iterator[Version]:
    base = f"/proc/{process}"
    hidden: PermissionError | None = None
    for name in ("cwd", "root", *(f"fd/{number}" for number in os.listdir(f"{base}/fd"))):
        try:
            status = os.stat(f"{base}/{name}")
        except PermissionError as error:
            hidden = error
            continue
        except OSError:  # it was closed, its process ended, or it lies on a mount that is dead
            continue
        version = inodes.get((status.st_dev, status.st_ino))
        if version is not None:
            yield version
    with open(f"{base}/maps", "rb") as maps:
        for line in maps:
            version = _mapped(line, inodes, prefixes)
            if version is not None:
                yield version
    if hidden is not None:
        raise hidden  # behind all that could be seen


def _mapped(line: bytes, inodes: Mapping[tuple[int, int], Version], prefixes: Mapping[str, Version]) -> Version | None:
    # A line is: addresses, permissions, offset, device (hexadecimal), inode, path.
    fields = line.split(None, 5)
    if len(fields) < 6 or fields[4] == b"0":
        return None
    major, _, minor = fields[3].partition(b":")
    version = inodes.get((os.makedev(int(major, 16), int(minor, 16)), int(fields[4])))
    if version is not None:
        return version
    path = os.fsdecode(fields[5].rstrip(b"\n"))
    return next((found for prefix, found in prefixes.items() if path.startswith(prefix)), None)
