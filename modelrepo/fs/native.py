"""What Linux and macOS do differently, and system calls that Python does not offer, through ctypes.

Each such call says whether it was done; none of them is needed to be right. Where one is missing (macOS, an old kernel,
a file system that answers EINVAL) the callers fall back to a plainer way. What Linux says in `/proc` about processes is
read in `processes` and `inuse`, and what a model's process gives up is the cage's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import struct
import sys
import time
from collections.abc import Iterator
from functools import cache

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_FALLOC_FL_KEEP_SIZE = 1
#: From linux/fs.h: `_IOW(0x94, 9, int)`; where those have other numbers (MIPS, PowerPC), the kernel says ENOTTY.
_FICLONE = 0x40049409
#: From linux/fiemap.h: start, length, flags, how many extents there are, room for how many; and of an extent where it
#: stands in the file and on the disk, its length, its flags.
_FIEMAP, _EXTENT_SHARED = 0xC020660B, 0x2000
_MAP, _EXTENT = struct.Struct("=QQLLLL"), struct.Struct("=QQQ16xL12x")
_MAP_ROOM = 200
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY}

#: `f_type` of the file systems whose renames, links, syncs and locks are known to keep the promises.
KNOWN_FILE_SYSTEMS = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlay",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
}
_OTHER_FILE_SYSTEMS = {0x6969: "nfs", 0xFF534D42: "cifs", 0xFE534D42: "smb2", 0x65735546: "fuse", 0x01021997: "9p"}
#: File systems on which one `syncfs` is cheaper than many `fsync` and does the same.
SYNCFS_FILE_SYSTEMS = frozenset({"ext4", "xfs", "btrfs"})
#: File systems that may let files share blocks.
CLONING_FILE_SYSTEMS = frozenset({"xfs", "btrfs", "bcachefs", "overlay", "zfs"})


_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
#: The clock that goes on while the machine sleeps; macOS has it under the other name.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def sync(descriptor: int) -> None:
    """Wait until a file's or directory's bytes are on the disk; on macOS `fsync` alone leaves them in the drive."""
    if _FULL_SYNC is not None:
        fcntl.fcntl(descriptor, _FULL_SYNC)
    else:
        os.fsync(descriptor)


def boot() -> str:
    """What tells one boot of the machine from another; empty where the system does not say (macOS)."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def uptime() -> float:
    """Seconds on a clock that nobody sets."""
    return time.clock_gettime(_CLOCK)


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _call(name: str, *arguments: object, about: str | None = None) -> bool:
    """Call a function of libc: True done, False not supported here, `OSError` for the rest."""
    function = getattr(_libc(), name, None)
    if function is None:
        return False
    if function(*arguments) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), about)


def rename_noreplace(old: str, new: str) -> bool:
    """Rename, and fail with `FileExistsError` where the new name is taken, even by an empty directory."""
    return _call(
        "renameat2",
        _AT_FDCWD,
        os.fsencode(old),
        _AT_FDCWD,
        os.fsencode(new),
        ctypes.c_uint(_RENAME_NOREPLACE),
        about=new,
    )


def start_writeback(descriptor: int) -> None:
    """Ask the kernel to begin to write a file's bytes, without waiting."""
    _call("sync_file_range", descriptor, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))


def sync_file_system(descriptor: int) -> bool:
    """Sync the file system that holds the descriptor. Errors since the descriptor was opened are reported."""
    return _call("syncfs", descriptor)


def preallocate(descriptor: int, size: int) -> bool:
    """Reserve blocks for a file up to `size` bytes, without changing its length."""
    return _call("fallocate", descriptor, _FALLOC_FL_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))


def clone(source: int, target: int) -> bool:
    """Let an empty file share all blocks of another, until one of them is changed; no byte is copied."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _UNSUPPORTED | {errno.EXDEV, errno.EPERM}:
            return False
        raise
    return True


def shared_blocks(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The blocks of a file that other files share: each one's place on the disk, and its bytes.

    None where the file system does not say.

    Args:
        descriptor: The file, open for reading.
        size: Its size; of the last block, no more counts.
    """
    buffer = bytearray(_MAP.size + _MAP_ROOM * _EXTENT.size)
    start = 0
    while sys.platform == "linux" and start < size:
        _MAP.pack_into(buffer, 0, start, size - start, 0, 0, _MAP_ROOM, 0)
        try:
            fcntl.ioctl(descriptor, _FIEMAP, buffer)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            return
        count = _MAP.unpack_from(buffer)[3]
        for number in range(count):
            logical, place, length, flags = _EXTENT.unpack_from(buffer, _MAP.size + number * _EXTENT.size)
            start = logical + length
            if flags & _EXTENT_SHARED and logical < size:
                yield place, min(length, size - logical)
        if count == 0:
            return


def file_system(path: str) -> tuple[str, bool]:
    """The name of the file system that holds a path, and whether it is one of the known ones.

    On systems other than Linux the name is empty and counts as known: there is no cheap way to ask.
    """
    libc = _libc()
    if libc is None:
        return "", True
    buffer = ctypes.create_string_buffer(256)
    if libc.statfs(os.fsencode(path), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    # f_type is the first field, a long; file systems write it as 32 bits, some of them negative.
    kind = int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF
    name = KNOWN_FILE_SYSTEMS.get(kind)
    return (name, True) if name else (_OTHER_FILE_SYSTEMS.get(kind, f"{kind:#x}"), False)


def open_closed(name: str, flags: int, above: int, mode: int) -> int:
    """Open what its mode keeps even its owner from opening, its mode set before; never through a link.

    Args:
        name: Its name.
        flags: How to open it.
        above: The directory that it is in, open.
        mode: The mode.

    Raises:
        OSError: It is another's (`EPERM`), or a link.
    """
    if sys.platform != "linux":
        os.chmod(name, mode, dir_fd=above, follow_symlinks=False)
        return os.open(name, flags, dir_fd=above)
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        # `fchmod` takes no such descriptor, but this names what it stands for, and nothing else.
        os.chmod(f"/proc/self/fd/{place}", mode)
        return os.open(f"/proc/self/fd/{place}", flags & ~os.O_NOFOLLOW)
    finally:
        os.close(place)


def mount_points(directory: str, above: int | None = None) -> tuple[str, ...]:
    """Where something is mounted on a directory or below it, relative to it, also from the same device.

    None where the system does not say (macOS).

    Args:
        directory: Its path; with `above`, its name.
        above: The directory that it is in, open: where that is, not what has its name by now.
    """
    top = os.path.realpath(directory if above is None else f"/proc/self/fd/{above}/{directory}")
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            places = [_unescaped(line.split(b" ")[4]) for line in file]
    except OSError:
        return ()
    inside = [place for place in places if os.path.commonpath([top, place]) == top]
    return tuple(sorted({os.path.relpath(place, top) for place in inside}))


def _unescaped(field: bytes) -> str:
    """A path as `/proc` tells it: blanks, tabs, line ends and backslashes are three octal digits."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))
