"""Processes are named by the words that somebody typed, wherever the program lies."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelrepo.fs.processes import command_words, named


@contextlib.contextmanager
def running(*words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose new words the system shows already: they come a moment behind its start."""
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + 10
            while not Path(f"/proc/{process.pid}/cmdline").read_bytes() and time.monotonic() < deadline:
                time.sleep(0.001)
            yield process
        finally:
            process.kill()


def test_a_process_is_named_by_its_words_however_deep_its_program_lies(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("deeper" * 20)
    deep.mkdir(parents=True)
    sleep = shutil.which("sleep")
    assert sleep
    (deep / "sleep").symlink_to(sleep)
    with running(deep / "sleep", "60") as process:
        assert named(process.pid) == f"process {process.pid} (sleep 60)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/usr/bin/python3", "/srv/serve.py", "--model", "/models"], ["python3", "serve.py", "--model", "/models"]),
        (["/usr/bin/python3", "-c", "/srv/serve.py"], ["python3", "-c", "/srv/serve.py"]),
        (["tensorflow_model_server"], ["tensorflow_model_server"]),
        ([], [""]),
    ],
)
def test_only_where_the_program_lies_is_left_out(words: list[str], said: list[str]) -> None:
    assert command_words(words) == said


def test_line_breaks_and_what_acts_on_a_terminal_are_not_said() -> None:
    with running("sh", "-c", "read line\n\x1b[31m") as process:
        said = named(process.pid)
    assert said == f"process {process.pid} (sh -c read line ?[31m)"


def test_a_process_that_is_gone_is_a_number() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert named(process.pid) == f"process {process.pid}"
