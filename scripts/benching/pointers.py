"""Moving a name to another version: modelrepo's promote, and what others do instead, each as a whole process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benching.clock import Row, call, modelrepo, seconds
from benching.peers import MLFLOW

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
_ALIAS = """
import os, sys
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow
mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
mlflow.MlflowClient().set_registered_model_alias("model", "live", sys.argv[2])
"""
_GIT = {f"GIT_{who}_{what}": "bench" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

#: Two commands, of which each undoes the other; or none, where it is not installed.
_Commands = list[Sequence[object]]


def _link(place: Path) -> _Commands:
    return [["sh", "-c", f"ln -sfn {name} {place}/link && sync -f {place}"] for name in ("a", "b")]


def _ostree(place: Path) -> _Commands:
    if not shutil.which("ostree"):
        return []
    repo = f"--repo={place}/ostree"
    call(["ostree", repo, "init", "--mode=bare-user"])
    trees = (place / name for name in ("a", "b"))
    commits = [call(["ostree", repo, "commit", "--orphan", f"--tree=dir={tree}"]).strip() for tree in trees]
    return [["ostree", repo, "refs", "--force", "--create=live", commit] for commit in commits]


def _gto(place: Path, program: Path) -> _Commands:
    if not program.exists():
        return []
    git = place / "git"
    git.mkdir()
    call(["git", "init", "-q"], place=git)
    for name in ("a", "b"):
        (git / "file").write_text(name)
        call(["git", "add", "file"], place=git)
        call(["git", "commit", "-qm", name], _GIT, git)
        call([program, "register", "model", "--repo", git], _GIT)
    words = [program, "assign", "model", "--repo", git, "--stage", "live", "--force", "--version"]
    return [[*words, "v0.0.1"], [*words, "v0.0.2"]]


def _mlflow(place: Path, python: Path) -> _Commands:
    if not python.with_name("mlflow").exists():
        return []
    store = place / "mlflow"
    store.mkdir()
    for name in ("a", "b"):
        call([python, "-c", MLFLOW, store, place / name])
    return [[python, "-c", _ALIAS, store, number] for number in (1, 2)]


def _modelrepo(place: Path) -> _Commands:
    root = place / "modelrepo"
    call(modelrepo(root, "init"))
    for name in ("classifier_v1", "classifier_v2"):
        call(modelrepo(root, "push", str(SAMPLES / name), "--no-load"))
    call(modelrepo(root, "promote", "v1"))
    return [modelrepo(root, "promote", "v2"), modelrepo(root, "rollback")]


def pointers(place: Path, environments: Path, runs: int) -> list[Row]:
    """Move a name there and back, in turn, run by run.

    Args:
        place: An empty directory.
        environments: Where the virtual environments of gto and mlflow are, by these names.
        runs: How often each moves it there and back.
    """
    for name in ("a", "b"):
        (place / name).mkdir()
        (place / name / "file").write_text(name)
    ways: dict[str, Callable[[], _Commands]] = {
        "ln -sfn, sync": lambda: _link(place),
        "ostree refs": lambda: _ostree(place),
        "gto assign": lambda: _gto(place, environments / "gto" / "bin" / "gto"),
        "MLflow alias": lambda: _mlflow(place, environments / "mlflow" / "bin" / "python"),
        "modelrepo promote, rollback": lambda: _modelrepo(place),
    }
    moves = {name: commands for name, make in ways.items() if (commands := make())}
    rows = {name: Row(name) for name in moves}
    for _ in range(runs):
        for name, commands in moves.items():
            rows[name].times += [seconds(lambda words=words: call(words, _GIT)) for words in commands]  # type: ignore[misc]
    return list(rows.values())
