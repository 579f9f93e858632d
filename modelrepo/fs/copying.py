"""Copying a source: every byte read once, digested as it is written, and synced before anybody builds on it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from modelrepo.core.contents import FileEntry
from modelrepo.errors import SourceError
from modelrepo.fs import durable, native
from modelrepo.fs.source import Listing, SourceFile, identity

_CHUNK = 1024 * 1024
#: Bytes written between two requests to the kernel to begin with the writing.
_WRITEBACK_STEP = 8 * _CHUNK
#: Above this many files, one sync of the file system is cheaper than one per file.
_MANY_FILES = 256

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
    try:
        together = (
            len(listing.files) > _MANY_FILES and native.file_system(str(destination))[0] in native.SYNCFS_FILE_SYSTEMS
        )
        buffer = bytearray(_CHUNK)
        entries = []
        for file in listing.files:
            descriptor = os.open(
                destination / file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            waiting.append(descriptor)
            entries.append(_copy_file(file, descriptor, buffer))
            if together or len(waiting) > _MANY_FILES:
                # The sync of the whole file system reports errors of closed files too, since its descriptor is older.
                oldest = waiting.pop(0)
                if not together:
                    durable.sync(oldest)
                os.close(oldest)
        if not together or not native.sync_file_system(watch):
            _sync_each(waiting, destination, listing if together else None)
        return tuple(entries)
    finally:
        for descriptor in (*waiting, watch):
            os.close(descriptor)


def _sync_each(waiting: list[int], destination: Path, closed: Listing | None) -> None:
    for descriptor in waiting:
        durable.sync(descriptor)
    for file in closed.files if closed is not None else ():
        with open(destination / file.path, "rb") as written:
            durable.sync(written.fileno())


def _copy_file(file: SourceFile, target: int, buffer: bytearray) -> FileEntry:
    """Copy one file into an open one, and begin its writing to the disk."""
    try:
        source = os.open(file.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise changed(file.path) from None
    digest = hashlib.sha256()
    size = 0
    view = memoryview(buffer)
    with os.fdopen(source, "rb", buffering=0) as reader:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or identity(status) != file.identity:
            raise changed(file.path)
        while count := reader.readinto(buffer):
            digest.update(view[:count])
            durable.write_all(target, view[:count])
            if (size + count) // _WRITEBACK_STEP != size // _WRITEBACK_STEP:
                native.start_writeback(target)
            size += count
        if size != file.size or identity(os.fstat(source)) != file.identity:
            raise changed(file.path)
    os.fchmod(target, FILE_MODE)
    native.start_writeback(target)
    return FileEntry(path=file.path, size=size, digest=f"sha256:{digest.hexdigest()}")


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
