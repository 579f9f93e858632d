"""System calls through ctypes: done, not supported, or an error with its number."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelrepo.fs import native

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def test_the_file_system_is_the_one_that_stat_names(tmp_path: Path) -> None:
    done = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], check=True, capture_output=True, text=True)
    names = {"ext2/ext3": "ext4", "overlayfs": "overlay"}
    name = done.stdout.strip()
    assert native.file_system(str(tmp_path)) == (names.get(name, name), True)


def test_what_is_not_a_known_file_system_is_named_by_its_number() -> None:
    assert native.file_system("/proc") == ("0x9fa0", False)


def test_a_path_that_is_missing_has_no_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        native.file_system(str(tmp_path / "missing"))
    assert caught.value.filename == str(tmp_path / "missing")


def test_rename_noreplace_renames_or_says_that_the_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "\u00e9").mkdir()
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError):
        native.rename_noreplace(str(tmp_path / "\u00e9"), str(tmp_path / "taken"))
    assert native.rename_noreplace(str(tmp_path / "\u00e9"), os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"taken", b"\xff"]
    with pytest.raises(FileNotFoundError):
        native.rename_noreplace(str(tmp_path / "missing"), str(tmp_path / "free"))


def test_preallocation_reserves_blocks_without_changing_the_length(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.write(b"12345")
        file.flush()
        if not native.preallocate(file.fileno(), 1 << 20):
            pytest.skip("no fallocate on this file system")
        status = os.fstat(file.fileno())
    assert status.st_size == 5
    assert status.st_blocks * 512 >= 1 << 20


def test_syncing_and_writeback_say_whether_they_were_done(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.write(b"12345")
        file.flush()
        native.start_writeback(file.fileno())
        assert native.sync_file_system(file.fileno())


@pytest.mark.parametrize("call", [native.sync_file_system, native.start_writeback])
def test_an_error_has_its_number(call: object) -> None:
    assert callable(call)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        call(-1)
    assert caught.value.errno == errno.EBADF


def test_what_the_system_does_not_have_is_not_done_and_no_error() -> None:
    assert not native._call("no_such_call_of_any_libc", 1)


def test_what_the_file_system_does_not_support_is_not_done_and_no_error() -> None:
    with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
        assert not native.preallocate(file.fileno(), 4096)


def test_mount_points_are_named_below_a_directory_whatever_their_names(tmp_path: Path) -> None:
    """`/proc` writes a blank as `\\040`; what lies beside the directory with a longer name is not below it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    for name in ("top/a b", "top/\u6570", "top two"):
        (tmp_path / name).mkdir(parents=True)
    assert native.mount_points(str(tmp_path / "top")) == ()
    script = "import sys; from modelrepo.fs import native; print(ascii(native.mount_points(sys.argv[1])))"
    shell = 'cd "$1" && for name in "top/a b" top/\u6570 "top two"; do mount -t tmpfs none "$name" || exit; done; '
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{shell} exec "$2" -c "$3" top', "sh", str(tmp_path), sys.executable, script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.stderr.startswith("mount:"):
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stdout == "('a b', '\\u6570')\n", done.stderr
