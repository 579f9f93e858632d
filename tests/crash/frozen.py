"""Two commands at once, one of them frozen at a chosen step while the other does all of its work.

Where a schedule is a matter of luck elsewhere, here every one is tried: a command stops at its N-th step, another
command (or a reader, or somebody with `ln`) does what it does, and the first goes on. Whoever freezes a command while
it holds the lock is told so (11); whoever does not must find what was done in between respected.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

from modelrepo import Repository
from modelrepo.core.layout import Layout
from modelrepo.errors import BusyError, NotFoundError
from modelrepo.fs import machine
from modelrepo.repository import snapshot as reading
from modelrepo.repository.snapshot import Snapshot

from .commands import build, lasting
from .invariants import check_tree, go_on, is_complete
from .steps import Child
from .trials import Tally, Trial

#: Nothing protects but what somebody does; what was pushed before the test counts as old.
RULES = {"keep_last": 0, "keep_rollback": 1, "min_age": timedelta(hours=1), "grace": timedelta(0)}
#: The version that a cleanup deletes if nobody needs it.
VICTIM = "v3"
#: What a command may say that meets another.
ALLOWED = {0, 3, 4, 11}

Call = Callable[[Path], object]


def repository(place: Path, timeout: float | None = None) -> Repository:
    return Repository(place / "ranker", lock_timeout=timeout)


def snapshot(place: Path) -> Snapshot:
    return reading.take(Layout(place / "ranker"), whole=True, lines=True)


def build_old(place: Path) -> None:
    """The repository of all trials, two hours old: of another boot, so that ages go by the wall clock."""

    def yesterday() -> None:
        now = machine.now
        machine.now = lambda: now().replaced(time=now().time - timedelta(hours=2), boot="the one before")
        build(place)

    outcome = Child(yesterday, place / "ranker").outcome()
    assert outcome.code == 0, outcome


#: What is frozen.
COMMANDS: dict[str, Call] = {
    "push": lambda place: repository(place).push(place / "exports" / "four", load=False),
    "push again": lambda place: repository(place).push(place / "exports" / "three", load=False),
    "cleanup": lambda place: repository(place).cleanup(**RULES),  # type: ignore[arg-type]
    "remove": lambda place: repository(place).remove([VICTIM]),
    "promote": lambda place: repository(place).promote(VICTIM),
    "first promote": lambda place: repository(place).promote(VICTIM, channel="canary"),
    "rollback": lambda place: repository(place).rollback(),
    "pin": lambda place: repository(place).pin(VICTIM),
    "annotate": lambda place: repository(place).annotate(VICTIM, labels={"a": "b"}),
    "repair": lambda place: repository(place).verify(repair=True),
    "status": lambda place: repository(place).status(),
    "list": lambda place: repository(place).list(),
    "verify": lambda place: repository(place).verify(),
    "lease": lambda place: repository(place).lease(VICTIM).close(),
}


@dataclass(frozen=True)
class Protection:
    """What somebody does so that a version stays.

    Attributes:
        act: Does it; what it returns is kept until the end.
        locked: Whether it takes the lock: then its success is a promise whenever it comes. Otherwise it is one where
            nobody held the lock: whoever holds it may have looked already.
        always: Whether it is a promise even where somebody holds the lock.
    """

    act: Call
    locked: bool = True
    always: bool = False


def _opened(path: Path) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    stack.enter_context(path.open("rb"))
    return stack


def _relink(place: Path, name: str, target: str) -> None:
    new = place / f"new-{name}"
    new.symlink_to(target)
    new.rename(place / "ranker" / name)


def _shell_lease(place: Path) -> contextlib.ExitStack:
    """`cd -P VERSION && flock -s .`, and the look that says whether it still is the version."""
    stack = contextlib.ExitStack()
    descriptor = os.open(place / "ranker" / VICTIM, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    with stack:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("held") from None
        if not os.path.samestat(os.fstat(descriptor), os.stat(place / "ranker" / VICTIM)):
            raise BusyError("elsewhere")
        return stack.pop_all()


def _foreign_view(place: Path) -> None:
    (place / "ranker" / "serving" / "mine").mkdir()
    (place / "ranker" / "serving" / "mine" / "3").symlink_to(f"../../{VICTIM}")


def _became_a_target(place: Path) -> None:
    repository(place, 0).promote(VICTIM)
    repository(place, 30).promote("v2")


PROTECTIONS = {
    "promoted": Protection(lambda place: repository(place, 0).promote(VICTIM)),
    "promoted elsewhere": Protection(lambda place: repository(place, 0).promote(VICTIM, channel="canary")),
    "a rollback target": Protection(_became_a_target),
    "pinned": Protection(lambda place: repository(place, 0).pin(VICTIM)),
    "pushed again": Protection(lambda place: repository(place, 0).push(place / "exports" / "three", load=False)),
    "leased": Protection(lambda place: repository(place).lease(VICTIM), locked=False, always=True),
    "leased by a shell": Protection(_shell_lease, locked=False, always=True),
    "opened": Protection(lambda place: _opened(place / "ranker" / VICTIM / "saved_model.pb"), locked=False),
    "named by a link": Protection(lambda place: _relink(place, "by-hand", VICTIM), locked=False),
    "moved to by hand": Protection(lambda place: _relink(place, "latest", VICTIM), locked=False),
    "served by a view": Protection(_foreign_view, locked=False),
}


def is_locked(root: Path) -> bool:
    """Whether somebody holds the writers' lock."""
    with (root / ".modelrepo" / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def frozen(place: Path, command: str, step: int) -> Iterator[Child]:
    """A command that is frozen at a step; gone behind this, whatever happens."""
    child = Child(lambda: COMMANDS[command](place), place / "ranker", step)
    try:
        assert child.is_stopped(), f"{command} has no step {step}"
        check_tree(place / "ranker")
        assert all(row.problem is None for row in repository(place).list())
        repository(place).history()
        yield child
    finally:
        child.kill()
        child.outcome()


def protect(template: Path, place: Path, deletion: str, how: str, step: int) -> Tally:
    """A deletion is frozen; somebody protects its version meanwhile; it stays, or was gone before."""
    shutil.copytree(template, place, symlinks=True, dirs_exist_ok=True)
    root, protection = place / "ranker", PROTECTIONS[how]
    claimed, kept = False, None
    with frozen(place, deletion, step) as child:
        held, there = is_locked(root), (root / VICTIM).exists()
        if there and (protection.locked or protection.always or not held):
            refused = None
            try:
                kept = protection.act(place)
                claimed = True
            except (BusyError, NotFoundError) as error:  # not found: who deletes has it out of sight
                refused = error
            if refused is not None:
                assert protection.always or (held and isinstance(refused, BusyError)), refused
                assert protection.always or f"process {child.pid} (" in refused.message, refused
        child.go_on()
        outcome = child.outcome()
    assert outcome.code in ({0, 4} if deletion == "remove" else {0}), outcome
    check_tree(root)
    stays = (root / VICTIM).exists()
    if claimed:
        assert stays, f"{VICTIM} was {how}, and is gone"
        assert is_complete(root / VICTIM)
    for path in (root / ".modelrepo" / "trash").iterdir():
        raise AssertionError(f"{path} is left")
    if isinstance(kept, contextlib.AbstractContextManager):
        kept.__exit__(None, None, None)
    (root / "by-hand").unlink(missing_ok=True)
    shutil.rmtree(root / "serving" / "mine", ignore_errors=True)
    go_on(place)
    return Tally(Counter({"frozen deletions": 1, "protections": claimed}), {f"{deletion} {how} {claimed} {stays}"})


def meet(template: Path, place: Path, command: str, other: str, step: int) -> Tally:
    """A command is frozen; another does its work, twice; both did all or nothing."""
    shutil.copytree(template, place, symlinks=True, dirs_exist_ok=True)
    root = place / "ranker"
    codes = []
    with frozen(place, command, step) as child:
        held = is_locked(root)
        for _ in range(2):
            met = Child(lambda: COMMANDS[other](_impatient(place)), root).outcome()
            assert met.code in ALLOWED, met
            assert met.code != 11 or held or command in {"cleanup", "remove"}, met
            codes.append(met.code)
            check_tree(root)
        child.go_on()
        outcome = child.outcome()
    if command.startswith("push"):
        assert outcome.code == 0, f"a frozen push was swept away: {outcome}"
    assert outcome.code in ALLOWED - {11}, outcome
    check_tree(root)
    go_on(place)
    return Tally(Counter({"frozen commands": 1}), {f"{command} {other} {codes} {outcome.code}"})


def _impatient(place: Path) -> Path:
    """In a child: no waiting for the lock."""
    os.environ["MODELREPO_LOCK_TIMEOUT"] = "0"
    return place


def count(template: Path, place: Path, command: str) -> list[str]:
    """A command's steps, undisturbed."""
    shutil.copytree(template, place, symlinks=True)
    steps = Child(lambda: COMMANDS[command](place), place / "ranker").steps()
    shutil.rmtree(place)
    return steps


@cache
def template() -> Path:
    """The repository that trials copy, made at the first."""
    place = lasting()
    build_old(place)
    return place


@cache
def _length(command: str) -> int:
    """How many steps a command has there."""
    with tempfile.TemporaryDirectory() as place:
        return len(count(template(), Path(place) / "count", command))


def _run(
    kind: Callable[[Path, Path, str, str, int], Tally], command: str, other: str, share: float, place: Path
) -> Tally:
    step = 1 + int(share * _length(command))
    try:
        return kind(template(), place, command, other, step)
    except AssertionError as error:
        raise AssertionError(f"at step {step}: {error}") from error


def trials(random: random.Random) -> Iterator[Trial]:
    """Without an end: any command, any other, any step."""
    while True:
        share = random.random()
        if random.random() < 0.5:
            command, other = random.choice(["cleanup", "remove"]), random.choice(list(PROTECTIONS))
            yield Trial(f"{command} frozen at {share:.3f}, {other}", partial(_run, protect, command, other, share))
        else:
            command, other = random.choice(list(COMMANDS)), random.choice(list(COMMANDS))
            yield Trial(f"{command} frozen at {share:.3f}, {other}", partial(_run, meet, command, other, share))
