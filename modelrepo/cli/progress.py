"""A bar for what takes longer than a second: bytes, rate, time left. On a terminal only, on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from modelrepo.cli.options import attempt
from modelrepo.errors import ModelRepoError
from modelrepo.repository.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

T = TypeVar("T")
_AFTER_SECONDS = 1.0
_EVERY_SECONDS = 0.1


@contextlib.contextmanager
def bar(doing: str) -> Iterator[Progress | None]:
    """What an operation may tell of its progress; None where nobody looks.

    Args:
        doing: What is shown before the bar.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    shown = _Shown(doing)
    try:
        yield shown
    finally:
        shown.close()


def watched(
    doing: str, operation: Callable[..., T], expected: type[T], *words: object, **options: object
) -> tuple[T, ModelRepoError | None]:
    """As `options.attempt`, with a bar for what takes long.

    Args:
        doing: What is shown before the bar.
        operation: What to call; it is told who watches.
        expected: What it gives.
        words: What to call it with.
        options: Likewise.
    """
    with bar(doing) as progress:
        return attempt(operation, expected, *words, progress=progress, **options)


class _Shown:
    """A bar that appears when the work has taken a while."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._next = time.monotonic() + _AFTER_SECONDS
        self._bar: Bar | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        if self._bar is None:
            self._bar = _new(self._doing)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()


def _new(doing: str) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    shown = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    shown.add_task(doing)
    return shown
