"""What the tests of the operations share: looks at whole trees, edits, other processes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.core.layout import Layout
from modelrepo.fs import durable

#: Everything may go that no other rule keeps.
NO_AGES = {"keep_last": 0, "keep_rollback": 1, "min_age": timedelta(0), "grace": timedelta(0)}


CONVERTIBLE = Path(__file__).parents[1] / "savedmodel" / "convertible_models.py"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with models that can be converted; each one's message is its name."""
    place = tmp_path_factory.mktemp("convertible")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-W", "ignore", CONVERTIBLE, place], check=True, env=environment, timeout=300)
    repository = Repository(place / "models")
    repository.init()
    for source in sorted(path for path in place.iterdir() if (path / "saved_model.pb").exists()):
        repository.push(source, load=False, message=source.name)
    return repository


@pytest.fixture
def named(models: Repository) -> Callable[[str], str]:
    """The version of a model."""
    versions = {row.message: str(row.version) for row in models.list()}
    return lambda name: versions[name]


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Path:
    """A repository with v1, v2 and v3 and the exports that they came from, made once."""
    place = tmp_path_factory.mktemp("template")
    repository = Repository(place / "ranker")
    repository.init()
    for text in ("one", "two", "three"):
        source = place / "exports" / text
        shutil.copytree(samples / "tf1_linear", source)
        (source / "assets.extra").mkdir()
        (source / "assets.extra" / "note.txt").write_text(text)
        repository.push(source, load=False)
    return place


@pytest.fixture
def filled(repository: Repository, tmp_path: Path, _template: Path) -> Repository:
    """A repository with v1, v2 and v3, none promoted: a copy of one, since a push takes a tenth of a second."""
    shutil.rmtree(repository.root)
    shutil.copytree(_template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return repository


@pytest.fixture(scope="session")
def samples() -> Path:
    """The committed SavedModels."""
    return Path(__file__).parents[2] / "sample_models"


@pytest.fixture
def ageless() -> dict[str, Any]:
    """Cleanup's arguments without ages and counts, so that each other protection is seen alone."""
    return dict(NO_AGES)


@pytest.fixture
def layout(repository: Repository) -> Layout:
    """The repository's paths."""
    return Layout(repository.root)


def picture(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below a directory: kind, mode, inode, times, bytes or link text."""
    seen: dict[str, tuple[Any, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in [".", *names, *files]:
            path = os.path.normpath(os.path.join(directory, name))
            status = os.lstat(path)
            facts: tuple[Any, ...] = (status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            if stat.S_ISLNK(status.st_mode):
                facts += (os.readlink(path),)
            elif stat.S_ISREG(status.st_mode):
                facts += (Path(path).read_bytes(),)
            seen[os.path.relpath(path, root)] = facts
    return seen


@pytest.fixture
def look() -> Callable[[Path], dict[str, tuple[Any, ...]]]:
    """Takes a picture of a tree that differs as soon as one byte, mode, time or name does."""
    return picture


@pytest.fixture
def edit() -> Callable[[Path, bytes], None]:
    """Overwrites a file in place, whatever its mode; the mode stays."""

    def call(path: Path, data: bytes) -> None:
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0o600)
        path.write_bytes(data)
        path.chmod(mode)

    return call


@pytest.fixture
def settings(layout: Layout) -> Callable[[str], None]:
    """Writes the repository's settings; the format line is there already."""

    def call(text: str) -> None:
        layout.config.write_text(f"format = 1\n{text}\n")

    return call


@pytest.fixture
def other() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a shell command that says `ready` when it holds what it should hold; it ends with the test."""
    running: list[subprocess.Popen[str]] = []

    def call(command: str, *, cwd: Path | None = None) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            ["/bin/bash", "-c", command],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            cwd=cwd,
            start_new_session=True,
            env={**os.environ, "PYTHON": sys.executable},
        )
        running.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    yield call
    for child in running:
        if child.poll() is None:
            os.killpg(child.pid, 9)
        child.wait()
        for pipe in (child.stdout, child.stdin):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def sync_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Lets the n-th sync of one directory from now on fail once, as a broken disk would."""
    real = durable.sync_directory

    def call(path: Path, number: int) -> None:
        count = 0

        def sync(directory: Path) -> None:
            nonlocal count
            if directory == path:
                count += 1
                if count == number:
                    raise OSError(5, "Input/output error", str(directory))
            real(directory)

        monkeypatch.setattr(durable, "sync_directory", sync)

    return call


@pytest.fixture
def append_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the sync behind the n-th journal append from now on fail once; the bytes may be there or not."""
    from modelrepo.fs.journal import Journal

    real = Journal._write

    def call(number: int) -> None:
        count = 0

        def write(self: Journal, data: bytes, start: int) -> None:
            nonlocal count
            count += 1
            real(self, data, start)
            if count == number:
                raise OSError(5, "Input/output error", "journal.jsonl")

        monkeypatch.setattr(Journal, "_write", write)

    return call


_HOLD = """\
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX if sys.argv[2] == "exclusive" else fcntl.LOCK_SH)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def flock(other: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that stands elsewhere and holds an `flock` on a path, shared or exclusive."""
    (tmp_path / "hold.py").write_text(_HOLD)

    def call(path: Path, *, exclusive: bool = False) -> subprocess.Popen[str]:
        how = "exclusive" if exclusive else "shared"
        return other(f'exec "$PYTHON" {tmp_path}/hold.py {path} {how}', cwd=tmp_path)

    return call
