"""Real file systems: power cuts, full disks, limits, and syncs that fail late.

A sample by `MODELREPO_CRASH_SEED` (0): for each file system `MODELREPO_CRASH_CUTS` (4) power cuts. As many as there is
time for are run by `cuts_on_disks.trials`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.cli.exits import code_of
from modelrepo.core.units import format_size
from modelrepo.errors import ModelRepoError

from .commands import AGELESS, SAMPLES, build
from .cuts_on_disks import differences, picture, templates, trial
from .disks import KINDS, MIB, Disk, Overcommitted, missing
from .invariants import check_tree, go_on
from .samples import chance

# Read before the fixture that clears the environment.
CUTS = int(os.environ.get("MODELREPO_CRASH_CUTS", "4"))
MOVES = 16
each = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Disk]]:
    with templates(tmp_path_factory.mktemp("templates")) as found:
        yield found


@pytest.fixture
def disk(made: dict[str, Disk], name: str, tmp_path: Path) -> Iterator[Disk]:
    """A mounted file system with the repository on it."""
    if reason := missing(name):
        pytest.skip(reason)
    disk = Disk.copied(made[name], tmp_path)
    with disk.mounted():
        yield disk


def command(disk: Disk, *words: str) -> subprocess.Popen[str]:
    """The real program on the disk's repository."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelrepo", "-r", str(disk.top / "ranker"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=disk.top,
    )


