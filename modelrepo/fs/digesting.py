"""Digesting in a thread what another thread reads, to write it or to compare it. `hashlib` releases Python's lock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
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

    Args:
        pool: For one thread.
    """

    def __init__(self, pool: Executor) -> None:
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self._full: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        for _ in range(_PIECES):
            self._free.put(bytearray(PIECE))
        self._future: Future[str] = pool.submit(self._digest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._full.put(None)  # the thread goes, whatever it has not digested yet

    def take(self) -> bytearray:
        """A buffer to read into; waits until one is free."""
        return self._free.get()

    def give(self, piece: bytearray, count: int) -> None:
        """Hand a buffer back, with so many bytes to digest at its beginning."""
        self._full.put((piece, count))

    def result(self) -> str:
        """In hex, of all that was given; nothing can be given later."""
        self._full.put(None)
        return self._future.result()

    def _digest(self) -> str:
        digest = hashlib.sha256()
        while (full := self._full.get()) is not None:
            piece, count = full
            digest.update(memoryview(piece)[:count])
            self._free.put(piece)
        return digest.hexdigest()
