"""Real power cuts on ext4, XFS and btrfs: before a call of a command, or behind commands that said they were done.

Where a command is stopped the power goes, and then the command; mounting the file system again replays its log.
"""

from __future__ import annotations

import contextlib
import os
import random
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from modelrepo import Repository

from .commands import AGELESS, CASES, Case, build, harm
from .disks import KINDS, Disk, missing
from .invariants import check_tree, go_on
from .stage import digest
from .tracer import Action, Call, Done, Go, Kill, Onlooker, tracer, why_not
from .trials import Tally, Trial, saying

#: What is done in a row before the power goes; what is refused on the way is left out. v2 is pinned first.
STEPS = (
    ("push", "exports/four", "--no-load", "--allow-duplicate"),
    ("promote", "v3"),
    ("promote", "v1"),
    ("promote", "newest", "--channel", "canary"),
    ("rollback",),
    ("rollback", "--channel", "canary"),
    ("channel", "remove", "canary"),
    ("annotate", "v2", "--label", "a=b"),
    ("pin", "v1"),
    ("unpin", "v1"),
    ("remove", "v1"),
    ("cleanup", *AGELESS),
    ("verify", "--repair"),
    ("export", "v2", "copy"),
)
#: What may change without being promised: rubbish, room, and what is derived.
_UNPROMISED = ("staging", "trash", "ballast", "index", "checked")


class Cutter(Onlooker):
    """Cuts the power before the n-th call."""

    def __init__(self, disk: Disk, number: int, *, others: bool) -> None:
        self._disk = disk
        self._number = number
        self._others = others
        self.cut_before: Call | None = None

    def before(self, call: Call) -> Action:
        if call.number != self._number:
            return Go()
        self.cut_before = call
        if self._others:
            somebody_syncs(self._disk)
        self._disk.power_off()
        return Kill()


def somebody_syncs(disk: Disk) -> None:
    """A sync that has nothing to do with the repository: it may take renames to the disk without what they name."""
    with (disk.top / "theirs").open("ab") as file:
        file.write(b"theirs")
        file.flush()
        os.fsync(file.fileno())


def run(disk: Disk, words: tuple[str, ...], watcher: Onlooker | None = None) -> Done:
    """Run a command on the disk's repository."""
    watcher = watcher or Onlooker()
    full = ["-r", str(disk.top / "ranker"), *words]
    done = tracer().run(full, cwd=disk.top, places=[disk.top], watcher=watcher)
    assert not done.hung, words
    assert "Traceback" not in done.errors, done.errors
    return done


def picture(top: Path) -> dict[str, tuple[object, ...]]:
    """All that is promised to stay: names, modes, owners, links, bytes."""
    seen: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(top):
        if os.path.basename(directory) == ".modelrepo":
            names[:] = [name for name in names if name not in _UNPROMISED]
            files[:] = [name for name in files if name not in _UNPROMISED]
        if directory == str(top):
            names[:], files[:] = [name for name in names if name != "lost+found"], []
        for name in (*names, *files):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            facts: tuple[object, ...] = (oct(status.st_mode), status.st_uid, status.st_gid)
            if stat.S_ISLNK(status.st_mode):
                facts += (os.readlink(path),)
            elif stat.S_ISREG(status.st_mode):
                facts += (Path(path).read_bytes(),)
            seen[os.path.relpath(path, top)] = facts
    return seen


