"""The layers of DESIGN.md §5, the door to the disk, and what only the command line may do: read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

import modelrepo

PACKAGE = Path(modelrepo.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
MAX_LINES = 350
WORKER = "savedmodel/worker.py"
PARSING = "savedmodel/parsing.py"

#: Which layers a layer may import. Imports go down, never up, also those inside functions.
ALLOWED = {
    "errors": set[str](),
    "core": {"errors", "core"},
    "fs": {"errors", "core", "fs"},
    "savedmodel": {"errors", "core", "fs", "savedmodel"},
    "repository": {"errors", "core", "fs", "savedmodel", "repository", "package"},
    "cli": {"errors", "core", "repository", "cli", "package"},
    # The package itself hands out `Repository` and `Version` when asked; `python -m modelrepo` is the command line.
    "package": {"core", "repository", "package"},
    "__main__": {"cli"},
}
#: Packages that one layer or one file alone may import.
ONLY = {
    "tensorflow": {WORKER},
    "google": {PARSING, WORKER},
    "typer": {"cli"},
    "rich": {"cli"},
    "click": set[str](),
    "filelock": {"fs"},
    "fcntl": {"fs"},
    "shutil": set[str](),
    "tempfile": {"fs"},
    "subprocess": {"savedmodel"},
    "ai_edge_litert": {"savedmodel/tflite.py"},
}
#: What core must not import: the disk, the clock, the environment, other processes.
OUTSIDE = {
    "os", "io", "sys", "time", "pathlib", "socket", "random", "secrets", "uuid", "platform", "tempfile", "shutil",
    "subprocess", "threading", "signal", "glob", "getpass", "pwd", "fcntl", "logging",
}  # fmt: skip
#: Calls that change the disk.
OS_CHANGES = {
    f"os.{name}"
    for name in (
        "replace", "rename", "renames", "unlink", "remove", "removedirs", "rmdir", "symlink", "link", "mkdir",
        "makedirs", "mkfifo", "mknod", "fsync", "fdatasync", "sync", "write", "pwrite", "writev", "pwritev",
        "sendfile", "copy_file_range", "truncate", "ftruncate", "posix_fallocate", "chmod", "fchmod", "lchmod",
        "chown", "fchown", "lchown", "utime", "setxattr", "removexattr",
    )
}  # fmt: skip
PATH_CHANGES = {
    "write_text", "write_bytes", "touch", "mkdir", "rmdir", "unlink", "rename", "replace", "symlink_to",
    "hardlink_to", "chmod", "lchmod",
}  # fmt: skip
#: `str.replace`, `datetime.replace` and `dataclasses.replace` are called with two arguments or keywords,
#: `Path.replace` and `Path.rename` with one.
ONE_ARGUMENT = {"replace", "rename"}


@dataclass(frozen=True)
class Module:
    """What one file of the package says."""

    name: str
    lines: int
    imports: frozenset[str]
    calls: tuple[tuple[int, str, ast.Call], ...]
    names: tuple[tuple[int, str], ...] = field(repr=False)

    @property
    def layer(self) -> str:
        """The layer that the file belongs to."""
        head, _, rest = self.name.partition("/")
        return head if rest else {"__init__.py": "package"}.get(head, head.removesuffix(".py"))


def dotted(node: ast.expr) -> str:
    """The name of what an expression reaches, such as `os.path.exists`; the object it starts from as `?`."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, name):
            return f"{dotted(value)}.{name}"
    return "?"


def _imported(tree: ast.Module, name: str) -> Iterator[str]:
    package = ["modelrepo", *name.split("/")[:-1]]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module, names, level):
                base = package[: len(package) - level + 1] if level else []
                start = ".".join([*base, *([module] if module else [])])
                yield start
                yield from (f"{start}.{alias.name}" for alias in names)
            case ast.Call(func, [ast.Constant(str(text)), *_]) if dotted(func) in {
                "importlib.import_module", "__import__", "importlib.util.find_spec",
            }:  # fmt: skip
                yield text


