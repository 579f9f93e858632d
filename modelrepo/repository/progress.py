"""How far an operation has come: what it tells whoever shows it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is called while an operation runs, often; it must be quick and must not fail."""

    def __call__(self, done: int, total: int) -> None:
        """Take note.

        Args:
            done: Bytes that are done.
            total: Bytes in all.
        """


class Counter:
    """Adds up what is done, and tells."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, count: int) -> None:
        """So many bytes more are done."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)