def said(done: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = done.communicate(timeout=60)
    assert "Traceback" not in err, err
    return done.returncode, out + err


def move(disk: Disk, number: int) -> None:
    repository = Repository(disk.top / "ranker")
    result = repository.rollback() if number % 2 else repository.promote("v3")
    assert result.changed


@each
@pytest.mark.usefixtures("traceable")
def test_behind_a_real_power_cut_nothing_is_half_and_nothing_confirmed_is_lost(
    made: dict[str, Disk], name: str, tmp_path: Path
) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    chosen = chance(name)
    for number in range(CUTS):
        (tmp_path / str(number)).mkdir()
        cut = trial(name, made[name], chosen.randrange(2**32))
        tally = cut.run(tmp_path / str(number))
        assert tally.counts[f"power cuts on {name}"] == 1, cut.name


@each
def test_a_power_cut_takes_what_was_not_synced(disk: Disk) -> None:
    """What these tests rest on: without this they would find nothing."""
    (disk.top / "lost").write_text("not synced")
    before = picture(disk.top)
    (disk.top / "ranker" / "lost").symlink_to("v1")
    disk.power_off()
    disk.power_on()
    assert not (disk.top / "lost").exists()
    assert differences(before, picture(disk.top)) == []
    go_on(disk.top)


@each
def test_on_a_disk_without_a_byte_channels_move_sixteen_times_while_others_take_what_is_freed(disk: Disk) -> None:
    disk.fill()
    for number in range(MOVES):
        move(disk, number)
        disk.fill()
        status = os.statvfs(disk.top)
        assert status.f_bavail * status.f_frsize < 64 * 1024
    check_tree(disk.top / "ranker")
    disk.power_off()
    disk.power_on()
    history = Repository(disk.top / "ranker").history(channel="latest")
    assert len(history) == 2 + MOVES
    code, text = said(command(disk, "cleanup", *AGELESS))
    assert code == 0, text
    assert Repository(disk.top / "ranker").verify().findings == ()


@pytest.mark.parametrize("name", ["btrfs"])
def test_where_btrfs_has_no_room_for_names_either_nothing_changes_until_there_is_some(disk: Disk) -> None:
    """It wants megabytes of that for a single link: no ballast would be enough."""
    disk.fill(names=True)
    before = picture(disk.top)
    for words in (("promote", "v3"), ("rollback",), ("cleanup", *AGELESS)):
        code, text = said(command(disk, *words))
        assert code == 8, text
        assert "No space left" in text
    now = picture(disk.top)
    journal = "ranker/.modelrepo/journal.jsonl"
    assert set(differences(before, now)) <= {journal}, "an intent and that it was given up, at most"
    shutil.rmtree(disk.top / "fill")
    os.sync()
    go_on(disk.top)


@each
def test_on_a_disk_without_a_byte_cleanup_deletes(disk: Disk) -> None:
    disk.fill()
    code, text = said(command(disk, "cleanup", *AGELESS, "--json"))
    assert code == 0, text
    document = json.loads(text[: text.rindex("}") + 1])
    assert document["removed"] == ["v3"]
    assert not (disk.top / "ranker" / "v3").exists()
    assert (disk.top / "ranker" / ".modelrepo" / "removed" / "v3.json").stat().st_size > 0


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@each
def test_a_push_on_a_full_disk_says_what_it_needs_and_has_and_what_cleanup_would_free(disk: Disk) -> None:
    root = disk.top / "ranker"
    config = root / ".modelrepo" / "config.toml"
    text = config.read_text().replace('"24h"', '"0s"').replace("keep_last = 5", "keep_last = 0")
    config.write_text(text)
    disk.fill()
    before = picture(disk.top)
    code, text = said(command(disk, "push", "exports/four", "--no-load", "--json"))
    assert code == 8
    error = json.loads(text[: text.rindex("}") + 1])["error"]
    assert error["kind"] == "no-space"
    need, names = error["expected"].removesuffix(" files").split(" kB and ")
    assert float(need) * 1000 > size(disk.top / "exports" / "four")
    assert int(names) > len(list((disk.top / "exports" / "four").rglob("*")))
    assert error["got"].partition(" and ")[0] != f"{need} kB"
    assert error["hint"] == f"`modelrepo cleanup` would free {format_size(size(disk.top / 'exports' / 'three'))}"
    assert differences(before, picture(disk.top)) == []
    assert os.listdir(root / ".modelrepo" / "staging") == []


@each
def test_a_disk_that_fills_up_during_a_push_leaves_nothing_of_it(disk: Disk, tmp_path: Path) -> None:
    source, staging = tmp_path / "large", disk.top / "ranker" / ".modelrepo" / "staging"
    source.mkdir()
    (source / "saved_model.pb").write_bytes((SAMPLES / "tf1_linear" / "saved_model.pb").read_bytes())
    with (source / "weights").open("wb") as file:
        file.truncate(16 * MIB)
    before = picture(disk.top)
    push = command(disk, "push", str(source), "--no-load")
    end = time.monotonic() + 60
    while not os.listdir(staging) and push.poll() is None and time.monotonic() < end:
        pass
    push.send_signal(signal.SIGSTOP)
    try:
        disk.fill()
    finally:
        push.send_signal(signal.SIGCONT)
    code, text = said(push)
    assert code == 8, text
    assert "No space left" in text
    assert differences(before, {path: facts for path, facts in picture(disk.top).items() if "fill" not in path}) == []
    assert os.listdir(staging) == []


@pytest.fixture
def open_to_all(made: dict[str, Disk], name: str) -> Iterator[Disk]:
    """As `disk`, where other users may reach it: pytest's own directories are root's alone."""
    if reason := missing(name):
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="modelrepo-disk-") as place:
        Path(place).chmod(0o755)
        if any(above.stat().st_mode & 0o001 == 0 for above in Path(place).resolve().parents):
            pytest.skip(f"other users may not reach {place}")
        disk = Disk.copied(made[name], Path(place))
        with disk.mounted():
            yield disk


OWNER = 4_000_001


def as_owner(action: Callable[[], object]) -> None:
    """Do something in a process that has given up root's rights."""
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        code = 1
        try:
            os.setgroups([])
            os.setresgid(OWNER, OWNER, OWNER)
            os.setresuid(OWNER, OWNER, OWNER)
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def give_to_owner(disk: Disk) -> None:
    for number in range(2):
        move(disk, number)  # what this imports late may be out of his reach
    for path in (disk.top, *disk.top.rglob("*")):
        os.chown(path, OWNER, OWNER, follow_symlinks=False)


