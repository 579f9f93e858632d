"""Room kept back for the day when the disk is full, so that a rollback still works then.

Sixteen files of 64 KiB lie in `.modelrepo/ballast/`. An operation that meets a full disk gives one up and tries again.
A piece that is given up is cut to nothing, not removed: to take its room back then needs no new name, and what an
operation wanted but did not use (XFS wants 190 KiB for a link that takes none) is there for the next one, whoever else
waits for room. When there is plenty, missing pieces are made again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from modelrepo.core.modes import PIECE, PRIVATE, Modes
from modelrepo.fs import durable
from modelrepo.fs.look import room

PIECES = 16
PIECE_BYTES = 64 * 1024
_NAMES = frozenset(f"{number:02}" for number in range(PIECES))
#: Pieces are only made again where that does not make the disk tight for others.
_COMFORT_BYTES = 64 * 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}

T = TypeVar("T")


def with_room(directory: Path, action: Callable[[], T]) -> T:
    """Do something; where the disk is full, give up one piece of ballast and do it again, until there is none left.

    Args:
        directory: The ballast.
        action: What to do. It must be safe to do again after it failed with a full disk.
    """
    while True:
        try:
            return action()
        except OSError as error:
            if error.errno not in _FULL or not _give_up_one(directory):
                raise


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """The ballast, open. Neither it nor the directory above may be a link: files elsewhere are no ballast."""
    with durable.opened(directory, directory.parent.parent) as descriptor:
        yield descriptor


def _give_up_one(directory: Path) -> bool:
    try:
        with _opened(directory) as descriptor:
            names = [name for name, size in _pieces(descriptor).items() if size > 0]
            if not names:
                return False
            if not _cut(descriptor, max(names)):
                os.unlink(max(names), dir_fd=descriptor)
            with contextlib.suppress(OSError):
                durable.sync(descriptor)  # most file systems free the blocks only when this is on the disk
            return True
    except OSError:
        return False


def take_back(directory: Path) -> None:
    """Fill pieces that were given up, as far as there is room. Never fails."""
    with contextlib.suppress(OSError), _opened(directory) as descriptor:
        for name, size in _pieces(descriptor).items():
            if size < PIECE_BYTES:
                _fill(descriptor, name)


def _pieces(descriptor: int) -> dict[str, int]:
    """The pieces that are there, and how much each holds."""
    names = sorted(_NAMES.intersection(os.listdir(descriptor)))
    return {name: os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size for name in names}


def _cut(descriptor: int, name: str) -> bool:
    """Cut a piece to nothing; False where it is not ours to write, or somebody has given it a second name."""
    with contextlib.suppress(OSError), _piece(descriptor, name) as piece:
        os.ftruncate(piece, 0)
        with contextlib.suppress(OSError):
            durable.sync(piece)
        return True
    return False


def _fill(descriptor: int, name: str) -> bool:
    """Fill a piece; False where it is not ours to write, or room is short: then it holds what there was."""
    with contextlib.suppress(OSError), _piece(descriptor, name) as piece:
        size = os.fstat(piece).st_size
        if size > PIECE_BYTES:  # somebody has written to it
            size = PIECE_BYTES
            os.ftruncate(piece, size)
        # Random bytes: a file system that compresses would keep no room for zeros.
        durable.write_all(piece, os.urandom(PIECE_BYTES - size), size)
        durable.sync(piece)
        return True
    return False


@contextlib.contextmanager
def _piece(descriptor: int, name: str) -> Iterator[int]:
    """A piece, open for writing: a file with no other name, since that could be somebody's."""
    piece = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
    try:
        status = os.fstat(piece)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK), name)
        yield piece
    finally:
        os.close(piece)


def replenish(directory: Path, modes: Modes = PRIVATE, comfort: int = _COMFORT_BYTES) -> None:
    """Make missing pieces again where there is plenty of room. Never fails: it is a comfort, not a promise.

    Args:
        directory: The ballast.
        modes: The repository's modes.
        comfort: Free bytes below which nothing is made. A new repository takes its ballast on smaller disks, too.
    """
    with contextlib.suppress(OSError), _opened(directory) as descriptor:
        if list(_pieces(descriptor).values()) == [PIECE_BYTES] * PIECES:
            return
    with contextlib.suppress(OSError):
        if room(directory.parent)[0] < comfort:
            return
        durable.make_directory(directory, modes.directory)
        with _opened(directory) as descriptor:
            held = _pieces(descriptor)
            for name in sorted(_NAMES):
                if name in held and (held[name] == PIECE_BYTES or _fill(descriptor, name)):
                    continue
                if name in held:
                    os.unlink(name, dir_fd=descriptor)
                durable.write_new_in(descriptor, name, os.urandom(PIECE_BYTES), PIECE)  # random as in `_fill`
