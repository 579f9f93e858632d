"""`channel remove` and `channel list`.

Removing: link and stack read → intent → link unlinked, root synced (commit) → view renamed away → outcome.
"""

from __future__ import annotations

import os

from modelrepo.core.layout import Layout
from modelrepo.core.refs import LATEST
from modelrepo.errors import IntegrityError, NotFoundError, RefusedError, UnconfirmedError, from_os, told
from modelrepo.fs import durable
from modelrepo.repository import routing, views
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import Channel, ChannelRemoval
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import writing


def channels(layout: Layout) -> tuple[Channel, ...]:
    """Every channel, its target, and where rollbacks would lead."""
    snapshot = reading.take(layout)
    return tuple(
        Channel(
            channel=channel,
            target=target,
            stack=tuple(snapshot.stack(channel)),
            rollback_to=snapshot.below(channel),
            base_path=str(layout.view(channel)) if _served(snapshot, channel) else None,
        )
        for channel, target in snapshot.channels.items()
    )


def _served(snapshot: Snapshot, channel: str) -> bool:
    view = snapshot.views.get(channel)
    return view is not None and bool(view.versions)


def remove(layout: Layout, channel: str, reason: str | None, timeout: float | None) -> ChannelRemoval:
    """Take a channel and its view away. What it named stays, protected by `grace` like any former target.

    Raises:
        NotFoundError: There is no such channel.
        RefusedError: It is `latest`, or something that is not modelrepo's has its name or lies in its view.
        UnconfirmedError: The link is gone, and something after that is unfinished.
    """
    if channel == LATEST:
        raise RefusedError(
            f"{LATEST} is never removed",
            kind="channel-needed",
            hint="commands mean it where no channel is named; `modelrepo promote REF` moves it",
        )
    with writing(layout, timeout) as writer:
        snapshot = writer.snapshot()
        origin = routing.origin_of(snapshot, channel)
        if channel not in snapshot.channels:
            known = ", ".join(snapshot.channels) or "none"
            raise NotFoundError(f"there is no channel {channel}", kind="channel-missing", got=f"channels: {known}")
        _require_own_view(snapshot, channel)
        intent = writer.record("intent", "channel-remove", channel=channel, origin=origin, reason=reason)
        link = layout.channel(channel)
        try:
            writer.lock.check()
            durable.remove_link(link)
        except IntegrityError:  # the lock is not ours any more: nothing was removed
            writer.give_up(intent)
            raise
        except OSError as error:
            if os.path.lexists(link):
                writer.give_up(intent)
                raise from_os(error, f"remove {channel}") from error
        result = ChannelRemoval(channel=channel, removed=True, origin=origin)
        durable_now, view, trouble = False, False, ""
        try:
            durable.sync_directory(layout.root)
            durable_now, trouble = True, "take its TensorFlow Serving view away"
            views.drop(writer, channel)
            view, trouble = True, "write the outcome into the journal"
            writer.close(intent, "done")
        except (OSError, IntegrityError) as error:
            raise UnconfirmedError(
                f"{channel} is gone, but {told(error, trouble or 'sync that to the disk')}",
                durable=durable_now,
                view=view,
                recorded=False,
                hint="mend the cause; the next writing command completes it",
                partial=result,
            ) from error
        return result


def _require_own_view(snapshot: Snapshot, channel: str) -> None:
    view = snapshot.views.get(channel)
    if view is None or (view.own and not view.others):
        return
    path = snapshot.layout.view(channel)
    raise RefusedError(
        f"{path} holds what is not modelrepo's",
        kind="view-taken",
        expected="a directory with links that modelrepo made",
        got=", ".join(ascii(name)[1:-1] for name in view.others) or "something else in its place",
        hint="move that away first; nothing was changed",
    )