@pytest.mark.parametrize("name", ["ext4"])
def test_where_the_last_blocks_are_roots_the_owner_moves_channels_sixteen_times(open_to_all: Disk) -> None:
    disk = open_to_all
    give_to_owner(disk)
    as_owner(disk.fill)
    status = os.statvfs(disk.top)
    assert status.f_bavail * status.f_frsize < 64 * 1024 < disk.room()
    for number in range(MOVES):
        as_owner(partial(move, disk, number))
        as_owner(disk.fill)
    check_tree(disk.top / "ranker")
    assert len(Repository(disk.top / "ranker").history(channel="latest")) == 4 + MOVES


@pytest.mark.parametrize("name", ["btrfs"])
def test_behind_a_quota_a_push_leaves_nothing_and_channels_move_sixteen_times(disk: Disk) -> None:
    if subprocess.run(["btrfs", "quota", "enable", disk.top], check=False, capture_output=True).returncode != 0:
        pytest.skip("btrfs has no quotas here")
    subprocess.run(["btrfs", "quota", "rescan", "-w", disk.top], check=True, capture_output=True)
    words = ["btrfs", "qgroup", "show", "--raw", "--sync", str(disk.top)]
    usage = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    used = next(line for line in usage.splitlines() if line.startswith("0/5")).split()[1]
    subprocess.run(["btrfs", "qgroup", "limit", used, disk.top], check=True, capture_output=True)
    before = picture(disk.top)
    code, text = said(command(disk, "push", "exports/four", "--no-load", "--json"))
    assert code == 8
    assert json.loads(text[: text.rindex("}") + 1])["error"]["kind"] == "quota"
    assert differences(before, picture(disk.top)) == []
    assert os.listdir(disk.top / "ranker" / ".modelrepo" / "staging") == []
    for number in range(MOVES):
        move(disk, number)
    assert Repository(disk.top / "ranker").verify().findings == ()


@pytest.fixture
def promising(tmp_path: Path, name: str) -> Iterator[tuple[Overcommitted, Disk]]:
    if reason := missing(name):
        pytest.skip(reason)
    thin = Overcommitted(tmp_path, KINDS[name])
    with thin.mounted() as disk:
        if not disk.takes_single_blocks():
            pytest.skip("/sys cannot be written here")
        build(disk.top)
        disk.remount()  # the exports that were copied there are on the disk, too
        yield thin, disk


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("again", ["at once", "behind a remount", "behind a power cut"])
def test_what_follows_a_sync_that_failed_late_does_not_build_on_it(
    promising: tuple[Overcommitted, Disk], again: str
) -> None:
    """The write was taken, the sync failed: the page counts as clean, and the disk has zeros there, or nothing."""
    thin, disk = promising
    root = disk.top / "ranker"
    journal = root / ".modelrepo" / "journal.jsonl"
    thin.exhaust(disk, journal)
    confirmed = []
    for number in range(60):
        code, text = annotate(root, number)
        if code != 0:
            break
        confirmed.append(number)
    assert code in {7, 8, 1}, text
    assert confirmed, text
    thin.relieve()
    if again == "behind a remount":
        disk.remount()
    elif again == "behind a power cut":
        disk.power_off()
        disk.power_on()
    for number in (100, 101):
        code, text = annotate(root, number)
        assert code == 0, text
    disk.power_off()
    disk.power_on()
    there = [row.labels["n"] for row in reversed(Repository(root).history()) if row.labels]
    expected = [*map(str, confirmed), "100", "101"]
    assert [number for number in there if number in expected] == expected
    check_tree(root)
    go_on(disk.top)


def annotate(root: Path, number: int) -> tuple[int, str]:
    try:
        Repository(root).annotate("v1", labels={"n": str(number)})
    except ModelRepoError as error:
        return code_of(error), str(error)
    return 0, ""
