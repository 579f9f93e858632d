"""Eight processes at once on one repository, killed and stopped at random, and somebody who watches.

Each process is forked from this one, and does one operation after another: library calls, the command line in its own
process, and now and then the real program. The seed decides what each process does; the schedule is the machine's. What
a process sees and does it writes down, line by line, so that nothing that a killed one had done is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from modelrepo import Repository
from modelrepo.cli import exits
from modelrepo.cli.main import run as command_line
from modelrepo.core.records import Record, chain_damage, parse_journal
from modelrepo.errors import ModelRepoError

from .commands import AGELESS, SAMPLES, build
from .forking import import_everything
from .invariants import check_tree, go_on
from .model import Model, NotDoneError
from .parents import die_with
from .trials import Tally, Trial

PROCESSES = 8
#: How long the processes wait for the lock: shorter than some of them stand still.
LOCK_SECONDS = 2
#: Between two looks of the observer; at each, one may be stopped or killed.
PAUSE_SECONDS = 0.03
RULES: dict[str, Any] = {"keep_last": 0, "keep_rollback": 1, "min_age": timedelta(0), "grace": timedelta(0)}
#: How often each operation comes, and the exit codes besides 0 that it may have.
OPERATIONS: dict[str, tuple[int, set[int]]] = {
    "push": (5, {11}),
    "push again": (1, {11}),
    "push and promote": (2, {3, 4, 11}),
    "promote": (14, {3, 11}),
    "rollback": (8, {3, 4, 11}),
    "pin": (4, {3, 11}),
    "unpin": (6, {3, 11}),
    "annotate": (4, {3, 11}),
    "cleanup": (8, {11}),
    "remove": (5, {3, 4, 11}),
    "channel remove": (2, {3, 11}),
    "repair": (1, {11}),
    "list": (6, set()),
    "status": (4, set()),
    "verify": (3, set()),
    "history": (4, set()),
    "show": (4, {3}),
    "lease": (12, {3, 11}),
    "path": (8, {3}),
    "exec": (1, {125}),
}
#: What a command that was killed or stopped leaves for a while, and what only says that somebody deletes.
PASSING = {"unfinished", "journal-torn", "view", "held", "directory-missing"}


class BrokenError(AssertionError):
    """A promise is broken."""


def require(condition: object, what: object) -> None:
    if not condition:
        raise BrokenError(str(what))


# Looking, by nothing but the tree


def read_whole(directory: int) -> str | None:
    """Read a version by a descriptor of its directory; what is wrong with it, or None."""
    place = f"/proc/self/fd/{directory}"
    try:
        manifest = json.loads(Path(place, "manifest.json").read_bytes())
        for entry in manifest["files"]:
            digest = hashlib.sha256(Path(place, entry["path"]).read_bytes()).hexdigest()
            if f"sha256:{digest}" != entry["digest"]:
                return f"{entry['path']} has other bytes"
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    return None


def identity(path: int | str | Path) -> tuple[int, int] | None:
    try:
        status = os.fstat(path) if isinstance(path, int) else os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """A directory, open; None where it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def whole_or_gone(path: Path) -> bool:
    """Read a version that nothing protects: whole, or not under its name any more. Returns whether it is there."""
    with opened(path) as directory:
        if directory is None:
            return False
        wrong = read_whole(directory)
        there = identity(path) == identity(directory)
        require(wrong is None or not there, f"{path.name} is half there: {wrong}")
        return wrong is None


