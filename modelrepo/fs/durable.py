"""Durable changes, each in full order, each saying what is true when it returns.

"Synced" means that `fsync` returned without an error (on macOS `F_FULLFSYNC`). A failed sync is reported,
never repeated: the kernel may have thrown the data away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelrepo.core import modes
from modelrepo.fs import native

#: What `link` says where there may not be a second name: another's file, too many names, a file system without names.
_NO_SECOND_NAME = {errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS}
#: How a directory is opened: never through a link.
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def sync(descriptor: int) -> None:
    """Wait until a file's or directory's bytes are on the disk."""
    native.sync(descriptor)


@contextlib.contextmanager
def opened(directory: Path, top: Path | None = None) -> Iterator[int]:
    """Hold a directory open, so that what is done by its descriptor is done in it, whatever its name becomes.

    Args:
        directory: Which one.
        top: What it lies below, or itself: no link below it is followed, while it may be reached through links. None:
            only the directory itself may not be a link.

    Raises:
        OSError: It is missing, a link or no directory (`ENOTDIR`), or one on the way to it is.
    """
    descriptor = os.open(directory, DIRECTORY) if top is None else os.open(top, DIRECTORY & ~os.O_NOFOLLOW)
    try:
        for name in () if top is None else directory.relative_to(top).parts:
            below = os.open(name, DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors say the whole path: by descriptor, the system knows the last name of it or none."""
    try:
        yield
    except OSError as error:
        # `os.listdir` of a descriptor names its number.
        if not isinstance(error.filename, str | bytes) or not os.path.isabs(error.filename):
            error.filename = str(path)
        raise


def belong(descriptor: int, above: int) -> None:
    """Give what root has just made to the owner and group of the directory that it was made in.

    So that root, working on another's repository, locks nobody out of it. For everybody else this does nothing.

    Args:
        descriptor: What was made, open.
        above: The directory, open.
    """
    if os.geteuid() == 0:
        status = os.fstat(above)
        if (status.st_uid, status.st_gid) != (0, 0):
            os.fchown(descriptor, status.st_uid, status.st_gid)


def _belong_link(path: Path) -> None:
    if os.geteuid() == 0:
        with opened(path.parent) as above:
            status = os.fstat(above)
            if (status.st_uid, status.st_gid) != (0, 0):
                os.chown(path.name, status.st_uid, status.st_gid, dir_fd=above, follow_symlinks=False)


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview, offset: int | None = None) -> None:
    """Write every byte, at the file's position or at an offset; a short write goes on where it stopped."""
    view = memoryview(data)
    while view:
        count = os.write(descriptor, view) if offset is None else os.pwrite(descriptor, view, offset)
        view = view[count:]
        offset = None if offset is None else offset + count


def write_new(path: Path, data: bytes, mode: int | None, *, synced: bool = True) -> None:
    """Make a file and sync its bytes; its name is durable once its directory is synced.

    Args:
        path: Its name.
        data: Its bytes.
        mode: Its mode, whatever the umask; None for a plain file outside a repository: its mode is the umask's, its
            owner whoever makes it.
        synced: Whether a power cut may not take its bytes.

    Raises:
        FileExistsError: The name is taken.
        OSError: The directory is a link (`ENOTDIR`), or there is no room.
    """
    with naming(path), opened(path.parent) as above:
        write_new_in(above, path.name, data, mode, synced=synced)


