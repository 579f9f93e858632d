"""Looking without touching."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelrepo.core.layout import Layout
from modelrepo.core.refs import Version
from modelrepo.fs.files import CHUNK, file_digest, open_regular, read_file
from modelrepo.fs.look import mode_of, read_tree, read_view, read_views, room, used_numbers, walk

from .descriptors import descriptors


def test_a_file_is_read_up_to_the_limit_and_refused_beyond(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_file(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_file(tmp_path / "a", 9)


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_file(Path("/dev/zero"), 10)


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "directory", "missing"])
def test_nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a"
    (tmp_path / "file").touch()
    if kind == "link":
        path.symlink_to("file")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a")
    elif kind == "directory":
        path.mkdir()
    before = descriptors()
    with pytest.raises(OSError, match=r"a'"):
        open_regular(path)
    assert descriptors() == before


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 7])
def test_a_files_digest_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert file_digest(tmp_path / "a") == (size, f"sha256:{hashlib.sha256(data).hexdigest()}")


def test_the_root_is_told_apart_into_versions_links_and_others(tmp_path: Path) -> None:
    for name in ("v1", "v20", "v0", "v01", "V2", "notes", ".modelrepo", "serving", "lost+found", ".snapshot"):
        (tmp_path / name).mkdir()
    (tmp_path / "v3").touch()
    (tmp_path / "v4").symlink_to("v1")
    for name, text in {
        "latest": "v1", "canary": f"{tmp_path}/v20/", "gone": "v9", "out": "/etc", "Prod": "./v1", "serving2": "v3",
        "again": "latest", "below": "v20/assets",
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(text)
    tree = read_tree(Layout(tmp_path))
    assert tree.versions == {Version(1), Version(20)}
    assert tree.others == ("V2", "notes", "v0", "v01", "v3")
    assert {name: (link.version, link.into, link.relative) for name, link in tree.links.items()} == {
        "v4": (Version(1), Version(1), True),
        "latest": (Version(1), Version(1), True),
        "canary": (Version(20), Version(20), False),
        "gone": (Version(9), Version(9), True),
        "out": (None, None, False),
        "Prod": (Version(1), Version(1), False),
        "again": (None, Version(1), False),
        "below": (None, Version(20), False),
        "serving2": (Version(3), Version(3), True),
    }
    assert tree.channels() == {
        "again": None, "below": None, "canary": Version(20), "gone": None, "latest": Version(1), "out": None,
        "serving2": None,
    }  # fmt: skip


def test_a_link_says_who_made_it_and_when(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("v1")
    link = read_tree(Layout(tmp_path)).links["latest"]
    status = os.lstat(tmp_path / "latest")
    assert (link.owner, link.changed, link.text) == (status.st_uid, status.st_ctime, "v1")


def test_names_that_are_not_utf_8_are_others_like_any(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    os.symlink(b"v1\xff", os.fsencode(tmp_path) + b"/l\xff")
    tree = read_tree(Layout(tmp_path))
    assert tree.others == ("caf\udce9",)
    assert tree.links["l\udcff"].version is None


@pytest.mark.parametrize("text", ["loop", "loop/x", "", "/proc/self/fd/999/x"])
def test_a_link_that_leads_nowhere_names_no_version(tmp_path: Path, text: str) -> None:
    (tmp_path / "loop").symlink_to(text or ".")
    link = read_tree(Layout(tmp_path)).links["loop"]
    assert (link.version, link.into, link.relative) == (None, None, False)


def test_a_view_is_its_versions_and_whatever_else_stands_in_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    view = layout.view("latest")
    view.mkdir(parents=True)
    for name, text in {"3": "../../v3", "12": "../../v12", "4": "../../v5", "v6": "../../v6"}.items():
        (view / name).symlink_to(text)
    (view / "7").mkdir()
    (view / "notes").touch()
    found = read_view(layout, "latest")
    assert found is not None
    assert found.own
    assert found.versions == {Version(3), Version(12)}
    assert found.others == ("4", "7", "notes", "v6")
    assert found.into == {Version(3), Version(12), Version(5), Version(6)}


def test_whatever_lies_among_the_views_is_told_and_what_is_no_directory_is_nobodys_view(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert read_views(layout) == {}
    for name in ("latest", "canary", "Other"):
        layout.view(name).mkdir(parents=True)
    layout.view("file").touch()
    layout.view("link").symlink_to("../v3/assets")
    layout.view("loop").symlink_to("loop")
    views = read_views(layout)
    assert {name: (view.own, view.into) for name, view in views.items()} == {
        "latest": (True, frozenset()),
        "canary": (True, frozenset()),
        "Other": (True, frozenset()),
        "file": (False, frozenset()),
        "link": (False, {Version(3)}),
        "loop": (False, frozenset()),
    }
    assert read_view(layout, "missing") is None


def test_a_mode_is_what_stands_there_and_never_a_links(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(0o2640)
    (tmp_path / "link").symlink_to("a")
    assert mode_of(tmp_path / "a") == 0o2640
    assert mode_of(tmp_path / "link") is None
    assert mode_of(tmp_path / "missing") is None


def test_every_number_that_a_name_shows_is_spent(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert used_numbers(layout) == []
    for path in ("v1", "notes", "v03"):
        (tmp_path / path).mkdir()
    (tmp_path / "v4").touch()
    (tmp_path / "v5").symlink_to("v1")
    layout.removed.mkdir(parents=True)
    layout.trash.mkdir()
    (layout.removed / "v7.json").touch()
    (layout.trash / "v9-token").mkdir()
    assert sorted(used_numbers(layout)) == [1, 4, 5, 7, 9]


def test_a_walk_finds_everything_below_and_follows_no_link(tmp_path: Path) -> None:
    top = tmp_path / "v1"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_bytes(b"12345")
    (top / "a" / "b" / "file").chmod(0o444)
    (top / "empty").mkdir()
    (top / "up").symlink_to("..", target_is_directory=True)
    os.mkfifo(top / "pipe")
    assert {found.path: (found.kind, found.size) for found in walk(top) if found.kind != "directory"} == {
        "a/b/file": ("file", 5),
        "up": ("link", 2),
        "pipe": ("pipe", 0),
    }
    assert {found.path for found in walk(top) if found.kind == "directory"} == {"a", "a/b", "empty"}
    assert next(found.mode for found in walk(top) if found.path == "a/b/file") == 0o444


def test_a_walk_does_not_recurse(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        assert sum(1 for _ in walk(top)) == 1200
    finally:
        subprocess.run(["rm", "-r", "--", top], check=True)  # pytest's own clean-up recurses


def test_room_is_what_an_ordinary_user_may_still_use(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free, files = room(tmp_path)
    assert abs(free - status.f_bavail * status.f_frsize) < 1024**3
    assert abs(files - status.f_favail) < 100_000


def test_of_a_file_that_grows_while_it_is_digested_no_more_is_read_than_there_was_and_a_piece(tmp_path: Path) -> None:
    path, read = tmp_path / "file", list[int]()
    path.write_bytes(bytes(CHUNK + 5))

    def grow(count: int) -> None:
        read.append(count)
        with path.open("ab") as file:
            file.write(bytes(CHUNK))

    size, _ = file_digest(path, grow)
    assert size == sum(read) == 2 * CHUNK


def test_a_view_whose_link_goes_away_while_it_is_followed_is_looked_at_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promote puts another one in its place at any moment."""
    layout = Layout(tmp_path)
    layout.view("latest").mkdir(parents=True)
    (layout.view("latest") / "2").symlink_to("../../v2")

    def gone(path: Any, **_: Any) -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(os.path, "realpath", gone)
    view = read_view(layout, "latest")
    assert view is not None
    assert view.versions == {Version(2)}
