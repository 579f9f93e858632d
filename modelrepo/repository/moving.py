"""`promote` and `rollback`: moving a channel.

Read link and stack → intent → rename a new link over the old one, sync the root (commit) → view → outcome.
"""

from __future__ import annotations

import contextlib
import os

from modelrepo.core.layout import Layout
from modelrepo.core.records import Record
from modelrepo.core.refs import Ref
from modelrepo.errors import IntegrityError, UnconfirmedError, from_os, told
from modelrepo.fs import ballast, durable
from modelrepo.repository import snapshot as reading
from modelrepo.repository import views
from modelrepo.repository.results import MoveResult
from modelrepo.repository.routing import Move, Request, change_texts, plan_promote, plan_rollback
from modelrepo.repository.writing import Writer, writing

__all__ = ["Request", "execute", "promote", "rollback"]


def promote(layout: Layout, ref: Ref, request: Request, *, dry_run: bool, timeout: float | None) -> MoveResult:
    """Move a channel to a version."""
    if dry_run:
        snapshot = reading.take(layout)
        snapshot.require_journal()
        return plan_promote(snapshot, ref, request).result()
    with writing(layout, timeout) as writer:
        return execute(writer, plan_promote(writer.snapshot(), ref, request), request)


def rollback(
    layout: Layout, request: Request, *, steps: int, to: Ref | None, dry_run: bool, timeout: float | None
) -> MoveResult:
    """Move a channel back to where it was before."""
    if dry_run:
        snapshot = reading.take(layout)
        snapshot.require_journal()
        return plan_rollback(snapshot, request.channel, steps, to).result()
    with writing(layout, timeout) as writer:
        return execute(writer, plan_rollback(writer.snapshot(), request.channel, steps, to), request)


def execute(writer: Writer, move: Move, request: Request) -> MoveResult:
    """Carry out a move.

    Raises:
        UnconfirmedError: The link moved, and something after that is unfinished.
        SystemRefusedError: The link could not be moved; nothing changed.
    """
    if not move.changes:
        return _unchanged(writer, move)
    intent = writer.record(
        "intent",
        "promote" if move.steps is None else "rollback",
        channel=move.channel,
        origin=move.origin,
        to=move.to,
        steps=move.steps,
        breaking=change_texts(move.breaking or ()) or None,
        reason=request.reason,
    )
    link = writer.layout.channel(move.channel)
    try:
        writer.lock.check()
        ballast.with_room(writer.layout.ballast, lambda: durable.move_link(link, str(move.to), writer.temporary()))
    except IntegrityError:  # the lock is not ours any more: nothing was moved
        writer.give_up(intent)
        raise
    except OSError as error:
        if not link.is_symlink() or os.readlink(link) != str(move.to):
            writer.give_up(intent)
            raise from_os(error, f"move {move.channel}") from error
    return _finish(writer, intent, move)


def _unchanged(writer: Writer, move: Move) -> MoveResult:
    """The channel names the target already; its view must, too."""
    behind = writer.views_behind.get(move.channel)
    if behind is None:
        return move.result()
    durable_now = False
    with contextlib.suppress(OSError):
        writer.settle()
        durable_now = True
    raise UnconfirmedError(
        f"{move.channel} names {move.to} already, but its view does not: {told(behind, 'let it follow')}",
        durable=durable_now,
        view=False,
        recorded=durable_now,
        hint="mend the cause; the next writing command lets the view follow",
        partial=move.result(),
    )


def _finish(writer: Writer, intent: Record, move: Move) -> MoveResult:
    """What comes behind the commit: each step is tried, and what failed is said together."""
    durable_now, view, recorded, trouble = True, True, True, list[str]()
    try:
        durable.sync_directory(writer.layout.root)
    except OSError as error:
        durable_now = recorded = False  # the intent stays open: what the disk has, only the next look can tell
        trouble.append(told(error, "sync the link to the disk"))
    try:
        views.follow(writer, move.channel, move.to)
    except OSError as error:
        view = False
        trouble.append(told(error, "let the TensorFlow Serving view follow"))
    if durable_now:
        try:
            writer.close(intent, "done")
        except (OSError, IntegrityError) as error:
            recorded = False
            trouble.append(told(error, "write the outcome into the journal"))
    if trouble:
        raise UnconfirmedError(
            f"{move.channel} names {move.to} now, but " + "; ".join(trouble),
            durable=durable_now,
            view=view,
            recorded=recorded,
            hint="mend the cause; the next writing command completes it",
            partial=move.result(),
        )
    return move.result()
