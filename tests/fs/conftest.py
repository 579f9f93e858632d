"""What the tests of `fs` share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

#: Runs a script as root without root's right to pass over modes; as anybody else, as it is.
_ORDINARY = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if os.geteuid() == 0:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


@pytest.fixture
def as_ordinary_user() -> Callable[..., str]:
    """Runs a script without root's right to pass over modes."""
    return _run_ordinary


def _run_ordinary(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _ORDINARY, script, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
