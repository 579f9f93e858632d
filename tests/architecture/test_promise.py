"""What the package promises to those who import or start it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import modelrepo
from modelrepo import Repository, Version, __version__

#: What `modelrepo --help` lists, in its order.
COMMANDS = [
    "init",
    "push",
    "export",
    "verify",
    "cleanup",
    "remove",
    "convert",
    "promote",
    "rollback",
    "annotate",
    "pin",
    "unpin",
    "list",
    "show",
    "inspect",
    "diff",
    "predict",
    "history",
    "status",
    "path",
    "serving-config",
    "compare",
    "exec",
    "channel",
]


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "code",
    [
        "import modelrepo; modelrepo.Repository; modelrepo.Version",
        "from modelrepo import Repository",
        "from modelrepo import *",
    ],
)
def test_importing_the_library_imports_neither_tensorflow_nor_the_command_lines_packages(code: str) -> None:
    assert not modules_after(code) & {"tensorflow", "keras", "numpy", "typer", "click", "rich", "google"}


def test_the_bare_package_does_not_even_import_pydantic() -> None:
    """The inspector's child needs nothing of it."""
    assert not modules_after("import modelrepo; import modelrepo.savedmodel.worker") & {"pydantic", "tensorflow"}


def test_using_a_repository_without_models_never_imports_tensorflow(tmp_path: Path) -> None:
    code = f"from modelrepo import Repository; r = Repository({str(tmp_path / 'r')!r}); r.init(); r.status(); r.list()"
    loaded = modules_after(code)
    assert "pydantic" in loaded
    assert not loaded & {"tensorflow", "typer", "rich"}


def test_the_command_list_is_exactly_this() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelrepo", "--help"], check=True, capture_output=True, text=True, timeout=60
    )
    listed = done.stdout.partition("Commands:\n")[2]
    assert re.findall(r"^  ([a-z][a-z-]*)", listed, re.MULTILINE) == COMMANDS


def test_every_name_of_all_is_there_and_no_other_is_handed_out() -> None:
    assert modelrepo.__all__ == ["Repository", "Version", "__version__"]
    assert all(hasattr(modelrepo, name) for name in modelrepo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Repo'"):
        _ = modelrepo.Repo


def test_every_name_of_all_has_the_type_that_it_promises(tmp_path: Path) -> None:
    """Mypy reads this too: what is annotated here is what users' type checkers see."""
    repository: Repository = modelrepo.Repository(tmp_path / "ranker")
    version: Version | None = modelrepo.Version.from_name("v7")
    number: str = __version__
    assert isinstance(repository, Repository)
    assert version == Version(7)
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", number)


def test_every_method_of_repository_says_what_it_takes_and_gives() -> None:
    methods = {name: member for name, member in inspect.getmembers(Repository, callable) if not name.startswith("_")}
    assert {"init", "push", "promote", "rollback", "cleanup", "verify", "list", "show", "status"} <= set(methods)
    for name, method in methods.items():
        assert "return" in get_type_hints(method), name
        assert method.__doc__, name


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(modelrepo.__file__).parent / "py.typed").is_file()
