"""Digests of many files at once, on all cores: hashing and reading run beside each other, outside Python's lock."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from modelrepo.errors import from_os
from modelrepo.fs.digesting import Seen, unseen
from modelrepo.fs.files import file_digest
from modelrepo.fs.look import Found
from modelrepo.repository.results import Problem

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(frozen=True, slots=True)
class Pending:
    """A file whose digest is being made.

    Attributes:
        where: Which file, relative to the root.
        expected: The digest that it should have.
        soon: The one that it has.
    """

    where: str
    expected: str
    soon: Future[str]

    def problem(self) -> Problem | None:
        """What is wrong with it, once it is read."""
        try:
            digest = self.soon.result()
        except OSError as error:
            return Problem(kind="file-unreadable", path=self.where, detail=from_os(error, "read it").message)
        if digest == self.expected:
            return None
        return Problem(kind="file-digest", path=self.where, detail=f"its bytes have {digest}, not {self.expected}")


class Digests:
    """Reads files in threads, one per core, each with one buffer of its own. Use it in a `with` statement.

    Args:
        seen: Is told how many bytes more are read, by one thread at a time.
    """

    def __init__(self, seen: Seen = unseen) -> None:
        from concurrent.futures import ThreadPoolExecutor  # `status` checks, too, and reads no bytes

        self._threads = ThreadPoolExecutor(_cores(), "digest")
        self._shared: dict[tuple[int, int], Future[str]] = {}
        self._ended = threading.Event()
        self._seen = seen
        self._one = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()  # whoever interrupts does not wait for the end of a large file
        self._threads.shutdown(cancel_futures=True)

    def pending(self, path: Path, found: Found, where: str, expected: str) -> Pending:
        """Begin to read a file; one with several names is read once.

        Args:
            path: Which file.
            found: How it stands on the disk.
            where: How findings call it.
            expected: The digest that it should have.
        """
        soon = None if found.shared is None else self._shared.get(found.shared)
        if soon is not None:
            self._tell(found.size)
        else:
            soon = self._threads.submit(self._read, path)
            if found.shared is not None:
                self._shared[found.shared] = soon
        return Pending(where, expected, soon)

    def _read(self, path: Path) -> str:
        return file_digest(path, self._go_on)[1]

    def _go_on(self, count: int) -> None:
        if self._ended.is_set():
            raise InterruptedError("given up")
        self._tell(count)

    def _tell(self, count: int) -> None:
        with self._one:
            self._seen(count)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
