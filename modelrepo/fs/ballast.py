"""Room kept back for the day when the disk is full, so that a rollback still works then.

Sixteen files of 64 KiB lie in `.modelrepo/ballast/`. An operation that meets a full disk gives one up and tries again;
when there is room, they are made again.
"""

from __future__ import annotations

import contextlib
import errno
import os
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
            names = _pieces(descriptor)
            if not names:
                return False
            os.unlink(names[-1], dir_fd=descriptor)
            with contextlib.suppress(OSError):
                durable.sync(descriptor)  # most file systems free the blocks only when this is on the disk
            return True
    except OSError:
        return False


def _pieces(descriptor: int) -> list[str]:
    return sorted(_NAMES.intersection(os.listdir(descriptor)))


def replenish(directory: Path, modes: Modes = PRIVATE, comfort: int = _COMFORT_BYTES) -> None:
    """Make missing pieces again where there is plenty of room. Never fails: it is a comfort, not a promise.

    Args:
        directory: The ballast.
        modes: The repository's modes.
        comfort: Free bytes below which nothing is made. A new repository takes its ballast on smaller disks, too.
    """
    with contextlib.suppress(OSError), _opened(directory) as descriptor:
        if len(_pieces(descriptor)) == PIECES:
            return
    with contextlib.suppress(OSError):
        if room(directory.parent)[0] < comfort:
            return
        durable.make_directory(directory, modes.directory)
        with _opened(directory) as descriptor:
            for name in sorted(_NAMES.difference(_pieces(descriptor))):
                # Random bytes: a file system that compresses would keep no room for zeros.
                durable.write_new_in(descriptor, name, os.urandom(PIECE_BYTES), PIECE)
