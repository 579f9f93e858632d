"""`history`, and where the channels pointed at a time."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from modelrepo import Repository, Version
from modelrepo.errors import IntegrityError, NotFoundError, RequestError


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
