"""What a cleanup would do: retention's scene, with leases and processes, and the plan that follows. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from modelrepo.core.config import Retention
from modelrepo.core.refs import Version
from modelrepo.core.retention import IN_USE, LEASED, UNREADABLE, Decision, Scene, decide
from modelrepo.errors import IntegrityError, RefusedError
from modelrepo.fs import locks, machine
from modelrepo.fs.inuse import in_use
from modelrepo.fs.processes import named
from modelrepo.repository import sizing
from modelrepo.repository.results import Kept
from modelrepo.repository.snapshot import Snapshot

#: Why a version must not go, and who holds it, by name.
Holders = tuple[tuple[str, ...], tuple[str, ...]]
#: What a reader on another host has, at least, behind a move of the channel that it resolved.
_NETWORK_GRACE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Plan:
    """What cleanup would do.

    Attributes:
        decisions: One per version, highest number first.
        unseen: Processes that could not be looked at.
        by: Who holds a version, by name; versions that nobody holds may be missing.
    """

    decisions: tuple[Decision, ...]
    unseen: int
    by: Mapping[Version, tuple[str, ...]] = field(default_factory=dict)

    @property
    def going(self) -> tuple[Version, ...]:
        """What goes, oldest first."""
        return tuple(decision.version for decision in reversed(self.decisions) if not decision.keep)

    def kept(self, besides: Iterable[Version] = ()) -> tuple[Kept, ...]:
        """What stays, and why."""
        gone = set(besides)
        return tuple(
            Kept(version=decision.version, reasons=decision.reasons, by=self.by.get(decision.version, ()))
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
    found = snapshot.config.retention.replaced(**rules)
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
        only: Decide only about these; None for all.
    """
    require_consistent(snapshot)
    asked = snapshot.present if only is None else snapshot.present & only
    held, unseen = _holders(snapshot, asked)
    busy = {version: reasons for version, (reasons, _) in held.items()}
    by = {version: names for version, (_, names) in held.items()}
    return Plan(decide(replace(scene(snapshot), busy=busy), rules, only), unseen, by)


def holders(snapshot: Snapshot, version: Version) -> Holders:
    """Who holds a version against its deletion.

    Args:
        snapshot: The repository.
        version: One that is present.

    Returns:
        The reasons: `in-use`, `leased`, or `unreadable` where nobody may look; none where it may go. And who has it in
        use or leased, such as `process 123 (python3 serve.py)`: at least one name where one of these two is a reason.
    """
    return _holders(snapshot, {version})[0][version]


def _holders(snapshot: Snapshot, asked: Collection[Version]) -> tuple[dict[Version, Holders], int]:
    """Who holds each of some versions, and how many processes could not be looked at."""
    directories = _Directories(snapshot)
    use = in_use(directories, asked)
    names = {process: named(process) for processes in use.by.values() for process in processes}
    held: dict[Version, Holders] = {}
    for version in asked:
        users = [names[process] for process in use.by.get(version, ())]
        reasons, leasers = _lease(directories[version])
        held[version] = ((*((IN_USE,) if users else ()), *reasons), tuple(dict.fromkeys((*leasers, *users))))
    return held, use.unseen


class _Directories(Mapping[Version, str]):
    """Where the versions are, each said when asked: of ten thousand, a decision about one asks for few."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __getitem__(self, version: Version) -> str:
        if version not in self._snapshot.present:
            raise KeyError(version)
        return self._snapshot.layout.place(version)

    def __iter__(self) -> Iterator[Version]:
        return iter(self._snapshot.present)

    def __len__(self) -> int:
        return len(self._snapshot.present)


def _lease(directory: str) -> Holders:
    """Whether somebody leases a version, or nobody can say.

    To know, it is held exclusively for a moment; a lease that comes in that moment tries again.
    """
    try:
        hold = locks.take(directory, exclusive=True)
    except FileNotFoundError:
        return (), ()
    except PermissionError:
        return (UNREADABLE,), ()
    if hold is None:
        return (LEASED,), leasers(directory)
    hold.close()
    return (), ()


def leasers(directory: Path | str) -> tuple[str, ...]:
    """Who leases a version, by name. Somebody does: one whom the system does not name is said to be unseen."""
    return tuple(locks.holders(directory)) or (locks.UNSEEN_HOLDER,)


def would_free(snapshot: Snapshot) -> int:
    """Bytes that a cleanup by the repository's own rules would free, if nobody held a version; 0 if it would refuse."""
    try:
        require_consistent(snapshot)
        decisions = decide(scene(snapshot), retention(snapshot, {}))
    except (IntegrityError, RefusedError):
        return 0
    return sizing.would_free(snapshot, (decision.version for decision in decisions if not decision.keep))


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
