"""The accidents that catch the deliberate mutants: of a family only what is needed for that.

Each is given an empty directory, and raises AssertionError where a promise is broken. On the package as it is, each
passes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from modelrepo import Repository
from modelrepo.errors import RefusedError

from . import cuts, errors, frozen
from .invariants import is_complete
from .kill import kill
from .races import read_whole
from .replay import MODELS
from .stage import calls, check, perform, set_up
from .steps import Child
from .tracer import Action, Call, Fail, Go, Kill, Onlooker
from .trials import saying

#: How many fates of what was not synced are tried at each point.
_LIMIT = 8
#: How many states with an unfinished journal are opened.
_OPENED = 3


def _own(place: Path, name: object) -> Path:
    """A new directory for one of several accidents."""
    own = place / str(name)
    own.mkdir()
    return own


# Power cuts


def _as_said(cut: cuts.Recording, limit: int = _LIMIT) -> None:
    for model in MODELS:
        for state in cuts.states(cut, model, "mutants", limit):
            with cuts.telling(cut, state):
                cuts.as_said(cut, state)


def _cut(name: str, _: Path) -> None:
    """What a power cut may leave at every point of a command, as it stands."""
    _as_said(cuts.recording(name))


def _cut_journal(place: Path) -> None:
    """A power cut leaves a record in part, and the next command goes on from there."""
    cut = cuts.recording("promote")
    states = cuts.states(cut, "posix", "mutants", _LIMIT)
    unfinished = [state for state in states if not cuts.journal(state.disk).endswith(b"}\n")]
    assert unfinished
    cuts.run(cut, unfinished[:_OPENED], place, thorough=_OPENED)


def _cut_recovery(name: str, last: int, limit: int, _: Path) -> None:
    """A command is killed before one of its last syncs; then the power is cut in or behind the recovery from that."""
    syncs = [number for number, call in calls(name).items() if call == "fsync"]
    for number in syncs[-last:]:
        with saying(f"killed before call {number}"):
            _as_said(cuts.killed(name, number), limit)


# Kills


def _killed(name: str, before: Collection[str], place: Path) -> None:
    """A command is killed before its calls of some names, and the next one goes on."""
    for number, call in calls(name).items():
        if call in before:
            kill(name, number).run(_own(place, number))


class _At(Onlooker):
    """Does something to the first call that fits."""

    def __init__(self, action: Action, fits: Callable[[Call], bool]) -> None:
        self._action = action
        self._fits = fits
        self.hit = False

    def before(self, call: Call) -> Action:
        if self.hit or not self._fits(call):
            return Go()
        self.hit = True
        return self._action


def _says_done(call: Call) -> bool:
    """Whether it writes a rollback's outcome."""
    return call.name == "pwrite64" and b'"phase":"done","action":"rollback"' in call.data


def _killed_rollbacks(place: Path) -> None:
    """A rollback is killed before its outcome is written; it and those that follow lead to each target once."""
    set_up("rollback", place)
    repository = Repository(place / "ranker")
    repository.promote("v3")
    watcher = _At(Kill(), _says_done)
    assert perform(place, "rollback", watcher=watcher).code == -9
    led = [os.readlink(place / "ranker" / "latest")]
    try:
        while len(led) < 5:
            led.append(str(repository.rollback().to))
    except RefusedError:
        pass
    assert led == ["v2", "v1"], f"rollbacks lead to {led}"


# Errors


def _failed_syncs(name: str, place: Path) -> None:
    """Each sync of a command fails once."""
    mishap = next(mishap for mishap in errors.MISHAPS if mishap.text == "EIO once")
    for number, call in calls(name).items():
        if call == "fsync":
            errors.spoil(name, mishap, number).run(_own(place, number))


class _FullDisk(Onlooker):
    """No file gets a block that it does not have; with `names`, there is no room for a link either.

    Until a piece of ballast is given up: then there is.
    """

    def __init__(self, *, names: bool) -> None:
        self._full = True
        self._names = names

    def before(self, call: Call) -> Action:
        if call.name == "ftruncate" and "/ballast/" in call.paths[0]:
            self._full = False
        return Fail(errno.ENOSPC) if self._full and self._needs_room(call) else Go()

    def _needs_room(self, call: Call) -> bool:
        if call.name in {"symlink", "symlinkat"}:
            return self._names
        if call.name not in {"write", "pwrite64"}:
            return call.name == "fallocate"
        status = os.stat(call.paths[0])
        return stat.S_ISREG(status.st_mode) and call.position + (call.count or 0) > status.st_blocks * 512


def _full_disk(place: Path) -> None:
    """A link moves on a disk that has not even room for its name."""
    set_up("rollback", place)
    done = perform(place, "rollback", watcher=_FullDisk(names=True))
    assert done.code == 0, f"no rollback on a full disk: {done}"
    check("rollback", place)


def _full_disk_without_ballast(place: Path) -> None:
    """Links move again and again on a disk without a byte, where all ballast is given up already."""
    set_up("rollback", place)
    Repository(place / "ranker").pin("v1")
    for piece in (place / "ranker" / ".modelrepo" / "ballast").iterdir():
        os.truncate(piece, 0)
    for number in range(12):
        words = ("promote", "v3") if number % 2 else ("rollback",)
        done = perform(place, *words, watcher=_FullDisk(names=False))
        assert done.code == 0, f"no move {number} on a full disk: {done}"


# Two at once


def _behind(place: Path, command: str, *names: str) -> int:
    """The number of a command's first step of the last name, behind the first one of the one before, and so on."""
    steps = frozen.count(frozen.template(), place / "steps", command)
    at = 0
    for name in names:
        at = 1 + next(index for index in range(at, len(steps)) if steps[index].startswith(name))
    return at


