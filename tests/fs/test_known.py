"""The journal, read with the help of an index: whatever has become of either, the answer is the journal's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelrepo.core.moment import Moment
from modelrepo.core.records import Chain, parse_journal
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor
from modelrepo.fs import known
from modelrepo.fs.known import Known

NOW = Moment(datetime(2026, 1, 1, tzinfo=UTC), "boot", 1.0)
TARGETS = (1, 2, 3, 1, 2, 3, 2, 1)


def lines(targets: tuple[int, ...] = TARGETS, *, close: bool = True) -> list[bytes]:
    """The lines of a journal with a push of each number and promotes of some; the last one may be left open."""
    chain = Chain(NOW, Actor(user="ada", uid=1, host="host"))
    chain.add(phase="start")
    for number in (1, 2, 3):
        chain.add(action="push", version=Version(number), digest="d", manifest_digest="m", size=number, files=1)
    for target in targets:
        chain.add(phase="intent", action="promote", channel="latest", to=Version(target))
        chain.add(action="promote", channel="latest", to=Version(target), intent=chain.data.count(b"\n"))
    raw = chain.data.splitlines(keepends=True)
    return raw if close else raw[:-1]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines()))
    return path


@pytest.fixture
def index(journal: Path) -> Path:
    """Its index, as a writer leaves it."""
    path = journal.with_name("index")
    known.save(known.read(journal, None), path, journal.with_name("temporary"))
    return path


def told(found: Known) -> tuple[object, ...]:
    """What was found, every fact read, and how it goes on."""
    state = found.state
    facts = (dict(state.stored), dict(state.left), dict(state.stacks), state.open, state.size, state.highest)
    return (*facts, found.mark, found.parsed.end, found.parsed.torn, found.parsed.damage)


def test_an_index_spares_all_but_the_last_line_and_says_the_same(journal: Path, index: Path) -> None:
    found, whole = known.read(journal, index), known.read(journal, None)
    assert [line.record.seq for line in found.parsed.lines] == [20]
    assert found.is_indexed
    assert not whole.is_indexed
    assert told(found) == told(whole)
    assert found.stamp == whole.stamp


@pytest.mark.parametrize("close", [True, False])
def test_what_was_appended_since_is_followed(journal: Path, index: Path, *, close: bool) -> None:
    """As an older program appends, or one that was killed before it wrote the index."""
    with journal.open("ab") as file:
        file.write(b"".join(lines((*TARGETS, 3, 2), close=close)[20:]))
    found = known.read(journal, index)
    assert len(found.parsed.lines) == (5 if close else 4), "the last line that the index knows, and those behind it"
    assert not found.is_indexed
    assert told(found) == told(known.read(journal, None))
    assert (found.state.open is None) == close


def _edited(journal: Path) -> None:
    """A byte in the middle, with the size and the times as they were."""
    status = journal.stat()
    data = journal.read_bytes()
    place = data.index(b'"size":2')
    with journal.open("r+b") as file:
        file.seek(place)
        file.write(b'"size":9')
    os.utime(journal, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replaced(journal: Path) -> None:
    """Another history of the same length, as `verify --repair` or a backup puts it there."""
    other = journal.with_name("other")
    other.write_bytes(b"".join(lines((1, 2, 1, 2, 1, 2, 1, 3))))
    other.rename(journal)


def _cut(journal: Path) -> None:
    """The end is lost: a power cut let the index get ahead of the journal."""
    journal.write_bytes(b"".join(lines()[:-3]))


def _torn(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"seq":21,"time":')


def _damaged_behind(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"seq":21}\n')


def _unchained(journal: Path) -> None:
    """What follows belongs to another history."""
    with journal.open("ab") as file:
        file.write(b"".join(lines((2, 1, 2, 1, 2, 1, 2, 3, 1))[20:]))


def _copied(journal: Path) -> None:
    """As a backup brings the whole directory back: the same bytes in other files."""
    shutil.copyfile(journal, journal.with_name("copy"))
    journal.with_name("copy").rename(journal)


@pytest.mark.parametrize(
    "change",
    [_edited, _replaced, _cut, _torn, _damaged_behind, _unchained, _copied],
    ids=lambda change: change.__name__,
)
def test_whatever_became_of_the_journal_it_is_read_as_it_is(
    journal: Path, index: Path, change: Callable[[Path], None]
) -> None:
    change(journal)
    assert told(known.read(journal, index)) == told(known.read(journal, None))


@pytest.mark.parametrize(
    "change",
    [_edited, _replaced, _cut, _torn, _damaged_behind, _unchained, _copied],
    ids=lambda change: change.__name__,
)
def test_what_a_process_remembers_of_a_journal_is_followed_or_forgotten(
    journal: Path, change: Callable[[Path], None]
) -> None:
    before = known.read(journal, None)
    assert known.follow(before, journal) is before
    change(journal)
    after = known.follow(before, journal)
    assert told(after) == told(known.read(journal, None))
    assert [line.raw for line in after.parsed.lines] == [line.raw for line in parse_journal(journal.read_bytes()).lines]


def test_only_a_copy_with_the_same_bytes_goes_on_with_the_index(journal: Path, index: Path) -> None:
    _copied(journal)
    assert len(known.read(journal, index).parsed.lines) == 1
    _edited(journal)
    assert len(known.read(journal, index).parsed.lines) != 1


@pytest.mark.parametrize("size", [0, 1, 100, 500])
@pytest.mark.parametrize("rest", [b"", b"\0" * 4096])
def test_a_torn_index_is_none(journal: Path, index: Path, size: int, rest: bytes) -> None:
    index.chmod(0o644)
    index.write_bytes(index.read_bytes()[:size] + rest)
    found = known.read(journal, index)
    assert len(found.parsed.lines) == 20
    assert told(found) == told(known.read(journal, None))


@pytest.mark.parametrize("kind", ["missing", "directory", "link", "pipe"])
def test_what_is_no_file_is_no_index(journal: Path, index: Path, kind: str) -> None:
    index.rename(index.with_name("moved"))
    if kind == "directory":
        index.mkdir()
    elif kind == "link":
        index.symlink_to("moved")
    elif kind == "pipe":
        os.mkfifo(index)
    assert len(known.read(journal, index).parsed.lines) == 20


def test_an_index_is_written_only_behind_a_whole_line_that_leaves_nothing_open(journal: Path) -> None:
    temporary, index = journal.with_name("temporary"), journal.with_name("index")
    for data in (b"".join(lines(close=False)), b"".join(lines()) + b"{", b"".join(lines()) + b"{}\n", b""):
        journal.write_bytes(data)
        known.save(known.read(journal, None), index, temporary)
        assert not index.exists()
        assert not temporary.exists()


def test_facts_can_be_read_after_the_journal_was_replaced(journal: Path, index: Path) -> None:
    """A look is of one moment: its lines are those of the file that was opened."""
    found = known.read(journal, index)
    _replaced(journal)
    assert found.state.stored[Version(3)].size == 3
    assert found.state.left[Version(3)].boot == "boot"


@pytest.mark.parametrize("change", [lambda _: None, _edited, _cut, _torn, _damaged_behind, _unchained])
@pytest.mark.parametrize("size", [100, 700, 5000])
def test_the_sum_alone_is_the_same_and_keeps_the_end_that_an_append_writes_again(
    journal: Path, change: Callable[[Path], None], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(journal)
    monkeypatch.setattr(known, "_PIECE_BYTES", size)
    found, whole = known.read_sum(journal), known.read(journal, None)
    assert told(found) == told(whole)
    assert any(line.record.phase != "intent" for line in found.parsed.lines)
    assert found.parsed.lines == whole.parsed.lines[-len(found.parsed.lines) :]
    if size == 700 and change is not _edited:
        assert len(found.parsed.lines) < 8


def test_damage_in_the_middle_is_told_by_the_sum_too(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_PIECE_BYTES", 700)
    _edited(journal)
    damage = known.read_sum(journal).parsed.damage
    assert damage == known.read(journal, None).parsed.damage
    assert damage is not None
    assert damage.number == 3


def test_long_lines_are_found(tmp_path: Path) -> None:
    chain = Chain(NOW, Actor(user="ada", uid=1, host="host"))
    chain.add(phase="start")
    chain.add(action="pin", version=Version(1), reason="why " * 20_000)
    chain.add(action="unpin", version=Version(2))
    journal, index = tmp_path / "journal", tmp_path / "index"
    journal.write_bytes(chain.data)
    known.save(known.read(journal, None), index, tmp_path / "temporary")
    found = known.read(journal, index)
    assert len(found.parsed.lines) == 1
    assert found.state.pins[Version(1)].reason == "why " * 20_000
