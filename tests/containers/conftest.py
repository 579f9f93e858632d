"""A container as Docker and Kubernetes make them, without either: own mounts, own processes, own root, another user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import modelrepo
from modelrepo import Repository

SAMPLES = Path(__file__).parents[2] / "sample_models"
#: Where the repository stands in there.
INSIDE = "/models/ranker"
#: A user who has no name and no groups, as OpenShift gives them out.
SOMEBODY = 54321
#: The program on the repository, in there.
PROGRAM = (sys.executable, "-m", "modelrepo", "--repo", INSIDE)
#: What every image has.
_IMAGE = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/dev")
#: Arguments: the new root, the repository, its mount options, a directory that may be written, the user, how many
#: directories are to be seen in there under their own path, these, and the command.
_ENTER = f"""
set -eu
new=$1 repository=$2 options=$3 out=$4 user=$5 count=$6
shift 6
mount -t tmpfs -o mode=755 container "$new"
while [ "$count" -gt 0 ]; do
    count=$((count - 1))
    mkdir -p "$new$1"
    mount --rbind "$1" "$new$1"
    shift
done
mkdir -p "$new{INSIDE}" "$new/out" "$new/proc" "$new/tmp"
chmod 1777 "$new/tmp"
mount -t proc proc "$new/proc"
mount --bind "$out" "$new/out"
mount --bind "$repository" "$new{INSIDE}"
mount -o "remount,bind,$options" "$new{INSIDE}"
exec chroot --userspec="$user:$user" --groups= "$new" "$@"
"""


class Container:
    """Runs commands in containers that mount one repository at `INSIDE`; each command has a container of its own.

    Args:
        repository: What is mounted.
        place: An empty directory of the test's.
    """

    def __init__(self, repository: Path, place: Path) -> None:
        self.out = place / "out"
        self.out.mkdir()
        self.out.chmod(0o777)
        self._repository = repository
        self._root = place / "root"
        self._root.mkdir()
        self._running: list[subprocess.Popen[str]] = []

    def command(self, *words: str, user: int, options: str) -> list[str]:
        """The words that run a command in there, started from here."""
        own = (str(Path(modelrepo.__file__).parents[1]), sys.prefix, sys.base_prefix)
        seen = [place for place in (*_IMAGE, *own) if Path(place).exists()]
        unshare = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        places = [str(self._root), str(self._repository), options, str(self.out), str(user)]
        return [*unshare, "sh", "-c", _ENTER, "enter", *places, str(len(seen)), *seen, *words]

    def run(self, *words: str, user: int = SOMEBODY, options: str = "ro") -> subprocess.CompletedProcess[str]:
        """Run a command and wait for it."""
        return subprocess.run(
            self.command(*words, user=user, options=options),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env=self._environment(),
        )

    def modelrepo(self, *words: str, user: int = SOMEBODY, options: str = "ro") -> subprocess.CompletedProcess[str]:
        """Run the program on the repository."""
        done = self.run(*PROGRAM, *words, user=user, options=options)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, script: str, *, user: int = SOMEBODY) -> subprocess.Popen[str]:
        """Start a shell command that says `ready`; `$MODELREPO` is the program. It ends with the test."""
        child = subprocess.Popen(
            self.command("sh", "-c", script, user=user, options="ro"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**self._environment(), "MODELREPO": " ".join(PROGRAM)},
        )
        self._running.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    def close(self) -> None:
        """End what was started."""
        for child in self._running:
            child.kill()  # and with it, by --kill-child, all in there
            child.communicate()

    def _environment(self) -> dict[str, str]:
        # Coverage writes its data when a process ends, which that user may not.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        return {**kept, "PYTHONPATH": str(Path(modelrepo.__file__).parents[1]), "HOME": "/", "TMPDIR": "/tmp"}


@pytest.fixture(scope="session")
def _possible(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Why there can be no containers here; empty where there can."""
    if os.geteuid() != 0 or sys.platform != "linux":
        return "only root on Linux may mount"
    place = tmp_path_factory.mktemp("container")
    Repository(place / "ranker").init()
    try:
        done = Container(place / "ranker", place).modelrepo("status")
    except FileNotFoundError as error:
        return f"there is no {error.filename}"
    return "" if done.returncode == 0 else f"no container can be made here: {done.stderr.strip()}"


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `live` is, made once."""
    place = tmp_path_factory.mktemp("template")
    repository = Repository(place / "ranker")
    repository.init()
    for text in ("one", "two", "three"):
        source = place / text
        shutil.copytree(SAMPLES / "tf1_linear", source)
        (source / "assets.extra").mkdir()
        (source / "assets.extra" / "note.txt").write_text(text)
        repository.push(source, load=False)
    repository.promote("v1")
    repository.promote("v2", reason="better")
    repository.promote("v3", channel="canary")
    return repository.root


@pytest.fixture
def live(_template: Path, tmp_path: Path) -> Repository:
    """A repository with v1 to v3: latest was at v1 and is at v2, canary is at v3."""
    return Repository(shutil.copytree(_template, tmp_path / "ranker", symlinks=True))


@pytest.fixture
def container(live: Repository, tmp_path: Path, _possible: str) -> Iterator[Container]:
    """Containers that mount `live`."""
    if _possible:
        pytest.skip(_possible)
    place = tmp_path / "container"
    place.mkdir()
    container = Container(live.root, place)
    yield container
    container.close()


@pytest.fixture
def v2_may_go(live: Repository) -> Callable[[], None]:
    """Takes `latest` from v2 to v3 by way of v1, and ages away: only a lease or a process keeps v2 then."""

    def call() -> None:
        for ref in ("v3", "v1", "v3"):
            live.promote(ref)
        ages = 'keep_last = 0\nkeep_rollback = 1\nmin_age = "0s"\ngrace = "0s"\n'
        (live.root / ".modelrepo" / "config.toml").write_text(f"format = 1\n[retention]\n{ages}")

    return call
