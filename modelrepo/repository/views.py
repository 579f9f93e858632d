"""The views below `serving/`: one TensorFlow Serving base path per channel, which names the channel's target."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Protocol

from modelrepo.core.layout import Layout, view_target
from modelrepo.core.modes import Modes
from modelrepo.core.refs import Version
from modelrepo.fs import ballast, deletion, durable
from modelrepo.fs.look import read_view


class Place(Protocol):
    """What a writer gives: the repository's paths and modes, and fresh names in staging."""

    @property
    def layout(self) -> Layout:
        """Where."""

    @property
    def modes(self) -> Modes:
        """The modes of what is made."""

    def temporary(self) -> Path:
        """A fresh name in staging."""


def follow(writer: Place, channel: str, version: Version, *, anew: bool = False) -> None:
    """Let a channel's view name its target, and sync it.

    The view is never empty and never dangling: the new number is on the disk before the old one goes; a first view
    appears whole.

    Args:
        writer: Who holds the lock.
        channel: Which channel.
        version: Its target.
        anew: Sync the view also where it is right already: whoever made it may have failed to.
    """
    layout = writer.layout
    path = layout.view(channel)
    view = read_view(layout, channel)
    name = str(version.number)
    if view is None:
        _first(writer, path, name, version)
        return
    if not view.own:
        raise OSError(errno.ENOTDIR, "it is not a directory, and not modelrepo's", str(path))
    if version not in view.versions:
        ballast.with_room(layout.ballast, lambda: durable.add_link(path / name, view_target(version)))
    stale = view.versions - {version}
    if stale or version not in view.versions:  # whoever added it may have been killed before he synced it
        durable.sync_directory(path)
    for old in stale:
        durable.remove_link(path / str(old.number))
    if stale or anew:
        durable.sync_directory(path)
    if anew:
        durable.sync_directory(path.parent)


def _first(writer: Place, path: Path, name: str, version: Version) -> None:
    def build() -> None:
        staged = writer.temporary()
        durable.make_directory(staged, writer.modes.directory)
        try:
            durable.add_link(staged / name, view_target(version))
            durable.sync_directory(staged)
            durable.rename_new(staged, path)
        except OSError:
            deletion.delete_tree(staged, top=writer.layout.root)
            raise

    ballast.with_room(writer.layout.ballast, build)
    durable.sync_directory(path.parent)


def drop(writer: Place, channel: str) -> None:
    """Take a channel's view away by one rename, and sync that; it is fine if it is gone.

    Raises:
        OSError: Something that is not modelrepo's lies in it or in its place (`ENOTEMPTY`); nothing was changed.
    """
    path, view = writer.layout.view(channel), read_view(writer.layout, channel)
    if view is None:
        return
    if not view.own or view.others:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
    gone = writer.temporary()
    durable.rename_new(path, gone)
    durable.sync_directory(path.parent)
    deletion.delete_tree(gone, top=writer.layout.root)
