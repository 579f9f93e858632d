"""Leases: a reader's hold on a version, so that cleanup and `remove` leave it alone.

A lease is a shared `flock` on the version's directory. It is taken without waiting; behind it the directory is looked
at again, because it may have been renamed away in between: then the ref is resolved anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from modelrepo.core.layout import Layout
from modelrepo.core.refs import Ref, Version
from modelrepo.errors import BusyError
from modelrepo.fs import locks
from modelrepo.fs.locks import Hold
from modelrepo.repository import snapshot as reading

_SECONDS = 5.0
_PAUSE_SECONDS = 0.02


class Lease:
    """A version, held. Use it in a `with` statement, or `close` it; it also ends with the process.

    Attributes:
        version: Which version.
        path: Its directory. It stays readable below this path for as long as the lease is held, wherever channels
            move meanwhile.
    """

    def __init__(self, version: Version, path: Path, hold: Hold) -> None:
        self.version = version
        self.path = path
        self._hold = hold

    def __repr__(self) -> str:
        return f"Lease({self.version!r}, {str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go. Closing again does nothing."""
        self._hold.close()

    def inherit(self) -> int:
        """Let programs that this process starts, or becomes, hold the lease too, until they end.

        Returns:
            The descriptor that they must not close.
        """
        self._hold.inherit()
        return self._hold.descriptor


def lease(layout: Layout, ref: Ref) -> Lease:
    """Hold the version that a ref names.

    Raises:
        NotFoundError: There is none.
        BusyError: Somebody who wants to delete it held it for too long.
    """

    def find() -> tuple[Version, Hold | None]:
        version = reading.take(layout).resolve(ref)
        try:
            return version, locks.take(layout.version(version))
        except FileNotFoundError:  # deleted since we looked: the next look says so
            return version, None

    version, hold = _insist(layout, find)
    return Lease(version, layout.version(version), hold)


def hold(layout: Layout, version: Version) -> Hold:
    """Hold a version against deletion.

    Raises:
        FileNotFoundError: It is gone.
        BusyError: Somebody who wants to delete it held it for too long.
    """
    return _insist(layout, lambda: (version, locks.take(layout.version(version))))[1]


def _insist(layout: Layout, find: Callable[[], tuple[Version, Hold | None]]) -> tuple[Version, Hold]:
    """Try to hold until it works, for a bounded time."""
    deadline = time.monotonic() + _SECONDS
    while True:
        version, held = find()
        if held is not None:
            return version, held
        if time.monotonic() > deadline:
            who = "; ".join(locks.holders(layout.version(version))) or locks.UNSEEN_HOLDER
            raise BusyError(f"{version} is held by {who}", kind="leased", got=who, hint="try again")
        time.sleep(_PAUSE_SECONDS)
