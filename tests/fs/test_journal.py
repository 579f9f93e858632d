"""The journal on the disk: appending, torn ends, a full disk."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelrepo.core.moment import Moment
from modelrepo.core.records import Chain, Parsed, Record, chain_damage, encode
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor
from modelrepo.errors import IntegrityError
from modelrepo.fs import ballast, known, native
from modelrepo.fs.journal import Journal

NOW = Moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "boot", 1.0)
ACTOR = Actor(user="ada", uid=1000, host="host")


def read_journal(path: Path) -> Parsed:
    return known.read(path, None).parsed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of one record beside a full ballast."""
    chain = Chain(NOW, ACTOR)
    chain.add(phase="start")
    (tmp_path / "journal.jsonl").write_bytes(chain.data)
    ballast.replenish(tmp_path / "ballast")
    return tmp_path / "journal.jsonl"


def opened(path: Path) -> Journal:
    return Journal(path, path.parent / "ballast", read_journal(path))


def record(journal: Journal, phase: str = "done", **fields: Any) -> Record:
    values = {"action": "promote", "channel": "latest", "to": Version(1), **fields}
    return Record(
        seq=journal.next_seq, time=NOW.time, boot="boot", uptime=1.0, actor=ACTOR, prev=journal.head,
        **{"phase": phase, **values},
    )  # fmt: skip


def test_appended_records_are_read_back_whole_and_chained(path: Path) -> None:
    journal = opened(path)
    appended = [journal.append(record(journal, reason=f"{number}")).record for number in range(20)]
    parsed = read_journal(path)
    assert [line.record for line in parsed.lines[1:]] == appended
    assert chain_damage(parsed.lines) is None
    assert (parsed.torn, parsed.damage) == (0, None)
    assert opened(path).next_seq == journal.next_seq == 22
    assert opened(path).head == journal.head


def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bytes]]:
    """What is written from now on: offsets and bytes."""
    writes: list[tuple[int, bytes]] = []
    pwrite = os.pwrite

    def seen(descriptor: int, data: memoryview, offset: int) -> int:
        writes.append((offset, bytes(data)))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", seen)
    return writes


def test_an_append_writes_again_from_the_last_closed_record_with_the_same_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(path)
    journal.append(record(journal))
    journal.append(record(journal, "intent"))
    lines = [line.raw for line in read_journal(path).lines]
    writes = written(monkeypatch)
    journal.append(record(journal, intent=3))
    last = read_journal(path).lines[-1].raw
    assert writes == [(len(lines[0]), lines[1] + lines[2] + last)]
    journal.append(record(journal))
    assert writes[1] == (len(b"".join(lines)), last + read_journal(path).lines[-1].raw)


def test_a_record_that_a_late_failure_took_is_there_again_after_the_next_append(path: Path) -> None:
    """The disk lost the last record's block behind the back of a later command that had read it already."""
    journal = opened(path)
    journal.append(record(journal, reason="lost"))
    later = opened(path)
    whole = path.read_bytes()
    start = len(read_journal(path).lines[0].raw)
    path.write_bytes(whole[:start] + b"\0" * (len(whole) - start))
    later.append(record(later))
    parsed = read_journal(path)
    assert [line.record.reason for line in parsed.lines] == [None, "lost", None]
    assert chain_damage(parsed.lines) is None


@pytest.mark.parametrize("tail", [b'{"seq":2,"ti', b"\0" * 5000, b"x" * 100_000])
def test_an_unfinished_end_is_cut_off_before_anything_is_appended(path: Path, tail: bytes) -> None:
    whole = path.read_bytes()
    with open(path, "ab") as file:
        file.write(tail)
    journal = opened(path)
    journal.trim()
    assert path.read_bytes() == whole
    raw = encode(journal.append(record(journal)).record)
    assert path.read_bytes() == whole + raw


def test_a_journal_without_an_unfinished_end_is_not_touched_by_a_trim(path: Path) -> None:
    before = known.stamp_of(path.stat())
    opened(path).trim()
    assert known.stamp_of(path.stat()) == before