def parse(name: str, source: str) -> Module:
    tree = ast.parse(source)
    calls = tuple((node.lineno, dotted(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = tuple((node.lineno, dotted(node)) for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute))
    return Module(name, source.count("\n"), frozenset(_imported(tree, name)), calls, names)


@cache
def read(name: str) -> Module:
    return parse(name, (PACKAGE / name).read_text(encoding="utf-8"))


def upward(module: Module) -> list[str]:
    """The imports of a file that its layer may not make."""
    wrong = []
    for imported in sorted(module.imports):
        head, _, rest = imported.partition(".")
        if head == "modelrepo":
            below = rest.split(".")[0]
            layer = below if below in ALLOWED else "package"
            # `from modelrepo import errors` names the package only on the way.
            on_the_way = not rest and any(other.startswith("modelrepo.") for other in module.imports)
            if layer not in ALLOWED[module.layer] and not on_the_way:
                wrong.append(imported)
        elif head in ONLY and not {module.layer, module.name} & ONLY[head]:
            wrong.append(imported)
    return wrong


def disk_changes(module: Module) -> list[str]:
    """The calls of a file that change the disk."""
    found = []
    for line, name, call in module.calls:
        last = name.rpartition(".")[2]
        a_path = last in PATH_CHANGES and not name.startswith(("os.", "durable.")) and "." in name
        if a_path and last in ONE_ARGUMENT:
            a_path = len(call.args) == 1 and not call.keywords
        if name in OS_CHANGES or a_path or _opens_for_writing(name, call):
            found.append(f"{line}: {name}")
    return found


def _opens_for_writing(name: str, call: ast.Call) -> bool:
    """Whether a call opens a file that it may write: by its flags, or by a mode that is not a constant or says so."""
    if name == "os.open":
        text = ast.unparse(call)
        return "os.devnull" not in text and any(flag in text for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"))
    if name not in {"open", "os.fdopen", "io.open"}:
        return False
    modes = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(not isinstance(mode, ast.Constant) or set(str(mode.value)) & set("wax+") for mode in modes)


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down_never_up(name: str) -> None:
    assert upward(read(name)) == []


def test_every_layer_of_the_table_is_there() -> None:
    assert {read(name).layer for name in FILES} == set(ALLOWED)


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_longer_than_350_lines(name: str) -> None:
    lines = read(name).lines
    assert lines <= MAX_LINES


def test_only_the_worker_imports_tensorflow() -> None:
    importing = {name for name in FILES for imported in read(name).imports if imported.split(".")[0] == "tensorflow"}
    assert importing == {WORKER}


def test_a_model_is_loaded_only_where_the_scan_may_refuse_it() -> None:
    doing = ("inspector.load", "conversion.convert")
    loading = {name for name in FILES for _, called, _ in read(name).calls if called.endswith(doing)}
    assert loading == {"repository/admitting.py"}


@pytest.mark.parametrize("name", [name for name in FILES if read(name).layer in {"core", "errors"}])
def test_core_has_no_disk_no_clock_and_no_environment(name: str) -> None:
    """Paths are named in core (layout), errors knows errno and names of users' files: neither opens anything."""
    module = read(name)
    allowed = {"core/layout.py": {"pathlib"}, "errors.py": {"os"}}.get(name, set())
    assert {imported.split(".")[0] for imported in module.imports} & OUTSIDE <= allowed
    calls = {called for _, called, _ in module.calls}
    assert not calls & {"open", "input", "exec", "eval", "datetime.now", "datetime.utcnow", "datetime.today"}
    assert {called for called in calls if called.startswith("os.")} <= {"os.fsdecode"}
    methods = {"open", "read_text", "read_bytes", "exists", "is_dir", "is_file", "resolve", "stat", "iterdir", "glob"}
    assert not {called.rpartition(".")[2] for called in calls} & methods


@pytest.mark.parametrize("name", [name for name in FILES if read(name).layer not in {"fs", "savedmodel"}])
def test_only_fs_changes_the_disk(name: str) -> None:
    assert disk_changes(read(name)) == []


def test_the_inspector_changes_no_disk_either() -> None:
    """Its one write goes to the pipe behind the worker's old standard output."""
    changes = {
        f"{name}:{change.partition(': ')[2]}"
        for name in FILES
        if read(name).layer == "savedmodel"
        for change in disk_changes(read(name))
    }
    assert changes == {f"{WORKER}:os.fdopen"}


@pytest.mark.parametrize("name", [name for name in FILES if read(name).layer not in {"cli", "__main__"}])
def test_only_the_command_line_prints_or_exits(name: str) -> None:
    """Except the worker: a process of its own, which ends without TensorFlow's clean-up (`os._exit`).

    Its answers go to the pipe that it kept as its standard output, and what it says to standard error.
    """
    module = read(name)
    used = {used for _, used in module.names}
    forbidden = {"print", "exit", "quit", "input", "sys.exit", "SystemExit", "os.abort", "os.kill", "breakpoint"}
    speaking = {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "os._exit"}
    allowed = {"sys.stderr", "os._exit"} if name == WORKER else set()
    assert used & (forbidden | speaking) <= allowed


@pytest.mark.parametrize("name", FILES)
def test_no_shell_is_ever_started(name: str) -> None:
    for _, called, call in read(name).calls:
        assert called not in {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
        assert not any(keyword.arg == "shell" for keyword in call.keywords)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("core/refs.py", "from modelrepo.fs import durable"),
        ("core/refs.py", "def late():\n    import modelrepo.repository.facade"),
        ("fs/durable.py", "from ..repository import facade"),
        ("fs/durable.py", "from modelrepo import repository"),
        ("savedmodel/runner.py", "import tensorflow as tf"),
        ("savedmodel/runner.py", "import importlib\nimportlib.import_module('tensorflow.core')"),
        ("repository/facade/asking.py", "import typer"),
        ("repository/facade/asking.py", "from modelrepo.cli import app"),
        ("errors.py", "from modelrepo.core import refs"),
        ("cli/app.py", "from modelrepo.fs import durable"),
        ("fs/durable.py", "import shutil"),
    ],
)
def test_the_table_sees_an_import_that_goes_up(name: str, source: str) -> None:
    assert upward(parse(name, source))


@pytest.mark.parametrize(
    "source",
    [
        "os.replace(a, b)",
        "os.fsync(3)",
        "path.write_text('x')",
        "layout.version(v).unlink()",
        "(root / 'a').rename(b)",
        "Path('x').mkdir(parents=True)",
        "path.replace(other)",
        "open(path, 'w')",
        "open(path, mode='r+b')",
        "open(path, mode)",
        "os.fdopen(3, 'ab')",
        "os.open(path, os.O_WRONLY | os.O_CLOEXEC)",
    ],
)
def test_the_door_sees_a_change_of_the_disk(source: str) -> None:
    assert disk_changes(parse("repository/pushing.py", source))


@pytest.mark.parametrize(
    "source", ["text.replace('a', 'b')", "open(path)", "open(path, 'rb')", "replace(state, open=None)"]
)
def test_the_door_lets_values_and_reading_pass(source: str) -> None:
    assert not disk_changes(parse("repository/pushing.py", source))


#: Where Linux and macOS may be told apart: system calls, `/proc`, and what a model's process gives up.
PLATFORM = {
    "fs/native.py": "system calls, the boot and its clock",
    "fs/processes.py": "who holds a lock, and how he is called",
    "fs/inuse.py": "what processes have open",
    "savedmodel/cage.py": "limits and Landlock, in the child",
    "repository/__init__.py": "the refusal of Windows",
    "cli/environment.py": "what the command line itself was started with",
}


def test_what_differs_between_systems_stands_in_few_places() -> None:
    words = ("sys.platform", '"/proc', 'f"/proc', "F_FULLFSYNC", "os.O_PATH", "CLOCK_BOOTTIME", "ctypes.")
    telling = {name for name in FILES for word in words if word in _code((PACKAGE / name).read_text(encoding="utf-8"))}
    assert telling == set(PLATFORM)


def _code(source: str) -> str:
    """A file's text without its docstrings and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False):
            node.body[0] = ast.Pass()
    return ast.unparse(tree).replace("'", '"')
