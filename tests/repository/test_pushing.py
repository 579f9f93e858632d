"""`push` takes a SavedModel in whole or not at all, and leaves nothing in sight where it fails."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.core.manifest import parse_manifest
from modelrepo.errors import (
    IntegrityError,
    ModelRepoError,
    NoRepositoryError,
    RefusedError,
    RequestError,
    SourceError,
    StorageError,
    SystemRefusedError,
    UnconfirmedError,
)
from modelrepo.fs import copying, durable
from modelrepo.repository import checking

Models = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every push, failed or not, staging and trash are empty."""
    layout = Layout(request.getfixturevalue("repository").root) if "repository" in request.fixturenames else None
    yield
    if layout is not None:
        assert os.listdir(layout.staging) == os.listdir(layout.trash) == []


def digest_by_hand(source: Path) -> str:
    """The digest as DESIGN promises it, by tools that everybody has."""
    command = (
        r"find . -type f ! -path ./manifest.json -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -- | sha256sum"
    )
    said = subprocess.run(["/bin/bash", "-c", command], cwd=source, check=True, capture_output=True, text=True).stdout
    return f"sha256:{said.split()[0]}"


def present(repository: Repository) -> list[str]:
    return sorted(name for name in os.listdir(repository.root) if name.startswith("v"))


# What is stored


def test_the_version_is_byte_for_byte_the_source_and_read_only(repository: Repository, model: Models) -> None:
    source = model("one")
    repository.push(source, load=False)
    stored = repository.root / "v1"
    paths = sorted(path.relative_to(source) for path in source.rglob("*"))
    assert sorted(path.relative_to(stored) for path in stored.rglob("*") if path.name != "manifest.json") == paths
    for path in paths:
        if (source / path).is_file():
            assert (stored / path).read_bytes() == (source / path).read_bytes()
            assert stat.S_IMODE((stored / path).stat().st_mode) == 0o444
        else:
            assert stat.S_IMODE((stored / path).stat().st_mode) == 0o755
    assert stat.S_IMODE((stored / "manifest.json").stat().st_mode) == 0o444
    assert stat.S_IMODE(stored.stat().st_mode) == 0o755


