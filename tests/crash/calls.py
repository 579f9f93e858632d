"""The system calls that change, sync or read files on x86-64 Linux: their numbers, what they touch, and a filter.

The filter (seccomp) makes a process stop for its tracer at these calls and at no others, so that it runs at nearly full
speed between them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_FICLONE, _FICLONERANGE = 0x40049409, 0x4020940D
#: Flags of an open that may change something.
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Kind:
    """A system call.

    Attributes:
        name: Its name.
        number: Its number on x86-64.
        touches: Where its arguments name what it touches: `f0` a descriptor in the first, `p0` a path in the first,
            `a0` a directory's descriptor in the first and a path below it in the second.
        reads: Whether it changes nothing.
        data: Which argument is the address of the bytes it writes, and the next one their number.
        count: Which argument is the number of bytes, where fewer may be done than asked.
        flags: Which argument holds the flags of an open: without a writing one it is a reading call.
        requests: Which requests count (of `ioctl`).
    """

    name: str
    number: int
    touches: tuple[str, ...]
    reads: bool = False
    data: int | None = None
    count: int | None = None
    flags: int | None = None
    requests: tuple[int, ...] = ()


KINDS = (
    Kind("write", 1, ("f0",), data=1, count=2),
    Kind("pwrite64", 18, ("f0",), data=1, count=2),
    Kind("writev", 20, ("f0",)),
    Kind("pwritev", 296, ("f0",)),
    Kind("pwritev2", 328, ("f0",)),
    Kind("sendfile", 40, ("f0",), count=3),
    Kind("copy_file_range", 326, ("f2",), count=4),
    Kind("splice", 275, ("f2",)),
    Kind("ioctl", 16, ("f0",), requests=(_FICLONE, _FICLONERANGE)),
    Kind("truncate", 76, ("p0",)),
    Kind("ftruncate", 77, ("f0",)),
    Kind("fallocate", 285, ("f0",)),
    Kind("fsync", 74, ("f0",)),
    Kind("fdatasync", 75, ("f0",)),
    Kind("sync_file_range", 277, ("f0",)),
    Kind("syncfs", 306, ("f0",)),
    Kind("open", 2, ("p0",), flags=1),
    Kind("creat", 85, ("p0",)),
    Kind("openat", 257, ("a0",), flags=2),
    Kind("openat2", 437, ("a0",)),
    Kind("rename", 82, ("p0", "p1")),
    Kind("renameat", 264, ("a0", "a2")),
    Kind("renameat2", 316, ("a0", "a2")),
    Kind("link", 86, ("p0", "p1")),
    Kind("linkat", 265, ("a0", "a2")),
    Kind("symlink", 88, ("p1",)),
    Kind("symlinkat", 266, ("a1",)),
    Kind("unlink", 87, ("p0",)),
    Kind("unlinkat", 263, ("a0",)),
    Kind("mkdir", 83, ("p0",)),
    Kind("mkdirat", 258, ("a0",)),
    Kind("mknod", 133, ("p0",)),
    Kind("mknodat", 259, ("a0",)),
    Kind("rmdir", 84, ("p0",)),
    Kind("chmod", 90, ("p0",)),
    Kind("fchmod", 91, ("f0",)),
    Kind("fchmodat", 268, ("a0",)),
    Kind("fchmodat2", 452, ("a0",)),
    Kind("chown", 92, ("p0",)),
    Kind("fchown", 93, ("f0",)),
    Kind("lchown", 94, ("p0",)),
    Kind("fchownat", 260, ("a0",)),
    Kind("utime", 132, ("p0",)),
    Kind("utimes", 235, ("p0",)),
    Kind("futimesat", 261, ("a0",)),
    Kind("utimensat", 280, ("a0",)),
    Kind("setxattr", 188, ("p0",)),
    Kind("lsetxattr", 189, ("p0",)),
    Kind("fsetxattr", 190, ("f0",)),
    Kind("removexattr", 197, ("p0",)),
    Kind("lremovexattr", 198, ("p0",)),
    Kind("fremovexattr", 199, ("f0",)),
    Kind("flock", 73, ("f0",)),
    Kind("read", 0, ("f0",), reads=True, count=2),
    Kind("pread64", 17, ("f0",), reads=True, count=2),
    Kind("readv", 19, ("f0",), reads=True),
    Kind("preadv", 295, ("f0",), reads=True),
    Kind("getdents64", 217, ("f0",), reads=True),
    Kind("readlink", 89, ("p0",), reads=True),
    Kind("readlinkat", 267, ("a0",), reads=True),
)
BY_NUMBER = {kind.number: kind for kind in KINDS}

# What a filter is made of (linux/filter.h, linux/seccomp.h).
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _TRACE = 0x7FFF0000, 0x7FF00000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X86_64 = 0xC000003E
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2


def _instruction(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, true, false, value)


def _argument(index: int) -> bytes:
    """Load the lower half of an argument: flags and requests have no more."""
    return _instruction(_LOAD, _ARGUMENTS + 8 * index)


def _program(kinds: Iterable[Kind], *, reads: bool) -> bytes:
    allow, trace = _instruction(_RETURN, _ALLOW), _instruction(_RETURN, _TRACE)
    program = _instruction(_LOAD, _ARCHITECTURE) + _instruction(_EQUAL, _X86_64, true=1) + allow
    program += _instruction(_LOAD, _NUMBER)
    for kind in kinds:
        if kind.reads and not reads:
            continue
        if kind.flags is not None and not reads:
            body = _argument(kind.flags) + _instruction(_ANY_BIT, _WRITING, false=1) + trace + allow
        elif kind.requests:
            body = _argument(1)
            for request in kind.requests:
                body += _instruction(_EQUAL, request, false=1) + trace
            body += allow
        else:
            body = trace
        program += _instruction(_EQUAL, kind.number, false=len(body) // 8) + body
    return program + allow


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


def stop_at_calls(*, reads: bool) -> None:
    """Make this process, and all that it starts, stop for the tracer at the calls of the table.

    Without a tracer these calls fail from here on (ENOSYS).

    Args:
        reads: Whether also at those that only read.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(KINDS, reads=reads)
    words = _Filter(len(program) // 8, program)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(words), 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