def _protected(how: str, at: tuple[str, ...], place: Path) -> None:
    """A cleanup is frozen at a step behind its plan; meanwhile somebody protects the version."""
    step = _behind(place, "cleanup", *at)
    frozen.protect(frozen.template(), _own(place, "protect"), "cleanup", how, step)


def _met(command: str, at: str, other: str, place: Path) -> None:
    """A command is frozen at a step, and another does its work."""
    frozen.meet(frozen.template(), _own(place, "meet"), command, other, _behind(place, command, at))


def _stage(place: Path) -> Path:
    """A fresh repository for something frozen."""
    own = place / "stage"
    shutil.copytree(frozen.template(), own, symlinks=True)
    return own


def _leased_in_the_trash(place: Path) -> None:
    """Who enters a version right before its rename, and leases it (`flock -s .`) behind that, reads it whole."""
    renamed = _behind(place, "cleanup", "races.rename_new")
    unlocks, stage = _behind(place, "cleanup", "races.rename_new", "fcntl.flock"), _stage(place)
    child = Child(lambda: frozen.COMMANDS["cleanup"](stage), stage / "ranker", renamed, unlocks)
    with contextlib.ExitStack() as ending:
        ending.callback(child.outcome)
        ending.callback(child.kill)
        assert child.is_stopped()
        directory = os.open(stage / "ranker" / frozen.VICTIM, os.O_RDONLY)
        ending.callback(os.close, directory)
        child.go_on()
        assert child.is_stopped()
        fcntl.flock(directory, fcntl.LOCK_SH | fcntl.LOCK_NB)
        child.go_on()
        assert child.outcome().code == 0
        wrong = read_whole(directory)
        assert wrong is None, f"{frozen.VICTIM} is leased: {wrong}"


def _name_taken(place: Path) -> None:
    """Right before a push's rename somebody makes an empty directory of that name: it stays his."""
    step, stage = _behind(place, "push", "fcntl.flock", "fcntl.flock", "races.write", "races.sync"), _stage(place)
    taken = stage / "ranker" / "v4"
    with frozen.frozen(stage, "push", step) as child:
        taken.mkdir()
        before = taken.stat().st_ino
        child.go_on()
        assert child.outcome().code != 0, "it took a name that was not free"
    assert (taken.stat().st_ino, os.listdir(taken)) == (before, []), "it replaced what somebody else had made"


def _source_changes(place: Path) -> None:
    """A source is written over when a push has read it: what is stored is what the manifest says."""
    step, stage = _behind(place, "push", "races.sync", "open config.toml"), _stage(place)
    with frozen.frozen(stage, "push", step) as child:
        (stage / "exports" / "four" / "note.txt").write_text("FOUR")
        child.go_on()
        assert child.outcome().code == 0
    assert is_complete(stage / "ranker" / "v4"), "v4 has other bytes than its manifest says"


# Damage


def _byte_flipped(place: Path) -> None:
    """A disk gives back a wrong byte of a version, and its content is pushed again: what that names is whole."""
    set_up("push", place)
    root = place / "ranker"
    file = root / "v3" / "note.txt"
    file.chmod(0o644)
    file.write_text("thrEe")
    file.chmod(0o444)
    pushed = Repository(root).push(place / "exports" / "three", load=False)
    assert is_complete(root / str(pushed.version)), f"the push names {pushed.version}, which is damaged"


_MOVES = ("symlink", "rename", "unlink")

#: By name, as the table of the mutants has it.
SCENARIOS: dict[str, Callable[[Path], None]] = {
    **{
        f"power cut: {name}": partial(_cut, name)
        for name in ("push", "push of many files", "promote", "first promote", "cleanup", "channel remove", "init")
    },
    "power cut: a record in part": _cut_journal,
    **{
        f"power cut: recovery from a killed {name}": partial(_cut_recovery, name, last, limit)
        for name, last, limit in (("promote", 4, _LIMIT), ("pin", 1, cuts.LIMIT), ("channel remove", 2, _LIMIT))
    },
    "kill: promote": partial(_killed, "promote", _MOVES),
    "kill: push": partial(_killed, "push", ("renameat2", "pwrite64")),
    "kill: rollback, and back again": _killed_rollbacks,
    "kill: remove of what is kept": partial(_killed, "remove of what is kept", ("renameat2",)),
    "error: each sync of a promote": partial(_failed_syncs, "promote"),
    "error: a full disk": _full_disk,
    "error: a full disk, no ballast": _full_disk_without_ballast,
    "frozen: cleanup, promoted": partial(_protected, "promoted", ("os.listdir proc", "open lock")),
    "frozen: cleanup, opened": partial(_protected, "opened", ("os.listdir proc", "open lock")),
    "frozen: cleanup, leased": partial(
        _protected, "leased", ("os.listdir proc", "os.listdir proc", "open v3", "open v3")
    ),
    "frozen: cleanup, leased in the trash": _leased_in_the_trash,
    "frozen: push, cleanup": partial(_met, "push", "races.write", "cleanup"),
    "frozen: promote, promote": partial(_met, "promote", "os.symlink", "promote"),
    "frozen: push, the name is taken": _name_taken,
    "frozen: push, the source changes": _source_changes,
    "damage: a flipped byte, pushed again": _byte_flipped,
}


def broken(name: str, place: Path) -> str | None:
    """Let an accident happen; what promise it broke, or None."""
    try:
        with saying(name):
            SCENARIOS[name](place)
    except AssertionError as error:
        return str(error)
    return None
