"""Copying a source: every byte read once, digested as it is written, and synced before anybody builds on it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from modelrepo.core.contents import FileEntry
from modelrepo.core.modes import FILE, PRIVATE, Modes
from modelrepo.errors import SourceError, SystemRefusedError
from modelrepo.fs import durable, native
from modelrepo.fs.look import walk
from modelrepo.fs.source import Listing, SourceFile, identity

#: What fits into a core's own cache: with 1 MiB, reading and writing took twice as long (docs/decisions/0007).
_CHUNK = 256 * 1024
#: How much the kernel copies at a time, before it is asked to begin with the writing to the disk.
_STEP = 8 * 1024 * 1024
#: Above this many files, one sync of the file system is cheaper than one per file.
_MANY_FILES = 256
#: Descriptors kept open until their sync; macOS allows 256 in all.
_OPEN_FILES = 64

#: What opening a file says that has become a link, a socket or a part of another tree since it was listed.
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV}

#: What `copy_file_range` says where it cannot copy between these two files.
_CANNOT = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.EPERM}


def copy(listing: Listing, destination: Path, modes: Modes | None = PRIVATE) -> tuple[FileEntry, ...]:
    """Copy what was listed into an empty directory.

    On return every file's bytes are on the disk; the directories are not synced yet (`sync_directories`). Where
    somebody puts a link in place of a directory of the copy, it fails, and nothing is written elsewhere.

    Args:
        listing: What to copy.
        destination: An existing, empty directory, and no link.
        modes: Those of the repository that it is in. None leaves owner and modes to the system, as `cp` does: for a
            copy that lies outside a repository.

    Raises:
        SourceError: A file is not what was listed any more.
        OSError: Reading or writing failed, or a directory of the copy was replaced (`ENOTDIR`).
    """
    with durable.opened(destination) as watch, _Places(watch) as places:
        for directory in listing.directories:
            above, _, name = directory.rpartition("/")
            mode = None if modes is None else modes.directory
            os.close(durable.make_directory_in(places.at(above), name, mode, inherit=modes is not None))
        return _copy_files(listing, destination, modes, watch, places)


class _Places:
    """The directories of a copy, by their paths below the top; the last one stays open, since files come in order."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._path = ""
        self._last = os.dup(top)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._last)

    def at(self, path: str) -> int:
        """A directory's descriptor, good until the next is asked for; no link on the way is followed."""
        if path != self._path:
            self._path = "\0"  # no directory's, should the way stop in the middle
            os.close(self._last)
            self._last = os.dup(self._top)
            for name in path.split("/") if path else ():
                below = os.open(name, durable.DIRECTORY, dir_fd=self._last)
                os.close(self._last)
                self._last = below
            self._path = path
        return self._last

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """Open a file of the copy."""
        above, _, name = path.rpartition("/")
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.at(above))


def _copy_files(
    listing: Listing, destination: Path, modes: Modes | None, watch: int, places: _Places
) -> tuple[FileEntry, ...]:
    """Copy the files into directories that are there; `watch` is the top, open since before the first write."""
    waiting: list[int] = []
    pool = ThreadPoolExecutor(1)
    try:
        together = (
            len(listing.files) > _MANY_FILES and native.file_system(str(destination))[0] in native.SYNCFS_FILE_SYSTEMS
        )
        entries = []
        for file in listing.files:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            descriptor = places.open(file.path, flags, 0o666 if modes is None else 0o600)
            waiting.append(descriptor)
            if modes is not None:
                durable.belong(descriptor, places.at(file.path.rpartition("/")[0]))
            entries.append(_copy_file(file, descriptor, pool, None if modes is None else FILE))
            if together or len(waiting) > _OPEN_FILES:
                # The sync of the whole file system reports errors of closed files too, since its descriptor is older.
                if not together:
                    durable.sync(waiting[0])
                os.close(waiting.pop(0))
        if not together or not native.sync_file_system(watch):
            _sync_each(waiting, places, listing if together else None)
        return tuple(entries)
    finally:
        pool.shutdown()
        for descriptor in waiting:
            os.close(descriptor)


