"""Power cuts: what commands did is recorded once, and every state that a cut may leave of it is built and opened.

In each state the promises hold as they stand; whatever a command had confirmed by exiting with 0 before is there; and
each path is as it was before the command that was cut, or as it is after it. Then the next commands go on from there.
They are recorded and cut, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from modelrepo import Repository

from .commands import AGELESS, CASES, build, carried, foreign, harm, nothing
from .invariants import check_tree, go_on, targets
from .recorder import record
from .replay import MODELS, Disk, State, Trace, digest, look
from .tracer import Onlooker, tracer
from .trials import Tally, Trial, saying

#: How many fates of what was not synced are all tried; of more, so many are sampled.
LIMIT = 64
#: How many states one trial opens.
PART = 20
#: How many recoveries of each scenario are cut in one turn.
RECOVERIES = 5
#: Of so many states, one is gone on from by the real command line.
_REAL = 20
_STATE = "ranker/.modelrepo"
_JOURNAL = f"{_STATE}/journal.jsonl"
#: Where commands put what nobody else looks at, and what they derive: a cut may take that, tear it or let it be old.
_WORKROOMS = tuple(
    f"{_STATE}/{name}" for name in ("staging/", "trash/", "ballast", "journal.jsonl", "index", "checked")
)


#: What is there whole or not at all.
_WHOLE = re.compile(r"ranker/v\d+/|copy/")
#: A version; what outlives one.
_VERSION = re.compile(r"ranker/v\d+")
_KEPT = re.compile(rf"{_STATE}/removed/(v\d+)\.json")
#: What is below a channel's view.
_VIEW = re.compile(r"ranker/serving/([^/]+)/")


@dataclass(frozen=True)
class Scenario:
    """Commands that are recorded one behind the other.

    Attributes:
        commands: Their words, without the repository.
        prepare: What is done to the repository `ranker` before.
        next: The writing commands that come next.
    """

    commands: tuple[tuple[str, ...], ...]
    prepare: Callable[[Path], None] = lambda _: None
    next: tuple[tuple[str, ...], ...] = (("pin", "v2", "--reason", "next"),)


def _many(root: Path) -> None:
    """A source of so many files that one sync of the whole file system is cheaper."""
    for number in range(257):
        (root.parent / "exports" / "four" / f"{number:03}.txt").write_text(str(number))


def _later(root: Path) -> None:
    """Two versions that are foreign to the repository."""
    for version, text in (("v7", "four"), ("v8", "five")):
        shutil.copytree(root.parent / "exports" / text, root / version)
        (root / version / "note.txt").write_text(version)


_ADOPT = ("init", "--adopt")
_REPAIR = ("verify", "--repair")
_PUSH = ("push", "exports/four", "--no-load")
SCENARIOS = {
    **{name: Scenario((case.words,), case.prepare) for name, case in CASES.items() if name != "repair"},
    "repair": Scenario((_REPAIR,), harm, next=(_REPAIR,)),
    "init": Scenario((("init",),), nothing, next=(("init",), _REPAIR)),
    "adopt": Scenario((_ADOPT,), foreign, next=(_ADOPT, _REPAIR)),
    "adopt later": Scenario((_ADOPT,), _later, next=(_ADOPT, _REPAIR)),
    "golden export": Scenario((("export", "v9", "copy"),), carried),
    "push of many files": Scenario((_PUSH,), _many),
    "promote, rollback": Scenario((("promote", "v3"), ("rollback",))),
    "push, promote": Scenario((_PUSH, ("promote", "v4"))),
    "promote, channel remove": Scenario((("promote", "v3", "--channel", "canary"), ("channel", "remove", "canary"))),
    "remove, push": Scenario((("remove", "v3"), _PUSH)),
    "promote, cleanup": Scenario((("promote", "v3"), ("cleanup", *AGELESS))),
    "pin, annotate": Scenario((("pin", "v1"), ("annotate", "v1", "--label", "a=b"), ("unpin", "v1"))),
    "export, remove": Scenario((("export", "v1", "copy"), ("remove", "v1"))),
    "init, push": Scenario((("init",), ("push", "exports/one", "--no-load")), nothing, next=(("init",), _REPAIR)),
    "adopt, promote": Scenario((_ADOPT, ("promote", "v1")), foreign, next=(_ADOPT, _REPAIR)),
}


@dataclass(frozen=True)
class Recording:
    """A scenario, and what its commands did.

    `completes` says that each command confirms what those before it had begun. Nobody does that for an export that was
    killed, nor for the modes that a killed repair has set.
    """

    scenario: Scenario
    trace: Trace
    completes: bool = True

    @cached_property
    def between(self) -> tuple[Disk, ...]:
        """What was there before the first command, and behind each."""
        return (self.trace.start, *(self.trace.after(end) for end in self.trace.ends))

    @cached_property
    def paths(self) -> tuple[dict[str, str], ...]:
        """What others saw of each of these: asked for each state."""
        return tuple(map(_paths, self.between))

    def number(self, point: int) -> int:
        """Which command a point belongs to, from 0."""
        return next(number for number, end in enumerate(self.trace.ends) if point <= end)

    def has_ended(self, point: int) -> bool:
        """Whether a point is where its command had ended."""
        return point in self.trace.ends


@cache
def _beginning() -> Disk:
    with tempfile.TemporaryDirectory() as place:
        build(Path(place))
        return look(Path(place))[0]


@contextlib.contextmanager
def _prepared(scenario: Scenario) -> Iterator[Path]:
    """A place where a scenario's commands can begin."""
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        _beginning().build(place)
        scenario.prepare(place / "ranker")
        yield place


