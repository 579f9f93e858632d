"""`history`, and where the channels pointed at a time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.core.records import Record, decode, encode
from modelrepo.errors import IntegrityError, NotFoundError, RequestError
from modelrepo.fs import known


def now() -> datetime:
    time.sleep(0.01)
    return datetime.now(UTC)


def test_at_any_time_since_it_began_the_history_says_what_each_channel_named(filled: Repository) -> None:
    before = now()
    filled.promote("v1", reason="first")
    one = now()
    filled.promote("v2")
    filled.promote("v3", channel="canary")
    two = now()
    filled.rollback()
    filled.channel_remove("canary")
    three = now()
    assert filled.history_at(before).channels == {}
    assert filled.history_at(one).channels == {"latest": Version(1)}
    assert filled.history_at(two).channels == {"canary": Version(3), "latest": Version(2)}
    assert filled.history_at(three).channels == {"latest": Version(1)}
    (move,) = filled.history_at(one).moves
    assert (move.action, move.reason, move.channel) == ("promote", "first", "latest")
    assert filled.history_at(three).moves[0].action == "rollback"


def test_the_very_moment_of_a_move_counts(filled: Repository) -> None:
    filled.promote("v1")
    moment = filled.history(limit=1)[0].time
    assert filled.history_at(moment).channels == {"latest": Version(1)}
    assert filled.history_at(moment - timedelta(microseconds=1)).channels == {}


def test_a_move_by_hand_counts_from_the_time_of_its_link(filled: Repository) -> None:
    filled.promote("v1")
    os.symlink("v3", filled.root / "new")
    os.rename(filled.root / "new", filled.root / "latest")
    by_hand = now()
    filled.pin("v1")  # a writing command records it
    assert filled.history_at(by_hand).channels == {"latest": Version(3)}
    assert filled.history_at(by_hand).moves[0].action == "external"


def test_a_time_without_a_zone_is_utc(filled: Repository) -> None:
    filled.promote("v1")
    assert filled.history_at(now().replace(tzinfo=None)).channels == {"latest": Version(1)}


def test_neither_the_future_nor_the_time_before_the_history_is_known(filled: Repository) -> None:
    with pytest.raises(RequestError, match="future"):
        filled.history_at(now() + timedelta(hours=1))
    with pytest.raises(NotFoundError, match="begins later"):
        filled.history_at(now() - timedelta(days=1))


def test_a_damaged_journal_answers_nothing(filled: Repository) -> None:
    filled.promote("v1")
    journal = filled.root / ".modelrepo" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(IntegrityError):
        filled.history_at(now())


@pytest.fixture
def lived(filled: Repository) -> Repository:
    """Moves of two channels, long reasons, and what is no move."""
    for number in range(40):
        filled.promote(f"v{1 + number % 3}", channel="latest" if number % 5 else "canary", reason="r" * 4000)
    filled.pin("v1")
    return filled


@pytest.mark.parametrize("piece", [1, 700, 64 * 1024])
def test_the_last_entries_are_read_from_the_end_and_are_those_of_the_whole_history(
    lived: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(known, "_STEP_BYTES", piece)
    for channel in (None, "latest", "canary"):
        whole = lived.history(channel=channel)
        assert len(whole) > 7
        for limit in (1, 2, 7, len(whole) - 1, len(whole), len(whole) + 1, 1000):
            assert lived.history(channel=channel, limit=limit) == whole[:limit]
    layout.index.unlink()
    assert lived.history(limit=7) == lived.history()[:7]
    with pytest.raises(NotFoundError, match="there is no channel staging"):
        lived.history(channel="staging", limit=1)


def test_for_the_last_entries_no_more_of_the_journal_is_read_than_they_take(
    lived: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "_STEP_BYTES", 4096)
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    seen = []

    def noted(raw: bytes) -> Record:
        seen.append(raw)
        return decode(raw)

    monkeypatch.setattr(known, "decode", noted)
    assert len(lived.history(limit=3)) == 3
    assert 0 < len(seen) < 8 < len(lines)


def test_a_line_that_was_changed_before_the_last_entries_is_found_when_it_is_met(
    lived: Repository, layout: Layout
) -> None:
    """Also where the index says that nobody has touched the journal: each line carries the digest of the one before."""
    data = layout.journal.read_bytes()
    lines = data.splitlines(keepends=True)
    before = known.read(layout.journal, None)
    lines[-4] = encode(decode(lines[-4]).replaced(reason="x" * 4000))
    assert len(b"".join(lines)) == len(data)
    layout.journal.write_bytes(b"".join(lines))
    forged = before.replaced(stamp=known.stamp_of(layout.journal.stat()))
    known.save(forged, layout.index, layout.staging / "tmp-forged")
    assert lived.history(limit=1)[0].action == "pin"
    assert [entry.reason for entry in lived.history(limit=5)] == [entry.reason for entry in lived.history()[:5]]


def test_a_limit_beyond_all_that_can_be_counted_is_none(filled: Repository) -> None:
    filled.promote("v1")
    assert filled.history(limit=2**63) == filled.history()
    assert filled.cleanup(keep_last=2**63, dry_run=True).removed == ()