def differences(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def state(disk: Disk) -> str:
    """What tells one state from another."""
    return f"{disk.kind.name} {digest(disk.top)}"


def cut_before_a_call(template: Disk, case: Case, chosen: random.Random, place: Path) -> Tally:
    """Cut the power before one of a command's calls; where there are fewer than thought, behind it."""
    disk = Disk.copied(template, place)
    with disk.mounted():
        case.prepare(disk.top / "ranker")
        disk.remount()
        journal = (disk.top / "ranker" / ".modelrepo" / "journal.jsonl").read_bytes()
        number = chosen.randint(1, _calls(template, case))
        cutter = Cutter(disk, number, others=chosen.random() < 0.5)
        done = run(disk, case.words, cutter)
        before = None if cutter.cut_before else picture(disk.top)
        if before is not None:
            assert done.code == 0, done.errors
            disk.power_off()
        disk.power_on()
        with saying(f"cut before {cutter.cut_before}"):
            if before is not None:
                assert not differences(before, picture(disk.top)), "it had exited with 0"
            if case.prepare is not harm:
                assert (disk.top / "ranker/.modelrepo/journal.jsonl").read_bytes().startswith(journal), (
                    "records are lost"
                )
            reached = after_the_cut(disk, case)
    return Tally(Counter({f"power cuts on {disk.kind.name}": 1}), {reached})


def after_the_cut(disk: Disk, case: Case) -> str:
    """What must hold when the power is back, and behind the next commands."""
    root = disk.top / "ranker"
    reached = state(disk)
    check_tree(root)
    assert os.path.basename(os.path.realpath(root / "latest")) in case.latest
    assert all(row.problem is None for row in Repository(root).list())
    go_on(disk.top, damaged=case.prepare is harm)
    return reached


def cut_behind_commands(template: Disk, chosen: random.Random, place: Path) -> Tally:
    """Run commands in a row, and cut the power as soon as the last of them has said that it is done."""
    disk = Disk.copied(template, place)
    with disk.mounted():
        run(disk, ("pin", "v2"))
        words = [words for words in chosen.choices(STEPS, k=chosen.randint(2, 5)) if run(disk, words).code == 0]
        before = picture(disk.top)
        if chosen.random() < 0.5:
            somebody_syncs(disk)
        disk.power_off()
        disk.power_on()
        with saying(f"cut behind {words}"):
            lost = differences(before, picture(disk.top))
            assert not lost, f"not what was said to be done: {lost}"
            reached = state(disk)
            check_tree(disk.top / "ranker")
            go_on(disk.top)
    return Tally(Counter({f"power cuts on {disk.kind.name}": 1, "commands confirmed": len(words)}), {reached})


@contextlib.contextmanager
def templates(place: Path) -> Iterator[dict[str, Disk]]:
    """An image of each file system that can be had here, with the repository on it; not mounted."""
    made = {}
    for name, kind in KINDS.items():
        if missing(name) is None:
            (place / name).mkdir()
            disk = Disk.make(kind, place / name)
            with disk.mounted():
                build(disk.top)
            made[name] = disk
    yield made


_CALLS: dict[tuple[str, Case], int] = {}


def _calls(template: Disk, case: Case) -> int:
    """How many calls of a command change something."""
    key = (template.kind.name, case)
    if key not in _CALLS:
        with tempfile.TemporaryDirectory() as name:
            disk = Disk.copied(template, Path(name))
            with disk.mounted():
                case.prepare(disk.top / "ranker")
                _CALLS[key] = run(disk, case.words).calls
    return _CALLS[key]


def trials(chosen: random.Random) -> Iterator[Trial]:
    """Power cuts without end, on each file system in turn."""
    if why_not() is not None:
        return
    with tempfile.TemporaryDirectory(prefix="modelrepo-disks-") as place, templates(Path(place)) as made:
        while made:
            for name, template in made.items():
                yield trial(name, template, chosen.randrange(2**32))


def trial(name: str, template: Disk, seed: int) -> Trial:
    """The power cut that a seed means."""
    chosen = random.Random(seed)  # noqa: S311 - a sample, no secret
    if chosen.random() < 0.25:
        return Trial(f"{name}, behind commands, seed {seed}", partial(cut_behind_commands, template, chosen))
    what = chosen.choice(sorted(CASES))
    return Trial(f"{name}, {what}, seed {seed}", partial(cut_before_a_call, template, CASES[what], chosen))
