"""What the inspector's child gives up before it touches a model: time, memory, a GPU, the right to write or to connect.

An ordinary user may give these up, where the kernel lets him: limits everywhere, Landlock on Linux 5.13 and newer (TCP
since 6.7), the whole network where he may make namespaces of his own; there also writing, on kernels without Landlock,
by mounts that are read-only (Linux 5.12). What the kernel does not have, or a container forbids, is not taken away;
what was is told. This keeps accidents and simple malice small; it is no sandbox for code that fights it, and reading
files is not taken away.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

_NICE = 10
#: From linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
#: From linux/sched.h.
_NEW_USER, _NEW_NET, _NEW_MOUNTS = 0x10000000, 0x40000000, 0x00020000
#: From linux/mount.h and linux/fcntl.h; the system call has the same number on all architectures.
_MOUNT_SETATTR, _HERE, _RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1
_BIND, _PRIVATE = 1 << 12, 1 << 18
#: The numbers of Landlock's system calls are the same on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _RULE_PATH_BENEATH = 1, 1
#: From linux/landlock.h: all rights to change a file system, by the first version of Landlock that knows them.
_WRITE_FILE = 1 << 1
_FILE_RIGHTS = {1: _WRITE_FILE | 0b1_1111_1111_0000, 2: 1 << 13, 3: 1 << 14}
_NET_RIGHTS, _NET_VERSION = 0b11, 4


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace"))


def enter(*, memory: int, scratch: str) -> tuple[str, ...]:
    """Give up what a model need not have, and end when the parent ends (Linux). There is no way back.

    Args:
        memory: Bytes of data that the process may have (Linux). Data, not address space: TensorFlow reserves far more
            addresses than it uses.
        scratch: The one directory that may be written to: TensorFlow's import wants a place for temporary files.

    Returns:
        What was given up: `nice`, `gpu`, and where the system has them `memory` (a limit on data), `files` (writing
            elsewhere, by Landlock or else by a namespace of mounts), `tcp` (by Landlock), `network` (all of it, by a
            namespace).
    """
    os.nice(_NICE)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TMPDIR"] = scratch
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    held = ["nice", "gpu"]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # Root keeps his rights on files only in the namespace of users that he has them in.
        if libc.unshare(_NEW_NET) == 0 or libc.unshare(_NEW_USER | _NEW_NET) == 0:
            held.append("network")
            libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # else it could not look at itself in /proc
        libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)  # after the namespace, which takes it away
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        held += ["memory", *(_landlock(libc, scratch) or _mounts(libc, scratch))]
    return tuple(held)


def _landlock(libc: ctypes.CDLL, scratch: str) -> tuple[str, ...]:
    """Give up writing elsewhere, and TCP, for good; nothing where the kernel has no Landlock."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if version < 1:
        return ()
    files = 0
    for since, rights in _FILE_RIGHTS.items():
        files |= rights if version >= since else 0
    net = _NET_RIGHTS if version >= _NET_VERSION else 0
    rules = _Ruleset(files, net)
    size = ctypes.sizeof(rules) if net else ctypes.sizeof(ctypes.c_uint64)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return ()
    for place, rights in ((os.devnull, _WRITE_FILE), (scratch, files)):
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
        beneath = _PathBeneath(rights, descriptor)
        libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(beneath), 0)
        os.close(descriptor)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return () if refused else ("files", "tcp") if net else ("files",)


def _mounts(libc: ctypes.CDLL, scratch: str) -> tuple[str, ...]:
    """Give up writing elsewhere by making all mounts read-only for this process; nothing where that is not allowed."""
    if libc.unshare(_NEW_MOUNTS) != 0:
        return ()
    place = os.fsencode(scratch)

    def change(where: bytes, flags: int, **values: int) -> bool:
        wanted = _MountAttributes(**values)
        size = ctypes.c_size_t(ctypes.sizeof(wanted))
        return bool(libc.syscall(_MOUNT_SETATTR, _HERE, where, flags, ctypes.byref(wanted), size) == 0)

    # Private first, or the host would see the mount that follows.
    if (
        change(b"/", _RECURSIVE, propagation=_PRIVATE)
        and libc.mount(place, place, None, ctypes.c_ulong(_BIND), None) == 0
        and change(b"/", _RECURSIVE, set=_READ_ONLY)
    ):
        if change(place, 0, clear=_READ_ONLY):
            return ("files",)
        change(b"/", _RECURSIVE, clear=_READ_ONLY)  # it needs a place for temporary files
    return ()


def peak() -> int:
    """The most memory that this process has had resident so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