class Observer:
    """Looks at the root again and again: what it saw once binds what it may see later."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, tuple[int, int]] = {}
        self._gone: set[str] = set()
        self.looks = 0

    def look(self) -> None:
        names = [name for name in os.listdir(self._root) if name.startswith("v")]
        for name in names:
            require(name not in self._gone, f"{name} is there again")
            is_now = identity(self._root / name)
            if is_now is not None:
                require(self._seen.setdefault(name, is_now) == is_now, f"{name} is another directory")
            whole_or_gone(self._root / name)
        self._gone |= {name for name in self._seen if name not in names and identity(self._root / name) is None}
        for channel in ("latest", "kept"):
            self._channel(channel)
        self._view("latest")
        self.looks += 1

    def _channel(self, channel: str) -> None:
        """The link names a whole version; where that goes away while it is read, the link has moved on before."""
        for _ in range(100):
            target = os.readlink(self._root / channel)
            if whole_or_gone(self._root / target):
                return
            require(os.readlink(self._root / channel) != target, f"{channel} leads to {target}, which is not there")

    def _view(self, channel: str) -> None:
        """What TensorFlow Serving does: it lists, and loads what it finds."""
        place = self._root / "serving" / channel
        names = os.listdir(place)
        require(names, f"the view of {channel} is empty")
        for name in names:
            if not whole_or_gone(place / name):
                require(not (place / name).is_symlink() or whole_or_gone(place / name), f"serving/{channel}/{name}")


# One process


@dataclass
class Process:
    """One of the eight, in its child."""

    place: Path
    log: int
    chance: random.Random
    name: str
    last: str = "v1"
    count: int = 0
    root: Path = field(init=False)
    repository: Repository = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.place / "ranker"
        self.repository = Repository(self.root, lock_timeout=LOCK_SECONDS)

    def live(self, last: float) -> None:
        names, weights = list(OPERATIONS), [weight for weight, _ in OPERATIONS.values()]
        while time.monotonic() < last:
            operation = self.chance.choices(names, weights)[0]
            self.say({"begun": operation})
            code, kind, how = self._do(operation)
            allowed = code == 0 or code in OPERATIONS[operation][1] or (code, kind) == (5, "passing")
            require(allowed, f"{operation} ({how}): {code} {kind}")
            self.say({"done": operation, "code": code, "kind": kind, "how": how})

    def say(self, what: dict[str, object]) -> None:
        os.write(self.log, json.dumps(what).encode() + b"\n")

    def _do(self, operation: str) -> tuple[int, str, str]:
        words = self._words(operation)
        how = self.chance.choices(["library", "command", "program"], [75, 24, 1])[0]
        if operation in {"lease", "path"}:
            how = "library"
        elif operation == "exec":
            how = "program"
        if how == "library":
            try:
                self._library(operation, words)
            except ModelRepoError as error:
                return exits.code_of(error), error.kind, how
            return 0, "", how
        if how == "command":
            return *self._command(operation, words), how
        return *self._program(operation, words), how

    def _some(self) -> str:
        """A version, there or gone by now."""
        names = sorted(os.listdir(self.root))
        return self.chance.choice([name for name in names if name.startswith("v")] or ["v1"])

    def _source(self, *, again: bool) -> Path:
        if again:
            return self.place / "exports" / "four"
        self.count += 1
        source = self.place / "sources" / f"{self.name}-{self.count}"
        shutil.copytree(SAMPLES / "tf1_linear", source)
        (source / "note.txt").write_text(source.name)
        return source

    def _words(self, operation: str) -> list[str]:  # noqa: C901 - a list
        """The operation as somebody types it."""
        channel = self.chance.choice(["latest", "latest", "canary"])
        match operation:
            case "push" | "push again":
                return ["push", str(self._source(again=operation == "push again")), "--no-load"]
            case "push and promote":
                source = str(self._source(again=False))
                return ["push", source, "--no-load", "--promote", "--allow-breaking", "--channel", channel]
            case "promote":
                return ["promote", self._some(), "--channel", channel, "--allow-breaking"]
            case "rollback":
                return ["rollback", "--channel", channel]
            case "channel remove":
                return ["channel", "remove", "canary"]
            case "cleanup":
                return ["cleanup", *AGELESS]
            case "repair":
                return ["verify", "--repair"]
            case "annotate":
                return ["annotate", self._some(), "--label", f"k={self.chance.randrange(9)}"]
            case "pin" | "unpin" | "remove" | "show":
                return [operation, self._some()]
            case "lease" | "path":
                return [operation, self.chance.choice(["latest", "newest", "latest~1", self._some()])]
            case _:
                return [operation]

    def _library(self, operation: str, words: list[str]) -> None:  # noqa: C901 - a list
        repository = self.repository
        match operation:
            case "push" | "push again" | "push and promote":
                promote = operation == "push and promote"
                channel = words[-1] if promote else "latest"
                repository.push(words[1], load=False, promote=promote, channel=channel, allow_breaking=True)
            case "promote":
                repository.promote(words[1], channel=words[3], allow_breaking=True)
            case "rollback":
                repository.rollback(channel=words[2])
            case "channel remove":
                repository.channel_remove("canary")
            case "cleanup":
                repository.cleanup(**RULES)
            case "repair":
                self._sound(repository.verify(repair=True).findings)
            case "annotate":
                repository.annotate(words[1], labels=dict([words[3].split("=")]))
            case "pin" | "unpin" | "show":
                getattr(repository, operation)(words[1])
            case "remove":
                repository.remove([words[1]])
            case "list":
                require(all(row.problem is None for row in repository.list()), "list shows a problem")
            case "status":
                self._sound(repository.status().problems)
            case "verify":
                self._sound(repository.verify().findings)
            case "history":
                numbers = [entry.seq for entry in repository.history()]
                require(numbers == sorted(set(numbers), reverse=True), "history is out of order")
            case "lease":
                self._lease(words[1])
            case "path":
                self._path(words[1])

    def _sound(self, problems: Any) -> None:
        bad = [problem for problem in problems if not problem.note and not problem.repaired]
        require({problem.kind for problem in bad} <= PASSING, bad)

    def _lease(self, ref: str) -> None:
        """Whole from the first byte to the last, under its own path, for as long as it is held."""
        with self.repository.lease(ref) as lease, opened(lease.path) as directory:
            require(directory is not None, f"{lease.path} is leased and not there")
            for _ in range(self.chance.randrange(1, 4)):
                wrong = read_whole(directory or 0)
                require(wrong is None, f"{lease.version} is leased: {wrong}")
                require(identity(lease.path) == identity(directory or 0), f"{lease.path} is leased, and is gone")
                time.sleep(self.chance.choice([0, 0, 0.05, 0.5]))
        self.say({"reads": 1})

    def _path(self, ref: str) -> None:
        """Nothing protects it: it may go, but as a whole."""
        whole_or_gone(Path(self.repository.path(ref).path))
        self.say({"reads": 1})

    def _command(self, operation: str, words: list[str]) -> tuple[int, str]:
        """The command line in this process, its answer read as JSON."""
        os.environ["MODELREPO_LOCK_TIMEOUT"] = str(LOCK_SECONDS)
        out, err = (io.TextIOWrapper(io.BytesIO()) for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command_line(["-r", str(self.root), "--json", *words])
            out.flush()
        return code, self._judge(operation, code, out.buffer.getvalue().decode())

    def _program(self, operation: str, words: list[str]) -> tuple[int, str]:
        """The real program."""
        if operation == "exec":
            ref = self.chance.choice(["latest", "newest", self._some()])
            words = ["exec", ref, "--", sys.executable, "-S", "-c", _READER]
        else:
            words = ["--json", *words]
        done = subprocess.run(
            [sys.executable, "-m", "modelrepo", "-r", str(self.root), *words],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "MODELREPO_LOCK_TIMEOUT": str(LOCK_SECONDS)},
        )
        require("Traceback" not in done.stderr, done.stderr)
        if operation == "exec":
            require(done.returncode in {0, 125}, f"exec: {done.returncode} {done.stderr}")
            return done.returncode, ""
        return done.returncode, self._judge(operation, done.returncode, done.stdout)

    def _judge(self, operation: str, code: int, said: str) -> str:
        """Look at an answer; return the error's kind."""
        try:
            answer = json.loads(said)
        except ValueError:
            raise BrokenError(f"{operation}: {code}, no document: {said!r}") from None
        if isinstance(answer, dict) and answer.get("error"):
            if operation in {"verify", "repair"} and code == 5 and answer.get("findings"):
                kinds = {each["kind"] for each in answer["findings"] if not each["note"] and not each["repaired"]}
                require(kinds <= PASSING, answer)
                return "passing"
            return str(answer["error"]["kind"])
        return ""


