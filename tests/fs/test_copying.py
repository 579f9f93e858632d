"""Copying a source: every byte, digested, and a source that changes is found."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo.core.modes import PRIVATE, Modes
from modelrepo.errors import SourceError
from modelrepo.fs import copying, durable, native
from modelrepo.fs.copying import STEP
from modelrepo.fs.source import look

from .descriptors import descriptors


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A source."""
    (tmp_path / "export" / "variables").mkdir(parents=True)
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "export" / "variables" / "data").write_bytes(b"weights" * 1000)
    return tmp_path / "export"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty directory."""
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy"


def contents(top: Path) -> dict[str, bytes | None]:
    return {path.relative_to(top).as_posix(): path.read_bytes() if path.is_file() else None for path in top.rglob("*")}


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_copy_has_every_byte_and_every_digest(top: Path, target: Path) -> None:
    big = os.urandom(9 * 1024 * 1024 + 5)
    for path, data in {"big": big, "empty": b"", "a/b/c": b"x", "chunk": bytes(1024 * 1024)}.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(data)
    before = descriptors()
    entries = copying.copy(look(top), target)
    copying.sync_directories(target, look(top))
    assert contents(target) == contents(top)
    files = {path: data for path, data in contents(top).items() if data is not None}
    assert {entry.path: (entry.size, entry.digest) for entry in entries} == {
        path: (len(data), digest(data)) for path, data in files.items()
    }
    assert [entry.path for entry in entries] == sorted(files, key=str.encode)
    assert descriptors() == before


def test_empty_directories_are_kept(top: Path, target: Path) -> None:
    (top / "assets" / "deeper").mkdir(parents=True)
    copying.copy(look(top), target)
    assert (target / "assets" / "deeper").is_dir()


def test_modes_depend_neither_on_the_source_nor_on_the_umask(top: Path, target: Path) -> None:
    (top / "saved_model.pb").chmod(0o4777)
    (top / "variables").chmod(0o700)
    for mask in (0o000, 0o077):
        place = target / f"{mask:o}"
        place.mkdir()
        before = os.umask(mask)
        try:
            copying.copy(look(top), place)
        finally:
            os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*")}
        assert modes == {"saved_model.pb": 0o444, "variables": 0o755, "data": 0o444}


def test_a_hole_is_copied_as_zeros(top: Path, target: Path) -> None:
    with open(top / "sparse", "wb") as file:
        file.truncate(3 * 1024 * 1024)
    entries = {entry.path: entry for entry in copying.copy(look(top), target)}
    assert entries["sparse"].digest == digest(bytes(3 * 1024 * 1024))


def test_what_a_followed_link_names_is_stored_as_a_plain_file(top: Path, target: Path) -> None:
    (top / "link").symlink_to("variables/data")
    copying.copy(look(top, follow_links=True), target)
    assert not (target / "link").is_symlink()
    assert (target / "link").read_bytes() == (top / "variables" / "data").read_bytes()


def touched_later(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def same_bytes_other_file(path: Path) -> None:
    status, data = path.stat(), path.read_bytes()
    path.rename(path.with_name("aside"))
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def bound_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def linked_to_itself(path: Path) -> None:
    path.rename(path.with_name("aside"))
    path.symlink_to("aside")


CHANGES: dict[str, Callable[[Path], object]] = {
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "cut short": lambda path: os.truncate(path, 3),
    "touched a nanosecond later": touched_later,
    "replaced by another file": same_bytes_other_file,
    "gone": Path.unlink,
    "replaced by a link": lambda path: replaced(path, lambda place: place.symlink_to("/etc/hostname")),
    "replaced by a link to nowhere": lambda path: replaced(path, lambda place: place.symlink_to("nowhere")),
    "replaced by a link to its old self": linked_to_itself,
    "replaced by a pipe": lambda path: replaced(path, os.mkfifo),
    "replaced by a directory": lambda path: replaced(path, Path.mkdir),
    "replaced by a socket": lambda path: replaced(path, bound_socket),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_is_not_what_was_listed_fails_the_copy(
    top: Path, target: Path, change: Callable[[Path], object]
) -> None:
    listing = look(top)
    change(top / "variables" / "data")
    before = descriptors()
    with pytest.raises(SourceError) as caught:
        copying.copy(listing, target)
    assert caught.value.kind == "source-changed"
    assert "'variables/data'" in caught.value.message
    assert descriptors() == before


def test_a_parent_that_became_a_link_leads_nobody_out(top: Path, target: Path, tmp_path: Path) -> None:
    listing = look(top)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "data").write_bytes(b"weights" * 1000)
    (top / "variables").rename(top / "aside")
    (top / "variables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="changed while it was read"):
        copying.copy(listing, target)


def test_a_file_that_changes_while_it_is_read_fails_the_copy(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written to between two chunks: the size is the same in the end, the time is not."""
    (top / "variables" / "data").write_bytes(bytes(3 * 1024 * 1024))
    listing = look(top)
    write_all = durable.write_all
    calls: list[int] = []

    def write_and_change(descriptor: int, data: memoryview, offset: int) -> None:
        write_all(descriptor, data, offset)
        calls.append(len(data))
        if len(calls) == 3:
            with open(top / "variables" / "data", "r+b") as file:
                file.write(b"changed")

    monkeypatch.setattr(durable, "write_all", write_and_change)
    with pytest.raises(SourceError, match="changed while it was read"):
        copying.copy(listing, target)


