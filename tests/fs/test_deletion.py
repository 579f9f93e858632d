"""Deleting trees: how deep they may be, what stays, and that nothing leads out of them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelrepo.fs import deletion

from .descriptors import descriptors


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


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """What must stay."""
    (tmp_path / "victim" / "evil" / "below").mkdir(parents=True)
    (tmp_path / "victim" / "evil" / "below" / "precious").write_text("bytes")
    return tmp_path / "victim"


def precious(victim: Path) -> bool:
    return (victim / "evil" / "below" / "precious").read_text() == "bytes"


def swap_before_opening(monkeypatch: pytest.MonkeyPatch, name: str, swap: Callable[[], object]) -> None:
    """Do something in the moment between the listing of a directory and its opening."""
    real, done = os.open, list[str]()

    def late(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if os.fspath(path) == name and not done:
            done.append(name)
            swap()
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", late)


@pytest.mark.parametrize("place", ["link", "directory"])
def test_a_directory_that_is_replaced_before_it_is_opened_leads_nobody_out(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Its owner may rename it, and put a link or another directory in its place."""
    inner = tmp_path / "tree" / "evil"
    inner.mkdir(parents=True)

    def swap() -> None:
        inner.rename(tmp_path / "aside")
        if place == "link":
            inner.symlink_to(victim / "evil")
        else:
            (victim / "evil").rename(inner)

    before = descriptors()
    swap_before_opening(monkeypatch, "evil", swap)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        deletion.delete_tree(tmp_path / "tree")
    monkeypatch.undo()
    assert caught.value.errno in ({errno.ENOTDIR, errno.ELOOP} if place == "link" else {errno.ESTALE})
    assert descriptors() == before
    if place == "directory":
        inner.rename(victim / "evil")
    assert precious(victim)


def test_a_link_in_place_of_a_directory_above_leads_nobody_out(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "root" / "trash").mkdir(parents=True)
    (tmp_path / "root" / "trash" / "evil").mkdir()
    (tmp_path / "root" / "trash").rename(tmp_path / "aside")
    (tmp_path / "root" / "trash").symlink_to(victim)
    with pytest.raises(NotADirectoryError):
        deletion.delete_tree(tmp_path / "root" / "trash" / "evil", top=tmp_path / "root")
    assert precious(victim)


def test_a_directory_that_is_moved_while_it_is_deleted_leads_nobody_to_where_it_went(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the way up, `..` is the directory that it was moved to: what has the same names there stays."""
    for path in ("a/evil/x/y", "a/b"):
        (tmp_path / "tree" / path).mkdir(parents=True)
    (victim / "b").mkdir()
    swap_before_opening(monkeypatch, "y", lambda: (tmp_path / "tree" / "a" / "evil").rename(victim / "moved"))
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        deletion.delete_tree(tmp_path / "tree")
    monkeypatch.undo()
    assert precious(victim)
    assert (victim / "b").is_dir()


MOUNTED = """
import errno, sys
from pathlib import Path
from modelrepo.fs.deletion import delete_tree
try:
    delete_tree(Path(sys.argv[1]))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("what", ["--bind {victim}", "-t tmpfs none"])
@pytest.mark.parametrize("place", ["b b", "."])
def test_nothing_is_deleted_where_something_is_mounted_below(
    tmp_path: Path, victim: Path, what: str, place: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    tree = tmp_path / "tree"
    (tree / "b b").mkdir(parents=True)
    (tree / "a").touch()
    shell = f'mount {what.format(victim=victim)} "$1" && exec "$2" -c "$3" "$4"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", str(tree / place), sys.executable, MOUNTED, str(tree)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith("mount:"):
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stdout == "EBUSY\n", done.stderr
    assert (tree / "a").exists()
    assert precious(victim)
    deletion.delete_tree(tree)
    assert not tree.exists()


def test_another_device_is_not_crossed_where_the_system_names_no_mounts(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    script = f"from modelrepo.fs import native; native.mount_points = lambda *_: ()\n{MOUNTED}"
    shell = 'mount -t tmpfs none "$1" && touch "$1/kept" && "$2" -c "$3" "$4"; ls "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell, "sh", str(tree / "a"), sys.executable, script, str(tree)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith("mount:"):
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stdout == "EXDEV\nkept\n", done.stderr


def test_deleting_keeps_few_descriptors_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tree" / "/".join("d" * 60)
    path.mkdir(parents=True)
    (path / "file").touch()
    before, most, unlink = descriptors(), list[int](), os.unlink

    def count(name: str, *, dir_fd: int) -> None:
        most.append(len(os.listdir("/proc/self/fd")))
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", count)
    deletion.delete_tree(tmp_path / "tree")
    assert most[0] - before <= 5
