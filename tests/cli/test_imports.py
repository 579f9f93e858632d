"""A command imports what it uses and no more: each module costs every call of it some time."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.cli import app, commands

#: What moving a channel needs of this package, beside the packages themselves; a new name here is a decision.
READING = {
    "errors",
    "cli.answers cli.app cli.commands cli.completion cli.describing cli.environment cli.exits cli.main cli.options",
    "cli.render",
    "core.annotations core.config core.contents core.facts core.formats core.history core.index core.kinds core.layout",
    "core.modes core.moment core.outline core.records core.refs core.signatures core.units",
    "core.values core.versions",
    "fs.ballast fs.durable fs.files fs.journal fs.known fs.locks fs.look fs.native fs.processes",
    "repository.border repository.facade.asking repository.facade.converting repository.facade.releasing",
    "repository.facade.rooted",
    "repository.facade.storing repository.leasing repository.opening repository.progress repository.resolving",
    "repository.snapshot",
    "repository.results.releasing",
}
PATH = READING | {
    "core.derived",
    "cli.asking cli.differences cli.several repository.results.asking repository.results.problems",
}
MOVING = READING | {
    "cli.releasing",
    "fs.deletion fs.machine",
    "repository.moving repository.routing repository.views repository.writing",
}


@pytest.mark.parametrize(
    ("words", "may"),
    [(["path", "latest"], PATH), (["promote", "v2"], MOVING), (["rollback"], MOVING)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_quick_command_imports_only_what_it_uses(tmp_path: Path, words: list[str], may: set[str]) -> None:
    repository = Repository(tmp_path / "r")
    repository.init()
    samples = Path(__file__).parents[2] / "sample_models"
    for name in ("classifier_v1", "classifier_v2", "tf1_linear"):
        repository.push(samples / name, load=False)
    repository.promote("v2")
    repository.promote("v1")
    script = (
        "import json, sys\n"
        "before = set(sys.modules)\n"  # what a measurement of coverage has loaded is not the command's
        "from modelrepo.cli.main import run\n"
        f"assert run({['--repo', str(repository.root), *words]!r}) == 0\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    allowed = {f"modelrepo.{name}" for line in may for name in line.split()}
    packages = {"modelrepo", *(f"modelrepo.{name}" for name in ("cli", "core", "fs", "repository"))}
    packages |= {"modelrepo.repository.facade", "modelrepo.repository.results"}
    assert {name for name in loaded if name.split(".")[0] == "modelrepo"} - packages - allowed == set()
    heavy = {"tensorflow", "numpy", "google", "pydantic", "rich.table", "asyncio", "multiprocessing", "http", "ssl"}
    assert heavy.intersection(loaded) == set()


def test_the_version_is_told_without_what_commands_need() -> None:
    script = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        "from modelrepo.cli.main import run\n"
        "assert run(['--version']) == 0\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert loaded.isdisjoint({"pydantic", "typer", "rich", "filelock"})


def test_each_command_is_declared_by_the_module_that_is_imported_for_it() -> None:
    for module in commands.MODULES:
        importlib.import_module(f"modelrepo.cli.{module}")
    for module, names in commands.MODULES.items():
        declared = {
            each.name if each.group is app.app else each.group.info.name
            for each in app._declared
            if each.function.__module__ == f"modelrepo.cli.{module}"
        }
        assert declared == set(names)
