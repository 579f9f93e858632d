"""Copying a source: every byte read once, digested as it is written, and synced before anybody builds on it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from modelrepo.core.contents import FileEntry
from modelrepo.errors import SourceError
from modelrepo.fs import durable, native
from modelrepo.fs.look import walk
from modelrepo.fs.source import Listing, SourceFile, identity

_CHUNK = 1024 * 1024
#: Fewer bytes are digested at once: handing them to another thread would take longer.
_INLINE = 64 * 1024
#: Bytes written between two requests to the kernel to begin with the writing.
_WRITEBACK_STEP = 8 * _CHUNK
#: Above this many files, one sync of the file system is cheaper than one per file.
_MANY_FILES = 256

#: What opening a file says that has become a link, a socket or a part of another tree since it was listed.
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV}

FILE_MODE = 0o444
DIRECTORY_MODE = 0o755


def copy(listing: Listing, destination: Path) -> tuple[FileEntry, ...]:
    """Copy what was listed into an empty directory.

    On return every file's bytes are on the disk; the directories are not synced yet (`sync_directories`).

    Args:
        listing: What to copy.
        destination: An existing, empty directory that nobody else writes to.

    Raises:
        SourceError: A file is not what was listed any more.
        OSError: Reading or writing failed.
    """
    for directory in listing.directories:
        durable.make_directory(destination / directory, DIRECTORY_MODE)
    watch = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    waiting: list[int] = []
    hasher = _Hasher()
    try:
        together = (
            len(listing.files) > _MANY_FILES and native.file_system(str(destination))[0] in native.SYNCFS_FILE_SYSTEMS
        )
        entries = []
        for file in listing.files:
            descriptor = os.open(
                destination / file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            waiting.append(descriptor)
            entries.append(_copy_file(file, descriptor, hasher))
            if together or len(waiting) > _MANY_FILES:
                # The sync of the whole file system reports errors of closed files too, since its descriptor is older.
                if not together:
                    durable.sync(waiting[0])
                os.close(waiting.pop(0))
        if not together or not native.sync_file_system(watch):
            _sync_each(waiting, destination, listing if together else None)
        return tuple(entries)
    finally:
        hasher.close()
        for descriptor in (*waiting, watch):
            os.close(descriptor)


def _sync_each(waiting: list[int], destination: Path, closed: Listing | None) -> None:
    for descriptor in waiting:
        durable.sync(descriptor)
    for file in closed.files if closed is not None else ():
        with open(destination / file.path, "rb") as written:
            durable.sync(written.fileno())


def _copy_file(file: SourceFile, target: int, hasher: _Hasher) -> FileEntry:
    """Copy one file into an open one, and begin its writing to the disk."""
    try:
        source = os.open(file.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _REPLACED:
            raise
        raise changed(file.path) from None
    status = os.fstat(source)
    if not stat.S_ISREG(status.st_mode) or identity(status) != file.identity:
        os.close(source)
        raise changed(file.path)
    size = 0
    with os.fdopen(source, "rb", buffering=0) as reader:
        hasher.begin()
        while count := reader.readinto(hasher.free):
            durable.write_all(target, hasher.take(count))
            if (size + count) // _WRITEBACK_STEP != size // _WRITEBACK_STEP:
                native.start_writeback(target)
            size += count
        if size != file.size or identity(os.fstat(source)) != file.identity:
            raise changed(file.path)
    os.fchmod(target, FILE_MODE)
    native.start_writeback(target)
    return FileEntry(path=file.path, size=size, digest=f"sha256:{hasher.end()}")


class _Hasher:
    """Digests one buffer in a thread of its own, while the caller writes it and reads the next into the other.

    `hashlib` and file I/O both release the interpreter's lock, so that the two overlap on two cores.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._free, self._busy = memoryview(bytearray(_CHUNK)), memoryview(bytearray(_CHUNK))
        self._digest = hashlib.sha256()
        self._running: Future[None] | None = None

    @property
    def free(self) -> memoryview:
        """Where to read the next bytes into."""
        return self._free

    def begin(self) -> None:
        """Start a new file."""
        self._wait()
        self._digest = hashlib.sha256()

    def take(self, count: int) -> memoryview:
        """Digest the first bytes of `free`, and return them to be written before the next call but one."""
        self._wait()
        filled, self._free, self._busy = self._free[:count], self._busy, self._free
        if count < _INLINE:
            self._digest.update(filled)
        else:
            self._running = self._pool.submit(self._digest.update, filled)
        return filled

    def end(self) -> str:
        """The file's digest."""
        self._wait()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None


def stamps(directory: Path) -> dict[str, tuple[int, ...]]:
    """What tells whether anybody changed, added or removed a file below: inode, size, and both times of each."""
    found = {}
    for entry in walk(directory):
        status = os.stat(directory / entry.path, follow_symlinks=False)
        if entry.kind != "directory":
            found[entry.path] = (*identity(status), status.st_ctime_ns)
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
