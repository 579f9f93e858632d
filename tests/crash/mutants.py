"""The mutants: deliberate bugs, each put into a copy of the package, and each to be caught by one of the accidents.

An accident that passes whatever the package does would say nothing. So the bugs of `MUTANTS` are put in one by one, and
the scenario that each names must tell of a broken promise; on a copy that is as it was, the same must pass. And it must
be caught for its own reason: its words must be in what is told.

`python -m crash.mutants`, in `tests`, prints the table of `docs/reliability.md`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import modelrepo

from .commands import lasting
from .mutant import Change, Mutant
from .mutants_of_orders import ORDERS
from .mutants_of_rules import RULES
from .mutants_of_syncs import SYNCS
from .parents import die_with
from .trials import Tally, Trial, saying

#: How long one scenario may take.
_SECONDS = 120


MUTANTS = (*SYNCS, *ORDERS, *RULES)


@cache
def _package() -> Path:
    """A copy of the package that nobody changes, compiled, in a directory of its own."""
    place = lasting()
    shutil.copytree(Path(modelrepo.__file__).parent, place / "modelrepo")
    subprocess.run([sys.executable, "-m", "compileall", "-q", place], check=True, timeout=_SECONDS)
    return place


def copy(place: Path, changes: tuple[Change, ...] = ()) -> None:
    """Put a copy of the package into a directory, changed.

    Raises:
        ValueError: A change does not fit.
    """
    shutil.copytree(_package(), place, dirs_exist_ok=True)
    for change in changes:
        file = place / "modelrepo" / change.file
        file.write_text(change.made(file.read_text()))


class Copy:
    """A copy of the package, and a process that imports it, in which accidents happen."""

    def __init__(self, changes: tuple[Change, ...] = ()) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="modelrepo-crash-"))
        self._count = 0
        try:
            copy(self._place / "package", changes)
            self._process = self._started()
        except BaseException:
            shutil.rmtree(self._place)
            raise

    def _started(self) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        return subprocess.Popen(
            [sys.executable, "-m", "crash.mutants", "serve", str(os.getpid())],
            cwd=Path(__file__).parents[1],
            env={**environment, "PYTHONPATH": str(self._place / "package"), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self, scenario: str) -> str | None:
        """Let an accident happen; what promise it broke, or None.

        Raises:
            RuntimeError: It could not be run to its end.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        stage = self._place / str(self._count)
        stage.mkdir()
        timer = threading.Timer(_SECONDS, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps([scenario, str(stage)]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not answer:
            raise RuntimeError(f"{scenario} ended without an answer: {self._process.wait()}")
        package, broken = json.loads(answer)
        if package != str(self._place / "package" / "modelrepo"):
            raise RuntimeError(f"it ran {package}, not the copy")
        return None if broken is None else str(broken)

    def close(self) -> None:
        """End the process, by itself, since it has made things that go then; and leave nothing."""
        try:
            self._process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        shutil.rmtree(self._place)


@cache
def _as_it_is() -> Copy:
    """The copy that nobody changed."""
    made = Copy()
    atexit.register(made.close)
    return made


@cache
def _sound(scenario: str) -> str | None:
    return _as_it_is().told(scenario)


def catch(mutant: Mutant) -> None:
    """Make sure that a mutant is caught.

    Raises:
        AssertionError: It is not, or not for its reason, or its scenario says something of the package as it is.
    """
    assert _sound(mutant.scenario) is None, f"without any bug: {_sound(mutant.scenario)}"
    with contextlib.closing(Copy(mutant.changes)) as made:
        broken = made.told(mutant.scenario)
    assert broken is not None, f"nothing is said of: {mutant.name}"
    assert mutant.says in broken, f"{mutant.name} is caught for another reason: {broken}"


def table() -> str:
    """All mutants, as a table in Markdown."""
    rows = ["| the bug | in | caught by | which says |", "|---|---|---|---|"]
    for mutant in MUTANTS:
        files = ", ".join(dict.fromkeys(f"`{change.file}`" for change in mutant.changes))
        rows.append(f"| {mutant.name} | {files} | {mutant.scenario} | … {mutant.says} … |")
    return "\n".join(rows) + "\n"


def _caught(mutant: Mutant, _: Path) -> Tally:
    with saying(mutant.name):
        catch(mutant)
    return Tally(Counter({"mutants caught": 1}), {mutant.name})


def trials(random: random.Random) -> Iterator[Trial]:
    """Each mutant once."""
    for mutant in random.sample(MUTANTS, len(MUTANTS)):
        yield Trial(f"mutant: {mutant.name}", partial(_caught, mutant))


def _serve() -> None:
    """Let the accidents happen that somebody asks for, to the package that is imported here."""
    from .scenarios import broken

    for line in sys.stdin:
        scenario, place = json.loads(line)
        answer = str(Path(modelrepo.__file__).parent), broken(scenario, Path(place))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        die_with(int(sys.argv[2]))
        _serve()
    else:
        sys.stdout.write(table())
