"""Which real processes use a version's files."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelrepo.core.refs import Version
from modelrepo.fs.inuse import in_use

from .mounting import made, mounted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scan reads /proc")

WAYS = {
    "an open file": "f = open(path + '/variables/data')",
    "an open directory": "import os; f = os.open(path, os.O_RDONLY)",
    "a mapping of a closed file": "import mmap, os\nwith open(path + '/variables/data', 'rb') as f:\n"
    "    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\nos.closerange(3, 64)",  # mmap keeps a duplicate
    "its working directory": "import os; os.chdir(path)",
    "its working directory below": "import os; os.chdir(path + '/variables')",
}


#: Those by which a process has a file, and not only its directory.
FILE_WAYS = ("an open file", "a mapping of a closed file")


@contextmanager
def process(code: str, path: Path, *, within: tuple[str, ...] = ()) -> Iterator[int]:
    """A process that does something with a path and waits; `within` are the words of a program that becomes it."""
    script = f"import sys\npath = sys.argv[1]\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    words = [*within, sys.executable, "-c", script, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as child:
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


@pytest.fixture
def sharing(versions: dict[Version, Path], tmp_path: Path) -> dict[Version, Path]:
    """v1, v2 and v3 with the same files under several names."""
    shutil.rmtree(tmp_path / "v2")
    for name in ("v2", "v3"):
        shutil.copytree(tmp_path / "v1", tmp_path / name, copy_function=os.link)
    return {**versions, Version(3): tmp_path / "v3"}


@pytest.fixture
def unshare() -> tuple[str, ...]:
    """The words that start a process in a mount namespace of its own."""
    words = ("unshare", "--mount")
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    if not shutil.which("unshare") or subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    return words


@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS.keys())
def test_a_process_that_uses_a_version_is_found_until_it_ends(versions: dict[Version, Path], code: str) -> None:
    with process(code, versions[Version(1)]) as pid:
        assert in_use(versions).by == {Version(1): (pid,)}
    assert in_use(versions).by == {}


_THREAD = """
import ctypes, os, threading
ready = threading.Event()
def work():
    {first}
    {act}
    ready.set()
    {last}
    threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
{main}
"""
_OPEN, _WAIT = "global held; held = open(path + '/variables/data')", "ready.wait()"
THREADS = {
    "of a process whose first thread has ended": _THREAD.format(
        first="",
        act=_OPEN,
        last="print('ready', flush=True); sys.stdin.read(); os._exit(0)",
        main=f"{_WAIT}; ctypes.CDLL(None).syscall(60, 0)",
    ),
    "with descriptors of its own": _THREAD.format(
        first="assert ctypes.CDLL(None).unshare(0x400) == 0", act=_OPEN, last="", main=_WAIT
    ),
    "with a working directory of its own": _THREAD.format(
        first="assert ctypes.CDLL(None).unshare(0x200) == 0", act="os.chdir(path)", last="", main=_WAIT
    ),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the system calls have other numbers elsewhere")
@pytest.mark.parametrize("code", THREADS.values(), ids=THREADS.keys())
def test_a_thread_that_uses_a_version_is_found(versions: dict[Version, Path], code: str) -> None:
    with process(code, versions[Version(1)]) as pid:
        if "syscall" in code:
            status, end = Path(f"/proc/{pid}/stat"), time.monotonic() + 20
            while ") Z " not in status.read_text() and time.monotonic() < end:
                time.sleep(0.01)
            assert ") Z " in status.read_text()
        assert in_use(versions).by == {Version(1): (pid,)}


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


# Versions that share files


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS.keys())
def test_of_versions_that_share_a_file_the_one_that_was_opened_is_in_use(
    sharing: dict[Version, Path], code: str, number: int
) -> None:
    used = Version(number)
    with process(code, sharing[used]) as pid:
        assert in_use(sharing).by == {used: (pid,)}


@pytest.mark.parametrize("way", FILE_WAYS)
def test_who_asks_about_one_version_is_not_told_of_those_that_share_its_files(
    sharing: dict[Version, Path], way: str
) -> None:
    with process(WAYS[way], sharing[Version(2)]) as pid:
        assert in_use(sharing, {Version(2)}).by == {Version(2): (pid,)}
        for other in (Version(1), Version(3)):
            assert in_use(sharing, {other}).by == {}


@pytest.mark.parametrize("way", FILE_WAYS)
@pytest.mark.parametrize("number", [1, 2])
def test_a_version_that_was_renamed_is_told_from_those_that_share_its_files(
    sharing: dict[Version, Path], tmp_path: Path, way: str, number: int
) -> None:
    used = Version(number)
    with process(WAYS[way], sharing[used]) as pid:
        trash = sharing[used].rename(tmp_path / "trash")
        assert in_use({**sharing, used: trash}).by == {used: (pid,)}


@pytest.mark.parametrize("way", FILE_WAYS)
def test_a_deleted_name_of_a_shared_file_tells_nothing_so_each_version_that_has_the_file_is_in_use(
    sharing: dict[Version, Path], way: str
) -> None:
    with process(WAYS[way], sharing[Version(3)]) as pid:
        shutil.rmtree(sharing.pop(Version(3)))
        assert in_use(sharing).by == {Version(1): (pid,), Version(2): (pid,)}


@pytest.mark.parametrize("way", FILE_WAYS)
def test_a_shared_file_that_was_opened_by_a_name_outside_is_every_versions(
    sharing: dict[Version, Path], tmp_path: Path, way: str
) -> None:
    shutil.copytree(tmp_path / "v1", tmp_path / "else" / "v1", copy_function=os.link)
    with process(WAYS[way], tmp_path / "else" / "v1") as pid:
        assert in_use(sharing).by == dict.fromkeys(sharing, (pid,))


@pytest.mark.parametrize("way", FILE_WAYS)
def test_a_line_break_in_a_path_hides_nothing(sharing: dict[Version, Path], tmp_path: Path, way: str) -> None:
    """In `/proc/PID/maps` it is written as `\\012`."""
    for path in sharing.values():
        (tmp_path / "line\nbreak").mkdir(exist_ok=True)
        path.rename(tmp_path / "line\nbreak" / path.name)
    broken = {version: tmp_path / "line\nbreak" / path.name for version, path in sharing.items()}
    with process(WAYS[way], broken[Version(2)]) as pid:
        assert in_use(broken).by == {Version(2): (pid,)}


# Processes that see the tree elsewhere

MOUNT = "import subprocess; subprocess.run(['mount', '--bind', {source}, {place}], check=True)\n"


@pytest.mark.parametrize("way", FILE_WAYS)
def test_a_process_with_the_tree_at_another_path_is_known(
    sharing: dict[Version, Path], tmp_path: Path, unshare: tuple[str, ...], way: str
) -> None:
    (tmp_path / "else").mkdir()
    mount = MOUNT.format(source="path", place="path + '/else'")
    with process(f"{mount}path += '/else/v2'\n{WAYS[way]}", tmp_path, within=unshare) as pid:
        assert os.listdir(tmp_path / "else") == []
        assert in_use(sharing).by == {Version(2): (pid,)}
        assert in_use(sharing, {Version(1)}).by == {}


@pytest.mark.parametrize("way", FILE_WAYS)
@pytest.mark.parametrize("place", ["v1", "served"])
def test_a_version_that_a_process_sees_under_another_versions_name_is_the_one_in_use(
    sharing: dict[Version, Path], tmp_path: Path, unshare: tuple[str, ...], way: str, place: str
) -> None:
    (tmp_path / "served").mkdir()
    mount = MOUNT.format(source="path + '/v2'", place=f"path + '/{place}'")
    with process(f"{mount}path += '/{place}'\n{WAYS[way]}", tmp_path, within=unshare) as pid:
        assert in_use(sharing).by == {Version(2): (pid,)}


@pytest.mark.parametrize("way", FILE_WAYS)
def test_a_file_that_lies_over_another_versions_tells_nothing(
    sharing: dict[Version, Path], tmp_path: Path, unshare: tuple[str, ...], way: str
) -> None:
    (tmp_path / "v2" / "variables" / "data").unlink()
    (tmp_path / "v2" / "variables" / "data").touch()
    mount = MOUNT.format(source="path + '/v3/variables/data'", place="path + '/v2/variables/data'")
    with process(f"{mount}path += '/v2'\n{WAYS[way]}", tmp_path, within=unshare) as pid:
        assert in_use(sharing).by == {Version(1): (pid,), Version(3): (pid,)}


@pytest.mark.parametrize("way", FILE_WAYS)
def test_a_process_with_a_root_of_its_own_is_known(
    sharing: dict[Version, Path], tmp_path: Path, unshare: tuple[str, ...], way: str
) -> None:
    (tmp_path / "jail" / "models").mkdir(parents=True)
    mount = MOUNT.format(source="path", place="path + '/jail/models'")
    enter = "import mmap, os; os.chroot(path + '/jail'); os.chdir('/'); path = '/models/v2'\n"
    with process(f"{mount}{enter}{WAYS[way]}", tmp_path, within=unshare) as pid:
        assert in_use(sharing).by == {Version(2): (pid,)}


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A mounted overlay of two file systems, where `/proc/PID/maps` gives another device than `stat`."""
    for name in ("lower", "memory", "merged"):
        (tmp_path / name).mkdir()
    with mounted("-t", "tmpfs", "tmpfs", "memory", cwd=tmp_path) as memory:
        for name in ("upper", "work"):
            (memory / name).mkdir()
        layers = "lowerdir=lower,upperdir=memory/upper,workdir=memory/work"
        with mounted("-t", "overlay", "overlay", "-o", layers, "merged", cwd=tmp_path) as merged:
            yield merged


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A mounted btrfs, where `/proc/PID/maps` gives another device than `stat`."""
    with made("btrfs", tmp_path, "merged") as top:
        yield top


@pytest.mark.parametrize("file_system", ["overlay", "btrfs"])
@pytest.mark.parametrize("way", FILE_WAYS)
def test_where_maps_gives_another_device_files_are_known_all_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, unshare: tuple[str, ...], file_system: str, way: str
) -> None:
    root: Path = request.getfixturevalue(file_system)
    (root / "v1" / "variables").mkdir(parents=True)
    (root / "v1" / "variables" / "data").write_bytes(b"weights")
    for name in ("v2", "v3"):
        shutil.copytree(root / "v1", root / name, copy_function=os.link)
    sharing = {Version(number): root / f"v{number}" for number in (1, 2, 3)}
    (tmp_path / "else").mkdir()
    elsewhere = MOUNT.format(source="path + '/merged'", place="path + '/else'") + "path += '/else/v2'\n"
    for start in ("path += '/merged/v2'\n", elsewhere):
        with process(start + WAYS[way], tmp_path, within=unshare) as pid:
            assert in_use(sharing).by == {Version(2): (pid,)}
            assert in_use(sharing, {Version(1)}).by == {}
            shutil.rmtree(sharing[Version(2)])
            left = {version: path for version, path in sharing.items() if version != Version(2)}
            assert in_use(left).by == {Version(1): (pid,), Version(3): (pid,)}
        shutil.copytree(root / "v1", root / "v2", copy_function=os.link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_user_who_may_look_at_some_processes_is_told_of_these() -> None:
    script = """
import os, sys
from pathlib import Path
from modelrepo.core.refs import Version
from modelrepo.fs.inuse import in_use
os.setgroups([]); os.setgid(65534); os.setuid(65534)
used = in_use({Version(number): Path(sys.argv[1], f"v{number}") for number in (1, 2, 3)})
print({str(version): processes for version, processes in used.by.items()}, used.unseen > 0)
"""
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        root.chmod(0o755)
        (root / "v1").mkdir()
        (root / "v1" / "data").write_bytes(b"weights")
        shutil.copytree(root / "v1", root / "v2", copy_function=os.link)
        shutil.copytree(root / "v1", root / "v3", copy_function=os.link)
        words = ["sh", "-c", 'exec 3< "$0/v2/data"; echo ready; read line', text]
        with (
            process(f"f = open(path + '/v1/data'); {WAYS['an open directory']}", root),
            subprocess.Popen(
                words, user=65534, group=65534, extra_groups=[], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
            ) as theirs,
        ):
            assert theirs.stdout is not None
            assert theirs.stdout.readline() == b"ready\n"
            asked = [sys.executable, "-c", script, text]
            done = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60)
            theirs.communicate(b"\n")
    assert done.stdout == f"{{'v2': ({theirs.pid},)}} True\n"
