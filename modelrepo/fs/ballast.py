"""Room kept back for the day when the disk is full, so that a rollback still works then.

Sixteen files of 64 KiB lie in `.modelrepo/ballast/`. An operation that meets a full disk gives one up and tries again;
when there is room, they are made again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from modelrepo.core.modes import PIECE, PRIVATE, Modes
from modelrepo.fs import durable
from modelrepo.fs.look import room

PIECES = 16
PIECE_BYTES = 64 * 1024
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


def _give_up_one(directory: Path) -> bool:
    names = _pieces(directory)
    if not names:
        return False
    try:
        os.unlink(directory / names[-1])
    except OSError:
        return False
    with contextlib.suppress(OSError):
        durable.sync_directory(directory)  # most file systems free the blocks only when this is on the disk
    return True


def _pieces(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def replenish(directory: Path, modes: Modes = PRIVATE, comfort: int = _COMFORT_BYTES) -> None:
    """Make missing pieces again where there is plenty of room. Never fails: it is a comfort, not a promise.

    Args:
        directory: The ballast.
        modes: The repository's modes.
        comfort: Free bytes below which nothing is made. A new repository takes its ballast on smaller disks, too.
    """
    missing = {f"{number:02}" for number in range(PIECES)}.difference(_pieces(directory))
    if not missing:
        return
    with contextlib.suppress(OSError):
        if room(directory.parent)[0] < comfort:
            return
        durable.make_directory(directory, modes.directory)
        for name in sorted(missing):
            # Random bytes: a file system that compresses would keep no room for zeros.
            durable.write_new(directory / name, os.urandom(PIECE_BYTES), PIECE)
