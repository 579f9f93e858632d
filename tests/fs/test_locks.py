"""The writers' lock between real processes, and holds on directories."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelrepo.errors import BusyError, IntegrityError
from modelrepo.fs import locks
from modelrepo.fs.locks import WriterLock, holders, take

from .descriptors import descriptors

WRITER = """
import sys, time
from pathlib import Path
from modelrepo.fs.locks import WriterLock
with WriterLock.hold(Path(sys.argv[1]), 5):
    print("held", flush=True)
    sys.stdin.read()
"""
HOLDER = """
import sys
from pathlib import Path
from modelrepo.fs.locks import take
with take(Path(sys.argv[1]), exclusive=sys.argv[2] == "exclusive"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that holds something until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """The lock file."""
    (tmp_path / "lock").touch(mode=0o600)
    return tmp_path / "lock"


def test_a_second_process_waits_its_time_and_names_the_holder(lock: Path) -> None:
    with other_process(WRITER, lock) as process:
        started = time.monotonic()
        with pytest.raises(BusyError) as caught, WriterLock.hold(lock, 0.3):
            pass
        assert 0.25 <= time.monotonic() - started < 5
        assert caught.value.kind == "locked"
        assert f"process {process.pid} (" in caught.value.message
        assert "WriterLock" in caught.value.message
        assert caught.value.message.isprintable()


def test_a_second_process_that_does_not_wait_is_refused_at_once(lock: Path) -> None:
    with other_process(WRITER, lock):
        started = time.monotonic()
        with pytest.raises(BusyError), WriterLock.hold(lock, 0):
            pass
        assert time.monotonic() - started < 1


def test_the_lock_is_free_once_its_holder_lets_go_or_is_killed(lock: Path) -> None:
    for end in ("let go", "killed"):
        with other_process(WRITER, lock) as process:
            if end == "killed":
                process.kill()
                process.wait(5)
        with WriterLock.hold(lock, 5) as held:
            held.check()


def test_who_waits_gets_the_lock_when_it_comes_free(lock: Path) -> None:
    with other_process(WRITER, lock) as process:
        assert process.stdin is not None
        process.stdin.close()
        with WriterLock.hold(lock, 10) as held:
            held.check()


def test_the_lock_is_let_go_where_the_work_fails(lock: Path) -> None:
    with pytest.raises(ValueError, match="work"), WriterLock.hold(lock, 0):
        raise ValueError("work")
    with WriterLock.hold(lock, 0):
        pass


@pytest.mark.parametrize("what", ["removed", "replaced", "replaced by a link"])
def test_a_lock_file_that_somebody_took_away_is_noticed_before_the_commit(lock: Path, what: str) -> None:
    with WriterLock.hold(lock, 0) as held:
        held.check()
        aside = lock.rename(lock.with_name("aside"))
        if what == "replaced":
            lock.touch()
        elif what == "replaced by a link":
            lock.symlink_to(aside)
        with pytest.raises(IntegrityError) as caught:
            held.check()
        assert caught.value.kind == "lock-replaced"


def test_locking_keeps_the_locks_mode(lock: Path) -> None:
    for mode in (0o600, 0o660):
        lock.chmod(mode)
        with WriterLock.hold(lock, 0):
            assert lock.stat().st_mode & 0o777 == mode
        assert lock.stat().st_mode & 0o777 == mode


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version's directory."""
    (tmp_path / "v1").mkdir()
    return tmp_path / "v1"


@pytest.mark.parametrize(
    ("theirs", "ours", "granted"),
    [("shared", False, True), ("shared", True, False), ("exclusive", False, False), ("exclusive", True, False)],
)
def test_only_shared_holds_go_together(version: Path, theirs: str, ours: bool, granted: bool) -> None:  # noqa: FBT001
    with other_process(HOLDER, version, theirs):
        started = time.monotonic()
        hold = take(version, exclusive=ours)
        assert time.monotonic() - started < 1, "it does not wait"
        assert (hold is not None) == granted
        if hold is not None:
            hold.close()
    later = take(version, exclusive=True)
    assert later is not None
    later.close()


def test_a_lease_can_be_taken_from_a_shell_and_is_seen(version: Path) -> None:
    """DESIGN promise 8: `(cd -P /models/latest && exec flock -s . CMD)`."""
    script = "cd -P ../latest && exec flock -s . sh -c 'echo held; cat'"
    (version.parent / "latest").symlink_to("v1")
    with subprocess.Popen(
        ["sh", "-c", script], cwd=version, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdin is not None
        assert shell.stdout.readline() == "held\n"
        assert take(version, exclusive=True) is None
        assert [holder.split()[1] for holder in holders(version)] == [str(shell.pid)]
        shell.stdin.close()
        shell.wait(10)
    with take(version, exclusive=True) or pytest.fail("the lease outlived its process"):
        pass


def test_a_hold_ends_when_it_is_closed_and_may_be_closed_again(version: Path) -> None:
    hold = take(version, exclusive=True)
    assert hold is not None
    assert take(version) is None
    hold.close()
    hold.close()
    with take(version) or pytest.fail("it is still held"):
        pass


def test_what_is_no_directory_cannot_be_held(tmp_path: Path, version: Path) -> None:
    (tmp_path / "latest").symlink_to("v1")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        take(tmp_path / "v2")
    for name in ("latest", "file"):
        with pytest.raises(NotADirectoryError):
            take(tmp_path / name)
    assert version.is_dir()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_directory_that_was_renamed_away_before_the_lock_is_not_held(
    version: Path,
    monkeypatch: pytest.MonkeyPatch,
    replaced: bool,  # noqa: FBT001
) -> None:
    flock = fcntl.flock

    def rename_then_lock(descriptor: int, operation: int) -> None:
        version.rename(version.with_name("trash"))
        if replaced:
            version.mkdir()
        flock(descriptor, operation)

    open_before = descriptors()
    monkeypatch.setattr(fcntl, "flock", rename_then_lock)
    assert take(version) is None
    assert descriptors() == open_before


def test_a_hold_follows_its_directory_into_the_trash(version: Path) -> None:
    """The deletion asks again there: leased meanwhile, it stays."""
    with take(version) or pytest.fail("not held"):
        trash = version.rename(version.with_name("trash"))
        version.mkdir()
        assert take(trash, exclusive=True) is None
        with take(version, exclusive=True) or pytest.fail("the new directory is another one"):
            pass


def test_nobody_holds_what_nobody_holds(version: Path) -> None:
    assert holders(version) == []
    assert holders(version.with_name("missing")) == []


def test_a_holders_command_line_does_nothing_to_a_terminal(version: Path) -> None:
    with other_process(HOLDER, version, "shared", "\x1b[31m\n\x9b" + "x" * 500):
        (holder,) = holders(version)
    assert holder.isprintable()
    assert len(holder) < 200
    assert locks.holders(version) == []


@contextmanager
def shell(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell that says `held` and waits until its standard input ends."""
    with subprocess.Popen(
        ["sh", "-c", f"{script}; echo held; read line", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.communicate("\n")


def test_a_lock_whose_taker_ended_is_held_by_who_inherited_it(version: Path) -> None:
    """The system's list names the `flock` that is gone."""
    with shell('exec 9< "$0"', version), shell('exec 9< "$0"; flock -s 9', version) as holder:
        assert [each.split()[1] for each in holders(version)] == [str(holder.pid)]


def test_who_let_a_lock_go_is_no_holder(version: Path) -> None:
    with shell('exec 9< "$0"; flock -s 9; flock -u 9', version):
        assert holders(version) == []


def test_each_holder_is_named_once(version: Path) -> None:
    twice = 'exec 8< "$0" 9< "$0"; flock -s 8; flock -s 9'
    with other_process(HOLDER, version, "shared") as one, shell(twice, version) as two:
        assert [each.split()[1] for each in holders(version)] == [str(pid) for pid in sorted((one.pid, two.pid))]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_holder_that_may_not_be_looked_at_is_named_as_the_system_lists_it() -> None:
    """An ordinary user may not see root's open files, but who took a lock."""
    script = """
import encodings.ascii, os, sys
from pathlib import Path
from modelrepo.fs.locks import holders
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(len(os.listdir(sys.argv[1])), [each.split()[1] for each in holders(Path(sys.argv[1]))])
"""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        with other_process(HOLDER, path, "shared") as holder:
            asked = [sys.executable, "-c", script, path]
            done = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"0 ['{holder.pid}']\n"
