"""Errors: a command's call fails, once or from then on, or is done and said to have failed, or is cut short.

What the exit code says is held against what is there: 0 is done and everything there, 7 is done and not all confirmed,
anything else is nothing happened; of what deletes several versions, as many as its answer says.
"""

from __future__ import annotations

import errno
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelrepo import Repository

from .commands import FOUNDINGS
from .stage import COMMANDS, calls, check, digest, ending, follow_up, perform, seen, set_up
from .tracer import Action, Call, Fail, Go, Lie, Onlooker, Shorten
from .trials import Tally, Trial

_OPENS = {"open", "openat", "openat2", "creat"}
_GROWS = {"write", "pwrite64", "writev", "copy_file_range", "sendfile", "fallocate", "fsync", "fdatasync", "syncfs"}
_NAMES = {"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat"}
_GOES = {"unlink", "unlinkat", "rmdir"}
_MODES = {"chmod", "fchmod", "fchmodat", "chown", "fchown", "ftruncate", "truncate", "utimensat"}
_SYNCS = {"fsync", "fdatasync", "syncfs"}
_READS = {"read", "pread64", "getdents64", "readlink", "readlinkat"}
_WHOLE = 20


def _making(name: str) -> bool:
    return name in _GROWS | _NAMES | _OPENS


def _changing(name: str) -> bool:
    return name in _OPENS | _NAMES | _GOES | _MODES


def _writing(name: str) -> bool:
    return name in _GROWS | _NAMES | _GOES | _MODES


def _any(name: str) -> bool:
    return name != "flock"


def _opening(name: str) -> bool:
    return name in _OPENS


def _reading(name: str) -> bool:
    return name in _READS | _OPENS


@dataclass(frozen=True)
class Mishap:
    """What happens to a call.

    Attributes:
        text: How it is called.
        action: What is done.
        fits: Which calls it may happen to, by name.
        lasts: Whether it happens to every one that fits from then on.
        reads: Whether calls count that only read.
    """

    text: str
    action: Action
    fits: Callable[[str], bool]
    lasts: bool = False
    reads: bool = False


#: To what changes something.
MISHAPS = (
    *(Mishap(f"{name} once", Fail(getattr(errno, name)), _making) for name in ("ENOSPC", "EDQUOT")),
    Mishap("EIO once", Fail(errno.EIO), _any),
    Mishap("EROFS once", Fail(errno.EROFS), _changing),
    Mishap("EINTR once", Fail(errno.EINTR), lambda name: name in _GROWS | _OPENS | {"flock"}),
    Mishap("ENOLCK once", Fail(errno.ENOLCK), lambda name: name == "flock"),
    Mishap("ENOSPC from then on", Fail(errno.ENOSPC), _making, lasts=True),
    Mishap("EIO from then on", Fail(errno.EIO), _any, lasts=True),
    Mishap("EROFS from then on", Fail(errno.EROFS), _changing, lasts=True),
    Mishap("done, but EIO", Lie(errno.EIO), _writing),
    Mishap("cut to a byte", Shorten(1), lambda name: name in {"write", "pwrite64", "copy_file_range", "sendfile"}),
)
#: To what reads, also in commands that then change something.
READ_MISHAPS = (
    Mishap("EIO once", Fail(errno.EIO), _reading, reads=True),
    Mishap("EMFILE once", Fail(errno.EMFILE), _opening, reads=True),
    Mishap("EACCES once", Fail(errno.EACCES), _opening, reads=True),
    Mishap("EIO from then on", Fail(errno.EIO), _reading, lasts=True, reads=True),
    Mishap("EMFILE from then on", Fail(errno.EMFILE), _opening, lasts=True, reads=True),
    Mishap("reads a byte at a time", Shorten(1), lambda name: name in {"read", "pread64"}, reads=True),
)
#: What a sync must not say. (Where there is no room, what was written is written again, and synced then.)
_UNSYNCED = {Fail(errno.EIO), Lie(errno.EIO)}
#: Commands that change nothing.
READERS = {
    "list": ("list",),
    "status": ("status",),
    "show": ("show", "v1"),
    "history": ("history",),
    "path": ("path", "latest"),
    "channels": ("channel", "list"),
    "verify": ("verify",),
    "diff": ("diff", "v1", "v2"),
    "serving": ("serving-config",),
    "dry cleanup": ("cleanup", "--dry-run", "--keep-last", "0", "--min-age", "0s"),
    "dry promote": ("promote", "v3", "--dry-run"),
}


@dataclass
class _Spoiler(Onlooker):
    """Lets a mishap happen to the first call from a number on that it fits.

    `unsynced` is what was not synced that an exit code of 0 rests on. It rests on no ballast, and not on a view that
    an earlier command may have left unsynced: to complete that before it begins, a command tries, and goes on.
    """

    mishap: Mishap
    number: int
    hits: int = 0
    at: str = ""
    unsynced: list[str] = field(default_factory=list)
    begun: bool = False

    def before(self, call: Call) -> Action:
        self.begun = self.begun or (call.name == "pwrite64" and b'"phase":"intent"' in call.data)
        if call.number < self.number or not self.mishap.fits(call.name) or (self.hits and not self.mishap.lasts):
            return Go()
        self.hits += 1
        self.at = self.at or str(call)
        if call.name in _SYNCS and self.mishap.action in _UNSYNCED and (self.begun or "/serving" not in call.paths[0]):
            self.unsynced += [path for path in call.paths if "/ballast" not in path]
        return self.mishap.action


