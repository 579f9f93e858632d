"""A power cut at any call: the model of what it may leave, and the commands that it comes in.

All states (of a smaller choice, where many operations are pending) are looked at, and a sample of them opened, by
`MODELREPO_CRASH_SEED` (0); `scripts/torture` opens all.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import cuts
from .recorder import record
from .replay import (
    MODELS,
    SECTOR,
    TOP,
    Disk,
    Link,
    Make,
    Mode,
    Move,
    Node,
    Operation,
    Remove,
    State,
    Sync,
    SyncAll,
    Trace,
    Truncate,
    Write,
    look,
)
from .samples import SEED, chance

#: How many states of each scenario and model are opened, of how many only one is gone on from to the end.
SAMPLE, THOROUGH = 6, 6
D, E, F, G = 1, 2, 3, 4
EMPTY = Disk({TOP: Node("directory", 0o755, names={"d": D, "e": E}), D: Node("directory"), E: Node("directory")})
NEW = Node("file", 0o600)


def left(*operations: Operation, start: Disk = EMPTY, model: str = "posix", limit: int = 1000) -> list[Disk]:
    """What a cut behind these operations may leave, before the command has ended or behind."""
    trace = Trace(start, operations, (len(operations),))
    source = random.Random(0)  # noqa: S311 - a sample, no secret
    return [state.disk for state in MODELS[model](trace, len(operations), source, limit)]


def texts(disks: list[Disk], path: str) -> set[bytes | None]:
    """What a file may hold; None where it may be missing."""
    found = [disk.find(path) for disk in disks]
    return {None if node is None else node.data for node in found}


def names(disks: list[Disk]) -> set[frozenset[str]]:
    """Which names may be there together."""
    return {frozenset(path for path, _, node in disk.walk() if node.kind == "file") for disk in disks}


@pytest.mark.parametrize("model", MODELS)
def test_a_file_that_was_renamed_without_a_sync_may_be_empty_zeros_or_torn(model: str) -> None:
    disks = left(Make(D, "tmp", F, NEW), Write(F, 0, b"text"), Move(D, "tmp", D, "name", F), Sync(D), model=model)
    assert texts(disks, "d/name") == {b"", b"te", b"tex", b"text", b"\0\0\0\0"}


@pytest.mark.parametrize("model", MODELS)
def test_a_file_that_was_synced_and_whose_directory_was_is_there_whole(model: str) -> None:
    disks = left(
        Make(D, "tmp", F, NEW), Write(F, 0, b"text"), Sync(F), Move(D, "tmp", D, "name", F), Sync(D), model=model
    )
    assert texts(disks, "d/name") == {b"text"}
    assert names(disks) == {frozenset({"d/name"})}


@pytest.mark.parametrize("model", MODELS)
def test_a_rename_that_was_not_synced_may_be_undone(model: str) -> None:
    disks = left(Make(D, "old", F, NEW), Sync(F), Sync(D), Move(D, "old", E, "new", F), model=model)
    assert names(disks) == {frozenset({"d/old"}), frozenset({"e/new"})}


@pytest.mark.parametrize("synced", [D, E])
@pytest.mark.parametrize("model", MODELS)
def test_a_rename_is_done_once_either_of_its_directories_is_synced(model: str, synced: int) -> None:
    disks = left(Make(D, "old", F, NEW), Sync(F), Sync(D), Move(D, "old", E, "new", F), Sync(synced), model=model)
    assert names(disks) == {frozenset({"e/new"})}


def two_renames() -> tuple[Operation, ...]:
    made = Make(D, "a", F, NEW), Make(D, "b", G, NEW), SyncAll()
    return *made, Move(D, "a", E, "a", F), Move(D, "b", E, "b", G)


def test_two_renames_are_independent_of_each_other() -> None:
    assert names(left(*two_renames())) == {
        frozenset({"d/a", "d/b"}), frozenset({"e/a", "d/b"}), frozenset({"d/a", "e/b"}), frozenset({"e/a", "e/b"}),
    }  # fmt: skip


def test_in_a_journal_the_second_of_two_renames_does_not_come_without_the_first() -> None:
    found = names(left(*two_renames(), model="journalling"))
    assert found == {frozenset({"d/a", "d/b"}), frozenset({"e/a", "d/b"}), frozenset({"e/a", "e/b"})}


def test_in_a_journal_a_sync_covers_the_names_before_it() -> None:
    operations = (*two_renames(), Make(D, "c", 5, NEW), Sync(D))
    assert names(left(*operations, model="journalling")) == {frozenset({"e/a", "e/b", "d/c"})}


@pytest.mark.parametrize("model", MODELS)
def test_a_sync_of_what_was_not_changed_covers_nothing(model: str) -> None:
    start = Disk({**{number: EMPTY[number] for number in (D, E)}, TOP: EMPTY[TOP], F: NEW})
    assert names(left(Make(D, "a", F, NEW), Sync(E), start=start, model=model)) == {frozenset(), frozenset({"d/a"})}


def test_a_name_needs_its_directory_synced_and_in_a_journal_comes_with_its_file() -> None:
    operations = Make(D, "a", F, NEW), Write(F, 0, b"x"), Sync(F)
    assert texts(left(*operations), "d/a") == {None, b"x"}
    assert texts(left(*operations, model="journalling"), "d/a") == {b"x"}


@pytest.mark.parametrize("model", MODELS)
def test_a_file_of_a_directory_whose_name_is_lost_is_lost(model: str) -> None:
    disks = left(Make(TOP, "new", 5, Node("directory", 0o700)), Make(5, "a", F, NEW), Sync(5), model=model)
    assert names(disks) <= {frozenset(), frozenset({"new/a"})}
    assert frozenset({"new/a"}) in names(disks)


def test_a_directory_is_never_in_two_places() -> None:
    disks = left(
        Make(D, "new", 5, Node("directory", 0o700)), Make(5, "a", F, NEW), Move(D, "new", E, "new", 5),
        Move(E, "new", TOP, "last", 5),
    )  # fmt: skip
    assert all(len(found) <= 1 for found in names(disks))
    assert frozenset({"last/a"}) in names(disks)


@pytest.mark.parametrize("model", MODELS)
def test_an_append_that_was_not_synced_leaves_what_was_before_and_a_part_of_itself(model: str) -> None:
    before = Make(D, "log", F, NEW), Write(F, 0, b"one\n"), Sync(F), Sync(D)
    disks = left(*before, Write(F, 4, b"two\n"), model=model)
    assert texts(disks, "d/log") == {b"one\n" + rest for rest in (b"", b"tw", b"two", b"two\n", b"\0\0\0\0")}


def test_of_an_append_over_several_sectors_the_first_may_be_missing_and_the_rest_there() -> None:
    before = Make(D, "log", F, NEW), Write(F, 0, b"o" * 500), Sync(F), Sync(D)
    disks = left(*before, Write(F, 500, b"t" * SECTOR))
    assert b"o" * 500 + b"\0" * 12 + b"t" * 500 in texts(disks, "d/log")


def test_syncfs_covers_everything_and_nothing_behind_it() -> None:
    before = Make(D, "a", F, NEW), Write(F, 0, b"x"), Mode(F, 0o444), SyncAll()
    disks = left(*before, Truncate(F, 0))
    assert texts(disks, "d/a") == {b"", b"x"}
    assert {disk[F].mode for disk in disks} == {0o444}


def test_a_mode_needs_the_sync_of_what_has_it() -> None:
    made = Make(TOP, "new", 5, Node("directory", 0o700)), Mode(5, 0o755)
    assert {disk[5].mode for disk in left(*made, Sync(TOP))} == {0o700, 0o755}
    assert {disk[5].mode for disk in left(*made, Sync(5), Sync(TOP))} == {0o755}


def test_a_name_that_went_may_come_back_and_a_second_name_may_not_be_there() -> None:
    before = Make(D, "a", F, NEW), SyncAll()
    found = names(left(*before, Link(E, "b", F), Remove(D, "a")))
    assert found == {frozenset({"d/a"}), frozenset({"d/a", "e/b"}), frozenset({"e/b"}), frozenset()}


def test_of_many_operations_each_alone_is_lost_and_kept_and_so_are_all() -> None:
    operations = [Make(D, str(number), number, NEW) for number in range(10, 20)]
    found = names(left(*operations, limit=5))
    every = frozenset(f"d/{number}" for number in range(10, 20))
    assert {every, frozenset()} < found
    assert {every - {name} for name in every} < found
    assert {frozenset({name}) for name in every} < found


def test_states_are_cut_before_each_sync_and_where_commands_end() -> None:
    operations = Make(D, "a", F, NEW), Sync(D), Make(D, "b", G, NEW), Remove(D, "b")
    assert Trace(EMPTY, operations, (2, 4)).points() == [1, 2, 4]


def test_a_state_is_built_as_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "one" / "deep").mkdir(parents=True)
    (tmp_path / "one" / "deep" / "file").write_bytes(b"x\0y")
    (tmp_path / "one" / "deep" / "file").chmod(0o444)
    os.link(tmp_path / "one" / "deep" / "file", tmp_path / "one" / "second")
    (tmp_path / "one" / "here").symlink_to(tmp_path / "one" / "deep")
    (tmp_path / "one" / "deep").chmod(0o500)
    disk, _ = look(tmp_path / "one")
    (tmp_path / "two").mkdir()
    disk.build(tmp_path / "two")
    assert look(tmp_path / "two")[0].digest() == disk.digest()
    assert os.path.realpath(tmp_path / "two" / "here") == str(tmp_path / "two" / "deep")
    assert (tmp_path / "two" / "second").stat().st_nlink == 2


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory, where there is one: states are built by the hundred."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as text:
        yield Path(text)


@pytest.mark.usefixtures("traceable")
def test_a_recording_has_what_was_written_named_and_synced(tmp_path: Path) -> None:
    trace = record(tmp_path, [("-r", "ranker", "init"), ("-r", "ranker", "init")])
    moved = [operation.to_name for operation in trace.operations if isinstance(operation, Move)]
    assert moved == ["journal.jsonl", "config.toml"]
    config = trace.after(trace.ends[0]).find("ranker/.modelrepo/config.toml")
    assert config is not None
    assert config.data.startswith(b"# ") or b"format" in config.data
    assert isinstance(trace.operations[-1], Sync)
    again = trace.operations[trace.ends[0] :]
    assert all(isinstance(operation, Sync) for operation in again), "the second init changed something"


def sample(states: list[State], size: int) -> list[State]:
    return chance().sample(states, min(size, len(states)))


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", cuts.SCENARIOS)
def test_whatever_a_power_cut_leaves_the_promises_hold_and_the_next_command_goes_on(
    place: Path, name: str, model: str
) -> None:
    cut = cuts.recording(name)
    states = cuts.states(cut, model, SEED, limit=8)
    for state in states:
        with cuts.telling(cut, state):
            cuts.as_said(cut, state)
    chosen = sample(states, SAMPLE)
    assert cuts.run(cut, chosen, place, thorough=THOROUGH).counts["power cuts"] == len(chosen) > 0


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("name", ["push", "promote", "remove", "repair", "init", "adopt"])
def test_a_power_cut_in_the_recovery_from_one_leaves_as_much(place: Path, name: str) -> None:
    (state,) = sample(cuts.states(cuts.recording(name), "posix", SEED, limit=8), 1)
    tally = cuts.nested(name, state.disk, place, seed=SEED, size=4, thorough=5)
    assert tally.counts["power cuts in a recovery"] > 0


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("name", ["push", "promote, rollback", "cleanup", "channel remove", "init", "adopt"])
def test_a_power_cut_in_the_recovery_from_a_kill_leaves_as_much(place: Path, name: str) -> None:
    number = chance(f"{name} killed").randint(1, cuts.calls(name))
    tally = cuts.behind_a_kill(name, number, place, seed=SEED, size=2, thorough=2)
    assert tally.counts["power cuts behind a kill"] > 0


@pytest.mark.usefixtures("traceable")
def test_what_was_confirmed_and_is_gone_is_noticed(place: Path) -> None:
    """Behind the end of a command its changes may not be undone, and before it nothing else may be changed."""
    cut = cuts.recording("promote")
    undone = State(cut.trace.ends[0], cut.trace.start, "all lost")
    with pytest.raises(AssertionError, match=r"ranker/latest is link 0 v2, not link 0 v3"):
        cuts.check(cut, undone, place)
