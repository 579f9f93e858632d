"""Reading regular files: following no link, never waiting on a pipe, never more than was allowed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

#: What fits into a core's own cache: with 1 MiB, reading and writing took twice as long (docs/decisions/0007).
CHUNK = 256 * 1024
#: What `read_file` says of something that is no file to be read. All else (`EIO`, `EMFILE`, …) is the system's trouble.
NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EFBIG, errno.EISDIR})


def open_regular(path: Path | str) -> int:
    """Open a regular file for reading, following no link.

    Raises:
        OSError: It is missing, a link, a pipe or anything else (`EINVAL`), or may not be read.
    """
    return _open_regular(path)[0]


def _open_regular(path: Path | str) -> tuple[int, int]:
    """As `open_regular`, and the file's size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket, or a device without a driver
            raise
        raise _irregular(path) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return descriptor, status.st_size


def _irregular(path: Path | str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", str(path))


def read_file(path: Path | str, limit: int) -> bytes:
    """Read a regular file.

    Raises:
        OSError: As `open_regular`; `EFBIG` where it has more than `limit` bytes.
    """
    descriptor, size = _open_regular(path)
    try:  # without Python's file objects, which take longer than the reading: a list reads ten thousand manifests
        data = os.read(descriptor, min(size, limit) + 1)  # no buffer for the whole limit
        while len(data) <= limit and (more := os.read(descriptor, min(limit + 1 - len(data), max(len(data), 4096)))):
            data += more  # it grows, or a signal came
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


def file_digest(path: Path, seen: Callable[[int], None] | None = None) -> tuple[int, str]:
    """A regular file's size and digest, read now.

    Args:
        path: Which file.
        seen: Is told of every piece that was read, in bytes.
    """
    digest = hashlib.sha256()
    done = 0
    view = memoryview(bytearray(CHUNK))
    descriptor, size = _open_regular(path)
    try:
        while done <= size and (count := os.readv(descriptor, [view])):  # of one that grows, a piece more
            digest.update(view[:count])
            done += count
            if seen is not None:
                seen(count)
    finally:
        os.close(descriptor)
    return done, f"sha256:{digest.hexdigest()}"
