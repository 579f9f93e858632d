"""Digesting in a thread what another thread reads, to write it or to compare it. `hashlib` releases Python's lock."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Self

#: What is handed from one thread to the other: larger than what is read at a time elsewhere, since each time costs.
PIECE = 1024 * 1024
_PIECES = 8

#: Is told how many bytes more are done; less than none where they were done in vain.
Seen = Callable[[int], None]


def unseen(_count: int) -> None:
    """Nobody wants to know."""


class Pieces:
    """The SHA-256 of bytes that somebody else has read, in pieces; at most eight of them wait. Use it in a `with`.

    The thread begins with the first piece, and ends with the `with` at the latest, also where a signal ends that.
    """

    def __init__(self) -> None:
        self._made = 0
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self._full: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        self._result: SimpleQueue[str] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._full.put(None)

    def take(self) -> bytearray:
        """A buffer to read into; waits until one is free."""
        if self._made < _PIECES and self._free.empty():
            self._made += 1
            return bytearray(PIECE)
        return self._free.get()

    def give(self, piece: bytearray, count: int) -> None:
        """Hand a buffer back, with so many bytes to digest at its beginning."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._digest, daemon=True)
            self._thread.start()
        self._full.put((piece, count))

    def result(self) -> str:
        """In hex, of all that was given; nothing can be given later."""
        if self._thread is None:
            return hashlib.sha256().hexdigest()
        self._full.put(None)
        return self._result.get()

    def _digest(self) -> None:
        digest = hashlib.sha256()
        while (full := self._full.get()) is not None:
            piece, count = full
            digest.update(memoryview(piece)[:count])
            self._free.put(piece)
        self._result.put(digest.hexdigest())
