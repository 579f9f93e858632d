"""Bytes that are stored already are shared, and nothing else is."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from modelrepo.core.contents import FileEntry
from modelrepo.fs import copying, reuse
from modelrepo.fs.copying import STEP
from modelrepo.fs.reuse import Reuse, Stored
from modelrepo.fs.source import look
from modelrepo.fs.space import Space, measure

from .mounting import made

BIG = os.urandom(STEP + 4321)
SMALL = os.urandom(reuse.SMALLEST - 1)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A source: a large file, one that is not worth the looking, and a new one."""
    (tmp_path / "export" / "variables").mkdir(parents=True)
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "export" / "small").write_bytes(SMALL)
    (tmp_path / "export" / "variables" / "data").write_bytes(BIG)
    return tmp_path / "export"


def stored(place: Path, data: bytes = BIG, mode: int = 0o444) -> Stored:
    """A file as a version has it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    place.chmod(mode)
    return Stored(place, f"sha256:{hashlib.sha256(data).hexdigest()}")


def copied(
    top: Path, target: Path, *known: Stored, how: Literal["reflink", "hardlink"] = "hardlink"
) -> tuple[dict[str, FileEntry], Reuse]:
    """Copy a source beside what is known."""
    target.mkdir()
    using = Reuse(how, lambda _path, _size: known)
    entries = copying.copy(look(top), target, reuse=using)
    for entry in entries:
        data = (top / entry.path).read_bytes()
        assert (target / entry.path).read_bytes() == data
        assert entry.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert (target / entry.path).stat().st_mode & 0o777 == 0o444
    return {entry.path: entry for entry in entries}, using


def test_the_same_bytes_get_one_more_name(top: Path, tmp_path: Path) -> None:
    known = stored(tmp_path / "v1" / "data")
    _, using = copied(top, tmp_path / "copy", stored(tmp_path / "v1" / "small", SMALL), known)
    assert using.linked == {"variables/data"}
    assert (tmp_path / "copy" / "variables" / "data").samefile(known.place)
    assert not (tmp_path / "copy" / "small").samefile(tmp_path / "v1" / "small")


@pytest.mark.parametrize("at", [0, reuse._HEAD + 1, len(BIG) // 2, len(BIG) - 1])
def test_one_other_byte_is_another_file(top: Path, tmp_path: Path, at: int) -> None:
    other = stored(tmp_path / "v1" / "data", BIG[:at] + bytes([BIG[at] ^ 1]) + BIG[at + 1 :])
    assert copied(top, tmp_path / "copy", other)[1].linked == set()


def test_of_several_the_one_with_the_same_bytes_is_taken(top: Path, tmp_path: Path) -> None:
    other = stored(tmp_path / "v1" / "data", BIG[:-1] + bytes([BIG[-1] ^ 1]))
    gone = Stored(tmp_path / "v2" / "data", other.digest)
    same = stored(tmp_path / "v3" / "data")
    assert copied(top, tmp_path / "copy", other, gone, same)[1].linked == {"variables/data"}


def test_what_is_not_what_was_stored_is_not_shared(top: Path, tmp_path: Path) -> None:
    """Both were edited to the same: the bytes are equal, and yet those of the version are not its own."""
    edited = Stored(stored(tmp_path / "v1" / "data").place, "sha256:" + "0" * 64)
    assert copied(top, tmp_path / "copy", edited)[1].linked == set()


@pytest.mark.parametrize("kind", ["writable", "link", "pipe", "directory", "shorter"])
def test_what_is_no_stored_file_is_not_shared(top: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "v1" / "data"
    known = stored(place, BIG[: -1 if kind == "shorter" else None], 0o644 if kind == "writable" else 0o444)
    if kind in {"link", "pipe", "directory"}:
        place.rename(tmp_path / "elsewhere")
    if kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    assert copied(top, tmp_path / "copy", known)[1].linked == set()


def test_on_another_file_system_it_is_copied(top: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("/dev/shm is no file system of its own here")
        assert copied(top, tmp_path / "copy", stored(Path(elsewhere, "data")))[1].linked == set()


def test_where_a_file_has_as_many_names_as_it_may_it_is_copied(top: Path, tmp_path: Path) -> None:
    """ext4 allows 65,000 names."""
    known = stored(tmp_path / "v1" / "data")
    (tmp_path / "names").mkdir()
    try:
        for number in range(65_100):
            os.link(known.place, tmp_path / "names" / str(number))
    except OSError:
        assert copied(top, tmp_path / "copy", known)[1].linked == set()
    else:
        pytest.skip("this file system allows more names")
    finally:
        shutil.rmtree(tmp_path / "names")


def test_a_file_that_comes_to_that_place_meanwhile_is_not_linked(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = stored(tmp_path / "v1" / "data")
    link = os.link

    def swapped(source: Path, *rest: Any, **more: Any) -> None:
        stored(tmp_path / "other", bytes(len(BIG))).place.rename(source)
        link(source, *rest, **more)

    monkeypatch.setattr(os, "link", swapped)
    assert copied(top, tmp_path / "copy", known)[1].linked == set()
    assert not (tmp_path / "copy" / "variables" / "data").samefile(known.place)


def test_a_file_that_is_changed_while_it_is_compared_is_not_linked(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = stored(tmp_path / "v1" / "data")
    alike = reuse._alike

    def edited(*arguments: Any) -> str | None:
        digest = alike(*arguments)
        known.place.chmod(0o644)
        known.place.write_bytes(bytes(len(BIG)))
        known.place.chmod(0o444)
        return digest

    monkeypatch.setattr(reuse, "_alike", edited)
    assert copied(top, tmp_path / "copy", known)[1].linked == set()


@pytest.fixture(params=["btrfs", "xfs"])
def cloning(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system whose files may share blocks."""
    with made(request.param, tmp_path) as place:
        yield place


def test_a_clone_shares_every_block_and_takes_no_room(top: Path, cloning: Path) -> None:
    known = stored(cloning / "v1" / "data")
    os.sync()
    _, using = copied(top, cloning / "copy", known, how="reflink")
    os.sync()
    assert using.linked == set()
    assert not (cloning / "copy" / "variables" / "data").samefile(known.place)
    one, two = (measure([cloning / name], blocks=True) for name in ("v1", "copy"))
    assert one.own == 0
    assert two.own == len(SMALL) + len(b"graph")
    assert sum(two.blocks.values()) == len(two.blocks) == len(one.blocks)
    assert two.freed(lambda: one) == two.own
    assert measure([cloning / "v1", cloning / "copy"], blocks=True).freed(Space) == two.own + len(BIG)


def test_a_clone_of_other_bytes_is_taken_back(top: Path, cloning: Path) -> None:
    """Only its beginning is the same: this shows behind the clone."""
    other = stored(cloning / "v1" / "data", BIG[:-1] + bytes([BIG[-1] ^ 1]))
    copied(top, cloning / "copy", other, how="reflink")
    assert measure([cloning / "copy"], blocks=True).blocks == {}


def test_where_blocks_cannot_be_shared_it_is_copied(top: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        copied(top, tmp_path / "copy", stored(Path(elsewhere, "data")), how="reflink")
    assert measure([tmp_path / "copy"], blocks=True).blocks == {}
