"""Where modelrepo does not run, it says so before anything fails."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: An interpreter as on Windows: with that name of the system, and without the modules that only Unix has. What others
#: import is imported before, since they would look for Windows' own modules.
_WINDOWS = """\
import sys
import pydantic, sysconfig, typer
sysconfig.get_config_vars()
for name in ("fcntl", "pwd", "grp", "resource"):
    sys.modules[name] = None
sys.platform = "win32"
"""
_PROGRAM = f"{_WINDOWS}from modelrepo.cli.main import main\nmain()\n"


@pytest.mark.parametrize("words", [("init",), ("push", "x"), ("--help",), ("status",), ()])
def test_on_windows_every_command_is_refused_with_a_clear_message(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("modelrepo: modelrepo does not run on Windows")
    assert "WSL 2" in done.stderr


def test_on_windows_json_is_one_document() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "list", "--json"], check=False, capture_output=True, text=True, timeout=60
    )
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["kind"], error["got"]) == (8, "platform", "Windows")


def test_on_windows_the_library_says_the_same() -> None:
    code = f"{_WINDOWS}from modelrepo import Repository"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert "SystemRefusedError: modelrepo does not run on Windows" in done.stderr
