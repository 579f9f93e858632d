"""The same work by others: copying tools, backup programs, and what people keep models in today.

Each takes a directory of one large file and some small ones in, flushed to the disk; takes it in again with one small
file changed; and tells whether what it has is sound. What is not installed is left out, and said.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benching.clock import Row, call, modelrepo, seconds

MLFLOW = """
import os, sys
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow
place, source = sys.argv[1:]
mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
client = mlflow.MlflowClient()
found = mlflow.get_experiment_by_name("e")
experiment = found.experiment_id if found else mlflow.create_experiment("e", artifact_location=f"{place}/artifacts")
with mlflow.start_run(experiment_id=experiment) as run:
    mlflow.log_artifacts(source, "model")
if not client.search_registered_models():
    client.create_registered_model("model")
client.create_model_version("model", f"{run.info.artifact_uri}/model", run.info.run_id)
"""
_BENTOML = """
import shutil, sys
import bentoml
with bentoml.models.create("model") as kept:
    shutil.copytree(sys.argv[1], kept.path, dirs_exist_ok=True)
"""

#: Takes a source into a place.
Take = Callable[[Path, Path], object]


@dataclass(frozen=True)
class Peer:
    """One of them.

    Attributes:
        name: What the table calls it.
        program: What must be there: a program's path or name.
        prepare: Makes its store in an empty directory.
        take: Takes a source in, once more each time.
        check: Tells whether what it has is sound; None where it cannot.
        version: What says which it is.
    """

    name: str
    program: str
    prepare: Callable[[Path], object]
    take: Take
    check: Callable[[Path], object] | None = None
    version: tuple[str, ...] = ("--version",)

    @property
    def missing(self) -> str | None:
        """Why it is left out, or None."""
        return None if shutil.which(self.program) else f"{self.name}: left out, {self.program} is not installed"


def _nothing(_place: Path) -> None:
    pass


def _numbered(place: Path) -> Path:
    return next(path for number in itertools.count(1) if not (path := place / f"v{number}").exists())


def _copied(place: Path, source: Path) -> Path:
    goal = _numbered(place)
    call(["cp", "-r", source, goal])
    return goal


def _summed(place: Path, source: Path) -> None:
    goal = _copied(place, source)
    sums = call(["sh", "-c", "find . -type f -print0 | xargs -0 sha256sum"], place=goal)
    (goal / "SHA256SUMS").write_text(sums)


def _checked_sums(place: Path) -> None:
    for goal in sorted(place.glob("v*")):
        call(["sha256sum", "--quiet", "-c", "SHA256SUMS"], place=goal)


def _synced(place: Path, source: Path) -> None:
    goal = _numbered(place)
    last = sorted(place.glob("v*"))[-1:]
    call(["rsync", "-a", *(f"--link-dest={path}" for path in last), f"{source}/", f"{goal}/"])


_RESTIC = {"RESTIC_PASSWORD": "none"}
_BORG = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}


def _dvc(program: str) -> Peer:
    quiet = {"DVC_NO_ANALYTICS": "1"}

    def prepare(place: Path) -> None:
        call(["git", "init", "-q"], place=place)
        call([program, "init", "-q"], env=quiet, place=place)

    def take(place: Path, source: Path) -> None:
        # What it takes in has to lie in its working tree: bringing it there is not counted.
        call([program, "add", "-q", source.name], env=quiet, place=place)

    return Peer("dvc add", program, prepare, take, lambda place: call([program, "status", "-q"], quiet, place))


def peers(environments: Path) -> list[Peer]:
    """All of them.

    Args:
        environments: Where the virtual environments of dvc, mlflow and bentoml are, by these names.
    """
    mlflow, bentoml = (str(environments / name / "bin" / "python") for name in ("mlflow", "bentoml"))
    if not (environments / "mlflow" / "bin" / "mlflow").exists():
        mlflow = "mlflow"
    if not (environments / "bentoml" / "bin" / "bentoml").exists():
        bentoml = "bentoml"

    def kept(place: Path, source: Path) -> None:
        call([bentoml, "-c", _BENTOML, source], {"BENTOML_HOME": str(place), "BENTOML_DO_NOT_TRACK": "True"})

    return [
        Peer("cp -r", "cp", _nothing, _copied),
        Peer("cp -r, sha256sum", "sha256sum", _nothing, _summed, _checked_sums),
        Peer("rsync --link-dest", "rsync", _nothing, _synced),
        Peer(
            "ostree commit",
            "ostree",
            lambda place: call(["ostree", f"--repo={place}/r", "init", "--mode=bare-user"]),
            lambda place, source: call(
                ["ostree", f"--repo={place}/r", "commit", "-b", "model", f"--tree=dir={source}"]
            ),
            lambda place: call(["ostree", f"--repo={place}/r", "fsck", "-q"]),
        ),
        Peer(
            "borg create",
            "borg",
            lambda place: call(["borg", "init", "-e", "none", place / "r"], _BORG),
            lambda place, source: call(["borg", "create", f"{place}/r::{{now:%H%M%S%f}}", source], _BORG),
            lambda place: call(["borg", "check", "--verify-data", place / "r"], _BORG),
        ),
        Peer(
            "restic backup",
            "restic",
            lambda place: call(["restic", "-q", "-r", place / "r", "init"], _RESTIC),
            lambda place, source: call(["restic", "-q", "-r", place / "r", "backup", source], _RESTIC),
            lambda place: call(["restic", "-q", "-r", place / "r", "check", "--read-data"], _RESTIC),
            ("version",),
        ),
        _dvc(str(environments / "dvc" / "bin" / "dvc")),
        Peer(
            "MLflow log_artifacts",
            mlflow,
            _nothing,
            lambda place, source: call([mlflow, "-c", MLFLOW, place, source]),
            version=("-c", "import mlflow; print(mlflow.__version__)"),
        ),
        Peer(
            "BentoML models.create",
            bentoml,
            _nothing,
            kept,
            version=("-c", "import bentoml; print(bentoml.__version__)"),
        ),
        *(
            Peer(
                f"modelrepo push{', hard links' * (dedup == 'hardlink')}",
                sys.executable,
                lambda place, dedup=dedup: call(modelrepo(place / "r", "init", "--dedup", dedup)),  # type: ignore[misc]
                lambda place, source: call(modelrepo(place / "r", "push", str(source), "--no-load")),
                lambda place: call(modelrepo(place / "r", "verify")),
                ("-m", "modelrepo", "--version"),
            )
            for dedup in ("reflink", "hardlink")
        ),
    ]


@dataclass(frozen=True)
class Compared:
    """What the same work took each.

    Attributes:
        first: Taking it in.
        again: Taking it in again, one small file changed.
        checks: Checking it.
        used: GiB on the disk for both.
    """

    first: list[Row]
    again: list[Row]
    checks: list[Row]
    used: dict[str, float]


def compare(place: Path, those: list[Peer], runs: int, mebibytes: int) -> Compared:
    """Let each do the same, in turn, run by run."""
    first, again, checks = ({peer.name: Row(peer.name) for peer in those} for _ in range(3))
    used = dict[str, float]()
    for _ in range(runs):
        for peer in those:
            store = place / "store"
            store.mkdir()
            peer.prepare(store)
            source = (store if peer.name == "dvc add" else place) / "model"
            _make(source, mebibytes)
            call(["sync"])
            before = _used(store)
            first[peer.name].times.append(seconds(lambda peer=peer, source=source: _take(peer, store, source)))  # type: ignore[misc] # noqa: B023
            (source / "small-00").unlink()
            (source / "small-00").write_bytes(os.urandom(4096))
            call(["sync"])
            again[peer.name].times.append(seconds(lambda peer=peer, source=source: _take(peer, store, source)))  # type: ignore[misc] # noqa: B023
            used[peer.name] = (_used(store) - before) / 1024**3
            if peer.check is not None:
                checks[peer.name].times.append(seconds(lambda peer=peer: peer.check(store)))  # type: ignore[misc] # noqa: B023
            call(["chmod", "-R", "u+w", store])
            shutil.rmtree(store)
            shutil.rmtree(source, ignore_errors=True)
            call(["sync"])
        print(".", end="", flush=True, file=sys.stderr)
    return Compared(list(first.values()), list(again.values()), [row for row in checks.values() if row.times], used)


def _take(peer: Peer, store: Path, source: Path) -> None:
    peer.take(store, source)
    call(["sync", "-f", store])


def _used(place: Path) -> int:
    return int(call(["du", "-s", "--block-size=1", place]).split()[0])


def _make(source: Path, mebibytes: int) -> None:
    """A model of one large file and 22 small ones, of random bytes."""
    source.mkdir()
    shutil.copy(Path(__file__).resolve().parents[2] / "sample_models" / "tf1_linear" / "saved_model.pb", source)
    with (source / "large").open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(1024 * 1024))
    for number in range(21):
        (source / f"small-{number:02}").write_bytes(os.urandom(4096))
