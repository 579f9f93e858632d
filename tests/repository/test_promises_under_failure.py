"""What the operations promise also where something fails: each of these was broken once.

Faults come from hooks at the layer that changes the disk: in this process, or in the real program by a few lines
that run before it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.cli import exits
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError, ModelRepoError, RefusedError, SourceError, StorageError, UnconfirmedError
from modelrepo.fs import copying, deletion, durable
from modelrepo.fs.journal import Journal
from modelrepo.repository import planning, staging
from modelrepo.repository.results import CleanupResult

Models = Callable[[str], Path]
Rules = dict[str, Any]
Run = Callable[..., Any]

AGELESS = ("--keep-last", "0", "--keep-rollback", "1", "--min-age", "0s", "--grace", "0s")


def present(repository: Repository) -> list[str]:
    return sorted(name for name in os.listdir(repository.root) if name.startswith("v"))


def removed(result: CleanupResult) -> list[str]:
    return [str(version) for version in result.removed]


def reasons(result: CleanupResult) -> dict[str, tuple[str, ...]]:
    return {str(kept.version): kept.reasons for kept in result.kept}


def view(repository: Repository, channel: str = "latest") -> dict[str, str]:
    place = repository.root / "serving" / channel
    return {path.name: os.readlink(path) for path in place.iterdir()}


def unconfirmed(call: Callable[[], object]) -> UnconfirmedError:
    """What a call says that must end with 7."""
    with pytest.raises(ModelRepoError) as caught:
        call()
    assert isinstance(caught.value, UnconfirmedError), caught.value
    assert exits.code_of(caught.value) == 7
    return caught.value


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """Lets something happen once, right behind the first call of a function (that fits)."""

    def call(
        module: ModuleType, name: str, action: Callable[[], object], fits: Callable[..., bool] = lambda *_, **__: True
    ) -> list[bool]:
        real, happened = getattr(module, name), list[bool]()

        def hooked(*arguments: Any, **options: Any) -> Any:
            result = real(*arguments, **options)
            if not happened and fits(*arguments, **options):
                happened.append(True)
                action()
            return result

        monkeypatch.setattr(module, name, hooked)
        return happened

    return call


@pytest.fixture
def hooked(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real program behind a few lines that change what it is made of."""

    def call(lines: str, *words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        program = f"{lines}\nfrom modelrepo.cli.main import main\nmain()\n"
        return subprocess.run(
            [sys.executable, "-c", program, *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=env,
        )

    return call


# 1. The lock file goes behind a commit


COMMITS: dict[str, tuple[str, Callable[[Repository, Models, Rules], object]]] = {
    "promote": ("move_link", lambda repository, _, __: repository.promote("v2")),
    "rollback": ("move_link", lambda repository, _, __: repository.rollback()),
    "push": ("rename_new", lambda repository, model, _: repository.push(model("four"), load=False)),
    "cleanup": ("rename_new", lambda repository, _, rules: repository.cleanup(**rules)),
}


@pytest.mark.parametrize("command", COMMITS)
def test_a_lock_file_that_goes_behind_the_commit_is_7_and_the_next_writer_completes_it(
    filled: Repository,
    layout: Layout,
    model: Models,
    ageless: Rules,
    behind: Callable[..., list[bool]],
    command: str,
) -> None:
    if command in {"promote", "rollback"}:
        filled.promote("v1")
    if command == "rollback":
        filled.promote("v3")
    name, call = COMMITS[command]
    happened = behind(durable, name, layout.lock.unlink)
    error = unconfirmed(lambda: call(filled, model, ageless))
    assert happened
    assert "removed or replaced" in error.message
    assert (error.durable, error.recorded) == (True, False)
    if command == "push":
        assert (error.partial.version, error.partial.created) == (Version(4), True)
        assert str(filled.path("v4").version) == "v4"
    elif command == "cleanup":
        assert (removed(error.partial), error.partial.freed) == (["v1"], 0)
        assert present(filled) == ["v2", "v3"]
    else:
        target = Version(2) if command == "promote" else Version(1)
        assert (error.partial.to, error.partial.changed, error.view) == (target, True, True)
        assert filled.status().channels == {"latest": target}
        assert view(filled) == {str(target.number): f"../../{target}"}
    assert [problem.kind for problem in filled.status().problems if not problem.note] == ["unfinished"]

    filled.pin("v3")
    assert [entry.action for entry in filled.history(limit=2)] == ["pin", command]
    if command == "cleanup":
        assert filled.cleanup().leftovers == 1
    assert filled.verify().findings == ()


# 2. and 3. A journal that does not sync


def is_journal(layout: Layout, descriptor: int) -> bool:
    return os.path.samestat(os.fstat(descriptor), layout.journal.stat())


def break_journal(patch: pytest.MonkeyPatch, layout: Layout, *, first: int, last: int, cut: bool = True) -> None:
    """Let the syncs of the journal fail from the first to the last of these; where `cut` is False, cutting it too.

    That of recovery, which comes before a command begins anything, is none of them.
    """
    sync, truncate, count = durable.sync, os.ftruncate, -1

    def failing(descriptor: int) -> None:
        nonlocal count
        if is_journal(layout, descriptor):
            count += 1
            if first <= count <= last:
                raise OSError(errno.EIO, "Input/output error", "journal.jsonl")
        sync(descriptor)

    def stuck(descriptor: int, length: int) -> None:
        if is_journal(layout, descriptor):
            raise OSError(errno.EIO, "Input/output error", "journal.jsonl")
        truncate(descriptor, length)

    patch.setattr(durable, "sync", failing)
    if not cut:
        patch.setattr(os, "ftruncate", stuck)


def watch_journal(patch: pytest.MonkeyPatch, layout: Layout) -> list[bytes]:
    """What is written to the journal from now on, and `b"sync"` for each sync."""
    write, sync = durable.write_all, durable.sync
    calls: list[bytes] = []

    def writing(descriptor: int, data: bytes, offset: int | None = None) -> None:
        if is_journal(layout, descriptor):
            calls.append(bytes(data))
        write(descriptor, data, offset)

    def syncing(descriptor: int) -> None:
        sync(descriptor)
        if is_journal(layout, descriptor):
            calls.append(b"sync")

    patch.setattr(durable, "write_all", writing)
    patch.setattr(durable, "sync", syncing)
    return calls


IDLE: dict[str, Callable[[Repository], object]] = {
    "pin": lambda repository: repository.pin("v1"),
    "unpin": lambda repository: repository.unpin("v3"),
    "promote": lambda repository: repository.promote("v2"),
    "rollback": lambda repository: repository.rollback(to="v2"),
    "cleanup": lambda repository: repository.cleanup(),
    "repair": lambda repository: repository.verify(repair=True),
}


@pytest.mark.parametrize("unsynced", ["pin", "promote"])
@pytest.mark.parametrize("command", IDLE)
def test_who_changes_nothing_writes_an_unsynced_record_anew(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch, unsynced: str, command: str
) -> None:
    if unsynced == "pin":
        filled.promote("v2")
    else:
        filled.pin("v1")
    with monkeypatch.context() as patch:
        number = 1 if unsynced == "pin" else 2  # a promote's first is its intent's
        break_journal(patch, layout, first=number, last=99, cut=False)
        assert not unconfirmed(lambda: IDLE[unsynced](filled)).partial or unsynced == "promote"
    before = layout.journal.read_bytes()
    last = before.splitlines(keepends=True)[-1]
    assert f'"action":"{unsynced}"'.encode() in last
    assert b'"phase":"done"' in last

    calls = watch_journal(monkeypatch, layout)
    result = IDLE[command](filled)
    assert not getattr(result, "changed", False)
    assert layout.journal.read_bytes() == before
    assert calls[-2:] == [last, b"sync"]
    assert (filled.status().pinned, filled.status().channels) == ((Version(1),), {"latest": Version(2)})


@pytest.mark.parametrize("trouble", ["the record", "the cut, too", "even the cutting"])
@pytest.mark.parametrize("command", ["pin", "unpin"])
def test_a_pin_that_does_not_sync_is_not_shown_or_7(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch, command: str, trouble: str
) -> None:
    if command == "unpin":
        filled.pin("v1")
    before, history = filled.status().pinned, filled.history()
    with monkeypatch.context() as patch:
        last = 1 if trouble == "the record" else 99
        break_journal(patch, layout, first=1, last=last, cut=trouble != "even the cutting")
        with pytest.raises(ModelRepoError) as caught:
            getattr(filled, command)("v1")
    shown = filled.status().pinned != before
    if isinstance(caught.value, UnconfirmedError):
        assert not caught.value.durable
        assert trouble != "the record"
    else:
        assert isinstance(caught.value, StorageError)
        assert not shown
        assert filled.history() == history
        assert trouble == "the record"
    assert shown == (trouble == "even the cutting")

    assert getattr(filled, command)("v1").changed is not shown
    assert filled.status().pinned == ((Version(1),) if command == "pin" else ())
    assert [entry.action for entry in filled.history()].count(command) == 1
    assert filled.verify().findings == ()


def test_the_program_says_7_where_a_pin_stands_but_is_not_synced(
    filled: Repository, hooked: Callable[..., subprocess.CompletedProcess[str]], run: Run
) -> None:
    lines = """
import os
from modelrepo.fs import durable
def fail(*_):
    raise OSError(5, "Input/output error", "journal.jsonl")
real, syncs = durable.sync, 0
def sync(descriptor):
    global syncs
    journal = os.path.samestat(os.fstat(descriptor), os.stat("ranker/.modelrepo/journal.jsonl"))
    syncs += journal  # the first is recovery's, before anything is begun
    return fail() if journal and syncs > 1 else real(descriptor)
durable.sync = sync
os.ftruncate = fail
"""
    done = hooked(lines, "-r", filled.root, "pin", "v1")
    assert (done.returncode, done.stdout) == (7, "")
    assert "Input/output error" in done.stderr
    assert run("-r", filled.root, "status", "--json").json["pinned"] == ["v1"]
    assert run("-r", filled.root, "pin", "v1").code == 0


# 4. A repair that dies


DEATHS = {
    "in the middle of its bytes": """
real = durable.write_all
def write_all(descriptor, data, offset=None):
    if bytes(data) == damaged:
        real(descriptor, data[: len(data) // 2], offset)
        os._exit(99)
    real(descriptor, data, offset)
durable.write_all = write_all
""",
    "before it has its name": """
real = os.rename
os.rename = lambda old, new: os._exit(99) if str(new).endswith(".damaged") else real(old, new)
""",
    "behind that": """
real = durable.replace_file
def replace_file(path, *words):
    real(path, *words)
    os._exit(99)
durable.replace_file = replace_file
""",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_journal_is_set_aside_whole_also_by_the_repair_behind_one_that_died(
    filled: Repository,
    layout: Layout,
    hooked: Callable[..., subprocess.CompletedProcess[str]],
    run: Run,
    death: str,
) -> None:
    data = bytearray(layout.journal.read_bytes())
    data[len(data) // 2] ^= 1
    layout.journal.write_bytes(data)
    head = f"import os\nfrom modelrepo.fs import durable\ndamaged = open({str(layout.journal)!r}, 'rb').read()\n"
    died = hooked(head + DEATHS[death], "-r", filled.root, "verify", "--repair")
    assert died.returncode == 99, died.stderr
    assert layout.journal.read_bytes() == data

    assert run("-r", filled.root, "verify", "--repair").code == 0
    (aside,) = layout.state.glob("*.damaged")
    assert aside.read_bytes() == data
    assert os.listdir(layout.staging) == os.listdir(layout.trash) == []
    assert filled.verify().findings == ()


# 5. A view that cannot follow


@pytest.mark.parametrize("again", ["promote", "rollback"])
def test_a_view_that_cannot_follow_is_7_each_time_until_it_can(
    filled: Repository, layout: Layout, again: str, run: Run
) -> None:
    def repeat() -> Any:
        return filled.promote("v2") if again == "promote" else filled.rollback(to="v2")

    layout.view("latest").write_text("somebody's")
    error = unconfirmed(lambda: filled.promote("v2"))
    assert (error.durable, error.view) == (True, False)
    history = filled.history()
    for _ in range(2):
        error = unconfirmed(repeat)
        assert (error.durable, error.view) == (True, False)
        assert (error.partial.to, error.partial.changed) == (Version(2), False)
    if again == "promote":
        said = run("-r", filled.root, "promote", "v2", "--json")
        assert (said.code, said.json["view"], said.json["error"]["code"]) == (7, False, 7)
    assert layout.view("latest").read_text() == "somebody's"
    filled.promote("v1", channel="canary")  # another channel has nothing to do with it
    assert view(filled, "canary") == {"1": "../../v1"}

    layout.view("latest").unlink()
    assert repeat().changed is False
    assert view(filled) == {"2": "../../v2"}
    assert filled.history()[1:] == history
    assert filled.verify().findings == ()


# 6. An interrupt right behind a rename


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupt_behind_the_links_rename_is_an_interrupt(
    filled: Repository, layout: Layout, behind: Callable[..., list[bool]]
) -> None:
    filled.promote("v1")
    happened = behind(os, "rename", interrupt, lambda _, new: str(new) == str(layout.channel("latest")))
    with pytest.raises(KeyboardInterrupt):
        filled.promote("v2")
    assert happened
    assert filled.status().channels == {"latest": Version(2)}
    assert filled.promote("v3").changed
    assert [(entry.action, str(entry.to)) for entry in filled.history(limit=3)] == [
        ("promote", "v3"),
        ("promote", "v2"),
        ("promote", "v1"),
    ]
    assert os.listdir(layout.staging) == []
    assert filled.verify().findings == ()


@pytest.mark.parametrize("name", ["journal.jsonl", "config.toml"])
def test_an_interrupt_behind_a_rename_of_init_is_an_interrupt(
    tmp_path: Path, model: Models, behind: Callable[..., list[bool]], name: str
) -> None:
    repository = Repository(tmp_path / "new")
    happened = behind(os, "rename", interrupt, lambda _, new: os.path.basename(new) == name)
    with pytest.raises(KeyboardInterrupt):
        repository.init()
    assert happened
    assert repository.init().created is (name == "journal.jsonl")
    assert repository.push(model("one"), load=False).version == Version(1)
    assert os.listdir(Layout(repository.root).staging) == []
    assert repository.verify().findings == ()


@pytest.mark.parametrize("place", ["aside", "journal"])
def test_an_interrupt_behind_a_rename_of_repair_is_an_interrupt(
    filled: Repository, layout: Layout, behind: Callable[..., list[bool]], place: str
) -> None:
    damaged = layout.journal.read_bytes().replace(b'"push"', b'"pull"', 1)
    layout.journal.write_bytes(damaged)
    happened = behind(
        os, "rename", interrupt, lambda _, new: str(new).endswith("damaged" if place == "aside" else "jsonl")
    )
    with pytest.raises(KeyboardInterrupt):
        filled.verify(repair=True)
    assert happened
    assert filled.verify(repair=True).ok
    (aside,) = layout.state.glob("*.damaged")
    assert aside.read_bytes() == damaged
    assert present(filled) == ["v1", "v2", "v3"]
    assert filled.pin("v1").changed
    assert filled.verify().findings == ()


# 7. A mode is no damage


@pytest.mark.parametrize("name", ["saved_model.pb", "manifest.json", "assets.extra/note.txt", "variables"])
def test_a_mode_that_somebody_changed_does_not_make_a_repeated_push_store_anew(
    filled: Repository, tmp_path: Path, name: str
) -> None:
    path = filled.root / "v2" / name
    path.chmod(0o777 if path.is_dir() else 0o644)
    result = filled.push(tmp_path / "exports" / "two", load=False)
    assert (result.version, result.created, result.warnings) == (Version(2), False, ())
    assert present(filled) == ["v1", "v2", "v3"]


# 8. A process of which only a part may be looked at


@pytest.mark.parametrize("hidden", [("cwd",), ("root",), ("cwd", "root")])
def test_a_process_whose_directory_is_hidden_but_whose_open_file_is_seen_keeps_the_version(
    filled: Repository,
    ageless: Rules,
    other: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    hidden: tuple[str, ...],
) -> None:
    holder = other(f"exec 3< {filled.root}/v1/saved_model.pb; echo ready; read x", cwd=tmp_path)
    places = {f"/proc/{holder.pid}/{name}" for name in hidden}
    stat = os.stat
    asked = set()

    def refuse(path: Any, **options: Any) -> os.stat_result:
        if str(path) in places:
            asked.add(str(path))
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    result = filled.cleanup(**ageless)
    assert asked == places
    assert (reasons(result), removed(result)) == ({"v1": ("in-use",)}, ["v2", "v3"])
    assert result.unseen
    assert present(filled) == ["v1"]


# 9. init and a damaged journal


@pytest.mark.parametrize("call", ["init", "push --init"])
@pytest.mark.parametrize("harm", ["first line", "second line", "cut in the first", "cut in the second", "empty"])
def test_init_never_writes_over_a_damaged_journal(
    filled: Repository, layout: Layout, ageless: Rules, model: Models, harm: str, call: str
) -> None:
    filled.cleanup(**ageless)
    assert sorted(os.listdir(filled.root)) == [".modelrepo", "serving"]  # so that nothing else speaks against it
    layout.config.unlink()
    lines = [bytearray(line) for line in layout.journal.read_bytes().splitlines(keepends=True)]
    if harm.endswith("line"):
        lines[harm == "second line"][20] ^= 1
    elif harm != "empty":
        lines = lines[: 1 + (harm == "cut in the second")]
        del lines[-1][-30:]
    else:
        lines = []
    damaged = b"".join(lines)
    layout.journal.write_bytes(damaged)
    with pytest.raises(IntegrityError) as caught:
        filled.init() if call == "init" else filled.push(model("four"), load=False, init=True)
    assert caught.value.kind == "config-missing"
    assert layout.journal.read_bytes() == damaged
    assert not layout.config.exists()


# 10. A staging directory that is taken away


def test_a_push_whose_staging_directory_goes_takes_another(
    filled: Repository, layout: Layout, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir, made = os.mkdir, list[str]()

    def taken(path: Any, *words: Any, **options: Any) -> None:
        mkdir(path, *words, **options)
        if str(path).startswith("push-"):
            made.append(path)
            if len(made) < 3:  # what a cleanup does that finds it unheld
                os.rename(layout.staging / path, layout.trash / "staging-x")
                os.rmdir(layout.trash / "staging-x")

    monkeypatch.setattr(os, "mkdir", taken)
    result = filled.push(model("four"), load=False)
    assert (result.version, result.created) == (Version(4), True)
    assert len(made) == len(set(made)) == 3
    assert os.listdir(layout.staging) == os.listdir(layout.trash) == []
    assert filled.verify().findings == ()


# 11. Cleanups that fail half-way


SECOND_INTENT = """
from modelrepo.core.refs import Version
from modelrepo.fs.journal import Journal
real = Journal.append
def append(self, record):
    if record.phase == "intent" and record.version == Version(2):
        raise OSError(5, "Input/output error", "journal.jsonl")
    return real(self, record)
Journal.append = append
"""


def test_a_cleanup_that_fails_at_its_second_intent_says_what_it_removed(
    filled: Repository, ageless: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, size = Journal.append, filled.show("v1").size

    def append(self: Journal, record: Any) -> Any:
        if record.phase == "intent" and record.version == Version(2):
            raise OSError(errno.EIO, "Input/output error", "journal.jsonl")
        return real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", append)
        with pytest.raises(StorageError) as caught:
            filled.cleanup(**ageless)
    assert isinstance(caught.value.partial, CleanupResult)
    assert (removed(caught.value.partial), caught.value.partial.freed) == (["v1"], size)
    assert present(filled) == ["v2", "v3"]
    assert removed(filled.cleanup(**ageless)) == ["v2", "v3"]
    assert filled.verify().findings == ()


def test_the_program_prints_what_it_deleted_and_the_complaint(
    filled: Repository, hooked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = hooked(SECOND_INTENT, "-r", filled.root, "cleanup", *AGELESS)
    assert done.returncode == 1
    assert done.stdout.startswith("deleted v1: ")
    assert done.stdout.count("\n") == 1
    assert "modelrepo: could not clean up: Input/output error: journal.jsonl" in done.stderr.splitlines()
    assert present(filled) == ["v2", "v3"]


def test_the_programs_one_document_has_what_was_removed_and_the_error(
    filled: Repository, hooked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = hooked(SECOND_INTENT, "-r", filled.root, "cleanup", *AGELESS, "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["removed"], document["error"]["code"]) == (1, ["v1"], 1)
    assert "Input/output error" in document["error"]["message"]
    assert document["freed"] > 0


def test_bytes_that_cannot_be_deleted_are_7_and_not_freed_until_the_next_cleanup(
    filled: Repository, layout: Layout, ageless: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deletion.delete_tree
    sizes = {str(row.version): row.size for row in filled.list()}

    def delete(path: Path, *, top: Path | None = None) -> None:
        if path.name.startswith("v2-"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        real(path, top=top)

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "delete_tree", delete)
        error = unconfirmed(lambda: filled.cleanup(**ageless))
    assert (error.durable, error.view, error.recorded) == (True, None, True)
    assert "v2" in error.message
    assert any("Input/output error" in item for item in error.items)
    assert removed(error.partial) == ["v1", "v2", "v3"]
    assert error.partial.freed == sizes["v1"] + sizes["v3"]
    assert present(filled) == []
    assert [name.partition("-")[0] for name in os.listdir(layout.trash)] == ["v2"]

    result = filled.cleanup(**ageless)
    assert (removed(result), result.leftovers) == ([], 1)
    assert os.listdir(layout.trash) == []
    assert filled.verify().findings == ()


#: Becomes `nobody` where it is root. Python itself may lie where nobody but root may look: hence the rehearsal, with
#: which all is imported, on another repository where nothing is to be done.
ORDINARY = """
import os
from modelrepo.cli.main import run
assert run(["-r", "ranker", "cleanup"]) == 0
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


@pytest.fixture
def ordinary(filled: Repository) -> Iterator[Path]:
    """A copy of the repository that an ordinary user owns, where that user may get at it."""
    place = Path(tempfile.mkdtemp(prefix="modelrepo-tests-", dir="/tmp"))
    place.chmod(0o755)
    root = place / "ranker"
    shutil.copytree(filled.root, root, symlinks=True)
    if os.geteuid() == 0:
        for directory, names, files in os.walk(root):
            for name in (".", *names, *files):
                os.chown(os.path.join(directory, name), 65534, 65534, follow_symlinks=False)
    yield root
    for path in root.glob("v*"):
        path.chmod(0o755)
    shutil.rmtree(place)


def test_a_version_that_may_not_be_looked_at_stays_and_the_others_go(
    ordinary: Path, hooked: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    root = ordinary
    (root / "v2").chmod(0)
    # Coverage writes its data when a process ends, which that user may not.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    def cleanup(*words: str) -> Any:
        done = hooked(ORDINARY, "-r", root, "cleanup", *AGELESS, "--json", *words, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    kept = [{"version": "v2", "reasons": ["unreadable"], "by": []}]
    plan = cleanup("--dry-run")
    assert (plan["removed"], plan["kept"]) == (["v1", "v3"], kept)
    deed = cleanup()
    assert (deed["removed"], deed["kept"]) == (["v1", "v3"], kept)
    assert sorted(os.listdir(root)) == [".modelrepo", "serving", "v2"]
    assert os.listdir(root / ".modelrepo" / "trash") == []
    (root / "v2").chmod(0o755)
    assert cleanup()["removed"] == ["v2"]


# 12. The gate where there is nothing to compare with


@pytest.mark.parametrize("gate", ["refuse", "warn"])
def test_the_gate_says_that_it_compared_nothing_where_the_present_target_is_gone(
    filled: Repository, settings: Callable[[str], None], gate: str
) -> None:
    settings(f'[gates]\nbreaking = "{gate}"\nrequire_load = "off"')
    filled.promote("v1")
    shutil.rmtree(filled.root / "v1")
    for dry_run in (True, False):
        result = filled.promote("v2", dry_run=dry_run)
        assert (result.origin, result.to, result.breaking) == (Version(1), Version(2), None)
        (warning,) = result.warnings
        assert "not compared" in warning
        assert "v1 is gone" in warning
    assert view(filled) == {"2": "../../v2"}


# 13. to 15. Pushes


@pytest.mark.tensorflow
def test_a_repeated_push_that_loaded_says_so(filled: Repository, tmp_path: Path) -> None:
    source = tmp_path / "exports" / "two"
    result = filled.push(source, load=True)
    assert (result.version, result.created, result.load) == (Version(2), False, "passed")
    assert filled.push(source, load=False).load == "skipped"
    assert filled.show("v2").load == "skipped"  # what its manifest says stays said


@pytest.mark.parametrize("kind", ["something else", "empty", "a file", "missing"])
def test_push_init_of_what_is_no_savedmodel_makes_no_repository(tmp_path: Path, run: Run, kind: str) -> None:
    source, root = tmp_path / "export", tmp_path / "team" / "ranker"
    if kind == "a file":
        source.write_text("no model")
    elif kind != "missing":
        source.mkdir()
        if kind == "something else":
            (source / "weights.h5").write_text("no SavedModel")
    with pytest.raises(SourceError):
        Repository(root).push(source, load=False, init=True)
    assert not (tmp_path / "team").exists()
    done = run("-r", root, "push", source, "--no-load", "--init")
    assert (done.code, done.out) == (2, "")
    assert not (tmp_path / "team").exists()


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_a_foreign_number_that_is_absurd_is_refused_before_anything_is_copied(
    filled: Repository, layout: Layout, model: Models, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing should have been begun")

    path = filled.root / "v99999999"
    if kind == "directory":
        path.mkdir()
    elif kind == "file":
        path.touch()
    else:
        path.symlink_to("v1")
    for module, name in ((staging, "staging"), (copying, "copy")):
        monkeypatch.setattr(module, name, forbidden)
    before = layout.journal.read_bytes()
    with pytest.raises(RefusedError) as caught:
        filled.push(model("four"), load=False)
    assert (exits.code_of(caught.value), caught.value.kind, caught.value.got) == (4, "number-gap", "v99999999")
    assert "v99999999" in caught.value.message
    assert (layout.journal.read_bytes(), os.listdir(layout.staging)) == (before, [])


# 16. A channel that names a channel


@pytest.mark.parametrize("text", ["canary", "./canary", "canary/", "missing"])
def test_a_channel_that_names_a_channel_names_no_version(
    filled: Repository, ageless: Rules, run: Run, text: str
) -> None:
    filled.promote("v1", channel="canary")
    filled.promote("v2")
    (filled.root / "latest").unlink()
    (filled.root / "latest").symlink_to(text)
    assert filled.status().channels == {"canary": Version(1), "latest": None}
    assert {str(row.version): row.channels for row in filled.list()} == {"v1": ("canary",), "v2": (), "v3": ()}
    assert "channel-dangling" in {problem.kind for problem in filled.status().problems}
    with pytest.raises(IntegrityError):
        filled.path("latest")
    assert "latest -> NOTHING" in run("-r", filled.root, "status").out

    for dry_run in (True, False):
        with pytest.raises(IntegrityError) as caught:
            filled.cleanup(dry_run=dry_run, **ageless)
        assert exits.code_of(caught.value) == 5
    assert present(filled) == ["v1", "v2", "v3"]
    assert os.readlink(filled.root / "latest") == text

    assert filled.promote("v3").changed
    assert filled.status().channels == {"canary": Version(1), "latest": Version(3)}
    assert (os.readlink(filled.root / "latest"), view(filled)) == ("v3", {"3": "../../v3"})
    assert filled.verify().findings == ()


# 17. A plan holds nobody up


def test_a_promote_passes_while_a_cleanup_is_looking(
    filled: Repository, ageless: Rules, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.promote("v3")
    real = planning.plan
    moved: list[Any] = []

    def plan(*words: Any, **options: Any) -> Any:
        proposal = real(*words, **options)
        if not moved:
            moved.append(run("-r", filled.root, "promote", "v2", "--lock-timeout", "0s"))
        return proposal

    monkeypatch.setattr(planning, "plan", plan)
    result = filled.cleanup(**ageless)
    assert [done.code for done in moved] == [0]
    assert removed(result) == ["v1"]
    assert "channel:latest" in reasons(result)["v2"]  # it would have gone by the plan
    assert filled.status().channels == {"latest": Version(2)}
    assert filled.verify().findings == ()


# 18. A disk that is full at the very end of a first view


def test_a_first_view_whose_last_sync_finds_the_disk_full_is_right_and_says_why(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = durable.sync_directory, list[bool]()

    def sync(path: Path) -> None:
        if path == layout.serving and not failed:
            failed.append(True)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path)

    monkeypatch.setattr(durable, "sync_directory", sync)
    said: UnconfirmedError | None = None
    try:
        result = filled.promote("v1")
    except UnconfirmedError as error:
        said, result = error, error.partial
    assert failed
    assert (result.to, result.changed) == (Version(1), True)
    if said is not None:
        assert (said.durable, said.view, said.recorded) == (True, False, True)
        assert "No space left on device" in said.message  # and not what a second try met
    assert view(filled) == {"1": "../../v1"}
    assert (filled.root / "serving" / "latest" / "1" / "saved_model.pb").is_file()
    assert os.listdir(layout.staging) == []
    assert filled.promote("v1").changed is False
    assert filled.promote("v2").changed is True
    assert view(filled) == {"2": "../../v2"}
    assert filled.verify().findings == ()
