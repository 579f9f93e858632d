"""Durable changes: what others see, what is synced, what stays on a failure."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo.fs import durable, native

from .descriptors import descriptors


def test_write_new_makes_a_whole_file_of_exactly_this_mode(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        durable.write_new(tmp_path / "a", b"bytes", 0o664)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"bytes"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o664


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_write_new_never_touches_a_name_that_is_taken(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a")
    before = os.lstat(tmp_path / "a")
    with pytest.raises(FileExistsError):
        durable.write_new(tmp_path / "a", b"bytes", 0o600)
    assert os.lstat(tmp_path / "a") == before
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 40
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda descriptor, view: write(descriptor, view[:77]))
    monkeypatch.setattr(os, "pwrite", lambda descriptor, view, offset: pwrite(descriptor, view[:77], offset))
    durable.write_new(tmp_path / "a", data, 0o600)
    assert (tmp_path / "a").read_bytes() == data
    with open(tmp_path / "a", "r+b") as file:
        durable.write_all(file.fileno(), b"x" * 500, 3)
    assert (tmp_path / "a").read_bytes() == data[:3] + b"x" * 500 + data[503:]


@pytest.mark.parametrize("call", ["write", "fsync", "fchmod"])
def test_write_new_leaves_nothing_where_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    open_before = descriptors()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="injected"):
        durable.write_new(tmp_path / "a", b"bytes", 0o600)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []
    assert descriptors() == open_before


def test_replace_file_keeps_the_old_file_where_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="injected"):
        durable.replace_file(tmp_path / "a", b"new", 0o644, tmp_path / "temporary")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"
    durable.replace_file(tmp_path / "a", b"new", 0o644, tmp_path / "temporary")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "new"


def test_replace_file_syncs_the_bytes_before_the_rename_and_the_directory_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(descriptor: int) -> None:
        calls.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def seen_rename(old: Path, new: Path) -> None:
        calls.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    durable.replace_file(tmp_path / "a", b"new", 0o644, tmp_path / "temporary")
    assert calls == ["sync file", "rename", "sync directory"]


READER = """
import os, sys
path, whole = sys.argv[1], set(sys.argv[2:])
print("ready", flush=True)
seen, count = set(), 0
while not os.path.lexists(path + ".stop"):
    try:
        seen.add(os.readlink(path))
    except OSError as error:
        seen.add(repr(error))
    count += 1
print(count, *sorted(seen - whole))
"""


def test_a_concurrent_reader_sees_the_old_link_or_the_new_one_and_never_none(tmp_path: Path) -> None:
    link = tmp_path / "latest"
    durable.move_link(link, "v1", tmp_path / "temporary")
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(link), "v1", "v2"], stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        for number in range(3000):
            durable.move_link(link, f"v{number % 2 + 1}", tmp_path / "temporary")
        (tmp_path / "latest.stop").touch()
        count, *others = reader.stdout.read().split()
    assert int(count) > 100
    assert others == []


@pytest.mark.parametrize("number", [None, errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EOPNOTSUPP])
def test_a_second_name_has_the_same_bytes_and_replaces_what_had_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """By a hard link, or by a copy where the file system or the system's rules allow none."""
    (tmp_path / "a").write_text("bytes")
    (tmp_path / "b").write_text("old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "injected")

    if number is not None:
        monkeypatch.setattr(os, "link", refuse)
    for _ in range(2):
        durable.second_name(tmp_path / "a", tmp_path / "b", tmp_path / "temporary")
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]
        assert (tmp_path / "b").read_text() == "bytes"
    assert ((tmp_path / "a").stat().st_ino == (tmp_path / "b").stat().st_ino) == (number is None)


def test_move_link_stores_the_text_as_given_and_replaces_dangling_links(tmp_path: Path) -> None:
    for target in ("nowhere", "../x y", "\u6570"):
        durable.move_link(tmp_path / "a", target, tmp_path / "t")
        assert os.readlink(tmp_path / "a") == target
    assert os.listdir(tmp_path) == ["a"]


