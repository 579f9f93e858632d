"""`history`, and where the channels pointed at a time: what the journal says."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import chain, islice

from modelrepo.core.history import moves_at
from modelrepo.core.layout import Layout
from modelrepo.core.records import Record
from modelrepo.core.values import format_time
from modelrepo.errors import NotFoundError, RequestError
from modelrepo.fs import known, machine
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import HistoryAt, HistoryEntry
from modelrepo.repository.snapshot import Snapshot


def history(layout: Layout, channel: str | None, limit: int | None) -> tuple[HistoryEntry, ...]:
    """The journal's outcomes, the latest first.

    Raises:
        IntegrityError: The journal is damaged; with a limit, maybe only where that much of it is.
    """
    snapshot = reading.take(layout, whole=limit is None, lines=True)
    try:
        entries = _entries(snapshot, channel, limit)
    except ValueError:  # the journal was begun anew meanwhile, or is damaged: who reads it whole says so
        snapshot = reading.take(layout, whole=True, lines=True)
        entries = _entries(snapshot, channel, limit)
    if channel is not None and not entries and channel not in snapshot.channels:
        there = ", ".join(snapshot.channels) or "none"
        raise NotFoundError(f"there is no channel {channel}", kind="channel-missing", got=f"channels: {there}")
    return tuple(entries)


def _entries(snapshot: Snapshot, channel: str | None, limit: int | None) -> list[HistoryEntry]:
    """The last outcomes. Of a journal whose end is known, no more is read than they take.

    Raises:
        ValueError: What stands before that end does not fit it.
    """
    snapshot.require_journal()
    lines = snapshot.parsed.lines
    behind = (line.record for line in chain(reversed(lines), known.before(snapshot.layout.journal, lines[0])))
    done = (record for record in behind if record.phase == "done" and channel in {None, record.channel})
    return [_entry(record) for record in islice(done, None if limit is None else min(limit, sys.maxsize))]


def _entry(record: Record) -> HistoryEntry:
    return HistoryEntry(
        seq=record.seq,
        time=record.time,
        actor=record.actor,
        action=record.action or "",
        channel=record.channel,
        origin=record.origin,
        to=record.to,
        version=record.version,
        reason=record.reason,
        breaking=record.breaking,
        allowed_ops=record.allowed_ops,
        recorded_by=record.recorded_by,
        labels=record.labels,
        metrics=record.metrics,
        message=record.message,
        unset=record.unset,
    )


def at(layout: Layout, time: datetime) -> HistoryAt:
    """Where the channels pointed at a time, as the journal says.

    A move that somebody made by hand counts from the time that the link carries.

    Raises:
        RequestError: It lies in the future.
        NotFoundError: It lies before the history begins.
        IntegrityError: The journal is damaged.
    """
    now = machine.now().time
    if time > now:
        raise RequestError(
            "the future is not known yet",
            kind="time-future",
            expected=f"a time before {format_time(now)}",
            got=format_time(time),
        )
    snapshot = reading.take(layout, whole=True, lines=True)
    snapshot.require_journal()
    records = [line.record for line in snapshot.parsed.lines]
    begin = min(record.time for record in records)
    if time < begin:
        raise NotFoundError(
            f"the history of {layout.root} begins later",
            kind="time-before-history",
            expected=f"{format_time(begin)} or later",
            got=format_time(time),
        )
    moves = moves_at(records, time)
    return HistoryAt(
        at=time.astimezone(UTC),
        channels={channel: record.to for channel, record in moves.items() if record.to is not None},
        moves=tuple(_entry(record) for record in moves.values()),
    )
