"""Digesting in a thread what another thread writes, or reads for something else. `hashlib` releases Python's lock."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from queue import SimpleQueue

from modelrepo.fs.look import CHUNK

#: How much is worked on at a time, before the other thread is told of it.
STEP = 8 * 1024 * 1024

#: Pieces that are handed from one thread to the other are larger, since each time costs something.
PIECE = 1024 * 1024
_PIECES = 6

#: Is told how many bytes more are done; less than none where they were done in vain.
Seen = Callable[[int], None]


def unseen(_count: int) -> None:
    """Nobody wants to know."""


class Digest:
    """The SHA-256 of a file, up to where it is known to be good."""

    def __init__(self, descriptor: int, pool: Executor) -> None:
        self._ends: SimpleQueue[int | None] = SimpleQueue()
        self._future: Future[str] = pool.submit(_digest, descriptor, self._ends)

    def arrived(self, end: int) -> None:
        """Say that the bytes before an offset are there."""
        self._ends.put(end)

    def result(self) -> str:
        """In hex, of all bytes that arrived. Call it once they all have.

        Raises:
            OSError: They could not be read.
        """
        self._ends.put(None)
        return self._future.result()

    def close(self) -> None:
        """Wait until nobody reads the file any more."""
        self._ends.put(None)
        self._future.exception()


@contextlib.contextmanager
def digesting(descriptor: int, pool: Executor) -> Iterator[Digest]:
    """Digest a file from its beginning; behind this, nobody reads it any more.

    Args:
        descriptor: The file, open for reading.
        pool: For one thread.
    """
    digest = Digest(descriptor, pool)
    try:
        yield digest
    finally:
        digest.close()


def _digest(descriptor: int, ends: SimpleQueue[int | None]) -> str:
    digest = hashlib.sha256()
    view = memoryview(bytearray(CHUNK))
    offset = 0
    while (end := ends.get()) is not None:
        while offset < end:
            count = os.preadv(descriptor, [view[: min(CHUNK, end - offset)]], offset)
            if count == 0:
                raise OSError(errno.EIO, "the copy is shorter than what was written")
            digest.update(view[:count])
            offset += count
    return digest.hexdigest()


class Pieces:
    """The SHA-256 of bytes that somebody else has read, in pieces; at most six of them wait."""

    def __init__(self, pool: Executor) -> None:
        self._free: SimpleQueue[bytearray] = SimpleQueue()
        self._full: SimpleQueue[tuple[bytearray, int] | None] = SimpleQueue()
        for _ in range(_PIECES):
            self._free.put(bytearray(PIECE))
        self._future: Future[str] = pool.submit(self._digest)

    def take(self) -> bytearray:
        """A buffer to read into; waits until one is free."""
        return self._free.get()

    def give(self, piece: bytearray, count: int) -> None:
        """Hand a buffer back, with so many bytes to digest at its beginning."""
        self._full.put((piece, count))

    def result(self) -> str:
        """In hex, of all that was given."""
        self.close()
        return self._future.result()

    def close(self) -> None:
        """Let the thread go; what it has not digested yet counts, what is given later does not."""
        self._full.put(None)

    def _digest(self) -> str:
        digest = hashlib.sha256()
        while (full := self._full.get()) is not None:
            piece, count = full
            digest.update(memoryview(piece)[:count])
            self._free.put(piece)
        return digest.hexdigest()