def test_move_link_leaves_a_directory_alone_and_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.move_link(tmp_path / "latest", "v1", tmp_path / "temporary")
    assert os.listdir(tmp_path) == ["latest"]
    assert not (tmp_path / "latest").is_symlink()


def test_add_link_is_content_with_the_same_link_and_with_nothing_else(tmp_path: Path) -> None:
    durable.add_link(tmp_path / "3", "../../v3")
    durable.add_link(tmp_path / "3", "../../v3")
    assert os.readlink(tmp_path / "3") == "../../v3"
    (tmp_path / "file").touch()
    for name in ("3", "file"):
        with pytest.raises(FileExistsError):
            durable.add_link(tmp_path / name, "../../v4")
    assert os.readlink(tmp_path / "3") == "../../v3"


def test_remove_link_removes_links_and_never_anything_else(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "file").touch()
    for name in ("link", "file", "target", "missing"):
        durable.remove_link(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "target"]


def test_remove_file_is_content_where_it_is_gone_and_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    (tmp_path / "link").symlink_to("kept")
    durable.remove_file(tmp_path / "link")
    durable.remove_file(tmp_path / "missing")
    assert os.listdir(tmp_path) == ["kept"]


def test_make_directory_gives_exactly_this_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert durable.make_directory(tmp_path / "shared", 0o2775)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o2775


def test_make_directory_keeps_one_that_is_there_and_takes_nothing_else_for_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o700)
    assert not durable.make_directory(tmp_path / "there", 0o755)
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(FileExistsError):
            durable.make_directory(tmp_path / name, 0o755)


def test_set_mode_does_not_follow_a_link_and_does_not_wait_on_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    durable.set_mode(tmp_path / "file", 0o444)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o444
    with pytest.raises(OSError, match="symbolic links"):
        durable.set_mode(tmp_path / "link", 0o777)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o444
    with pytest.raises(OSError, match="Invalid argument"):
        durable.set_mode(tmp_path / "pipe", 0o644)  # a pipe cannot be synced


def test_the_owner_can_give_back_a_mode_that_lets_not_even_him_read(
    tmp_path: Path, as_ordinary_user: Callable[..., str]
) -> None:
    """`verify --repair` mends modes."""
    (tmp_path / "file").write_text("bytes")
    (tmp_path / "file").chmod(0)
    script = """
import sys; from pathlib import Path; from modelrepo.fs import durable
try:
    open(sys.argv[1]); sys.exit("it can be read in spite of its mode")
except PermissionError:
    durable.set_mode(Path(sys.argv[1]), 0o444)
"""
    as_ordinary_user(script, tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o444


@pytest.mark.parametrize("native_call", [True, False], ids=["renameat2", "fallback"])
@pytest.mark.parametrize("taken", ["empty directory", "full directory", "file", "dangling link"])
def test_rename_new_refuses_every_name_that_is_taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    taken: str,
    native_call: bool,  # noqa: FBT001
) -> None:
    if not native_call:
        monkeypatch.setattr(native, "rename_noreplace", lambda _old, _new: False)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "a").touch()
    if taken == "file":
        new.touch()
    elif taken == "dangling link":
        new.symlink_to("nowhere")
    else:
        new.mkdir()
        if taken == "full directory":
            (new / "b").touch()
    with pytest.raises(FileExistsError):
        durable.rename_new(old, new)
    assert os.listdir(old) == ["a"]


@pytest.mark.parametrize("native_call", [True, False], ids=["renameat2", "fallback"])
def test_rename_new_takes_a_free_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native_call: bool) -> None:  # noqa: FBT001
    if not native_call:
        monkeypatch.setattr(native, "rename_noreplace", lambda _old, _new: False)
    (tmp_path / "old").mkdir()
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert os.listdir(tmp_path) == ["new"]
    with pytest.raises(FileNotFoundError):
        durable.rename_new(tmp_path / "old", tmp_path / "other")


