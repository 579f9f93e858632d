"""What a cleanup would do: retention's scene, with leases and processes, and the plan that follows. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from modelrepo.core.config import Retention
from modelrepo.core.refs import Version
from modelrepo.core.retention import IN_USE, LEASED, UNREADABLE, Decision, Scene, decide
from modelrepo.errors import IntegrityError
from modelrepo.fs import locks, machine
from modelrepo.fs.inuse import in_use
from modelrepo.repository.results import Kept
from modelrepo.repository.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Plan:
    """What cleanup would do.

    Attributes:
        decisions: One per version, highest number first.
        unseen: Processes that could not be looked at.
    """

    decisions: tuple[Decision, ...]
    unseen: int

    @property
    def going(self) -> tuple[Version, ...]:
        """What goes, oldest first."""
        return tuple(decision.version for decision in reversed(self.decisions) if not decision.keep)

    def kept(self, besides: Iterable[Version] = ()) -> tuple[Kept, ...]:
        """What stays, and why."""
        gone = set(besides)
        return tuple(
            Kept(version=decision.version, reasons=decision.reasons)
            for decision in self.decisions
            if decision.keep and decision.version not in gone
        )


def scene(snapshot: Snapshot) -> Scene:
    """What retention looks at, without leases and processes."""
    return Scene(
        state=snapshot.state,
        present=snapshot.present,
        stacks={channel: snapshot.stack(channel) for channel in snapshot.channels},
        links={
            name: link.into
            for name, link in sorted(snapshot.tree.links.items())
            if link.into is not None and not (link.is_channel and link.into == snapshot.channels.get(name))
        },
        views={name: view.versions | view.into for name, view in sorted(snapshot.views.items())},
        now=machine.now(),
    )


def plan(snapshot: Snapshot, rules: Retention, only: frozenset[Version] | None = None) -> Plan:
    """Propose what goes.

    Args:
        snapshot: The repository.
        rules: What to keep.
        only: Look only at these for leases and processes; None for all.
    """
    require_consistent(snapshot)
    asked = snapshot.present if only is None else snapshot.present & only
    directories = {version: snapshot.layout.version(version) for version in asked}
    use = in_use(directories)
    busy: dict[Version, tuple[str, ...]] = {}
    for version, directory in directories.items():
        reasons = [IN_USE] if version in use.by else []
        busy[version] = (*reasons, *_held(directory))
    return Plan(decide(replace(scene(snapshot), busy=busy), rules), use.unseen)


def _held(directory: Path) -> tuple[str, ...]:
    """Whether somebody holds it, or nobody can say.

    To know, it is held exclusively for a moment; a lease that comes in that moment tries again.
    """
    try:
        hold = locks.take(directory, exclusive=True)
    except FileNotFoundError:
        return ()
    except PermissionError:
        return (UNREADABLE,)
    if hold is None:
        return (LEASED,)
    hold.close()
    return ()


def would_free(snapshot: Snapshot) -> int:
    """Bytes that a cleanup by the repository's own rules would free; 0 where it would refuse."""
    try:
        going = plan(snapshot, snapshot.config.retention).going
    except IntegrityError:
        return 0
    return sum(snapshot.state.stored[version].size for version in going)


def require_consistent(snapshot: Snapshot) -> None:
    """Refuse to delete anything where it is not certain what is needed.

    Raises:
        IntegrityError: The journal is damaged, or a channel names no version.
    """
    snapshot.require_journal()
    for channel, target in snapshot.channels.items():
        if target is None:
            link = snapshot.tree.links.get(channel)
            raise IntegrityError(
                f"nothing is deleted: channel {channel} names no version",
                kind="channel-dangling",
                expected="a link to a version",
                got=ascii(link.text) if link else "no link",
                hint=f"`modelrepo promote REF --channel {channel}` points it at a version",
            )