def _sync_each(waiting: list[int], places: _Places, closed: Listing | None) -> None:
    for descriptor in waiting:
        durable.sync(descriptor)
    for file in closed.files if closed is not None else ():
        written = places.open(file.path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            durable.sync(written)
        finally:
            os.close(written)


def _copy_file(file: SourceFile, target: int, pool: ThreadPoolExecutor, mode: int | None) -> FileEntry:
    """Copy one file into an open one, and begin its writing to the disk."""
    try:
        source = os.open(file.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise SystemRefusedError(
                f"the source may not be read: {file.real!a}", kind="permission", hint="let this user read it"
            ) from error
        if error.errno not in _REPLACED:
            raise
        raise changed(file.path) from None
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or identity(status) != file.identity:
            raise changed(file.path)
        large = file.size > _STEP
        size, digest = _copy_large(source, target, file.size, pool) if large else _copy_rest(source, target)
        if size != file.size or identity(os.fstat(source)) != file.identity:
            raise changed(file.path)
    finally:
        os.close(source)
    if mode is not None:
        os.fchmod(target, mode)
    native.start_writeback(target)
    return FileEntry(path=file.path, size=size, digest=f"sha256:{digest}")


def _copy_rest(source: int, target: int) -> tuple[int, str]:
    """Copy a file from its beginning, by reading and writing; return its size and the SHA-256 of what was written."""
    digest = hashlib.sha256()
    size = 0
    view = memoryview(bytearray(_CHUNK))
    while count := os.preadv(source, [view], size):
        digest.update(view[:count])
        durable.write_all(target, view[:count], size)
        size += count
    return size, digest.hexdigest()


def _copy_large(source: int, target: int, size: int, pool: ThreadPoolExecutor) -> tuple[int, str]:
    """Copy a large file inside the kernel, while another thread digests what has arrived in the target.

    What is digested is what was written; the source's bytes are read once.
    """
    arrived: SimpleQueue[int | None] = SimpleQueue()
    digest = pool.submit(_digest, target, arrived)
    offset = 0
    try:
        while offset < size:
            count = _copy_range(source, target, offset)
            if count == 0:
                break
            offset += count
            native.start_writeback(target)
            arrived.put(offset)
    finally:
        arrived.put(None)
        text = digest.result()
    if offset == 0:  # the file systems cannot do it
        return _copy_rest(source, target)
    return offset, text


def _copy_range(source: int, target: int, offset: int) -> int:
    """Let the kernel copy one step; 0 where there is nothing more, or where it cannot at all."""
    try:
        return os.copy_file_range(source, target, _STEP, offset, offset)
    except AttributeError:  # no Linux
        return 0
    except OSError as error:
        if offset or error.errno not in _CANNOT:
            raise
        return 0


def _digest(target: int, arrived: SimpleQueue[int | None]) -> str:
    """The SHA-256 of a file that grows. `hashlib` and reads release the interpreter's lock."""
    digest = hashlib.sha256()
    view = memoryview(bytearray(_CHUNK))
    offset = 0
    while (end := arrived.get()) is not None:
        while offset < end:
            count = os.preadv(target, [view[: min(_CHUNK, end - offset)]], offset)
            if count == 0:
                raise OSError(errno.EIO, "the copy is shorter than what was written")
            digest.update(view[:count])
            offset += count
    return digest.hexdigest()


def stamps(directory: Path) -> dict[str, tuple[int, ...]]:
    """What tells whether anybody changed, added or removed a file below: inode, size, and both times of each."""
    found = {}
    for entry in walk(directory):
        status = os.stat(directory / entry.path, follow_symlinks=False)
        if entry.kind != "directory":
            found[entry.path] = identity(status)
    return found


def changed(path: str) -> SourceError:
    """The error for a source that somebody else is writing to."""
    return SourceError(
        f"the source changed while it was read: {path!a}",
        kind="source-changed",
        hint="push again when whoever writes it has finished",
    )


def sync_directories(top: Path, listing: Listing) -> None:
    """Sync all directories of a copy, the deepest first, the top last."""
    for directory in sorted(listing.directories, key=lambda path: path.count("/"), reverse=True):
        durable.sync_directory(top / directory)
    durable.sync_directory(top)
