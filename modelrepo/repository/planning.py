"""What a cleanup would do: retention's scene, with leases and processes, and the plan that follows. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from modelrepo.core.config import Retention
from modelrepo.core.refs import Version
from modelrepo.core.retention import IN_USE, LEASED, UNREADABLE, Decision, Scene, decide
from modelrepo.errors import IntegrityError, RefusedError
from modelrepo.fs import locks, machine
from modelrepo.fs.inuse import in_use
from modelrepo.repository.results import Kept
from modelrepo.repository.snapshot import Snapshot

#: What a reader on another host has, at least, behind a move of the channel that it resolved.
_NETWORK_GRACE = timedelta(hours=24)


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


def retention(snapshot: Snapshot, rules: Mapping[str, object]) -> Retention:
    """What to keep: the settings, and what somebody asked for instead.

    Raises:
        RefusedError: On a network file system nobody sees who else reads a version; only time protects its readers.
    """
    found = snapshot.config.retention.model_copy(update=rules)
    if snapshot.config.storage.network_fs and found.grace < _NETWORK_GRACE:
        raise RefusedError(
            "nothing is deleted: a grace of less than 24h is refused on a network file system, where leases and "
            "processes of other hosts are not seen",
            kind="grace-too-short",
            expected="at least 24h",
            got=f"{found.grace.total_seconds():g}s",
            hint="give a --grace, or a `grace` under [retention] in config.toml, of 24h or more",
        )
    return found


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
        going = plan(snapshot, retention(snapshot, {})).going
    except (IntegrityError, RefusedError):
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
