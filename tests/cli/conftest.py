"""What the tests of the program share: ready repositories, a terminal, other users, signals."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelrepo import Repository

SAMPLES = Path(__file__).parents[2] / "sample_models"


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three versions, the exports they came from, and one more export; made once."""
    place = tmp_path_factory.mktemp("template")
    repository = Repository(place / "ranker")
    repository.init()
    for text in ("one", "two", "three", "four"):
        source = place / "exports" / text
        shutil.copytree(SAMPLES / "tf1_linear", source)
        (source / "assets.extra").mkdir()
        (source / "assets.extra" / "note.txt").write_text(text)
        if text != "four":
            repository.push(source, load=False, message=f"number {text}")
    repository.promote("v1", reason="first")
    repository.promote("v2")
    return place


@pytest.fixture
def root(tmp_path: Path, _template: Path) -> Path:
    """The root of a repository with v1 to v3; latest was promoted to v1, then to v2. Exports lie beside it."""
    shutil.copytree(_template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "ranker"


@pytest.fixture
def terminal() -> Callable[..., tuple[int, str]]:
    """Runs the program on a real terminal of 80 columns; returns its exit code and all that appeared."""

    def call(*words: object, env: dict[str, str] | None = None) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        clean = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
        child = subprocess.Popen(
            [sys.executable, "-m", "modelrepo", *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**clean, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})},
        )
        os.close(theirs)
        data = b""
        try:
            while more := os.read(ours, 65536):
                data += more
        except OSError:  # Linux says EIO when the other side is closed
            pass
        os.close(ours)
        return child.wait(60), data.decode().replace("\r\n", "\n")

    return call


#: Drops its rights, then is the program: the interpreter itself may lie where only root may read.
_AS_NOBODY = """\
import importlib.metadata, os, pkgutil, sys
import concurrent.futures.thread, encodings.ascii, encodings.idna, filelock, unicodedata
import modelrepo, rich.console, rich.table, rich.text
from modelrepo.cli import main
for module in pkgutil.walk_packages(modelrepo.__path__, "modelrepo."):
    if not module.name.endswith(("__main__", "worker")):
        importlib.import_module(module.name)
out = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
main.run(["--help"])
for words in ("list", "promote v9"):
    main.run(["--repo", sys.argv[1], *words.split()])
os.dup2(out, 1)
os.chdir("/")
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.argv = ["modelrepo", "--repo", *sys.argv[1:]]
main.main()
"""


@pytest.fixture
def as_nobody(root: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs the program on a root as a user who may read, but not write."""
    assert root.is_dir()  # the tree's modes are set; those above it are opened now
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    parents = [place for place in tmp_path.parents if place.stat().st_mode & 0o001 == 0 and place != Path("/")]
    modes = {place: place.stat().st_mode for place in [tmp_path, *parents]}
    for place, mode in modes.items():
        place.chmod(mode & 0o7777 | 0o055 if place == tmp_path else mode & 0o7777 | 0o011)

    def call(place: Path, *words: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, str(place), *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            # Coverage writes its data when a process ends, which this user may not.
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    yield call
    for place, mode in modes.items():
        place.chmod(mode & 0o7777)


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program with the signals as a shell in the foreground gives them; it is gone after the test."""
    running: list[subprocess.Popen[str]] = []
    first = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL);"
        "os.execv(sys.executable, [sys.executable, '-m', 'modelrepo', *sys.argv[1:]])"
    )

    def call(*words: object) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", first, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(child)
        return child

    yield call
    for child in running:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate()
