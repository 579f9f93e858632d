"""What most tests need: real SavedModels, a repository, the real program."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

SAMPLES = Path(__file__).parents[1] / "sample_models"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's repository, names or time-outs."""
    ours = [name for name in os.environ if name.startswith("MODELREPO_")]
    for name in [*ours, "SUDO_USER", "PYDANTIC_DISABLE_PLUGINS"]:  # the command line sets it for its own process
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def samples() -> Path:
    """The committed SavedModels."""
    return SAMPLES


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], Path]:
    """Makes real SavedModels of a few kilobytes: the same graph, one more asset whose text is given."""

    def make(text: str) -> Path:
        place = tmp_path / "exports" / text
        shutil.copytree(SAMPLES / "tf1_linear", place)
        (place / "assets.extra").mkdir()
        (place / "assets.extra" / "note.txt").write_text(text)
        return place

    return make


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A new, empty repository."""
    repository = Repository(tmp_path / "ranker")
    repository.init()
    return repository


@pytest.fixture
def filled(repository: Repository, model: Callable[[str], Path]) -> Repository:
    """A repository with v1, v2 and v3, none promoted."""
    for text in ("one", "two", "three"):
        repository.push(model(text), load=False)
    return repository


@dataclass(frozen=True)
class Ran:
    """What the program did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as its one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Runs the real program in a process of its own, in `tmp_path`."""

    def call(*words: object, env: dict[str, str] | None = None, cwd: Path | None = None, stdin: str = "") -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "modelrepo", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=120,
            cwd=cwd or tmp_path,
            env={**os.environ, **(env or {})},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return call


TFJS = "@tensorflow/tfjs@4.22.0"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """TensorFlow.js for Node: where NODE_PATH says, else installed once into the user's cache."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    for place in filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)):
        if Path(place, "@tensorflow", "tfjs").is_dir():
            return Path(place)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "modelrepo-tests", "tfjs-4.22.0")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / "done").exists():
            words = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", "--ignore-scripts", TFJS]
            try:
                subprocess.run(words, check=True, capture_output=True, timeout=120, cwd=cache)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"npm cannot install {TFJS}: {type(error).__name__}")
            (cache / "done").touch()
    return cache / "node_modules"
