"""Deleting trees: how deep they may be, what stays, and that nothing leads out of them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo.fs import deletion


def deep_tree(top: Path, levels: int, name: str) -> None:
    """A tree deeper than a path can name, made from inside."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_delete_tree_deletes_1500_levels(tmp_path: Path) -> None:
    deep_tree(tmp_path / "deep", 1500, "d")
    try:
        deletion.delete_tree(tmp_path / "deep")
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["rm", "-rf", "--", tmp_path / "deep"], check=True)  # pytest's own clean-up recurses


def test_delete_tree_follows_no_link_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("bytes")
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "to file").symlink_to(outside / "precious")
    (tree / "to directory").symlink_to(outside, target_is_directory=True)
    (tree / "below" / "up").symlink_to("../..", target_is_directory=True)
    (tree / "below" / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    deletion.delete_tree(tree)
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "precious").read_text() == "bytes"


def test_delete_tree_of_a_link_deletes_the_link_alone(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    deletion.delete_tree(tmp_path / "link")
    deletion.delete_tree(tmp_path / "missing")
    assert os.listdir(tmp_path) == ["target"]


def test_delete_tree_deletes_read_only_and_locked_directories_of_its_owner(
    tmp_path: Path, as_ordinary_user: Callable[..., str]
) -> None:
    tree = tmp_path / "tree"
    for path in ("a/b/c", "d"):
        (tree / path).mkdir(parents=True)
        (tree / path / "file").write_text("x")
        (tree / path / "file").chmod(0o444)
    for path, mode in (("a/b/c", 0), ("a/b", 0o555), ("a", 0o444), ("d", 0o311), (".", 0o555)):
        (tree / path).chmod(mode)
    script = "import sys; from pathlib import Path; from modelrepo.fs.deletion import delete_tree"
    as_ordinary_user(f"{script}; delete_tree(Path(sys.argv[1]))", tree)
    assert os.listdir(tmp_path) == []


def test_delete_tree_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    for number in range(5):
        (tree / f"d{number}" / "below").mkdir(parents=True)
        (tree / f"d{number}" / "below" / "file").touch()
    unlink, count = os.unlink, 0

    def fail_third(path: str, *, dir_fd: int) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(errno.EIO, "injected")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", fail_third)
    with pytest.raises(OSError, match="injected"):
        deletion.delete_tree(tree)
    assert tree.is_dir()
    deletion.delete_tree(tree)
    assert os.listdir(tmp_path) == []


def test_a_deletion_that_stopped_leaves_it_to_the_group_that_shares_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "v1"
    top.mkdir()
    (top / "file").touch()
    top.chmod(0o2775)

    def stop(_: str, **__: int) -> None:
        raise OSError(errno.EIO, "stopped")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stop)
        with pytest.raises(OSError, match="stopped"):
            deletion.delete_tree(top)
    assert stat.S_IMODE(top.stat().st_mode) == 0o2775
