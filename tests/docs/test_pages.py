"""What the runbook and the pages about hosts, comparisons and conversions show is what happens, word for word."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .console import TOP, Step, run, sections, steps

PAGES = ("runbook.md", "hosts.md", "compare.md", "convert.md")
#: Those whose commands load models.
_LOADING = {"compare.md", "convert.md"}
_OWN_MOUNTS = ("unshare", "--mount")


def ways(page: str) -> Iterator[tuple[str, list[Step]]]:
    """What is run in a scratch directory of its own, by name.

    Where commands stand before a page's first section, each section starts from there; else the page is one way.
    """
    first, parts = sections((TOP / "docs" / page).read_text())
    if not steps(first):
        yield page, [step for text in parts.values() for step in steps(text)]
        return
    for heading, text in parts.items():
        yield f"{page}: {heading}", [*steps(first), *steps(text)]


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param(commands, id=name, marks=[pytest.mark.tensorflow] if page in _LOADING else [])
        for page in PAGES
        for name, commands in ways(page)
    ],
)
def test_a_page_shows_what_happens(commands: list[Step], tmp_path: Path) -> None:
    before: tuple[str, ...] = ()
    if any(step.command.startswith("mount ") for step in commands):
        if os.geteuid() != 0 or subprocess.run([*_OWN_MOUNTS, "true"], check=False, capture_output=True).returncode:
            pytest.skip("only root may mount")
        before = _OWN_MOUNTS
    clone = tmp_path / "clone"
    shutil.copytree(TOP / "sample_models", clone / "sample_models")
    run(commands, tmp_path, cwd=clone, before=before)


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("$ echo one\ntwo\n", "echo one"),
        ("$ false\n", "does not say that this fails"),
        ("$ false\n$ echo more\nmore\n", "does not say that this fails"),
        ("$ (exit 4)\n$ echo $?\n5\n", "echo"),
        ("$ exit 0\n", "ended before the page did"),
        ("lost\n$ echo one\none\n", "begins with a command"),
    ],
)
def test_a_page_that_is_wrong_is_caught(block: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=complaint):
        run(steps(f"```console\n{block}```\n"), tmp_path, cwd=tmp_path)


def test_what_a_page_may_use_runs_as_in_a_terminal(tmp_path: Path) -> None:
    block = "$ cd /srv\n$ n=$(\n> echo 4)\n$ echo $n; pwd >&2\n4\n/srv\n$ (exit $n)\n$ echo $?\n4\n"
    run(steps(f"```console\n{block}```\n"), tmp_path, cwd=tmp_path)