#: What `exec` becomes: it reads all, waits, and reads all again.
_READER = """
import hashlib, json, os, time
place = os.environ["MODELREPO_PATH"]
for pause in (0.2, 0.0):
    for entry in json.load(open(f"{place}/manifest.json"))["files"]:
        data = open(f"{place}/{entry['path']}", "rb").read()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == entry["digest"], entry
    time.sleep(pause)
"""


# All of them


def preload(root: Path) -> None:
    """Import what any of them needs, once for all: in its child each would import it again."""
    import_everything()
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        command_line(["-r", str(root), "--json", "list"])


@dataclass
class Running:
    """A process as its parent sees it."""

    number: int
    life: int
    pid: int
    wakes: float | None = None


class Stage:
    """The parent of all: it starts, stops, kills and starts again, watches, and judges what is left."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.root = place / "ranker"
        self.chance = random.Random(f"stage {seed}")  # noqa: S311 - no secret
        self.seed = seed
        self.tally = Tally()
        self.running: dict[int, Running] = {}
        self.log = place / "log"

    def run(self, seconds: float) -> Tally:
        build(self.place)
        preload(self.root)
        Repository(self.root).promote("v2", channel="kept")  # so that one version always stays
        (self.place / "sources").mkdir()
        end = time.monotonic() + seconds
        observer = Observer(self.root)
        for number in range(PROCESSES):
            self._start(number, 0, end)
        try:
            while self.running and time.monotonic() < end + 120:
                if time.monotonic() < end:
                    self._disturb()
                self._wake(everybody=time.monotonic() >= end)
                self._reap(end)
                observer.look()
                time.sleep(PAUSE_SECONDS)
            require(not self.running, "a process does not end")
        finally:
            self._end()
        self._heard()
        self.tally.counts["looks"] += observer.looks
        self._judge()
        return self.tally

    def _start(self, number: int, life: int, end: float) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with(parent)
            _live(self.place, self.log, f"{self.seed}-{number}-{life}", end)
        self.running[pid] = Running(number, life, pid)

    def _disturb(self) -> None:
        """Stop one, or kill one, now and then; first of all each once, so that no machine is too slow for it."""
        chosen = self.chance.choice(list(self.running.values()))
        what = self.chance.choices(["nothing", "stop", "kill"], [85, 12, 3])[0]
        what = {(0, 0): "stop", (1, 0): "kill"}.get((self.tally.counts["stops"], self.tally.counts["kills"]), what)
        if what == "kill":
            self._signal(chosen, signal.SIGKILL)
            self.tally.counts["kills"] += 1
        elif what == "stop" and chosen.wakes is None:
            self._signal(chosen, signal.SIGSTOP)
            pause = self.chance.choices([self.chance.uniform(0, 0.5), self.chance.uniform(1, 8)], [95, 5])[0]
            chosen.wakes = time.monotonic() + pause
            self.tally.counts["stops"] += 1

    def _wake(self, *, everybody: bool) -> None:
        for each in self.running.values():
            if each.wakes is not None and (everybody or time.monotonic() >= each.wakes):
                self._signal(each, signal.SIGCONT)
                each.wakes = None

    def _signal(self, process: Running, number: signal.Signals) -> None:
        """To the process and what it has started: a group, if it has come to making one."""
        with contextlib.suppress(ProcessLookupError):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                os.kill(process.pid, number)

    def _reap(self, end: float) -> None:
        """Start those again that were killed; what one of them found is this process's failure."""
        for pid in tuple(self.running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended == 0:
                continue
            gone = self.running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code not in {0, -signal.SIGKILL}:
                self._heard()
                raise BrokenError(f"a process ended by itself: {code}")
            if code != 0 and time.monotonic() < end:
                self._start(gone.number, gone.life + 1, end)

    def _end(self) -> None:
        for each in self.running.values():
            self._signal(each, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(each.pid, 0)

    def _heard(self) -> None:
        """Count what the processes wrote down.

        Raises:
            BrokenError: One of them saw a promise broken.
        """
        counts: Counter[str] = Counter()
        for line in self.log.read_text().splitlines():
            said = json.loads(line)
            if "broken" in said:
                raise BrokenError(said["broken"])
            counts["reads"] += said.get("reads", 0)
            if "done" in said:
                counts["operations"] += 1
                self.tally.states.add(f"{said['done']} {said['how']} {said['code']} {said['kind']}")
        self.tally.counts.update(counts)

    def _judge(self) -> None:
        """What is left when all have ended."""
        check_tree(self.root)
        go_on(self.place)
        audit(self.root)


def audit(root: Path) -> None:
    """Read the journal from its first record: nothing lost, nothing invented, nothing deleted that was needed."""
    parsed = parse_journal((root / ".modelrepo" / "journal.jsonl").read_bytes())
    require(parsed.damage is None and chain_damage(parsed.lines) is None, "the journal is damaged")
    model = Model({})
    for record in (line.record for line in parsed.lines):
        require(record.action != "external" and record.phase != "unknown", f"nobody moved a link: {record}")
        if record.phase == "done":
            try:
                _replay(model, record)
            except NotDoneError:
                raise BrokenError(f"this should have been refused: {record}") from None
    for channel, target in model.links.items():
        require(os.readlink(root / channel) == f"v{target}", f"{channel} is not where the journal says")


def _replay(model: Model, record: Record) -> None:
    """Do to the model what a record says."""
    number, origin, to = (
        None if version is None else version.number for version in (record.version, record.origin, record.to)
    )
    channel = record.channel or ""
    match record.action:
        case "push":
            require((number or 0) > model.spent, f"v{number} was used before")
            model.push(f"what was pushed as {number}", number)
        case "promote" | "rollback":
            require(origin == model.links.get(channel), f"a move is missing before {record}")
            move = model.promote if record.action == "promote" else model.rollback
            move(channel, to or 0 if record.action == "promote" else record.steps or 1)
            require(model.links[channel] == to, f"a move to elsewhere: {record}")
        case "channel-remove":
            model.channel_remove(channel)
        case "cleanup":
            require(number in model.going(0, 1), f"v{number} was needed, and deleted: {record}")
            model.drop(number or 0)
        case "pin" | "unpin" | "remove":
            getattr(model, record.action)(number)


def _live(place: Path, log: Path, name: str, end: float) -> NoReturn:
    """A child's whole life."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    process = Process(place, descriptor, random.Random(name), name)  # noqa: S311 - no secret
    code = 0
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        process.live(end)
    except BaseException:  # noqa: BLE001 - the parent shall hear of it
        process.say({"broken": f"{name}: {traceback.format_exc()}"})
        code = 1
    os._exit(code)


def stress(place: Path, *, seed: int, seconds: float) -> Tally:
    """Eight processes for so many seconds."""
    return Stage(place, seed).run(seconds)


def trials(random: random.Random, seconds: float = 20) -> Iterator[Trial]:
    """Without an end: eight processes, each time with another seed."""
    while True:
        seed = random.getrandbits(32)
        yield Trial(f"eight processes, seed {seed}, {seconds:g} s", partial(stress, seed=seed, seconds=seconds))
