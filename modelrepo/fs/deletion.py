"""Deleting a directory and all below, while its owner may rename directories there or put links in their place.

Each directory is opened by its name in the one above, which is open, and what is deleted in it is deleted by its
descriptor: nothing elsewhere can be reached.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from modelrepo.fs import durable, native

#: What tells one directory from another, whatever its name.
_Identity = tuple[int, int]


def delete_tree(path: Path, *, top: Path | None = None) -> None:
    """Delete a directory and all below, without recursion, without following a link, and on its own device alone.

    It may stop in the middle, with an `OSError` or a crash; deleting again goes on.

    Args:
        path: Which one; a file or link goes, too, and one that is gone is fine.
        top: What it lies below: no link below it is followed. None: the directory above.

    Raises:
        OSError: Something is mounted there or below (`EBUSY`), and nothing was deleted; a directory lies on another
            device (`EXDEV`), and nothing in it was deleted; or somebody moved a directory meanwhile (`ESTALE`).
    """
    with durable.naming(path), durable.opened(path.parent, top or path.parent) as above:
        try:
            status = os.stat(path.name, dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(status.st_mode):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path.name, dir_fd=above)
            return
        mounted = native.mount_points(path.name, above)
        if mounted:
            raise _error(errno.EBUSY, path / mounted[0])
        _delete_directory(above, path.name, _identity(status))


def _delete_directory(above: int, name: str, listed: _Identity) -> None:
    """Go down and up with two descriptors, however deep it is.

    The way up is `..`, looked at again: who moves a directory meanwhile leads nobody elsewhere.
    """
    device = listed[0]
    here = os.dup(above)
    levels = [(_identity(os.fstat(here)), [(name, listed)])]
    try:
        while True:
            itself, below = levels[-1]
            if below:
                name, listed = below[-1]
                if listed[0] != device:
                    raise _error(errno.EXDEV, name)
                there = _enter(here, name, listed)
                if there is None:
                    below.pop()
                    continue
                try:
                    deeper = _delete_files(there)
                except BaseException:
                    os.close(there)
                    raise
                if deeper:
                    os.close(here)
                    here = there
                    levels.append((listed, deeper))
                    continue
                os.close(there)
            else:
                levels.pop()
                if not levels:
                    return
                itself, below = levels[-1]
                there = os.open("..", durable.DIRECTORY, dir_fd=here)
                os.close(here)
                here = there
                _require(here, itself, below[-1][0])
            os.rmdir(below.pop()[0], dir_fd=here)
    finally:
        os.close(here)


def _enter(above: int, name: str, listed: _Identity) -> int | None:
    """Open a directory so that what is in it can be deleted; None where it was empty, and is gone."""
    try:
        descriptor = _open(above, name)
    except PermissionError:
        # Another's directory, of which he could not set the mode any more, is empty.
        try:
            os.rmdir(name, dir_fd=above)
        except OSError:
            pass
        else:
            return None
        raise
    try:
        _require(descriptor, listed, name)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o700 != 0o700:
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, mode | 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open(above: int, name: str) -> int:
    try:
        return os.open(name, durable.DIRECTORY, dir_fd=above)
    except PermissionError:
        mode = stat.S_IMODE(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        if mode & 0o700 == 0o700:
            raise
        return native.open_closed(name, durable.DIRECTORY, above, mode | 0o700)


def _delete_files(directory: int) -> list[tuple[str, _Identity]]:
    """Delete what is not a directory; return the directories."""
    below = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append((entry.name, _identity(entry.stat(follow_symlinks=False))))
            else:
                os.unlink(entry.name, dir_fd=directory)
    return below


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _require(descriptor: int, listed: _Identity, name: str) -> None:
    if _identity(os.fstat(descriptor)) != listed:
        raise _error(errno.ESTALE, name)


def _error(number: int, name: str | Path) -> OSError:
    return OSError(number, os.strerror(number), str(name))
