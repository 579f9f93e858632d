"""`history`, and where the channels pointed at a time: what the journal says."""

from __future__ import annotations

from datetime import UTC, datetime

from modelrepo.core.history import moves_at
from modelrepo.core.layout import Layout
from modelrepo.core.records import Record
from modelrepo.core.values import format_time
from modelrepo.errors import NotFoundError, RequestError
from modelrepo.fs import machine
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import HistoryAt, HistoryEntry


def history(layout: Layout, channel: str | None, limit: int | None) -> tuple[HistoryEntry, ...]:
    """The journal's outcomes, the latest first.

    Raises:
        IntegrityError: The journal is damaged.
    """
    snapshot = reading.take(layout, whole=True, lines=True)
    snapshot.require_journal()
    entries: list[HistoryEntry] = []
    for line in reversed(snapshot.parsed.lines):
        record = line.record
        if record.phase != "done" or (channel is not None and record.channel != channel):
            continue
        if limit is not None and len(entries) >= limit:
            break
        entries.append(_entry(record))
    if channel is not None and not entries and channel not in snapshot.channels:
        known = ", ".join(snapshot.channels) or "none"
        raise NotFoundError(f"there is no channel {channel}", kind="channel-missing", got=f"channels: {known}")
    return tuple(entries)


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