def write_new_in(above: int, name: str, data: bytes, mode: int | None, *, synced: bool = True) -> None:
    """As `write_new`, in a directory that is open."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666 if mode is None else 0o600, dir_fd=above)
    try:
        write_all(descriptor, data)
        if mode is not None:
            belong(descriptor, above)
            os.fchmod(descriptor, mode)
        if synced:
            sync(descriptor)
    except BaseException:
        os.unlink(name, dir_fd=above)
        raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, mode: int, temporary: Path, *, synced: bool = True) -> None:
    """Put bytes under a name: others see the old file or the new one, whole. Synced on return.

    Args:
        path: The name.
        data: The new bytes.
        mode: The new file's mode, whatever the umask.
        temporary: An unused name on the same file system.
        synced: False for what is derived and can be lost: behind a power cut it may be old, torn or gone.
    """
    write_new(temporary, data, mode, synced=synced)
    try:
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # an interrupt may come right behind the rename
            os.unlink(temporary)
        raise
    if synced:
        sync_directory(path.parent)


def second_name(path: Path, name: Path, temporary: Path) -> None:
    """Give a file a second name, which needs no room for its bytes; a copy where the file system has no such names.

    Replaces what has the name. Synced on return.

    Args:
        path: The file; its bytes are on the disk.
        name: The second name, on the same file system.
        temporary: An unused name on the same file system.
    """
    try:
        os.link(path, temporary, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_SECOND_NAME:
            raise
        replace_file(name, path.read_bytes(), modes.FILE, temporary)
        return
    try:
        os.rename(temporary, name)
        if os.path.lexists(temporary):  # both were names of one file already: POSIX then does nothing
            os.unlink(temporary)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(name.parent)


def move_link(path: Path, target: str, temporary: Path) -> None:
    """Point a symbolic link somewhere else by one rename. Others see the old link or the new one; not synced.

    Args:
        path: The link; it may be missing.
        target: The new text, stored as given.
        temporary: An unused name on the same file system.

    Raises:
        IsADirectoryError: A directory stands there.
    """
    with naming(temporary):  # the system names the text
        os.symlink(target, temporary)
    try:
        _belong_link(temporary)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # an interrupt may come right behind the rename
            os.unlink(temporary)
        raise


def add_link(path: Path, target: str) -> None:
    """Make a symbolic link; it is fine if the same one is there already. Not synced."""
    try:
        with naming(path):
            os.symlink(target, path)
        _belong_link(path)
    except FileExistsError:
        if not path.is_symlink() or os.readlink(path) != target:
            raise


def remove_link(path: Path) -> None:
    """Take a symbolic link away; it is fine if it is gone. Never removes anything else. Not synced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISLNK(os.lstat(path).st_mode):
            os.unlink(path)


def remove_file(path: Path) -> None:
    """Take a file of modelrepo's own away; it is fine if it is gone. Not synced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def make_directory(path: Path, mode: int | None, *, inherit: bool = True) -> bool:
    """Make a directory of exactly this mode, or of the one that the umask gives. Not synced.

    Args:
        path: Which one; the directory above exists.
        mode: Its mode, whatever the umask; None for the umask's.
        inherit: Whether root gives it to the owner of the directory above (`belong`).

    Returns:
        False where a directory is there already; it is left as it is.
    """
    try:
        with naming(path), opened(path.parent, path.parent) as above:
            os.close(make_directory_in(above, path.name, mode, inherit=inherit))
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise
        return False
    return True


def make_directory_in(above: int, name: str, mode: int | None, *, inherit: bool) -> int:
    """As `make_directory`, in a directory that is open; return the new one, open.

    Raises:
        FileExistsError: The name is taken.
        OSError: Somebody put something else in its place meanwhile (`ENOTDIR`), which is left as it is.
    """
    os.mkdir(name, 0o777 if mode is None else 0o700, dir_fd=above)
    descriptor = os.open(name, DIRECTORY, dir_fd=above)
    try:
        if inherit:
            belong(descriptor, above)
        if mode is not None:
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def set_mode(path: Path, mode: int, group: int | None = None, *, top: Path | None = None) -> None:
    """Set the mode of a file or directory, not of what a link names, and sync it.

    Args:
        path: Which one.
        mode: Its mode.
        group: Its group, by number; None leaves it.
        top: What it lies below, or itself: no link below it is followed. None: the directory above.

    Raises:
        OSError: It is a link (`ELOOP`), lies behind one (`ENOTDIR`), or is another's.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with naming(path), opened(path.parent, path.parent if top in {None, path} else top) as above:
        try:
            descriptor = os.open(path.name, flags, dir_fd=above)
        except PermissionError:
            descriptor = native.open_closed(path.name, flags, above, mode)
        try:
            if group is not None:
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)
            sync(descriptor)
        finally:
            os.close(descriptor)


def rename_new(old: Path, new: Path) -> None:
    """Rename a directory or file to a name that must be free. Not synced.

    Where the file system has no `RENAME_NOREPLACE`, the check and the rename are two steps: the caller holds the
    lock, so only a stranger to the repository can come between.

    Raises:
        FileExistsError: The name is taken.
    """
    if native.rename_noreplace(str(old), str(new)):
        return
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    os.rename(old, new)


def replace_empty_directory(old: Path, new: Path) -> None:
    """Rename a directory to a name that is free, or that an empty directory has, which it replaces. Not synced.

    Raises:
        OSError: Something else is there (`ENOTEMPTY`, `ENOTDIR`); nothing changed.
    """
    os.rename(old, new)


def remove_empty(path: Path) -> bool:
    """Take a directory away if it is empty, whatever its mode. Not synced.

    Returns:
        False where it could not be.
    """
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True
