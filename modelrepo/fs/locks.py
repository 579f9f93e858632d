"""The writers' lock, and leases: shared and exclusive holds on a directory.

A hold is an `flock` on the directory itself: any user who may read it can take one, on read-only mounts too, and it
ends with the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from modelrepo.core.modes import PRIVATE
from modelrepo.errors import BusyError, IntegrityError
from modelrepo.fs import durable, look
from modelrepo.fs.processes import lock_holders, named

#: How a message names a holder of whom the system does not say who it is: one in another PID namespace, say.
UNSEEN_HOLDER = "somebody who cannot be seen from here"

_POLL_SECONDS = 0.005
#: Who takes the lock again and again leaves it free for so long in between: whoever waits gets it then.
FREE_SECONDS = 2 * _POLL_SECONDS
#: A script that says `exec 3< file` must not close the lease that it was started with; bash takes 10 and up for itself.
_INHERITED_FROM = 200


class WriterLock:
    """The lock, held. `check` before every commit: a lock file that was deleted lets a second writer in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def check(self) -> None:
        """Make sure that the file that is locked is still the one under the lock's name.

        Raises:
            IntegrityError: Somebody removed or replaced it.
        """
        held = os.fstat(self._descriptor)
        try:
            named = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            named = None
        if named is None or (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino):
            raise IntegrityError(
                f"{self._path} was removed or replaced while it was held",
                kind="lock-replaced",
                hint="let nobody delete the lock file; `modelrepo status` says how things stand",
            )

    def _acquired(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    @contextlib.contextmanager
    def hold(cls, path: Path, timeout: float, mode: int = PRIVATE.lock) -> Iterator[WriterLock]:
        """Wait for the lock and hold it.

        Args:
            path: The lock file; it is there since `init`, with the mode that says who may write.
            timeout: Seconds to wait; 0 does not wait.
            mode: The mode that it is made with, where somebody removed it.

        Raises:
            BusyError: Somebody else holds it; the message names who.
            IntegrityError: Something that is no file has its name.
        """
        from filelock import FileLock, Timeout

        _require_file(path)
        held = cls(path)
        lock = FileLock(
            path,
            timeout=timeout,
            mode=mode,
            poll_interval=_POLL_SECONDS,
            fallback_to_soft=False,
            on_acquired=held._acquired,
        )
        try:
            lock.acquire()
        except Timeout:
            who = "; ".join(holders(path)) or UNSEEN_HOLDER
            raise BusyError(
                f"the repository is locked: {who}",
                kind="locked",
                expected=f"the lock within {timeout:g} s",
                got=who,
                hint="try again, or wait longer with --lock-timeout",
            ) from None
        try:
            with durable.opened(path.parent) as above:
                durable.belong(held._descriptor, above)  # filelock makes the file where somebody removed it
            held.check()
            yield held
        finally:
            # What was done is done. `FileLock` tries once more when nobody names it; with the process it ends anyway.
            with contextlib.suppress(OSError):
                lock.release()


def _require_file(path: Path) -> None:
    """Refuse what is no file under the lock's name: a lock of a pipe, or of something elsewhere, keeps nobody out."""
    kind = look.kind_at(path)
    if kind not in {None, "file"}:
        raise IntegrityError(
            f"{path} is not a file",
            kind="lock-replaced",
            expected="a file",
            got=f"a {kind}",
            hint="move it away: the next writing command makes the lock anew; nothing was changed",
        )


class Hold:
    """A lease on a directory, or the exclusive hold of who wants to delete it. It ends when closed."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def inherit(self) -> None:
        """Keep the hold open in programs that this process becomes or starts, at a number that scripts do not use."""
        here = fcntl.fcntl(self.descriptor, fcntl.F_DUPFD, _INHERITED_FROM)
        os.close(self.descriptor)
        self.descriptor = here

    def close(self) -> None:
        """Let go."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def take(path: Path | str, *, exclusive: bool = False) -> Hold | None:
    """Hold a directory without waiting.

    The hold is on the directory that the path names when this returns: the path is looked at again behind the lock.

    Returns:
        None where somebody holds it against this, or where the path names something else by now.

    Raises:
        FileNotFoundError: There is no such directory.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        held, named = os.fstat(descriptor), os.stat(path, follow_symlinks=False)
        if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino):
            return Hold(descriptor)
    except FileNotFoundError:
        pass  # it went away between the open and the lock
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            os.close(descriptor)
            raise
    os.close(descriptor)
    return None


def holders(path: Path | str) -> list[str]:
    """Who holds an `flock` on a path: `process 123 (modelrepo push ./export)`. Empty where the system does not say."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return []
    return [named(process) for process in lock_holders((status.st_dev, status.st_ino))]