@pytest.mark.parametrize("torn", [b"", b"torn"])
def test_what_somebody_else_wrote_meanwhile_is_never_written_over(path: Path, torn: bytes) -> None:
    with open(path, "ab") as file:
        file.write(torn)
    journal, other = opened(path), opened(path)
    other.trim()
    other.append(record(other, reason="theirs"))
    before = path.read_bytes()
    with pytest.raises(IntegrityError) as caught:
        journal.append(record(journal, reason="ours"))
    assert caught.value.kind == "journal-changed"
    if torn:
        with pytest.raises(IntegrityError):
            journal.trim()
    assert path.read_bytes() == before


def test_after_an_append_that_failed_a_shorter_one_leaves_no_damage_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(path)

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="injected"):
            journal.append(record(journal, reason="x" * 1000))
    journal.append(record(journal, reason="short"))
    parsed = read_journal(path)
    assert [line.record.reason for line in parsed.lines] == [None, "short"]
    assert parsed.damage is None


def held(path: Path) -> int:
    """How many pieces of ballast hold their room."""
    return sum(file.stat().st_size == ballast.PIECE_BYTES for file in (path.parent / "ballast").iterdir())


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_met_with_one_piece_of_ballast(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    journal = opened(path)
    real = getattr(os, call)
    failures = [OSError(number, "injected")]

    def fail_once(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments)

    monkeypatch.setattr(os, call, fail_once)
    journal.append(record(journal, reason="in spite of it"))
    assert read_journal(path).lines[-1].record.reason == "in spite of it"
    assert held(path) == ballast.PIECES - 1


def test_a_disk_that_stays_full_takes_all_the_ballast_and_then_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(path)
    before = path.read_bytes()

    def fail(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OSError, match="injected"):
        journal.append(record(journal))
    assert held(path) == 0
    assert path.read_bytes() == before
    assert journal.next_seq == 2


def test_a_failed_sync_gives_up_no_ballast_and_leaves_no_line_to_be_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="injected"):
            journal.append(record(journal))
    assert held(path) == ballast.PIECES
    assert path.read_bytes() == before
    assert not journal.is_whole, "that the line is gone was not confirmed by the disk either"


def test_the_next_writer_writes_the_last_closed_record_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sync may have failed late, in a process that is gone."""
    journal = opened(path)
    journal.append(record(journal, "intent", reason="first"))
    journal.append(record(journal, intent=2))
    lines = [line.raw for line in read_journal(path).lines]
    writes = written(monkeypatch)
    opened(path).rewrite()
    assert writes[0][1] == lines[-1]
    later = opened(path)
    later.append(record(later))
    assert writes[1][1].startswith(lines[-1])


def test_preallocation_reserves_blocks_and_does_not_change_the_length(path: Path) -> None:
    if not native.preallocate(os.open(path, os.O_WRONLY), 4096):
        pytest.skip("no fallocate on this file system")
    journal = opened(path)
    journal.append(record(journal))
    status = path.stat()
    assert status.st_size == sum(len(line.raw) for line in read_journal(path).lines)
    assert status.st_blocks * 512 >= status.st_size + 64 * 1024


def test_many_appends_never_run_out_of_reserved_blocks(path: Path) -> None:
    journal = opened(path)
    journal.append(record(journal))
    if path.stat().st_blocks * 512 < 64 * 1024:
        pytest.skip("no fallocate on this file system")
    for _ in range(40):
        blocks = path.stat().st_blocks * 512
        size = path.stat().st_size
        journal.append(record(journal, reason="x" * 4096))
        assert path.stat().st_size <= blocks, "an append stood outside the blocks that were reserved before it"
        assert path.stat().st_size > size


def test_an_append_follows_no_link_in_the_journals_place(path: Path) -> None:
    journal = opened(path)
    elsewhere = path.rename(path.with_name("elsewhere"))
    before = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        journal.append(record(journal))
    with pytest.raises(OSError, match="symbolic links"):
        read_journal(path)
    assert elsewhere.read_bytes() == before


def test_a_journal_that_is_missing_or_a_pipe_is_an_error_and_no_wait(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_journal(tmp_path / "journal.jsonl")
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(OSError, match="not a regular file"):
        read_journal(tmp_path / "journal.jsonl")
