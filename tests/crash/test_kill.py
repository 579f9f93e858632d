"""Killed before any of its system calls, a command leaves what was there before or after, and the next one goes on.

A sample of the calls, by `MODELREPO_CRASH_SEED` (0); `MODELREPO_CRASH_ALL=1` takes all (minutes). `strace` kills before
the N-th of a name. What a power cut may leave is another matter: the calls that were made
are all in the page cache here.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from modelrepo import Repository

from .commands import CASES, SAMPLE, build, harm
from .invariants import check_tree, go_on

CALLS = ("rename", "renameat2", "fsync", "symlink", "unlink", "mkdir", "pwrite64", "ftruncate")
# Read before the fixture that clears the environment.
SEED = os.environ.get("MODELREPO_CRASH_SEED", "0")
EVERYTHING = bool(os.environ.get("MODELREPO_CRASH_ALL"))


@cache
def no_strace() -> str | None:
    """Why nothing can be traced here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    words = ["strace", "-f", "-e", "trace=getcwd", "-e", "inject=getcwd:signal=KILL:when=1", "/bin/pwd"]
    done = subprocess.run(words, capture_output=True, check=False)
    return None if done.returncode in {-9, 137} else f"strace cannot kill here: {done.stderr.decode()[:200]}"


@pytest.fixture(autouse=True)
def _traceable() -> None:
    if reason := no_strace():
        pytest.skip(reason)


def traced(root: Path, words: tuple[str, ...], log: Path, inject: str | None = None) -> int:
    """Run the program under strace; returns its exit status.

    Without coverage: its data base would make most of the calls.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    injection = [] if inject is None else ["-e", f"inject={inject}"]
    tracer = ["strace", "-f", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *injection]
    done = subprocess.run(
        [*tracer, sys.executable, "-m", "modelrepo", "-r", str(root), *words],
        capture_output=True,
        check=False,
        timeout=60,
        cwd=root.parent,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return done.returncode


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that is killed, to be copied."""
    place = tmp_path_factory.mktemp("crash")
    build(place)
    return place


@pytest.mark.parametrize("name", CASES)
def test_killed_before_any_call_the_tree_is_whole_and_the_next_command_goes_on(
    template: Path, tmp_path: Path, name: str
) -> None:
    case = CASES[name]

    def fresh(number: int) -> Path:
        place = tmp_path / str(number)
        shutil.copytree(template, place, symlinks=True)
        case.prepare(place / "ranker")
        return place

    log = tmp_path / "log"
    assert traced(fresh(0) / "ranker", case.words, log) == 0
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    points = [(call, number) for call in CALLS for number in range(1, counts[call] + 1)]
    size = len(points) if EVERYTHING else min(case.sample, len(points))
    chosen = random.Random(f"{name} {SEED}").sample(points, size)  # noqa: S311 - a sample, no secret
    assert chosen
    for number, (call, when) in enumerate(chosen, 1):
        place = fresh(number)
        code = traced(place / "ranker", case.words, log, f"{call}:signal=KILL:when={when}")
        try:
            assert code in {-9, 137}, "it was not killed"
            check_tree(place / "ranker")
            link = os.path.basename(os.path.realpath(place / "ranker" / "latest"))
            assert link in case.latest
            assert all(row.problem is None for row in Repository(place / "ranker").list())
            go_on(place, damaged=case.prepare is harm)
        except AssertionError as error:
            raise AssertionError(f"{name}, killed before {call} number {when}: {error}") from error
        shutil.rmtree(place)


def test_killed_before_any_call_an_adoption_goes_on_and_no_model_byte_has_changed(
    template: Path, tmp_path: Path
) -> None:
    def fresh(number: int) -> Path:
        root = tmp_path / str(number) / "ranker"
        for version, text in (("v1", "one"), ("v2", "two")):
            shutil.copytree(template / "exports" / text, root / version)
        (root / "latest").symlink_to(root / "v2")
        return root

    words, log = ("init", "--adopt"), tmp_path / "log"
    assert traced(fresh(0), words, log) == 0
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
    points = [(call, number) for call in CALLS for number in range(1, counts[call] + 1)]
    chosen = random.Random(f"adopt {SEED}").sample(points, len(points) if EVERYTHING else 2 * SAMPLE)  # noqa: S311
    for number, (call, when) in enumerate(chosen, 1):
        root = fresh(number)
        traced(root, words, log, f"{call}:signal=KILL:when={when}")  # the inspector's child may be killed instead
        assert os.path.realpath(root / "latest") == str(root / "v2"), (call, when)
        repository = Repository(root)
        repository.init(adopt=True)
        assert len(repository.list()) == 2
        repository.pin("v1")
        check_tree(root)
        assert repository.verify().ok, (call, when)
        for version, text in (("v1", "one"), ("v2", "two")):
            for file in (template / "exports" / text).rglob("*.*"):
                copy = root / version / file.relative_to(template / "exports" / text)
                assert copy.is_dir() or copy.read_bytes() == file.read_bytes()
        shutil.rmtree(root)