def test_a_large_file_that_changes_while_the_kernel_copies_it_fails_the_copy(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "variables" / "data").write_bytes(bytes(20 * 1024 * 1024))
    listing = look(top)
    copy_range = copying._copy_range

    def copy_and_change(source: int, descriptor: int, offset: int) -> int:
        with open(top / "variables" / "data", "r+b") as file:
            file.write(b"changed")
        return copy_range(source, descriptor, offset)

    monkeypatch.setattr(copying, "_copy_range", copy_and_change)
    with pytest.raises(SourceError, match="changed while it was read"):
        copying.copy(listing, target)


def test_of_a_large_file_that_grows_no_more_is_copied_than_what_there_was_and_a_step(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room was looked for as much as was listed."""
    data = top / "variables" / "data"
    data.write_bytes(bytes(2 * STEP + 5))
    listing = look(top)
    copy_range, copied = copying._copy_range, list[int]()

    def grow_and_copy(source: int, descriptor: int, offset: int) -> int:
        with data.open("ab") as file:
            file.write(bytes(STEP))
        copied.append(copy_range(source, descriptor, offset))
        return copied[-1]

    monkeypatch.setattr(copying, "_copy_range", grow_and_copy)
    with pytest.raises(SourceError, match="changed while it was read"):
        copying.copy(listing, target)
    assert sum(copied) == 3 * STEP


@pytest.mark.parametrize("size", [100, 2 * STEP])
def test_where_one_thread_copies_a_file_that_grows_it_stops_likewise(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    data = top / "variables" / "data"
    data.write_bytes(bytes(size))
    listing = look(top)
    write_all, written = durable.write_all, list[int]()

    def write_and_grow(descriptor: int, piece: memoryview, offset: int) -> None:
        with data.open("ab") as file:
            file.write(bytes(STEP))
        written.append(len(piece))
        write_all(descriptor, piece, offset)

    monkeypatch.setattr(copying, "_copy_range", lambda *_: 0)
    monkeypatch.setattr(durable, "write_all", write_and_grow)
    with pytest.raises(SourceError, match="changed while it was read"):
        copying.copy(listing, target)
    assert sum(written) <= size + 3 * 256 * 1024 + 10_000


def test_whatever_ends_the_copy_of_a_large_file_no_thread_stays(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "variables" / "data").write_bytes(bytes(4 * STEP))
    listing, before = look(top), set(threading.enumerate())
    copy_range = copying._copy_range

    def interrupted(source: int, descriptor: int, offset: int) -> int:
        if offset:
            raise KeyboardInterrupt
        return copy_range(source, descriptor, offset)

    monkeypatch.setattr(copying, "_copy_range", interrupted)
    with pytest.raises(KeyboardInterrupt):
        copying.copy(listing, target)
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EINVAL, None])
def test_a_large_file_is_copied_and_digested_where_the_kernel_cannot_copy(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """Also where the system does not know the call at all."""
    data = os.urandom(17 * 1024 * 1024 + 3)
    (top / "variables" / "data").write_bytes(data)

    def refuse(*_: int) -> int:
        raise AttributeError if number is None else OSError(number, "injected")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    entries = {entry.path: entry for entry in copying.copy(look(top), target)}
    assert entries["variables/data"].digest == digest(data)
    assert (target / "variables" / "data").read_bytes() == data


def test_a_large_file_whose_copy_fails_in_the_middle_fails_the_push(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "variables" / "data").write_bytes(bytes(20 * 1024 * 1024))
    copy_range = os.copy_file_range

    def fail_later(source: int, descriptor: int, count: int, offset: int, offset_target: int) -> int:
        if offset:
            raise OSError(errno.EIO, "injected")
        return copy_range(source, descriptor, count, offset, offset_target)

    monkeypatch.setattr(os, "copy_file_range", fail_later)
    with pytest.raises(OSError, match="injected"):
        copying.copy(look(top), target)


def many(top: Path, count: int) -> None:
    (top / "many").mkdir()
    for number in range(count):
        (top / "many" / f"{number:04}").write_bytes(f"{number}".encode() * 50)


@pytest.mark.parametrize("way", ["syncfs", "no syncfs", "not on this file system"])
def test_more_than_256_files_are_copied_and_synced_whichever_way(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """With `syncfs`: one call, on a descriptor opened before the first write. Without: every file by itself."""
    many(top, 300)
    synced: list[int] = []
    whole: list[int] = []
    sync = durable.sync
    sync_file_system = native.sync_file_system

    def seen(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def seen_whole(descriptor: int) -> bool:
        whole.append(os.fstat(descriptor).st_ino)
        return sync_file_system(descriptor) if way == "syncfs" else False

    monkeypatch.setattr(durable, "sync", seen)
    monkeypatch.setattr(native, "sync_file_system", seen_whole)
    known = frozenset() if way == "not on this file system" else frozenset({native.file_system(str(target))[0]})
    monkeypatch.setattr(native, "SYNCFS_FILE_SYSTEMS", known)
    before = descriptors()
    entries = copying.copy(look(top), target)
    assert descriptors() == before
    assert contents(target) == contents(top)
    assert len(entries) == 302
    inodes = {(target / entry.path).stat().st_ino for entry in entries}
    if way == "syncfs":
        assert whole == [target.stat().st_ino]
        assert not set(synced) & inodes
    else:
        assert set(synced) >= inodes


def test_few_files_are_synced_one_by_one(top: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(durable, "sync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    copying.copy(look(top), target)
    assert set(synced) == {path.stat().st_ino for path in target.rglob("*") if path.is_file()}


@pytest.mark.parametrize("count", [2, 300])
@pytest.mark.parametrize("together", [True, False])
def test_a_failure_is_passed_on_and_leaves_no_descriptor_open(
    top: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    together: bool,  # noqa: FBT001
) -> None:
    many(top, count)
    if not together:
        monkeypatch.setattr(native, "SYNCFS_FILE_SYSTEMS", frozenset())

    def fail(_: int) -> bool:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(durable, "sync", fail)
    monkeypatch.setattr(native, "sync_file_system", fail)
    before = descriptors()
    with pytest.raises(OSError, match="injected"):
        copying.copy(look(top), target)
    assert descriptors() == before


def test_directories_are_synced_the_deepest_first_and_the_top_last(
    top: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "a" / "b" / "c").mkdir(parents=True)
    copying.copy(look(top), target)
    order: list[str] = []
    monkeypatch.setattr(durable, "sync_directory", lambda path: order.append(path.relative_to(target).as_posix()))
    copying.sync_directories(target, look(top))
    assert order == ["a/b/c", "a/b", "a", "variables", "."]


def test_stamps_tell_every_change_of_a_file_below_and_nothing_else(top: Path) -> None:
    before = copying.stamps(top)
    assert set(before) == {"saved_model.pb", "variables/data"}
    (top / "variables" / "data").read_bytes()
    assert copying.stamps(top) == before
    data = top / "variables" / "data"
    status = data.stat()
    data.write_bytes(data.read_bytes())
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert copying.stamps(top) != before, "the ctime tells, though size, inode and mtime are the same"
    (top / "new").touch()
    assert set(copying.stamps(top)) - set(before) == {"new"}


def test_a_copy_writes_over_nothing(top: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("bytes")
    (target / "saved_model.pb").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        copying.copy(look(top), target)
    assert (tmp_path / "precious").read_text() == "bytes"


@pytest.mark.parametrize("moment", ["file", "directory"])
@pytest.mark.parametrize("modes", [PRIVATE, None])
def test_a_directory_of_the_copy_that_becomes_a_link_leads_nobody_out(
    top: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, modes: Modes | None
) -> None:
    """Its owner may put a link there as soon as it is made: before a file is made in it, or a directory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (top / "variables" / "deeper").mkdir()
    real = durable.make_directory_in

    def swap() -> None:
        (target / "variables").rename(tmp_path / "aside")
        (target / "variables").symlink_to(outside)

    def make(above: int, name: str, mode: int | None, *, inherit: bool) -> int:
        made = real(above, name, mode, inherit=inherit)
        if name == ("variables" if moment == "directory" else "deeper"):
            swap()
        return made

    before = descriptors()
    monkeypatch.setattr(durable, "make_directory_in", make)
    with pytest.raises(NotADirectoryError):
        copying.copy(look(top), target, modes)
    assert os.listdir(outside) == []
    assert descriptors() == before


def test_a_directory_that_is_replaced_as_it_is_made_gives_its_mode_to_nothing_else(
    top: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o700)
    mkdir = os.mkdir

    def replaced(name: str, mode: int, *, dir_fd: int) -> None:
        mkdir(name, mode, dir_fd=dir_fd)
        os.rename(name, "aside", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        os.symlink(precious, name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", replaced)
    with pytest.raises(NotADirectoryError):
        copying.copy(look(top), target)
    assert stat.S_IMODE(precious.stat().st_mode) == 0o700
    assert os.listdir(precious) == []


def test_a_copy_into_a_link_is_refused(top: Path, target: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(NotADirectoryError):
        copying.copy(look(top), tmp_path / "link")
    assert os.listdir(target) == []


def test_every_file_gets_into_its_directory_whatever_the_order(top: Path, target: Path) -> None:
    """In the order of paths, a directory's files stand before and behind those of the directories in it."""
    for path in ("a/b/1", "a/b.x", "a/c/d/2", "a/d", "b/1", "a-/x", "/".join("d" * 30)):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(path)
    copying.copy(look(top), target)
    assert contents(target) == contents(top)
