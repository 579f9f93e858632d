"""`init --shared`, `--dedup` and `--allow-network-fs`: what a new repository's settings, modes and group are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelrepo.core.config import Config, config_text, parse_config
from modelrepo.core.layout import Layout
from modelrepo.errors import NotFoundError, SystemRefusedError
from modelrepo.fs import durable, machine


@dataclass(frozen=True, slots=True)
class Founding:
    """What a new repository shall be.

    Attributes:
        group: The number of the group whose members may write; None for its owner alone.
        network_fs: Whether it may lie on a file system that is not known to keep the promises.
        dedup: How a push stores what is stored already; None for the default.
    """

    group: int | None = None
    network_fs: bool = False
    dedup: str | None = None

    @property
    def text(self) -> str:
        """Its settings, as they are written."""
        more = {} if self.dedup is None else {"dedup": self.dedup}
        return config_text(shared=self.group is not None, network_fs=self.network_fs, **more)

    @property
    def config(self) -> Config:
        """Its settings."""
        return parse_config(self.text.encode(), "the settings of a new repository")

    def give(self, layout: Layout, path: Path, mode: int) -> None:
        """Let what an earlier, interrupted `init` may have made be as this one makes it."""
        status = os.stat(path, follow_symlinks=False)
        if status.st_mode & 0o7777 != mode or self.group not in {None, status.st_gid}:
            durable.set_mode(path, mode, self.group, top=layout.root)

    def differences(self, layout: Layout, config: Config) -> Iterator[str]:
        """What was asked for and is not so in a repository that is there already."""
        if self.group is not None and not config.access.shared:
            yield f"{layout.root} is not shared, and stays so; the README says how to share it"
        elif self.group is not None and (gid := os.stat(layout.root).st_gid) != self.group:
            yield f"{layout.root} is shared with the group {machine.group_name(gid)}, and stays so"
        if self.network_fs and not config.storage.network_fs:
            yield f"{layout.config} says network_fs = false, and stays so; edit it where that should change"
        if self.dedup not in {None, config.storage.dedup}:
            now = f'dedup = "{config.storage.dedup}"'
            yield f"{layout.config} says {now}, and stays so; edit it where that should change"


#: The owner's alone, on a disk of this machine.
ALONE = Founding()


def group_number(name: str) -> int:
    """The number of a group.

    Raises:
        NotFoundError: There is none of this name.
    """
    gid = machine.group_number(name)
    if gid is None:
        raise NotFoundError(
            f"there is no group {name!a} on this machine",
            kind="group-missing",
            expected="the name or number of a group",
            got=ascii(name),
            hint="`getent group` lists those there are; an administrator makes one with `groupadd GROUP` and adds its "
            "members with `usermod -aG GROUP USER`",
        )
    return gid


def require_member(gid: int) -> None:
    """Refuse to share with a group that one is not in: the system would not let its files be given away.

    Raises:
        SystemRefusedError: This user is no member, and not root.
    """
    if not machine.may_give_to(gid):
        name = machine.group_name(gid)
        raise SystemRefusedError(
            f"this user is not a member of the group {name}",
            kind="not-a-member",
            expected=f"a member of {name}, or root",
            got=machine.actor().user,
            hint=f"an administrator adds one with `usermod -aG {name} USER`, which counts from the next login on",
        )