@cache
def recording(name: str) -> Recording:
    """What a scenario's commands do, recorded once."""
    scenario = SCENARIOS[name]
    with _prepared(scenario) as place:
        return _record(scenario, place, scenario.commands)


def recovery(name: str, disk: Disk, place: Path) -> Recording:
    """What the next writing commands do on what a cut left; `place` is empty."""
    disk.build(place)
    return _record(SCENARIOS[name], place, SCENARIOS[name].next)


@cache
def calls(name: str) -> int:
    """How many calls a scenario's first command makes."""
    scenario = SCENARIOS[name]
    with _prepared(scenario) as place:
        words = ["-r", str(place / "ranker"), *scenario.commands[0]]
        return tracer().run(words, cwd=place, places=[place], watcher=Onlooker()).calls


@cache
def killed(name: str, number: int) -> Recording:
    """What a scenario's first command does until it is killed before a call, and the next ones behind that.

    Nothing of what it did is synced but by its own syncs and theirs: a recovery may not build on less.
    """
    scenario = SCENARIOS[name]
    with _prepared(scenario) as place:
        return _record(scenario, place, (scenario.commands[0], *scenario.next), killed_before=number)


def _record(
    scenario: Scenario, place: Path, commands: Sequence[tuple[str, ...]], *, killed_before: int | None = None
) -> Recording:
    whole = [("-r", str(place / "ranker"), *words) for words in commands]
    completes = killed_before is None or commands[0][0] not in {"export", "verify"}
    return Recording(scenario, record(place, whole, killed_before=killed_before), completes)


def states(cut: Recording, model: str, seed: object, limit: int = LIMIT) -> list[State]:
    """The distinct states of a recording under a model, the ends of commands counting for themselves."""
    found: dict[tuple[str, int, bool], State] = {}
    for point in cut.trace.points():
        for state in MODELS[model](cut.trace, point, random.Random(f"{model} {seed} {point}"), limit):  # noqa: S311
            found.setdefault((state.disk.digest(), cut.number(point), cut.has_ended(point)), state)
    return list(found.values())


