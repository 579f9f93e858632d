"""Copying a source: every byte read once, digested as it is written, and synced before anybody builds on it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

from modelrepo.core.contents import FileEntry
from modelrepo.core.modes import FILE, PRIVATE, Modes
from modelrepo.errors import SourceError, SystemRefusedError
from modelrepo.fs import durable, native
from modelrepo.fs.digesting import Pieces, Seen, unseen
from modelrepo.fs.files import CHUNK
from modelrepo.fs.look import walk
from modelrepo.fs.reuse import Reuse
from modelrepo.fs.source import Listing, SourceFile, identity

#: Above this many files, one sync of the file system is cheaper than one per file.
_MANY_FILES = 256
#: Descriptors kept open until their sync; macOS allows 256 in all.
_OPEN_FILES = 64

#: Larger files are worth a second thread, and are copied so much at a time.
STEP = 8 * 1024 * 1024

#: What `copy_file_range` says where it cannot copy between these two files.
_CANNOT = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.EPERM}

#: What opening a file says that has become a link, a socket or a part of another tree since it was listed.
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV}


def copy(
    listing: Listing,
    destination: Path,
    modes: Modes | None = PRIVATE,
    reuse: Reuse | None = None,
    seen: Seen = unseen,
) -> tuple[FileEntry, ...]:
    """Copy what was listed into an empty directory.

    On return every file's bytes are on the disk; the directories are not synced yet (`sync_directories`). Where
    somebody puts a link in place of a directory of the copy, it fails, and nothing is written elsewhere.

    Args:
        listing: What to copy.
        destination: An existing, empty directory, and no link.
        modes: Those of the repository that it is in. None leaves owner and modes to the system, as `cp` does: for a
            copy that lies outside a repository.
        reuse: How to use what is stored already; None to write every byte.
        seen: Is told how many bytes more are copied, or shared.

    Raises:
        SourceError: A file is not what was listed any more.
        OSError: Reading or writing failed, or a directory of the copy was replaced (`ENOTDIR`).
    """
    with durable.opened(destination) as watch, _Places(watch) as places:
        for directory in listing.directories:
            above, _, name = directory.rpartition("/")
            mode = None if modes is None else modes.directory
            os.close(durable.make_directory_in(places.at(above), name, mode, inherit=modes is not None))
        return _Copy(listing, destination, modes, watch, places, reuse, seen).run()


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


class _Copy:
    """One copy under way: the files go into directories that are there.

    Args:
        listing: What to copy.
        destination: Where to.
        modes: Those of the repository that it is in; None for a copy outside of one.
        watch: The destination, open since before the first write.
        places: Its directories.
        reuse: How to use what is stored already.
        seen: Is told how many bytes more are done.
    """

    def __init__(
        self,
        listing: Listing,
        destination: Path,
        modes: Modes | None,
        watch: int,
        places: _Places,
        reuse: Reuse | None,
        seen: Seen,
    ) -> None:
        self._listing = listing
        self._owned = modes is not None
        self._watch = watch
        self._places = places
        self._reuse = reuse
        self._seen = seen
        self._together = (
            len(listing.files) > _MANY_FILES and native.file_system(str(destination))[0] in native.SYNCFS_FILE_SYSTEMS
        )
        self._waiting: list[int] = []

    def run(self) -> tuple[FileEntry, ...]:
        """Copy all files; on return their bytes are on the disk."""
        try:
            entries = tuple(self._file(file) for file in self._listing.files)
            if not self._together or not native.sync_file_system(self._watch):
                self._sync_each()
            return entries
        finally:
            for descriptor in self._waiting:
                os.close(descriptor)

    def _sync_each(self) -> None:
        for descriptor in self._waiting:
            durable.sync(descriptor)
        for file in self._listing.files if self._together else ():  # closed by now
            written = self._places.open(file.path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                durable.sync(written)
            finally:
                os.close(written)

    def _file(self, file: SourceFile) -> FileEntry:
        with _opened(file) as source:
            digest = self._link(file, source)
            if digest is None:
                digest = self._write(file, source)
        return FileEntry(path=file.path, size=file.size, digest=f"sha256:{digest}")

    def _link(self, file: SourceFile, source: int) -> str | None:
        """One more name for what is stored already. Its bytes were synced before its version was put in place."""
        if self._reuse is None:
            return None
        above = self._places.at(file.path.rpartition("/")[0])
        return self._reuse.link(file.path, file.size, source, above, self._seen)

    def _write(self, file: SourceFile, source: int) -> str:
        """A file of its own; begin its writing to the disk."""
        target = self._places.open(file.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600 if self._owned else 0o666)
        self._waiting.append(target)
        if self._owned:
            durable.belong(target, self._places.at(file.path.rpartition("/")[0]))
        digest = None
        if self._reuse is not None:
            digest = self._reuse.clone(file.path, file.size, source, target, self._seen)
        if digest is None:
            if file.size <= STEP:
                digest, size = _copy_small(source, target, file.size, self._seen)
            else:
                digest, size = _copy_large(source, target, file.size, self._seen)
            if size != file.size:
                raise changed(file.path)
        if self._owned:
            os.fchmod(target, FILE)
        native.start_writeback(target)
        self._close_some()
        return digest

    def _close_some(self) -> None:
        """Keep no more files open than the system lets us."""
        if self._together or len(self._waiting) > _OPEN_FILES:
            # The sync of the whole file system reports errors of closed files too, since its descriptor is older.
            if not self._together:
                durable.sync(self._waiting[0])
            os.close(self._waiting.pop(0))


@contextlib.contextmanager
def _opened(file: SourceFile) -> Iterator[int]:
    """A file of the source, open: before and behind, what was listed."""
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
        yield source
        if identity(os.fstat(source)) != file.identity:
            raise changed(file.path)
    finally:
        os.close(source)


def _copy_small(source: int, target: int, size: int, seen: Seen) -> tuple[str, int]:
    """Copy a file in one thread, and of one that grows a piece more; return its SHA-256 and its size, as written."""
    digest = hashlib.sha256()
    done = 0
    view = memoryview(bytearray(CHUNK))
    while done <= size and (count := os.preadv(source, [view], done)):
        digest.update(view[:count])
        durable.write_all(target, view[:count], done)
        done += count
        seen(count)
    return digest.hexdigest(), done


def _copy_large(source: int, target: int, size: int, seen: Seen) -> tuple[str, int]:
    """Copy a large file inside the kernel, step by step, while another thread digests what has arrived in the target.

    What is digested is what was written; the source's bytes are read once, and of a source that grows no more than a
    step too many. Each step is read back by this thread, as long as it is in the processor's cache: so the other does
    nothing but digest, which takes the longest.
    """
    done = 0
    with Pieces() as pieces:
        while done < size and (count := _copy_range(source, target, done)):
            native.start_writeback(target)
            arrived = done + count
            while done < arrived:
                piece = pieces.take()
                count = os.preadv(target, [memoryview(piece)[: arrived - done]], done)
                if count == 0:
                    raise OSError(errno.EIO, "the copy is shorter than what was written")
                pieces.give(piece, count)
                done += count
                seen(count)
        if done:
            return pieces.result(), done
    return _copy_small(source, target, size, seen)  # the file systems cannot do it


def _copy_range(source: int, target: int, offset: int) -> int:
    """Let the kernel copy one step; 0 where there is nothing more, or where it cannot at all."""
    try:
        return os.copy_file_range(source, target, STEP, offset, offset)
    except AttributeError:  # no Linux
        return 0
    except OSError as error:
        if offset or error.errno not in _CANNOT:
            raise
        return 0


def stamps(directory: Path, linked: Collection[str] = ()) -> dict[str, tuple[int, ...]]:
    """What tells whether anybody changed, added or removed a file below: inode, size, and both times of each.

    Args:
        directory: Where to look.
        linked: Files that have other names besides: their ctimes change with those.
    """
    found = {}
    for entry in walk(directory):
        status = os.stat(directory / entry.path, follow_symlinks=False)
        if entry.kind != "directory":
            found[entry.path] = identity(status)[: 4 if entry.path in linked else None]
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
