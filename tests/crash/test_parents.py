"""Who is killed in the middle of a trial leaves no process behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("traceable")

_STARTS = """
import time
from pathlib import Path
from crash.steps import Child
from crash.tracer import tracer

child = Child(lambda: time.sleep(600), Path("/nowhere"))
print(child.pid, tracer()._server.pid, flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_a_killed_run_had_started_ends_with_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        cwd=Path(__file__).parents[1],
    ) as run:
        assert run.stdout is not None
        started = [int(pid) for pid in run.stdout.readline().split()]
        assert len(started) == 2
        assert all(map(is_running, started))
        run.kill()
    end = time.monotonic() + 10
    while any(map(is_running, started)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(is_running, started))