def check(cut: Recording, state: State, place: Path, *, thorough: bool = True, real: bool = False) -> None:
    """Open a state, in an empty directory, and check all that must hold of it.

    Args:
        cut: What was cut.
        state: What that left.
        place: Where to build it.
        thorough: Whether to push and clean up behind the recovery, too.
        real: Whether the next commands are the real command line's.
    """
    with telling(cut, state):
        as_said(cut, state)
        state.disk.build(place)
        _whole(place)
        _recovered(cut.scenario, place, real=real)
        if thorough and cut.scenario.next[0][0] == "init":
            _begun(place)
        elif thorough:
            go_on(place)
        if any(words[0] == "export" for words in cut.scenario.commands):
            _exported(place)


def telling(cut: Recording, state: State) -> AbstractContextManager[None]:
    """Let whatever goes wrong say in which state."""
    at = cut.trace.operations[state.point] if state.point < len(cut.trace.operations) else "the end"
    return saying(f"cut before {state.point}, {at}: {state.said}")


def _whole(place: Path) -> None:
    """What must hold as soon as there is power again."""
    root = place / "ranker"
    if not (root / ".modelrepo" / "config.toml").exists():
        return  # it is no repository yet; what stood there before is as it was
    known = {line.get("version") for line in _lines((root / ".modelrepo" / "journal.jsonl").read_bytes())}
    foreign = [root / name for name in ("v7", "v8") if name not in known and (root / name).exists()]
    for path in foreign:  # no version of modelrepo's yet
        path.rename(place / path.name)
    check_tree(root)
    for path in foreign:
        (place / path.name).rename(path)
    assert all(row.problem is None for row in Repository(root).list())


def _recovered(scenario: Scenario, place: Path, *, real: bool) -> None:
    """The next writing commands, and all that must be right behind it."""
    root = place / "ranker"
    links = targets(root)
    go_on_with = _command_line if real else _library
    for words in scenario.next:
        go_on_with(place, *words)
    assert targets(root) == links, "a link moved"
    check_tree(root)
    result = Repository(root).verify()
    assert result.ok, result.findings


def _command_line(place: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelrepo", "-r", "ranker", *words],
        cwd=place, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)}: {done.returncode} {done.stderr}"


def _library(place: Path, *words: str) -> None:
    repository = Repository(place / "ranker")
    match words:
        case "pin", ref, *_:
            repository.pin(ref, reason="next")
        case "verify", "--repair":
            result = repository.verify(repair=True)
            assert result.ok, result.findings
        case "init", *adopt:
            repository.init(adopt=bool(adopt))


def _begun(place: Path) -> None:
    """What was made new, or taken over, is a repository as any other."""
    repository = Repository(place / "ranker")
    numbers = {row.version.number for row in repository.list()}
    assert numbers == {int(path.name[1:]) for path in (place / "ranker").glob("v*")}
    pushed = repository.push(place / "exports" / "five", load=False)
    assert pushed.created
    assert pushed.version.number == max(numbers, default=0) + 1
    repository.promote("newest")
    repository.cleanup()
    result = repository.verify()
    assert all(finding.kind == "mode" and finding.note for finding in result.findings), result.findings


def _exported(place: Path) -> None:
    """A copy that is there is whole; where none is, the next export makes it, and leaves nothing of the one before."""
    copy = place / "copy"
    if not copy.exists():
        repository = Repository(place / "ranker")
        repository.export("v9" if (place / "ranker" / "v9").exists() else "v1", copy)
    assert (copy / "manifest.json").exists()
    left = [path.name for path in place.iterdir() if path.name.startswith(".modelrepo")]
    assert not left, left


