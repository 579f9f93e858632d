"""Runs the console blocks of a page, so that what they show is what happens.

A block is what a terminal showed: lines that begin with `$ ` are commands, those with `> ` go on with one, all else is
what was printed. All commands of one run go to one bash, so that variables, files and background jobs are there for
the next. `/models` and `/srv` stand for places in a scratch directory. A command that fails must be followed by
`$ echo $?`: no page hides a failure.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).parents[2]
_STANDS_FOR_SCRATCH = re.compile(r"(?<![\w./-])/(models|srv)\b")
_MARK = "\x1e"
#: Defined before the first command: behind each one it prints the exit code between marks, and leaves it for `$?`.
_PRELUDE = "exec 2>&1; mark() { local code=$?; printf '\\036%s\\036' $code; return $code; }\n"
#: What differs from run to run and from host to host, and the spaces by which columns follow it.
_VARYING = (
    (re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?"), "TIME"),
    (re.compile(r"\b[\w.-]+@[\w.-]+"), "WHO"),
    (re.compile(r"\b[\w.-]+:(?=/)"), "HOST:"),
    (re.compile(r"\bprocess \d+"), "process PID"),
    (re.compile(r"\([1-9][\d.]* \w+ free\)"), "(SPACE free)"),
    (re.compile(r"[\d.]+ \w+ and \d+ files$", re.MULTILINE), "SIZE and COUNT files"),
    (re.compile(r"^  sha256:[0-9a-f]{64}$", re.MULTILINE), "  HEAD"),
    (re.compile(r"manifest sha256:[0-9a-f]{64}"), "manifest DIGEST"),
    (re.compile(r"journal-[0-9a-f]{12}"), "journal-DIGEST"),
    (re.compile(r"^(modelrepo: warning: )?\d+ process(es)? could not be looked at.*\n", re.MULTILINE), ""),
    (re.compile(r"\boff by (at most )?[\d.e-]+"), "off by SOME"),
    (re.compile(r"differs by [\d.e-]+"), "differs by SOME"),
    (re.compile(r"^  got: [\d.e-]+$", re.MULTILINE), "  got: SOME"),
    (re.compile(r"^  by tensorflow .*$", re.MULTILINE), "  by TOOLS"),
    (re.compile(r"\btflite-[0-9a-f]{12}"), "tflite-NAME"),
    (re.compile(r" +"), " "),
)


@dataclass(frozen=True)
class Step:
    """A command of a page, and what the page says that it prints."""

    command: str
    printed: str


def steps(text: str) -> list[Step]:
    """The commands of all console blocks of a text, in order."""
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        first, *parts = re.split(r"^\$ (.*\n(?:> .*\n)*)", block, flags=re.MULTILINE)
        assert not first, f"a console block begins with a command, not with {first!r}"
        for command, printed in zip(parts[::2], parts[1::2], strict=True):
            found.append(Step(re.sub(r"^> ", "", command, flags=re.MULTILINE), printed))
    return found


def files(text: str) -> dict[str, str]:
    """The files that a page shows: blocks that begin with a comment that says where each belongs."""
    found = re.findall(r"^```\w+\n(# (/\S+)\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    return {place: content for content, place in found}


@dataclass(frozen=True)
class Stage:
    """What a page takes for granted.

    Attributes:
        files: Files that it shows, by their places.
        programs: Programs that stand in for others, by the others' names: Python files beside this one.
        ports: Ports of the page, each with one that is free here.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, str] = field(default_factory=dict)

    def here(self, text: str, scratch: Path) -> str:
        """A text of the page, with the places and ports of this run."""
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return _STANDS_FOR_SCRATCH.sub(rf"{scratch}/\1", text)

    def there(self, text: str, scratch: Path) -> str:
        """What was printed, with the places and ports of the page."""
        for port, free in self.ports.items():
            text = re.sub(rf"\b{free}\b", port, text)
        return text.replace(f"{scratch}/models", "/models").replace(f"{scratch}/srv", "/srv")


_EMPTY = Stage()


def sections(text: str) -> tuple[str, dict[str, str]]:
    """What stands before a page's first section, and its sections by their headings."""
    first, *parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return first, dict(zip(parts[::2], parts[1::2], strict=True))


def plain(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text


def run(commands: list[Step], scratch: Path, *, cwd: Path, before: tuple[str, ...] = (), stage: Stage = _EMPTY) -> None:
    """Run commands one after the other in one bash, and compare what they print with what the page says.

    What they leave running is killed at the end, but for what has made a session of its own.

    Args:
        commands: What to run.
        scratch: An empty directory, for `/models`, `/srv` and the program.
        cwd: Where the commands run.
        before: What bash is started by, such as `unshare`.
        stage: What the page takes for granted.
    """
    for name in ("models", "srv", "bin"):
        (scratch / name).mkdir()
    programs = {
        "modelrepo": "-m modelrepo",
        **{name: TOP / "tests/docs" / file for name, file in stage.programs.items()},
    }
    for name, words in programs.items():
        program = scratch / "bin" / name
        program.write_text(f"#!/bin/sh\nPYTHONPATH='{TOP}' exec '{sys.executable}' {words} \"$@\"\n")
        program.chmod(0o755)
    for place, content in stage.files.items():
        file = Path(stage.here(place, scratch))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(stage.here(content, scratch))
    script = [stage.here(step.command, scratch) for step in commands]
    path = f"{scratch / 'bin'}:{os.environ['PATH']}:/usr/sbin"
    with subprocess.Popen(
        [*before, "bash", "--norc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        start_new_session=True,
    ) as bash:
        try:
            out, _ = bash.communicate(_PRELUDE + "".join(f"{command}mark\n" for command in script), timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)
    *parts, rest = stage.there(out, scratch).split(_MARK)
    outcomes = list(zip(parts[::2], map(int, parts[1::2]), strict=True))
    failed: Step | None = None
    for step, (printed, code) in zip(commands, outcomes, strict=False):
        assert "Traceback" not in printed, printed
        assert failed is None or step.command == "echo $?\n", f"the page does not say that this fails: {failed}"
        assert plain(printed) == plain(step.printed), step.command
        failed = step if code else None
    assert failed is None, f"the page does not say that this fails: {failed}"
    assert (len(outcomes), rest) == (len(commands), ""), "bash ended before the page did"
