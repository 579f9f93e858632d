"""Starting the inspector's child process, also before anybody knows what to ask it.

Where a command will need one, it starts while the parent still imports what it needs itself: both take about as long. A
child waits for its limits before it reads anything of a model, and ends when its standard input does.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys

Process = subprocess.Popen[bytes]
_waiting: list[Process] = []


def start() -> None:
    """Start one for whoever takes it first; where nobody does, it ends with this process.

    Where it cannot be started, that is told to whoever needs one.
    """
    if not _waiting:
        with contextlib.suppress(OSError):
            _waiting.append(_started())
            atexit.register(_end)


def take() -> Process:
    """One that waits already, or a new one. Its first line tells it its limits."""
    return _waiting.pop() if _waiting else _started()


def _started() -> Process:
    return subprocess.Popen(
        [sys.executable, "-m", "modelrepo.savedmodel.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _end() -> None:
    for child in _waiting:
        child.kill()
        child.wait()
    _waiting.clear()