def as_said(cut: Recording, state: State) -> None:
    """What can be said of a state before anybody opens it.

    Each path is as it was before the command that was cut, or as it is after it: the latter, if it had ended. Versions
    and copies are so as a whole, views are never empty nor ahead of their links, and the journal says nothing that the
    tree denies.
    """
    number, ended = cut.number(state.point), cut.has_ended(state.point)
    was, shall, there = *cut.paths[number : number + 2], _paths(state.disk)
    for path in sorted({*was, *shall, *there}):
        if _is_idle(path, was, there):
            continue
        said = {shall.get(path)} if ended and cut.completes else {was.get(path), shall.get(path)}
        found, allowed = there.get(path), said
        if not ended and found is not None and path not in was and _is_rising(path):
            found, allowed = found.partition(" ")[0], {(shall.get(path) or "").partition(" ")[0]}
        assert found in allowed, f"{path} is {found}, not {' or '.join(map(str, allowed))}"
    for top in {match[0] for path in (*was, *shall, *there) if (match := _WHOLE.match(path))}:
        part, *known = (_of(seen, top) for seen in (there, was, shall))
        assert part in known, f"{top} is there in part: {sorted(part)}"
    for path, _, node in state.disk.walk():
        if node.kind == "directory" and os.path.dirname(path) == "ranker/serving":
            assert node.names, f"{path} is empty"
            assert all(state.disk.find(f"ranker/v{number}") is not None for number in node.names), f"{path} dangles"
    for channel in {match[1] for path in (*was, *shall) if (match := _VIEW.match(path))}:
        leads, led, will = (re.split("[ /]", seen.get(f"ranker/{channel}", ""))[-1] for seen in (there, was, shall))
        if leads == led != will:
            served, before = (_of(seen, f"ranker/serving/{channel}/") for seen in (there, was))
            assert served == before, f"the view of {channel} is ahead of its link: {sorted(served)}"
    _history_kept(*map(journal, (*cut.between[number : number + 2], state.disk)), ended=ended)
    _history_true(state.disk)


def _of(seen: dict[str, str], top: str) -> dict[str, list[str]]:
    """The kinds and bytes of what is below a path: a repair sets modes one by one."""
    return {path: said.split(" ")[::2] for path, said in seen.items() if path.startswith(top)}


def _is_idle(path: str, was: dict[str, str], there: dict[str, str]) -> bool:
    """Whether a path is of no use: it outlives a version that is still there, or is for one that did not come.

    The change that made it was given up; nobody confirms it, or takes it back.
    """
    if path.startswith(f"{_STATE}/golden"):
        return not any(_VERSION.fullmatch(other) and other not in was for other in there)
    match = _KEPT.fullmatch(path)
    return match is not None and f"ranker/{match[1]}" in there


def _is_rising(path: str) -> bool:
    """Whether a path is one of a repository's own directories, which nobody needs before it is one."""
    return path in {"ranker", "ranker/serving", _STATE} or (path.startswith(_STATE) and "." not in path[len(_STATE) :])


def _history_kept(before: bytes, after: bytes, now: bytes, *, ended: bool) -> None:
    """The journal has every record that it had, unless a repair has begun a new one."""
    was, shall, there = (data.splitlines(keepends=True) for data in (before, after, now))
    whole = [line for line in was if _is_whole(line)]
    unfinished = next((at for at, line in enumerate(there) if not _is_whole(line)), len(there))
    assert not any(map(_is_whole, there[unfinished:])), "a record stands behind one that is not whole"
    if ended:
        assert now == after, "a record is lost that was confirmed"
    else:
        assert there[: len(whole)] == whole or (there and shall[: len(there)] == there), "the journal lost records"


def _history_true(disk: Disk) -> None:
    """Where nothing is under way, versions are there and channels lead as the journal has it.

    An outcome is recorded behind its commit: one that is there without it is a lie.
    """
    there: dict[object, bool] = {}
    led: dict[object, object] = {}
    begun: dict[str, object] = {}
    for line in _lines(journal(disk)):
        action, version, channel = line.get("action"), line.get("version"), line.get("channel")
        if line["phase"] == "intent":
            begun = line
            continue
        begun = {}
        if line["phase"] == "done" and action in {"push", "adopt", "cleanup", "remove"}:
            there[version] = action in {"push", "adopt"}
        elif line["phase"] == "done" and channel is not None:
            led[channel] = line.get("to")
    for version, is_there in there.items():
        if version != begun.get("version"):
            assert (disk.find(f"ranker/{version}") is not None) == is_there, f"{version} is not as the journal has it"
    for channel, to in led.items():
        if channel != begun.get("channel"):
            link = disk.find(f"ranker/{channel}")
            says = None if link is None else os.path.basename(link.text)
            assert says == to, f"{channel} says {says}, and the journal {to}"