def test_only_an_empty_directory_is_removed_as_empty(tmp_path: Path) -> None:
    (tmp_path / "full" / "below").mkdir(parents=True)
    assert not durable.remove_empty(tmp_path / "full")
    assert durable.remove_empty(tmp_path / "full" / "below")
    assert not durable.remove_empty(tmp_path / "missing")


def linked(tmp_path: Path) -> tuple[Path, Path]:
    """A tree in which a directory has become a link to another's, and that one."""
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    (outside / "shadow").touch(mode=0o600)
    (top / "v1").mkdir(parents=True)
    (top / "v1" / "x").symlink_to(outside)
    return top, outside


def test_set_mode_follows_no_link_below_the_top(tmp_path: Path) -> None:
    top, outside = linked(tmp_path)
    with pytest.raises(NotADirectoryError):
        durable.set_mode(top / "v1" / "x" / "shadow", 0o644, top=top)
    assert stat.S_IMODE((outside / "shadow").stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(top)
    durable.set_mode(tmp_path / "link" / "v1", 0o700, top=tmp_path / "link")
    assert stat.S_IMODE((top / "v1").stat().st_mode) == 0o700, "the top itself may be reached through links"


def test_set_mode_sets_what_it_opened_whatever_has_the_name_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "precious").touch(mode=0o600)
    fchmod = os.fchmod

    def late(descriptor: int, mode: int) -> None:
        (tmp_path / "file").rename(tmp_path / "aside")
        (tmp_path / "file").symlink_to("precious")
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", late)
    durable.set_mode(tmp_path / "file", 0o444)
    assert stat.S_IMODE((tmp_path / "precious").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "aside").stat().st_mode) == 0o444


def test_write_new_makes_nothing_in_a_directory_that_is_a_link(tmp_path: Path) -> None:
    top, outside = linked(tmp_path)
    with pytest.raises(NotADirectoryError):
        durable.write_new(top / "v1" / "x" / "new", b"bytes", 0o644)
    assert os.listdir(outside) == ["shadow"]


@pytest.mark.parametrize("mode", [0o755, None])
def test_make_directory_changes_nothing_that_took_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None
) -> None:
    (tmp_path / "precious").touch(mode=0o600)
    before, mkdir = os.stat(tmp_path / "precious"), os.mkdir

    def replaced(name: str, bits: int, *, dir_fd: int) -> None:
        mkdir(name, bits, dir_fd=dir_fd)
        (tmp_path / "new").rename(tmp_path / "aside")
        (tmp_path / "new").symlink_to("precious")

    monkeypatch.setattr(os, "mkdir", replaced)
    with pytest.raises(NotADirectoryError):
        durable.make_directory(tmp_path / "new", mode)
    assert os.stat(tmp_path / "precious") == before


def test_what_root_makes_is_given_away_by_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    owned, precious = tmp_path / "owned", tmp_path / "precious"
    owned.mkdir()
    os.chown(owned, 1, 1)
    precious.touch()
    fchown = os.fchown

    def late(descriptor: int, uid: int, gid: int) -> None:
        (owned / "new").rename(owned / "aside")
        (owned / "new").symlink_to(precious)
        fchown(descriptor, uid, gid)

    monkeypatch.setattr(os, "fchown", late)
    durable.write_new(owned / "new", b"bytes", 0o644)
    assert precious.stat().st_uid == 0
    assert (owned / "aside").stat().st_uid == 1


def test_a_link_that_cannot_be_made_is_named_itself_not_its_text(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as moved:
        durable.move_link(tmp_path / "latest", "v2", missing / "tmp")
    assert moved.value.filename == str(missing / "tmp")
    with pytest.raises(FileNotFoundError) as added:
        durable.add_link(missing / "2", "../../v2")
    assert added.value.filename == str(missing / "2")
