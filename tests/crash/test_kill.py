"""Killed before any of its system calls, a command leaves what was there before or after, and the next one goes on.

A sample of the calls, by `MODELREPO_CRASH_SEED` (0); `MODELREPO_CRASH_ALL=1` takes all (minutes). `strace` kills before
the N-th of a name. What a power cut may leave is another matter: the calls that were made
are all in the page cache here.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.errors import IntegrityError

CALLS = ("rename", "renameat2", "fsync", "symlink", "unlink", "mkdir", "pwrite64", "ftruncate")
SAMPLE = 6
# Read before the fixture that clears the environment.
SEED = os.environ.get("MODELREPO_CRASH_SEED", "0")
EVERYTHING = bool(os.environ.get("MODELREPO_CRASH_ALL"))
AGELESS = ("--keep-last", "0", "--keep-rollback", "1", "--min-age", "0s", "--grace", "0s")


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


def is_complete(version: Path) -> bool:
    """Whether a version has every byte that its manifest promises, by nothing but the manifest."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    there = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    return there == {"manifest.json", *(entry["path"] for entry in manifest["files"])} and all(
        f"sha256:{hashlib.sha256((version / entry['path']).read_bytes()).hexdigest()}" == entry["digest"]
        for entry in manifest["files"]
    )


def targets(root: Path) -> dict[str, str]:
    return {path.name: os.path.realpath(path) for path in root.iterdir() if path.is_symlink()}


def check_tree(root: Path) -> None:
    """What must hold at every instant."""
    for path in root.iterdir():
        if path.name.startswith("v"):
            assert is_complete(path), path
            golden = json.loads((path / "manifest.json").read_bytes()).get("golden")
            if golden is not None:
                name = golden["digest"].removeprefix("sha256:")
                kept = (root / ".modelrepo" / "golden" / f"{name}.{golden['format']}").read_bytes()
                assert hashlib.sha256(kept).hexdigest() == name
    for name, target in targets(root).items():
        assert is_complete(Path(target)), name
    for view in (root / "serving").iterdir():
        links = list(view.iterdir())
        assert links, f"{view} is empty"
        assert all(is_complete(Path(os.path.realpath(link))) for link in links), links


@dataclass(frozen=True)
class Case:
    """A command, what it may do to `latest`, and what must be there before."""

    words: tuple[str, ...]
    latest: frozenset[str]
    prepare: Callable[[Path], None] = lambda _: None
    sample: int = SAMPLE


def harm(root: Path) -> None:
    """All that a repair mends."""
    (root / "latest").unlink()
    (root / "latest").symlink_to(root / "v2")
    (root / "v1" / "saved_model.pb").chmod(0o644)
    (root / ".modelrepo" / "staging" / "push-dead").mkdir()
    journal = root / ".modelrepo" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], *lines[5:]]))


def requests(root: Path) -> None:
    """A file of golden requests beside the exports."""
    text = json.dumps({"requests": [{"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[4.75]]}}]})
    (root.parent / "golden.json").write_text(text)


def carried(root: Path) -> None:
    """A version whose golden requests go with it."""
    requests(root)
    source = root.parent / "exports" / "four"
    Repository(root).push(source, load=False, golden=root.parent / "golden.json", number=9)


def blue(root: Path) -> None:
    """One more channel."""
    Repository(root).promote("v3", channel="blue")


CASES = {
    "push": Case(("push", "exports/four", "--no-load"), frozenset({"v2"})),
    "golden push": Case(("push", "exports/four", "--no-load", "--golden", "golden.json"), frozenset({"v2"}), requests),
    "golden cleanup": Case(("cleanup", *AGELESS), frozenset({"v2"}), carried, sample=3),
    "promote": Case(("promote", "v3"), frozenset({"v2", "v3"})),
    "first promote": Case(("promote", "v3", "--channel", "canary"), frozenset({"v2"}), sample=100),
    "rollback": Case(("rollback",), frozenset({"v2", "v1"})),
    "cleanup": Case(("cleanup", *AGELESS), frozenset({"v2"})),
    "export": Case(("export", "v1", "copy"), frozenset({"v2"}), sample=3),
    "remove": Case(("remove", "v1", "v3"), frozenset({"v2"})),
    "channel remove": Case(("channel", "remove", "blue"), frozenset({"v2"}), blue),
    "annotate": Case(("annotate", "v1", "--label", "a=b"), frozenset({"v2"})),
    "pin": Case(("pin", "v1"), frozenset({"v2"})),
    "repair": Case(("verify", "--repair"), frozenset({"v2"}), harm),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with v1 to v3, latest at v2, and one more export."""
    place = tmp_path_factory.mktemp("crash")
    samples = Path(__file__).parents[2] / "sample_models"
    repository = Repository(place / "ranker")
    repository.init()
    for text in ("one", "two", "three", "four", "five"):
        source = place / "exports" / text
        shutil.copytree(samples / "tf1_linear", source)
        (source / "note.txt").write_text(text)
        if text in {"one", "two", "three"}:
            repository.push(source, load=False)
    repository.promote("v1")
    repository.promote("v2")
    return place


def go_on(place: Path, case: Case) -> None:
    """The next writing command, and all that must be right behind it."""
    root = place / "ranker"
    repository = Repository(root)
    before = targets(root)
    try:
        repository.pin("v2", reason="next")
    except IntegrityError:
        assert case.prepare is harm  # the journal was damaged before the command, and still is
        repository.verify(repair=True)
        repository.pin("v2", reason="next")
    assert targets(root) == before, "recovery moved a link"
    check_tree(root)
    result = repository.verify(repair=case.prepare is harm)
    assert result.ok, result.findings
    highest = max(
        int(number) for number in re.findall(rb'"version":"v(\d+)"', (root / ".modelrepo/journal.jsonl").read_bytes())
    )
    pushed = repository.push(place / "exports" / "five", load=False)
    assert pushed.version.number == highest + 1, "a number was used again, or left out"
    repository.cleanup(min_age=timedelta(days=1))
    assert os.listdir(root / ".modelrepo" / "staging") == os.listdir(root / ".modelrepo" / "trash") == []
    result = repository.verify()
    assert result.findings == (), result.findings


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
            go_on(place, case)
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
