"""Durable changes, each in full order, each saying what is true when it returns.

"Synced" means that `fsync` returned without an error (on macOS `F_FULLFSYNC`). A failed sync is reported,
never repeated: the kernel may have thrown the data away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from modelrepo.core import modes
from modelrepo.fs import native

#: What `link` says where there may not be a second name: another's file, too many names, a file system without names.
_NO_SECOND_NAME = {errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS}


def sync(descriptor: int) -> None:
    """Wait until a file's or directory's bytes are on the disk."""
    native.sync(descriptor)


def belong(path: Path) -> None:
    """Give what root has just made to the owner and group of the directory that it was made in.

    So that root, working on another's repository, locks nobody out of it. For everybody else this does nothing.
    """
    if os.geteuid() == 0:
        above = os.stat(path.parent)
        if (above.st_uid, above.st_gid) != (0, 0):
            os.chown(path, above.st_uid, above.st_gid, follow_symlinks=False)


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


def write_new(path: Path, data: bytes, mode: int | None) -> None:
    """Make a file and sync its bytes; its name is durable once its directory is synced.

    Args:
        path: Its name.
        data: Its bytes.
        mode: Its mode, whatever the umask; None for a plain file outside a repository: its mode is the umask's, its
            owner whoever makes it.

    Raises:
        FileExistsError: The name is taken.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666 if mode is None else 0o600)
    try:
        write_all(descriptor, data)
        if mode is not None:
            belong(path)
            os.fchmod(descriptor, mode)
        sync(descriptor)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, mode: int, temporary: Path) -> None:
    """Put bytes under a name: others see the old file or the new one, whole. Synced on return.

    Args:
        path: The name.
        data: The new bytes.
        mode: The new file's mode, whatever the umask.
        temporary: An unused name on the same file system.
    """
    write_new(temporary, data, mode)
    try:
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # an interrupt may come right behind the rename
            os.unlink(temporary)
        raise
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
    os.symlink(target, temporary)
    try:
        belong(temporary)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # an interrupt may come right behind the rename
            os.unlink(temporary)
        raise


def add_link(path: Path, target: str) -> None:
    """Make a symbolic link; it is fine if the same one is there already. Not synced."""
    try:
        os.symlink(target, path)
        belong(path)
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
        os.mkdir(path, 0o777 if mode is None else 0o700)
    except FileExistsError:
        if path.is_symlink() or not path.is_dir():
            raise
        return False
    if inherit:
        belong(path)
    if mode is not None:
        os.chmod(path, mode)
    return True


def set_mode(path: Path, mode: int, group: int | None = None) -> None:
    """Set the mode of a file or directory, not of what a link names, and sync it.

    Args:
        path: Which one.
        mode: Its mode.
        group: Its group, by number; None leaves it.

    Raises:
        OSError: It is a link (`ELOOP`), or another's.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if group is not None:
        os.chown(path, -1, group, follow_symlinks=False)
    os.chmod(path, mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
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


def scratch() -> Path:
    """Make a directory for temporary files, for this user alone and outside any repository; `delete_tree` ends it."""
    return Path(tempfile.mkdtemp(prefix="modelrepo-"))


def delete_tree(path: Path) -> None:
    """Delete a directory and all below, without recursion and without following a link.

    It may stop in the middle, with an `OSError` or a crash; deleting again goes on.
    """
    if path.is_symlink() or not path.is_dir():
        remove_file(path)
        return
    stack = [str(path)]
    while stack:
        directory = stack[-1]
        try:
            below = _delete_files(directory)
        except PermissionError:
            # Another's directory, of which he could not set the mode any more, is empty.
            if not remove_empty(Path(directory)):
                raise
            stack.pop()
            continue
        if below:
            stack.extend(below)
        else:
            os.rmdir(directory)
            stack.pop()


def _delete_files(directory: str) -> list[str]:
    """Delete what is not a directory; return the directories."""
    mode = stat.S_IMODE(os.lstat(directory).st_mode)
    if mode & 0o700 != 0o700:
        with contextlib.suppress(PermissionError):
            os.chmod(directory, mode | 0o700)
    below = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            else:
                os.unlink(entry.path)
    return below


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