def journal(disk: Disk) -> bytes:
    """The bytes of the journal; none where there is none."""
    node = disk.find(_JOURNAL)
    return node.data if node is not None else b""


def _lines(data: bytes) -> list[dict[str, Any]]:
    """The records of a journal, without what is unfinished at its end."""
    return [json.loads(line) for line in data.splitlines(keepends=True) if _is_whole(line)]


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"}\n") and b"\0" not in line


def _paths(disk: Disk) -> dict[str, str]:
    """What others see of a tree, by path: kind, mode, bytes."""
    seen = {}
    for path, _, node in disk.walk():
        if not path.startswith((*_WORKROOMS, ".modelrepo-export")):
            seen[path] = f"{node.kind} {node.mode:o} {node.text or digest(node.data).hex()[:12]}"
    return seen


def run(cut: Recording, chosen: Sequence[State], place: Path, *, thorough: int = 1) -> Tally:
    """Check some states one behind the other, every so many of them to the end."""
    tally = Tally()
    for number, state in enumerate(chosen):
        built = place / str(number)
        built.mkdir(parents=True)
        check(cut, state, built, thorough=number % thorough == 0, real=number % _REAL == _REAL - 1)
        shutil.rmtree(built)
        tally.counts["power cuts"] += 1
        tally.states.add(state.disk.digest())
    return tally


def nested(name: str, disk: Disk, place: Path, *, seed: object, size: int, thorough: int = 1) -> Tally:
    """Cut the recovery from what a cut had left, at some states of each model."""
    (place / "recording").mkdir(parents=True)
    cut = recovery(name, disk, place / "recording")
    shutil.rmtree(place / "recording")
    source = random.Random(f"{name} {seed}")  # noqa: S311 - a sample, no secret
    found = [state for model in MODELS for state in states(cut, model, seed)]
    tally = run(cut, source.sample(found, min(size, len(found))), place / "states", thorough=thorough)
    tally.counts["power cuts in a recovery"] = tally.counts.pop("power cuts", 0)
    return tally


def behind_a_kill(name: str, number: int, place: Path, *, seed: object, size: int, thorough: int = 1) -> Tally:
    """Cut a command that is killed before a call, or the recovery from that: look at all states, and open some."""
    cut = killed(name, number)
    found = [state for model in MODELS for state in states(cut, model, seed, limit=8)]
    for state in found:
        with telling(cut, state):
            as_said(cut, state)
    source = random.Random(f"{name} {number} {seed}")  # noqa: S311 - a sample, no secret
    tally = run(cut, source.sample(found, min(size, len(found))), place, thorough=thorough)
    tally.counts["power cuts behind a kill"] = tally.counts.pop("power cuts", 0)
    return tally


def trials(source: random.Random) -> Iterator[Trial]:
    """Every distinct state of every scenario, in parts; then cuts of the recovery from some of them."""
    opened: set[tuple[str, int, str]] = set()
    while True:
        seed = source.randrange(2**32)
        for name in source.sample(sorted(SCENARIOS), len(SCENARIOS)):
            found = [state for model in MODELS for state in states(recording(name), model, seed)]
            new = {(name, state.point, state.disk.digest()): state for state in found}
            fresh = [state for key, state in new.items() if key not in opened]
            opened |= new.keys()
            for begin in range(0, len(fresh), PART):
                what = f"power cuts in {name}, seed {seed}, states {begin} to {begin + PART - 1}"
                yield Trial(what, partial(run, recording(name), fresh[begin : begin + PART]))
            for number, state in enumerate(source.sample(found, min(RECOVERIES, len(found)))):
                what = f"power cuts in the recovery from one in {name}, seed {seed}, number {number}"
                yield Trial(what, partial(nested, name, state.disk, seed=f"{seed} {number}", size=PART))
            for number in source.sample(range(1, calls(name) + 1), 2):
                what = f"power cuts in the recovery from {name} killed before call {number}, seed {seed}"
                yield Trial(what, partial(behind_a_kill, name, number, seed=seed, size=PART))
