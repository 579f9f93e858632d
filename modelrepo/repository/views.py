"""The views below `serving/`: one TensorFlow Serving base path per channel, which names the channel's target."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from modelrepo.core.layout import Layout, view_target
from modelrepo.core.refs import Version
from modelrepo.fs import ballast, durable
from modelrepo.fs.look import read_view


def follow(
    layout: Layout, channel: str, version: Version, temporary: Callable[[], Path], *, anew: bool = False
) -> None:
    """Let a channel's view name its target, and sync it.

    The view is never empty and never dangling: the new number is on the disk before the old one goes; a first view
    appears whole.

    Args:
        layout: Where.
        channel: Which channel.
        version: Its target.
        temporary: Gives fresh names in staging.
        anew: Sync the view also where it is right already: whoever made it may have failed to.
    """
    path = layout.view(channel)
    view = read_view(layout, channel)
    name = str(version.number)
    if view is None:
        _first(layout, path, name, version, temporary)
        return
    if not view.own:
        raise OSError(errno.ENOTDIR, "it is not a directory, and not modelrepo's", str(path))
    if version not in view.versions:
        ballast.with_room(layout.ballast, lambda: durable.add_link(path / name, view_target(version)))
        durable.sync_directory(path)
    stale = view.versions - {version}
    for old in stale:
        durable.remove_link(path / str(old.number))
    if stale or anew:
        durable.sync_directory(path)
    if anew:
        durable.sync_directory(path.parent)


def _first(layout: Layout, path: Path, name: str, version: Version, temporary: Callable[[], Path]) -> None:
    def build() -> None:
        staged = temporary()
        durable.make_directory(staged, 0o755)
        try:
            durable.add_link(staged / name, view_target(version))
            durable.sync_directory(staged)
            durable.rename_new(staged, path)
        except OSError:
            durable.delete_tree(staged)
            raise

    ballast.with_room(layout.ballast, build)
    durable.sync_directory(path.parent)


def drop(layout: Layout, channel: str, temporary: Callable[[], Path]) -> None:
    """Take a channel's view away by one rename, and sync that; it is fine if it is gone.

    Raises:
        OSError: Something that is not modelrepo's lies in it or in its place (`ENOTEMPTY`); nothing was changed.
    """
    path, view = layout.view(channel), read_view(layout, channel)
    if view is None:
        return
    if not view.own or view.others:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
    gone = temporary()
    durable.rename_new(path, gone)
    durable.sync_directory(path.parent)
    durable.delete_tree(gone)
