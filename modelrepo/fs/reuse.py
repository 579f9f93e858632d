"""Storing bytes once: a file whose bytes are stored already becomes a clone of them, or one more name for them.

Each byte of both files is read and compared, and what both hold is digested, before anything is shared. What differs,
is not what was stored, or cannot be shared here is left to be copied.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from modelrepo.fs import native
from modelrepo.fs.digesting import PIECE, Pieces, Seen
from modelrepo.fs.files import open_regular

#: Below this, a copy costs less than the looking.
SMALLEST = 16 * 1024
#: What is compared before a file is worth more: models of one shape have files of one size, which differ at once.
_HEAD = 64 * 1024
#: What `link` says where there may be no further name: another's file, too many names, another file system.
_NO_NAME = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS}
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Stored(NamedTuple):
    """A file of a version.

    Attributes:
        place: Where it is.
        digest: `sha256:` and 64 hex digits, as its manifest says.
    """

    place: Path
    digest: str


@dataclass
class Reuse:
    """How the files of one copy use what is stored already.

    Attributes:
        how: `reflink`: clones, which share blocks until one of them changes; `hardlink`: further names.
        stored: The stored files that a new one of a path and size could be, the likeliest first.
        linked: The paths of the copy that are further names of stored files.
    """

    how: Literal["reflink", "hardlink"]
    stored: Callable[[str, int], Iterable[Stored]]
    linked: set[str] = field(default_factory=set)

    def clone(self, path: str, size: int, source: int, target: int, seen: Seen) -> str | None:
        """Let an empty file share a stored file's blocks, if those hold the source's bytes.

        What is compared and digested is what the target holds then.

        Args:
            path: The file's path in its version.
            size: Its size.
            source: What it shall hold, open.
            target: The empty file, open for reading and writing.
            seen: Is told how many bytes more are shared.

        Returns:
            The SHA-256 in hex; None where nothing could be shared: the file is empty then.
        """
        for candidate in self._candidates("reflink", path, size):
            with _opened(candidate.place) as stored:
                if stored is None or not _begin_alike(source, stored, size):
                    continue
                if not native.clone(stored, target):
                    self.stored = _nothing
                    return None
                digest = _alike(source, target, size, seen)
                if digest is not None and f"sha256:{digest}" == candidate.digest:
                    return digest
                os.ftruncate(target, 0)
        return None

    def link(self, path: str, size: int, source: int, above: int, seen: Seen) -> str | None:
        """Give a stored file one more name, if it holds the source's bytes.

        Args:
            path: The file's path in its version; its name is not taken yet.
            size: Its size.
            source: What it shall hold, open.
            above: The directory for the name, open.
            seen: Is told how many bytes more are shared.

        Returns:
            The SHA-256 in hex; None where there was nothing to share, and no name was made.
        """
        for candidate in self._candidates("hardlink", path, size):
            with _opened(candidate.place) as stored:
                if stored is None or not _begin_alike(source, stored, size):
                    continue
                before = os.fstat(stored)
                if before.st_mode & _WRITABLE:
                    continue  # somebody may write to it
                digest = _alike(source, stored, size, seen)
                if digest is None or f"sha256:{digest}" != candidate.digest:
                    continue
                if _named(stored, candidate.place, before, path.rpartition("/")[2], above):
                    self.linked.add(path)
                    return digest
        return None

    def _candidates(self, how: str, path: str, size: int) -> Iterable[Stored]:
        return self.stored(path, size) if self.how == how and size >= SMALLEST else ()


def _nothing(_path: str, _size: int) -> Iterable[Stored]:
    return ()


@contextlib.contextmanager
def _opened(place: Path) -> Iterator[int | None]:
    """A stored file, open; None where it is gone, or is none."""
    try:
        descriptor = open_regular(place)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _begin_alike(source: int, stored: int, size: int) -> bool:
    head = min(_HEAD, size)
    try:
        return os.fstat(stored).st_size == size and os.pread(source, head, 0) == os.pread(stored, head, 0)
    except OSError:  # whose trouble it is shows where the source is copied
        return False


def _alike(source: int, stored: int, size: int, seen: Seen) -> str | None:
    """The SHA-256 of what two files of one size both hold; None where they differ, or cannot be read."""
    if size <= PIECE:
        return _small_alike(source, stored, size, seen)
    theirs = bytearray(PIECE)
    offset = 0
    with contextlib.suppress(OSError), Pieces() as pieces:  # whose trouble it is shows where the source is copied
        while offset < size:
            ours = pieces.take()
            count = os.preadv(source, [ours], offset)
            same = count > 0 and os.preadv(stored, [theirs], offset) == count
            # Whole buffers compare in one call; only the end of a file does not fill them.
            if not same or (ours != theirs if count == PIECE else ours[:count] != theirs[:count]):
                break
            pieces.give(ours, count)
            offset += count
            seen(count)
        if offset == size:
            return pieces.result()
    seen(-offset)
    return None


def _small_alike(source: int, stored: int, size: int, seen: Seen) -> str | None:
    """The same of files that are worth no second thread."""
    with contextlib.suppress(OSError):
        ours = os.pread(source, size, 0)
        if len(ours) == size and ours == os.pread(stored, size, 0):
            seen(size)
            return hashlib.sha256(ours).hexdigest()
    return None


def _named(stored: int, place: Path, before: os.stat_result, name: str, above: int) -> bool:
    """Make the further name, of the very file that was compared, unchanged since."""
    if _facts(os.fstat(stored)) != _facts(before):
        return False
    try:
        os.link(place, name, dst_dir_fd=above, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_NAME and error.errno != errno.ENOENT:
            raise
        return False
    after = os.stat(name, dir_fd=above, follow_symlinks=False)
    if (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino) and after.st_mtime_ns == before.st_mtime_ns:
        return True
    os.unlink(name, dir_fd=above)  # another file has come to that place
    return False


def _facts(status: os.stat_result) -> tuple[int, ...]:
    """What nobody changes without a trace; the ctime changes with every other name, too."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
