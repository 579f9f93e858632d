"""Which real processes use a version's files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelrepo.core.refs import Version
from modelrepo.fs.inuse import in_use

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scan reads /proc")

WAYS = {
    "an open file": "f = open(path + '/variables/data')",
    "an open directory": "import os; f = os.open(path, os.O_RDONLY)",
    "a mapping of a closed file": "import mmap, os\nwith open(path + '/variables/data', 'rb') as f:\n"
    "    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\nos.closerange(3, 64)",  # mmap keeps a duplicate
    "its working directory": "import os; os.chdir(path)",
    "its working directory below": "import os; os.chdir(path + '/variables')",
}


@contextmanager
def process(code: str, path: Path) -> Iterator[int]:
    """A process that does something with a path and waits."""
    script = f"import sys\npath = sys.argv[1]\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            yield child.pid
        finally:
            child.stdin.close()


@pytest.fixture
def versions(tmp_path: Path) -> dict[Version, Path]:
    """v1 and v2."""
    for number in (1, 2):
        (tmp_path / f"v{number}" / "variables").mkdir(parents=True)
        (tmp_path / f"v{number}" / "variables" / "data").write_bytes(b"weights")
    return {Version(number): tmp_path / f"v{number}" for number in (1, 2)}


@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS.keys())
def test_a_process_that_uses_a_version_is_found_until_it_ends(versions: dict[Version, Path], code: str) -> None:
    with process(code, versions[Version(1)]) as pid:
        assert in_use(versions).by == {Version(1): (pid,)}
    assert in_use(versions).by == {}


def test_use_through_a_link_is_use_of_the_version(versions: dict[Version, Path], tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("v2")
    with process(WAYS["an open file"], tmp_path / "latest") as pid:
        assert in_use(versions).by == {Version(2): (pid,)}


def test_a_version_that_was_renamed_is_known_by_its_files(versions: dict[Version, Path], tmp_path: Path) -> None:
    """A process in another mount namespace sees another path too."""
    for way in ("an open file", "a mapping of a closed file"):
        with process(WAYS[way], versions[Version(1)]) as pid:
            trash = versions[Version(1)].rename(tmp_path / "trash")
            assert in_use({Version(1): trash}).by == {Version(1): (pid,)}
            trash.rename(versions[Version(1)])


def test_every_process_is_named_and_every_version_that_one_uses(versions: dict[Version, Path], tmp_path: Path) -> None:
    both = "f = open(path + '/v1/variables/data'); g = open(path + '/v2/variables/data')"
    with process(both, tmp_path) as one, process(WAYS["its working directory"], versions[Version(1)]) as other:
        assert in_use(versions).by == {Version(1): tuple(sorted((one, other))), Version(2): (one,)}


def test_a_neighbour_whose_name_only_begins_alike_is_not_in_use(versions: dict[Version, Path], tmp_path: Path) -> None:
    (tmp_path / "v10" / "variables").mkdir(parents=True)
    (tmp_path / "v10" / "variables" / "data").write_bytes(b"x")
    for way in WAYS.values():
        with process(way, tmp_path / "v10"):
            assert in_use(versions).by == {}


def test_the_asking_process_itself_does_not_count(versions: dict[Version, Path]) -> None:
    with open(versions[Version(1)] / "variables" / "data", "rb"):
        assert in_use(versions).by == {}


def test_a_version_that_is_gone_is_in_nobodys_use(versions: dict[Version, Path], tmp_path: Path) -> None:
    assert in_use({}).by == {}
    assert in_use({**versions, Version(3): tmp_path / "v3"}).by == {}


def test_a_zombie_is_looked_at_and_uses_nothing(versions: dict[Version, Path]) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"], cwd=versions[Version(1)]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert in_use(versions).by == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_processes_that_may_not_be_looked_at_are_counted(versions: dict[Version, Path]) -> None:
    script = """
import os, sys
from pathlib import Path
from modelrepo.core.refs import Version
from modelrepo.fs.inuse import in_use
os.setgroups([]); os.setgid(65534); os.setuid(65534)
used = in_use({Version(1): Path("/missing")})
print(len(used.by), used.unseen > 0)
"""
    with process(WAYS["an open file"], versions[Version(1)]):
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 True\n"


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ESTALE, errno.EIO])
def test_one_process_with_a_file_on_a_dead_mount_hides_nothing_else(
    versions: dict[Version, Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A dead FUSE or NFS mount answers so to `stat`; such a process must not stop every cleanup."""
    stat = os.stat
    with process("pass", versions[Version(1)]) as dead, process(WAYS["an open file"], versions[Version(1)]) as pid:

        def fail(path: Any, **options: Any) -> os.stat_result:
            if str(path).startswith(f"/proc/{dead}/fd/"):
                raise OSError(number, os.strerror(number), path)
            return stat(path, **options)

        monkeypatch.setattr(os, "stat", fail)
        assert in_use(versions).by == {Version(1): (pid,)}