def test_modes_do_not_depend_on_the_umask(repository: Repository, model: Models) -> None:
    source = model("one")
    before = os.umask(0o077)
    try:
        repository.push(source, load=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((repository.root / "v1" / "variables").stat().st_mode) == 0o755
    assert repository.verify().findings == ()


def test_the_digest_is_what_everybody_can_compute(repository: Repository, model: Models) -> None:
    source = model("one")
    (source / "assets.extra" / "a back\\slash, a quote' and an ünïcode name").write_text("x")
    (source / "assets.extra" / "Z").write_text("upper case sorts first in C")
    result = repository.push(source, load=False)
    assert result.digest == digest_by_hand(source) == digest_by_hand(repository.root / "v1")


def test_the_manifest_says_what_when_who_and_where_from(
    repository: Repository, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELREPO_ACTOR", "ci@example")
    source = model("one")
    result = repository.push(
        source, message="first\nline two", labels={"b": "2", "a": "1"}, metrics={"auc": 0.5}, load=False
    )
    path = repository.root / "v1" / "manifest.json"
    manifest = parse_manifest(path.read_bytes(), str(path))
    assert manifest.version == result.version == Version(1)
    assert {entry.path: entry.size for entry in manifest.files} == {
        str(found.relative_to(source)): found.stat().st_size for found in source.rglob("*") if found.is_file()
    }
    assert (manifest.size, len(manifest.files)) == (result.size, result.files)
    assert (manifest.message, manifest.labels, manifest.metrics) == (
        "first\nline two",
        {"a": "1", "b": "2"},
        {"auc": 0.5},
    )
    assert (manifest.source.path, manifest.created_by.uid) == (str(source), os.geteuid())
    assert manifest.created_by.claims == {"MODELREPO_ACTOR": "ci@example"}
    assert abs(manifest.created_at.timestamp() - time.time()) < 60
    assert (manifest.model_format, manifest.load, manifest.loaded_by) == ("pb", "skipped", None)
    assert manifest.tags == (("serve",),)
    assert manifest.signatures == result.signatures
    assert result.signatures is not None
    assert list(result.signatures) == ["serving_default"]


def test_signatures_carry_dtype_shape_name_and_method_without_a_load(repository: Repository, samples: Path) -> None:
    signatures = repository.push(samples / "classifier_v1", load=False).signatures
    assert signatures is not None
    assert sorted(signatures) == ["predict_batch", "serving_default"]
    (tensor,) = signatures["serving_default"].inputs.values()
    assert (tensor.dtype, tensor.shape, tensor.optional) == ("float32", [None, 784], False)
    assert tensor.name.endswith(":0")
    assert signatures["serving_default"].method_name == "tensorflow/serving/predict"
    assert repository.show("v1").fingerprint


def test_the_history_says_push_and_numbers_go_up(filled: Repository) -> None:
    assert [(entry.action, str(entry.version)) for entry in filled.history()] == [
        ("push", "v3"),
        ("push", "v2"),
        ("push", "v1"),
    ]
    assert present(filled) == ["v1", "v2", "v3"]
    assert filled.status().channels == {}


def test_a_version_is_seen_whole_or_not_at_all_while_it_is_pushed(
    repository: Repository, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every durable step of a push a reader sees nothing, or a version that verifies."""
    seen: list[int] = []
    looking: list[bool] = []

    def spy(name: str) -> None:
        real = getattr(durable, name)

        def step(*arguments: Any, **options: Any) -> Any:
            if not looking:  # `verify` writes down what it has checked
                looking.append(True)
                versions = repository.list()
                assert all(row.problem is None for row in versions)
                if versions:
                    assert repository.verify(["v1"]).ok
                seen.append(len(versions))
                looking.clear()
            return real(*arguments, **options)

        monkeypatch.setattr(durable, name, step)

    for name in ("sync", "rename_new", "sync_directory", "write_new", "make_directory"):
        spy(name)
    repository.push(model("one"), load=False)
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}


def test_every_byte_is_synced_before_the_rename_and_the_root_after(
    repository: Repository, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = model("one")
    synced: list[tuple[int, int]] = []
    at_rename: dict[str, tuple[int, int]] = {}
    renamed_at = -1
    real_sync, real_rename = durable.sync, durable.rename_new

    def sync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_dev, status.st_ino))
        real_sync(descriptor)

    def rename(old: Path, new: Path) -> None:
        nonlocal renamed_at
        for path in [old, *old.rglob("*")]:
            at_rename[str(path.relative_to(old))] = (path.stat().st_dev, path.stat().st_ino)
        renamed_at = len(synced)
        real_rename(old, new)

    monkeypatch.setattr(durable, "sync", sync)
    monkeypatch.setattr(durable, "rename_new", rename)
    repository.push(source, load=False)
    before = synced[:renamed_at]
    missing = [name for name, inode in at_rename.items() if inode not in before]
    assert missing == []
    assert len(at_rename) == 8
    last = {name: len(before) - 1 - before[::-1].index(inode) for name, inode in at_rename.items()}
    assert last["."] == max(last.values())  # bottom-up: the top comes last
    root = repository.root.stat()
    assert (root.st_dev, root.st_ino) in synced[renamed_at:]


# The same content


def test_the_same_content_twice_makes_no_second_version(filled: Repository, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "exports" / "two", again)
    result = filled.push(again, load=False)
    assert (str(result.version), result.created, result.warnings) == ("v2", False, ())
    assert result.digest == filled.show("v2").digest
    assert present(filled) == ["v1", "v2", "v3"]
    assert (filled.history(limit=1)[0].action, str(filled.history(limit=1)[0].version)) == ("push-again", "v2")


def test_the_same_content_warns_that_new_words_are_not_stored(filled: Repository, tmp_path: Path) -> None:
    result = filled.push(tmp_path / "exports" / "two", message="m", labels={"a": "b"}, metrics={"x": 1}, load=False)
    assert result.created is False
    assert [all(word in text for word in ("message", "labels", "metrics")) for text in result.warnings] == [True]
    assert filled.show("v2").message is None


def test_a_repeated_push_makes_the_version_young_again(filled: Repository, layout: Layout, tmp_path: Path) -> None:
    from modelrepo.repository import snapshot

    first = snapshot.take(layout).state.stored[Version(2)].pushed
    time.sleep(0.01)
    filled.push(tmp_path / "exports" / "two", load=False)
    after = snapshot.take(layout).state.stored[Version(2)].pushed
    assert after.time > first.time
    assert after.uptime > first.uptime


def test_of_two_equal_versions_the_newest_is_named(filled: Repository, tmp_path: Path) -> None:
    assert str(filled.push(tmp_path / "exports" / "two", load=False, allow_duplicate=True).version) == "v4"
    result = filled.push(tmp_path / "exports" / "two", load=False)
    assert (str(result.version), result.created) == ("v4", False)


def test_allow_duplicate_stores_it_anyway(filled: Repository, tmp_path: Path) -> None:
    result = filled.push(tmp_path / "exports" / "two", load=False, allow_duplicate=True, message="again")
    assert (str(result.version), result.created) == ("v4", True)
    assert filled.show("v4").digest == filled.show("v2").digest
    assert filled.show("v4").message == "again"
    assert filled.verify().ok


def test_a_damaged_twin_is_reported_and_the_content_stored_anew(
    filled: Repository, tmp_path: Path, edit: Callable[[Path, bytes], None]
) -> None:
    note = filled.root / "v2" / "assets.extra" / "note.txt"
    edit(note, b"twO")
    result = filled.push(tmp_path / "exports" / "two", load=False)
    assert (str(result.version), result.created) == ("v4", True)
    assert ["v2" in text and "damaged" in text and "note.txt" in text for text in result.warnings] == [True]
    assert note.read_bytes() == b"twO"
    assert filled.verify(["v4"]).ok


def test_the_content_of_a_deleted_version_is_stored_anew(
    filled: Repository, tmp_path: Path, ageless: dict[str, Any]
) -> None:
    filled.cleanup(**ageless)
    assert present(filled) == []
    result = filled.push(tmp_path / "exports" / "two", load=False)
    assert (str(result.version), result.created) == ("v4", True)


def test_a_twin_that_cleanup_deletes_meanwhile_is_stored_anew_without_a_false_alarm(
    filled: Repository, tmp_path: Path, ageless: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between naming the twin and reading its bytes, cleanup takes it away: that is no damage."""
    real = checking.checked
    cleaned: list[bool] = []

    def checked(*arguments: Any, **options: Any) -> Any:
        cleaned.append(bool(filled.cleanup(**ageless).removed))
        return real(*arguments, **options)

    monkeypatch.setattr(checking, "checked", checked)
    result = filled.push(tmp_path / "exports" / "two", load=False)
    assert cleaned == [True]
    assert result.created
    assert not [text for text in result.warnings if "damaged" in text]


# Numbers


def test_numbers_are_not_reused_after_cleanup(filled: Repository, model: Models, ageless: dict[str, Any]) -> None:
    filled.cleanup(**ageless)
    assert str(filled.push(model("four"), load=False).version) == "v4"


@pytest.mark.parametrize("kind", ["directory", "file", "link", "dangling"])
def test_a_foreign_number_is_spent_and_never_touched(filled: Repository, model: Models, kind: str) -> None:
    foreign = filled.root / "v9"
    if kind == "directory":
        foreign.mkdir()
    elif kind == "file":
        foreign.write_text("mine")
    else:
        foreign.symlink_to("v1" if kind == "link" else "nowhere")
    before = os.lstat(foreign)
    assert str(filled.push(model("four"), load=False).version) == "v10"
    after = os.lstat(foreign)
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)


def test_the_number_of_an_aborted_push_is_spent(
    filled: Repository, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_old: Path, new: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(new))

    source = model("four")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "rename_new", refuse)
        with pytest.raises(StorageError, match="put v4 in its place"):
            filled.push(source, load=False)
    assert present(filled) == ["v1", "v2", "v3"]
    assert str(filled.push(source, load=False).version) == "v5"
    assert filled.verify().ok


def test_a_directory_that_takes_the_number_at_the_last_moment_is_not_replaced(
    filled: Repository, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rename` silently replaces an existing empty directory; a push does not."""
    real = durable.rename_new

    def raced(old: Path, new: Path) -> None:
        new.mkdir()
        real(old, new)

    source = model("four")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "rename_new", raced)
        with pytest.raises(ModelRepoError):
            filled.push(source, load=False)
    assert os.listdir(filled.root / "v4") == []
    assert str(filled.push(source, load=False).version) == "v5"
    assert [problem.path for problem in filled.status().problems] == ["v4"]


# Bad sources


def test_a_source_that_does_not_exist(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("nothing", "link"):
        with pytest.raises(SourceError) as caught:
            repository.push(tmp_path / name, load=False)
        assert caught.value.kind == "source-missing"


def test_a_source_that_is_a_file(repository: Repository, model: Models) -> None:
    with pytest.raises(SourceError) as caught:
        repository.push(model("one") / "saved_model.pb", load=False)
    assert (caught.value.kind, caught.value.hint) == ("not-a-directory", "name the directory that holds it")


def test_a_directory_without_a_model_says_what_it_holds(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    with pytest.raises(SourceError) as caught:
        repository.push(tmp_path / "export", load=False)
    assert (caught.value.kind, caught.value.got) == ("not-a-savedmodel", "an empty directory")
    (tmp_path / "export" / "model.h5").touch()
    with pytest.raises(SourceError) as caught:
        repository.push(tmp_path / "export", load=False)
    assert caught.value.got == "model.h5"


@pytest.mark.parametrize("content", [b"", b"this is no protocol buffer"])
def test_a_model_file_that_holds_no_model(repository: Repository, model: Models, content: bytes) -> None:
    source = model("one")
    (source / "saved_model.pb").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        repository.push(source, load=False)
    assert caught.value.kind in {"model-empty", "model-unparsable"}
    assert present(repository) == []


def add_pipe(place: Path) -> None:
    os.mkfifo(place / "odd")


def add_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(place)  # the path of a socket may only be short
        try:
            listener.bind("odd")
        finally:
            os.chdir(here)


def add_device(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may make devices")
    try:
        os.mknod(place / "odd", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this machine lets not even root make devices")


def add_link(place: Path) -> None:
    (place / "odd").symlink_to("../saved_model.pb")


def add_directory_link(place: Path) -> None:
    (place / "odd").symlink_to("/etc")


@pytest.mark.parametrize(
    ("add", "word"),
    [
        (add_pipe, "pipe"),
        (add_socket, "socket"),
        (add_device, "device"),
        (add_link, "symbolic link"),
        (add_directory_link, "symbolic link"),
    ],
)
def test_special_files_are_refused_by_name_and_kind(
    repository: Repository, model: Models, add: Callable[[Path], None], word: str
) -> None:
    source = model("one")
    add(source / "variables")
    with pytest.raises(SourceError, match=f"'variables/odd' is a {word}"):
        repository.push(source, load=False)
    assert present(repository) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (b"new\nline", "control"),
        (b"esc\x1b[31m", "control"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * 201, "200 bytes"),
        ("ü".encode() * 101, "200 bytes"),
    ],
)
def test_names_that_not_every_tool_can_handle_are_refused(
    repository: Repository, model: Models, name: bytes, problem: str
) -> None:
    source = model("one")
    Path(os.fsdecode(os.fsencode(source / "variables") + b"/" + name)).touch()
    with pytest.raises(SourceError, match=problem) as caught:
        repository.push(source, load=False)
    assert caught.value.message.isprintable()


def test_the_longest_name_and_the_deepest_tree_are_taken(repository: Repository, model: Models) -> None:
    source = model("one")
    (source / ("x" * 200)).touch()
    deep = source.joinpath(*["d"] * 31)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    result = repository.push(source, load=False)
    assert result.files == 6
    assert repository.verify().ok


def test_a_tree_of_too_many_levels_is_refused(repository: Repository, model: Models) -> None:
    source = model("one")
    source.joinpath(*["d"] * 33).mkdir(parents=True)
    with pytest.raises(SourceError, match="32 levels"):
        repository.push(source, load=False)


def test_too_many_files_are_refused(repository: Repository, model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrepo.fs import source as looking

    monkeypatch.setattr(looking, "MAX_FILES", 10)
    source = model("one")
    for number in range(10):
        (source / f"file{number}").touch()
    with pytest.raises(SourceError, match="more than 10 files"):
        repository.push(source, load=False)


def test_the_reserved_name_is_refused_at_the_top_only(repository: Repository, model: Models) -> None:
    source = model("one")
    (source / "variables" / "manifest.json").write_text("mine")
    assert str(repository.push(source, load=False).version) == "v1"
    (source / "manifest.json").write_text("mine")
    with pytest.raises(SourceError, match=r"manifest\.json"):
        repository.push(source, load=False)


def test_all_problems_are_said_at_once(repository: Repository, model: Models) -> None:
    source = model("one")
    for number in range(7):
        os.mkfifo(source / f"pipe{number}")
    with pytest.raises(SourceError) as caught:
        repository.push(source, load=False)
    assert caught.value.message.count("is a pipe") == 5
    assert "2 more" in caught.value.message


def test_a_source_inside_or_around_the_repository_is_refused(filled: Repository, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(filled.root / "v1")
    for place, kind in (
        (filled.root, "source-inside"),
        (filled.root / "v1", "source-inside"),
        (tmp_path / "alias", "source-inside"),
        (tmp_path, "source-around"),
    ):
        with pytest.raises(SourceError) as caught:
            filled.push(place, load=False)
        assert caught.value.kind == kind


def test_a_source_reached_through_a_link_is_taken(repository: Repository, model: Models, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(model("one"))
    repository.push(tmp_path / "current", load=False)
    assert repository.show("v1").source.path == str(tmp_path / "exports" / "one")


def test_a_source_whose_own_path_is_no_utf8_is_an_answer_not_a_crash(
    repository: Repository, model: Models, tmp_path: Path
) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/export-\xff"))
    shutil.copytree(model("one"), source)
    try:
        result = repository.push(source, load=False)
    except SourceError:
        return
    assert repository.show(result.version).source.path


def test_links_inside_are_stored_as_what_they_name_where_asked(repository: Repository, model: Models) -> None:
    source = model("one")
    (source / "assets.extra" / "again.txt").symlink_to("note.txt")
    result = repository.push(source, load=False, follow_links=True)
    stored = repository.root / "v1" / "assets.extra" / "again.txt"
    assert not stored.is_symlink()
    assert stored.read_text() == "one"
    assert result.files == 5


def test_links_that_lead_out_or_in_circles_are_refused_even_then(
    repository: Repository, model: Models, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    source = model("one")
    out = source / "assets.extra" / "out"
    for target, words in (("/etc/passwd", "leads out"), ("..", "back into itself"), ("nowhere", "leads nowhere")):
        out.symlink_to(target)
        with pytest.raises(SourceError, match=words):
            repository.push(source, load=False, follow_links=True)
        out.unlink()
    out.symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match="leads out"):
        repository.push(source, load=False, follow_links=True)
    assert repository.push(source, load=False, links_into=[tmp_path]).files == 5


def test_bad_words_are_refused_before_anything_is_copied(repository: Repository, model: Models) -> None:
    source = model("one")
    for options in (
        {"message": "a\x1b[31m"},
        {"message": "x" * 5000},
        {"labels": {"a b": "c"}},
        {"labels": {"a": "\x07"}},
        {"metrics": {"m": float("nan")}},
        {"metrics": {"m": float("inf")}},
        {"channel": "v2", "promote": True},
        {"channel": "serving", "promote": True},
        {"message": "\udcff"},
    ):
        with pytest.raises(RequestError):
            repository.push(source, load=False, **options)
    assert present(repository) == []
    assert repository.history() == ()


def test_a_push_into_no_repository_makes_none(tmp_path: Path, model: Models) -> None:
    with pytest.raises(NoRepositoryError):
        Repository(tmp_path / "nothing").push(model("one"), load=False)
    assert not (tmp_path / "nothing").exists()


# The source changes meanwhile


def test_a_writer_that_goes_on_writing_fails_the_push(repository: Repository, model: Models) -> None:
    source = model("one")
    big = source / "assets.extra" / "big"
    big.write_bytes(b"\0" * 16 * 1024 * 1024)
    stop = threading.Event()

    def write() -> None:
        with big.open("r+b") as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(16))
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(SourceError) as caught:
            repository.push(source, load=False)
    finally:
        stop.set()
        writer.join()
    assert caught.value.kind == "source-changed"
    assert "big" in caught.value.message
    assert present(repository) == []


def grow(source: Path) -> None:
    with (source / "saved_model.pb").open("ab") as file:
        file.write(b"x")


def add(source: Path) -> None:
    (source / "late.txt").touch()


def remove(source: Path) -> None:
    (source / "assets.extra" / "note.txt").unlink()


def swap(source: Path) -> None:
    """The same bytes, size and time, but another file."""
    note = source / "assets.extra" / "note.txt"
    status = note.stat()
    (source.parent / "new").write_text(note.read_text())
    os.utime(source.parent / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (source.parent / "new").rename(note)


def make_directory(source: Path) -> None:
    (source / "late").mkdir()


def put_link(source: Path) -> None:
    note = source / "assets.extra" / "note.txt"
    note.unlink()
    note.symlink_to("/etc/hostname")


CHANGES = [grow, add, remove, swap, make_directory, put_link]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_behind_the_copying_fails_the_push(
    repository: Repository, model: Models, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    source = model("one")
    real = copying.copy

    def copy(*arguments: Any, **options: Any) -> Any:
        done = real(*arguments, **options)
        change(source)
        return done

    monkeypatch.setattr(copying, "copy", copy)
    with pytest.raises(SourceError) as caught:
        repository.push(source, load=False)
    assert caught.value.kind == "source-changed"
    assert present(repository) == []
    assert repository.history() == ()


@pytest.mark.parametrize("change", [grow, remove, swap, put_link])
def test_a_change_between_listing_and_copying_fails_the_push(
    repository: Repository, model: Models, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    source = model("one")
    real = copying.copy

    def copy(*arguments: Any, **options: Any) -> Any:
        change(source)
        return real(*arguments, **options)

    monkeypatch.setattr(copying, "copy", copy)
    with pytest.raises(ModelRepoError) as caught:
        repository.push(source, load=False)
    assert caught.value.kind == "source-changed"
    assert present(repository) == []


# Room and permission


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes the system say that so many bytes and files are free."""

    def call(free: int, files: int) -> None:
        status = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_favail=files)
        monkeypatch.setattr("os.statvfs", lambda _: status)

    return call


def test_no_room_is_said_before_the_first_byte_is_copied(
    filled: Repository, model: Models, monkeypatch: pytest.MonkeyPatch, disk: Callable[[int, int], None]
) -> None:
    source = model("four")
    with (source / "assets.extra" / "sparse").open("wb") as file:
        file.truncate(1_000_000_000)
    disk(500_000_000, 1_000_000)
    monkeypatch.setattr(copying, "copy", lambda *_: pytest.fail("it began to copy"))
    with pytest.raises(SystemRefusedError) as caught:
        filled.push(source, load=False)
    assert caught.value.kind == "no-space"
    assert "1.0 GB" in (caught.value.expected or "")
    assert "500.0 MB" in (caught.value.got or "")
    assert "cleanup" in (caught.value.hint or "")
    assert present(filled) == ["v1", "v2", "v3"]


def test_no_files_left_is_no_room_too(filled: Repository, model: Models, disk: Callable[[int, int], None]) -> None:
    disk(10**12, 3)
    with pytest.raises(SystemRefusedError, match="no room"):
        filled.push(model("four"), load=False)
    disk(10**12, 0)  # btrfs counts no files
    assert filled.push(model("five"), load=False).created


def test_a_disk_that_is_full_in_the_middle_leaves_nothing(
    filled: Repository, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = model("four")
    real = durable.write_all

    def full(descriptor: int, data: bytes | memoryview, offset: int | None = None) -> None:
        if bytes(data) == b"four":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, data, offset)

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(SystemRefusedError) as caught:
        filled.push(source, load=False)
    assert caught.value.kind == "no-space"
    assert present(filled) == ["v1", "v2", "v3"]
    assert len(filled.history()) == 3


def test_an_unreadable_file_is_the_systems_refusal(repository: Repository, model: Models) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything; tests/cli does it as another user")
    source = model("one")
    (source / "saved_model.pb").chmod(0)
    with pytest.raises(SystemRefusedError):
        repository.push(source, load=False)


# Commit and after


def test_a_root_that_does_not_sync_is_said_and_completed_by_the_next_writer(
    filled: Repository, model: Models, sync_fails: Callable[[Path, int], None]
) -> None:
    sync_fails(filled.root, 2)  # recovery syncs it first
    with pytest.raises(UnconfirmedError) as caught:
        filled.push(model("four"), load=False)
    error = caught.value
    assert (error.durable, error.view, error.recorded) == (False, None, False)
    assert (str(error.partial.version), error.partial.created) == ("v4", True)
    assert [str(row.version) for row in filled.list()] == ["v4", "v3", "v2", "v1"]
    assert str(filled.history(limit=1)[0].version) == "v3"
    filled.pin("v1")
    assert [(entry.action, str(entry.version)) for entry in filled.history(limit=2)] == [("pin", "v1"), ("push", "v4")]
    assert filled.verify().ok


def test_an_outcome_that_is_not_written_is_said_and_completed_by_the_next_writer(
    filled: Repository, model: Models, append_fails: Callable[[int], None]
) -> None:
    append_fails(2)
    with pytest.raises(UnconfirmedError) as caught:
        filled.push(model("four"), load=False)
    assert (caught.value.durable, caught.value.recorded) == (True, False)
    filled.pin("v4")
    assert [(entry.action, str(entry.version)) for entry in filled.history(limit=2)] == [("pin", "v4"), ("push", "v4")]
    assert filled.verify().ok


def test_an_intent_that_is_not_written_stores_nothing(
    filled: Repository, model: Models, append_fails: Callable[[int], None]
) -> None:
    append_fails(1)
    with pytest.raises(StorageError):
        filled.push(model("four"), load=False)
    assert present(filled) == ["v1", "v2", "v3"]
    assert filled.push(model("five"), load=False).created
    assert filled.verify().ok


def test_a_lock_file_that_was_replaced_stops_the_push(
    filled: Repository, layout: Layout, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelrepo.fs.journal import Journal

    real = Journal.append
    source = model("four")

    def append(self: Journal, record: Any) -> Any:
        layout.lock.unlink()
        layout.lock.touch(0o600)
        return real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", append)
        with pytest.raises(IntegrityError, match="removed or replaced"):
            filled.push(source, load=False)
    assert present(filled) == ["v1", "v2", "v3"]
    assert filled.push(source, load=False).created


# Promotion


def test_promotion_moves_the_channel_and_says_so(repository: Repository, model: Models) -> None:
    result = repository.push(model("one"), load=False, promote=True, channel="canary", reason="try")
    assert result.promoted is not None
    assert (result.promoted.channel, result.promoted.origin, str(result.promoted.to)) == ("canary", None, "v1")
    assert os.readlink(repository.root / "canary") == "v1"
    entry = repository.history(limit=1)[0]
    assert (entry.action, entry.channel, entry.reason) == ("promote", "canary", "try")


def test_a_breaking_version_stays_but_is_not_promoted(repository: Repository, samples: Path) -> None:
    repository.push(samples / "classifier_v1", load=False, promote=True)
    with pytest.raises(RefusedError) as caught:
        repository.push(samples / "renamed_input", load=False, promote=True)
    assert (str(caught.value.partial.version), caught.value.partial.promoted) == ("v2", None)
    assert "stored, but not promoted" in caught.value.message
    assert present(repository) == ["v1", "v2"]
    assert os.readlink(repository.root / "latest") == "v1"
    result = repository.push(samples / "renamed_input", load=False, promote=True, allow_breaking=True)
    assert (result.created, os.readlink(repository.root / "latest")) == (False, "v2")


def test_what_a_channel_left_by_rollback_is_not_promoted_again_by_a_push(filled: Repository, tmp_path: Path) -> None:
    filled.promote("v1")
    filled.promote("v2")
    filled.rollback()
    with pytest.raises(RefusedError) as caught:
        filled.push(tmp_path / "exports" / "two", load=False, promote=True)
    assert caught.value.kind == "rolled-back"
    assert os.readlink(filled.root / "latest") == "v1"
    other = filled.push(tmp_path / "exports" / "two", load=False, promote=True, channel="canary")
    assert other.promoted is not None
    filled.promote("v2")  # a person may
    filled.promote("v3")
    assert filled.push(tmp_path / "exports" / "two", load=False, promote=True).promoted is not None


def test_a_push_waits_for_nobody_but_at_its_end(filled: Repository, layout: Layout, model: Models) -> None:
    """The copying needs no lock: a push that cannot have it fails only then, and leaves nothing."""
    from modelrepo.errors import BusyError

    source = model("four")
    with layout.lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError) as caught:
            Repository(filled.root, lock_timeout=0.1).push(source, load=False)
    assert f"process {os.getpid()}" in (caught.value.got or "")
    assert present(filled) == ["v1", "v2", "v3"]