def spoil(name: str, mishap: Mishap, number: int, *, whole: bool = False) -> Trial:
    """Let a mishap happen to a changing command from its N-th call on."""

    def run(place: Path) -> Tally:
        set_up(name, place)
        before = seen(place)
        spoiler = _Spoiler(mishap, number)
        words = ("--json", *COMMANDS[name].words)
        done = perform(place, *words, watcher=spoiler, whole=whole, reads=mishap.reads, seconds=30)
        tally = Tally(Counter({"injected errors": spoiler.hits}), {digest(place)})
        try:
            assert not done.hung, "it hangs"
            body = _document(done.output, done.errors)
            tally.counts[_ended(done.code, body)] += 1
            _truth(name, place, done.code, body, before)
            assert done.code != 0 or not spoiler.unsynced, f"it said 0, and this is not synced: {spoiler.unsynced}"
            check(name, place)
            follow_up(name, place)
        except AssertionError as error:
            raise AssertionError(f"{mishap.text} at {spoiler.at}: {error}\n{done}") from error
        return tally

    return Trial(f"{name}, {mishap.text} at call {number}{' (real)' if whole else ''}", run)


def spoil_reader(name: str, mishap: Mishap, number: int, *, whole: bool = False) -> Trial:
    """Let a mishap happen to a command that changes nothing."""

    def run(place: Path) -> Tally:
        set_up("pin", place)
        before = digest(place)
        spoiler = _Spoiler(mishap, number)
        done = perform(place, "--json", *READERS[name], watcher=spoiler, whole=whole, reads=True, seconds=30)
        try:
            assert not done.hung, "it hangs"
            body = _document(done.output, done.errors)
            if done.code != 0:
                kind = body["error"]["kind"]
                assert done.code in {1, 8} or kind == "problems-found", "it blames the repository, not the system"
            (place / "ranker" / ".modelrepo" / "checked").unlink(
                missing_ok=True
            )  # what `verify` may write, and no more
            assert digest(place) == before, "a reader changed something"
        except AssertionError as error:
            raise AssertionError(f"{mishap.text} at {spoiler.at}: {error}\n{done}") from error
        return Tally(Counter({"injected errors": spoiler.hits, _ended(done.code, body): 1}))

    return Trial(f"{name}, {mishap.text} at reading call {number}{' (real)' if whole else ''}", run)


def _ended(code: int, body: Any) -> str:
    """What is counted of an answer."""
    kind = body["error"]["kind"] if isinstance(body, dict) and "error" in body else "done"
    return f"exit {code}: {kind}"


def _document(output: str, errors: str) -> Any:
    """The one document of an answer; nobody gets a traceback or a defect instead."""
    assert "Traceback" not in errors
    assert "defect" not in errors
    try:
        return json.loads(output)
    except ValueError:
        raise AssertionError("no one JSON document") from None


def _truth(name: str, place: Path, code: int, body: dict[str, Any], before: dict[str, Any]) -> None:
    """The exit code says what has happened."""
    root, after = place / "ranker", seen(place)
    if code == 0 and any("unreadable" in kept["reasons"] for kept in body.get("kept", ())):
        assert after == before, "it said that nobody may look at a version, and something happened"
    elif code == 0:
        assert after == ending(name), "it said 0, and not everything is there"
        findings = Repository(root).verify().findings
        assert [finding for finding in findings if not finding.note] == [], "it said 0"
    elif name in FOUNDINGS:
        assert (root / ".modelrepo" / "config.toml").exists() == (code == 7), f"it said {code}"
        kept = {key: before.get("links", {}).get(key) for key in ("v1", "v2", "latest")}
        assert kept == {key: after.get("links", {}).get(key) for key in kept}, f"it said {code}"
    elif COMMANDS[name].words[0] in {"cleanup", "remove"}:
        gone = before["rows"].keys() - after["rows"].keys()
        assert gone == set(body.get("removed", ())), f"it said {code}"
    elif name == "repair":
        assert code in {1, 5, 7, 8}
    elif name == "push and promote":
        promised = ending(name) if body.get("promoted") else ending("push") if body.get("version") else before
        assert _but_for_views(after) == _but_for_views(promised), f"it said {code}, and not so"
        assert code == 7 or after["views"] == promised["views"], f"it said {code}"
    elif code == 7:
        records = (before,) if name in {"pin", "unpin", "annotate"} else ()
        known = [_but_for_views(state) for state in (ending(name), *records)]
        assert _but_for_views(after) in known, "it said 7, and it is not there"
    else:
        assert after == before, f"it said {code}, and something happened"


def _but_for_views(what: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in what.items() if key != "views"}


def points(name: str, mishap: Mishap) -> list[int]:
    """The calls of a changing command that a mishap may happen to."""
    return [number for number, call in calls(name, reads=mishap.reads).items() if mishap.fits(call)]


def trials(random: random.Random) -> Iterator[Trial]:
    """Everything that may happen to every call of every command, for ever in another order."""
    writers = [(name, mishap) for name in COMMANDS for mishap in MISHAPS + READ_MISHAPS]
    readers = [(name, mishap) for name in READERS for mishap in READ_MISHAPS]
    while True:
        whole = random.randrange(_WHOLE) == 0
        if random.randrange(4):
            name, mishap = random.choice(writers)
            if fitting := points(name, mishap):
                yield spoil(name, mishap, random.choice(fitting), whole=whole)
        else:
            name, mishap = random.choice(readers)
            yield spoil_reader(name, mishap, random.choice(reader_points(name, mishap)), whole=whole)


def reader_points(name: str, mishap: Mishap) -> list[int]:
    """The calls of a reading command that a mishap may happen to."""
    return [number for number, call in calls("pin", READERS[name], reads=True).items() if mishap.fits(call)]
