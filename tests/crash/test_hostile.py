"""Damaged, forged and crowded repositories: the documented exit code, a message with a way on, and nothing lost.

A sample by `MODELREPO_CRASH_SEED` (0); `MODELREPO_CRASH_ALL=1`, or `scripts/torture hostile`, does all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import clocks, journals, matrix, sources
from .matrix import everything
from .runner import Ran, runner
from .samples import EVERYTHING, chance
from .scene import COMMANDS, READING, STATE, WRITING, set_up
from .trials import Trial

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the commands are watched as Linux offers it")
#: How many things each kind of damage is done to, in the sample.
MOST = 2


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory, in memory where there is some: hundreds of repositories are made and deleted."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="modelrepo-crash-", dir=memory if memory.is_dir() else None) as text:
        yield Path(text).resolve()


def do(place: Path, trials: list[Trial]) -> None:
    """Do trials one after the other, each in an empty directory."""
    assert trials
    for trial in trials:
        here = place / "trial"
        here.mkdir()
        trial.run(here)
        shutil.rmtree(here)


def test_there_are_hundreds_of_hostile_inputs_and_each_kind_of_damage_is_in_the_sample() -> None:
    names = [damage.name for damage in everything()]
    assert len(set(names)) == len(names) > 400
    sampled = {trial.name.rpartition(": ")[0] for trial in matrix.sample(chance(), MOST)}
    kinds = {damage.kind for damage in everything()}
    assert kinds == {damage.kind for damage in everything() if damage.name in sampled}


def test_a_command_on_a_damaged_repository_works_or_says_what_is_wrong_and_loses_nothing(place: Path) -> None:
    do(place, list(matrix.trials(chance())) if EVERYTHING else matrix.sample(chance(), MOST))


def test_a_journal_that_somebody_changed_is_named_and_one_that_was_torn_is_mended(place: Path) -> None:
    do(place, list(journals.trials(chance())) if EVERYTHING else journals.sample(chance()))


def test_a_clock_that_jumps_reorders_no_history_and_deletes_nothing_young(place: Path) -> None:
    do(place, list(clocks.trials(chance())) if EVERYTHING else clocks.sample(chance()))


@pytest.mark.usefixtures("traceable")
def test_a_source_that_changes_while_it_is_read_is_taken_whole_or_refused(place: Path) -> None:
    do(place, list(sources.trials(chance())) if EVERYTHING else sources.sample(chance()))


def test_a_lock_that_somebody_holds_stops_who_writes_and_nobody_else(place: Path) -> None:
    set_up(place)
    with (place / "ranker" / STATE / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)  # a reader's is enough
        for name in ("status", "path", "pin", "cleanup", "rollback"):
            ran = runner().run(place, ["-r", "ranker", "--json", *COMMANDS[name]])
            assert ran.code == (11 if name in WRITING else 0), ran
            assert name in READING or str(os.getpid()) in ran.error["message"], ran


def test_a_version_edited_under_a_lease_is_named_and_stays(place: Path) -> None:
    root = set_up(place)
    held = os.open(root / "v6", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(held, fcntl.LOCK_SH)
    try:
        (root / "v6" / "note.txt").chmod(0o644)
        (root / "v6" / "note.txt").write_text("SIX")
        assert runner().run(place, ["-r", "ranker", "--json", "verify", "v6"]).code == 5
        cleaned = runner().run(place, ["-r", "ranker", "--json", *COMMANDS["cleanup"]])
        assert (cleaned.code, cleaned.document["removed"]) == (0, [])
        assert runner().run(place, ["-r", "ranker", "--json", "remove", "v6"]).code == 4
        assert (root / "v6" / "note.txt").read_text() == "SIX"
    finally:
        os.close(held)


def test_the_same_content_pushed_onto_a_rotten_copy_is_stored_anew(place: Path) -> None:
    root = set_up(place)
    (root / "v2" / "note.txt").chmod(0o644)
    (root / "v2" / "note.txt").write_text("tw0")
    ran = runner().run(place, ["-r", "ranker", "--json", *COMMANDS["push again"]])
    assert (ran.code, ran.document["version"], ran.document["created"]) == (0, "v7", True)
    assert (root / "v7" / "note.txt").read_text() == "two"
    assert "v2 has the same content, but is damaged" in ran.err


@pytest.mark.parametrize(
    ("name", "command"),
    [
        (".modelrepo: a link to the same elsewhere", "path"),
        (".modelrepo/lock: a pipe", "rollback"),
        (".modelrepo/journal.jsonl: a pipe", "history"),
        (".modelrepo/trash: a link to itself", "push"),
        ("settings: nested tables", "status"),
    ],
)
def test_the_real_command_line_ends_as_its_fork_does(
    place: Path, run: Callable[..., Ran], name: str, command: str
) -> None:
    damage = next(damage for damage in everything() if damage.name == name)
    root = set_up(place)
    damage.do(root)
    done = run("-r", "ranker", *COMMANDS[command], cwd=place)
    assert {done.code} == damage.allowed(command) == {5}
    assert os.path.basename(damage.thing) in done.err
    assert "  next: " in done.err
