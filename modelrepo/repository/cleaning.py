"""`cleanup`: deleting what retention lets go, and what crashed commands left behind. Fit for cron.

A plan is a proposal. Each version is decided about again under the lock, held exclusively, renamed into the trash
(commit); only then, without the lock, its bytes are deleted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelrepo.core.config import Retention
from modelrepo.core.layout import Layout
from modelrepo.core.refs import Version
from modelrepo.core.retention import IN_USE, LEASED, Decision, Scene, decide
from modelrepo.errors import IntegrityError, ModelRepoError, SystemRefusedError, UnconfirmedError, from_os
from modelrepo.fs import ballast, durable, locks, machine
from modelrepo.fs.inuse import in_use
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import CleanupResult, Kept, Problem
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import LOCK_SECONDS, Writer, lock_seconds, token, writing


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
        if _leased(directory):
            reasons.append(LEASED)
        busy[version] = tuple(reasons)
    return Plan(decide(replace(scene(snapshot), busy=busy), rules), use.unseen)


def _leased(directory: Path) -> bool:
    """Whether somebody holds it; to know, it is held exclusively for a moment, and a lease tries again."""
    try:
        hold = locks.take(directory, exclusive=True)
    except FileNotFoundError:
        return False
    if hold is None:
        return True
    hold.close()
    return False


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


def cleanup(layout: Layout, rules: dict[str, object], *, dry_run: bool, timeout: float | None) -> CleanupResult:
    """Delete what retention lets go.

    Args:
        layout: Where.
        rules: Retention's fields that differ from the settings.
        dry_run: Only say what would be done.
        timeout: Seconds to wait for the lock; None for the environment's, else none.

    Raises:
        IntegrityError: The repository is inconsistent; nothing was deleted.
        BusyError: Somebody holds the lock.
    """
    if dry_run:
        snapshot = reading.take(layout)
        proposal = plan(snapshot, _rules(snapshot, rules))
        freed = sum(snapshot.state.stored[version].size for version in proposal.going)
        return CleanupResult(
            removed=proposal.going,
            kept=proposal.kept(),
            freed=freed,
            dry_run=True,
            unseen=proposal.unseen,
            problems=_foreign(snapshot),
        )
    run = _Run()
    first = lock_seconds(timeout, default=0.0)
    with writing(layout, first) as writer:
        snapshot = writer.snapshot()
        retention = _rules(snapshot, rules)
        proposal = plan(snapshot, retention)
        rubbish = take_abandoned(writer, run.trouble)
        run.problems = _foreign(snapshot)
    run.leftovers = empty_trash(layout, rubbish, run.trouble)
    for version in proposal.going:
        try:
            # The first lock was asked for politely; what was begun is waited for.
            with writing(layout, max(first, LOCK_SECONDS)) as writer:
                names = _remove(writer, version, retention, run)
        except SystemRefusedError as error:  # this one cannot go; that is no reason to keep the others
            run.trouble.append(error)
            run.stayed[version] = ("undeletable",)
            continue
        except ModelRepoError as error:
            error.partial = run.result(proposal)
            raise
        empty_trash(layout, names, run.trouble)
    if run.trouble:
        first_trouble, *others = run.trouble
        first_trouble.items = tuple(other.message for other in others)
        first_trouble.partial = run.result(proposal)
        raise first_trouble
    return run.result(proposal)


@dataclass(slots=True)
class _Run:
    """What one cleanup has done so far."""

    removed: list[Version] = field(default_factory=list)
    stayed: dict[Version, tuple[str, ...]] = field(default_factory=dict)
    freed: int = 0
    leftovers: int = 0
    problems: tuple[Problem, ...] = ()
    trouble: list[ModelRepoError] = field(default_factory=list)

    def result(self, proposal: Plan) -> CleanupResult:
        late = [Kept(version=version, reasons=reasons) for version, reasons in self.stayed.items()]
        return CleanupResult(
            removed=tuple(self.removed),
            kept=tuple(sorted((*proposal.kept(self.removed), *late), key=lambda kept: kept.version, reverse=True)),
            freed=self.freed,
            dry_run=False,
            leftovers=self.leftovers,
            unseen=proposal.unseen,
            problems=self.problems,
        )


def _rules(snapshot: Snapshot, rules: dict[str, object]) -> Retention:
    return snapshot.config.retention.model_copy(update=rules)


def _foreign(snapshot: Snapshot) -> tuple[Problem, ...]:
    return tuple(
        Problem(kind="foreign", path=name, detail="not modelrepo's; it is never touched", note=True)
        for name in snapshot.foreign
    )


def _remove(writer: Writer, version: Version, rules: Retention, run: _Run) -> list[str]:
    """Take one version out of sight; return the names in the trash that may be deleted now."""
    snapshot = writer.snapshot()
    if version not in snapshot.present:
        return []
    decision = next(
        decision
        for decision in plan(snapshot, rules, only=frozenset({version})).decisions
        if decision.version == version
    )
    if decision.keep:
        run.stayed[version] = decision.reasons
        return []
    hold = locks.take(writer.layout.version(version), exclusive=True)
    if hold is None:
        run.stayed[version] = (LEASED,)
        return []
    name = token(str(version))
    with hold:
        try:
            _to_trash(writer, snapshot, version, name)
        except UnconfirmedError:
            run.removed.append(version)  # it is gone all the same
            raise
    run.removed.append(version)
    run.freed += snapshot.state.stored[version].size
    return [name]


def _to_trash(writer: Writer, snapshot: Snapshot, version: Version, name: str) -> None:
    layout = writer.layout
    directory, trash = layout.version(version), layout.trash / name
    intent = writer.record("intent", "cleanup", version=version, token=name)
    try:
        with contextlib.suppress(IntegrityError):  # a damaged manifest is no reason to keep damaged bytes
            snapshot.manifest_bytes(version)  # which checks them
            ballast.with_room(layout.ballast, lambda: _keep_manifest(writer, version))
        writer.lock.check()
        durable.rename_new(directory, trash)
    except OSError as error:
        if directory.exists():
            writer.give_up(intent)
            raise from_os(error, f"take {version} out of sight") from error
    durable_now = False
    try:
        durable.sync_directory(layout.trash)
        durable.sync_directory(layout.root)
        durable_now = True
        writer.close(intent, "done")
    except OSError as error:
        raise UnconfirmedError(
            f"{version} is gone, but {from_os(error, 'confirm it').message}",
            durable=durable_now,
            view=None,
            recorded=False,
            hint="mend the cause; the next writing command completes it",
        ) from error


def _keep_manifest(writer: Writer, version: Version) -> None:
    """Let the manifest outlive its version: by another name, which needs no room; by a copy where that cannot be."""
    source, kept = writer.layout.manifest(version), writer.layout.removed_manifest(version)
    durable.second_name(source, kept, writer.temporary())


def take_abandoned(writer: Writer, trouble: list[ModelRepoError]) -> list[str]:
    """Rename what crashed commands left in staging into the trash; return what may be deleted there.

    Under the lock, so that nobody's temporary link is taken away; a push's directory is taken only where nobody holds
    it. Everything that lies in the trash now was recorded and synced before: recovery has closed all intents.

    Args:
        writer: Who holds the lock.
        trouble: Where to note what could not be taken; the rest is taken all the same.
    """
    layout = writer.layout
    for name in sorted(os.listdir(layout.staging)):
        path = layout.staging / name
        with _noting(trouble, f"take {path} away"):
            if path.is_symlink() or not path.is_dir():
                durable.remove_file(path)
                continue
            hold = locks.take(path, exclusive=True)
            if hold is not None:
                with hold:
                    durable.rename_new(path, layout.trash / token("staging"))
    durable.sync_directory(layout.staging)
    durable.sync_directory(layout.trash)
    return sorted(os.listdir(layout.trash))


def empty_trash(layout: Layout, names: Iterable[str], trouble: list[ModelRepoError]) -> int:
    """Delete from the trash, what somebody leases excepted: that stays until the next cleanup."""
    count = 0
    for name in names:
        path = layout.trash / name
        with _noting(trouble, f"delete {path}"):
            if path.is_symlink() or not path.is_dir():
                durable.remove_file(path)
                continue
            hold = locks.take(path, exclusive=True)
            if hold is not None:
                with hold:
                    durable.delete_tree(path)
                count += 1
    return count


@contextlib.contextmanager
def _noting(trouble: list[ModelRepoError], doing: str) -> Iterator[None]:
    """Note that something could not be done, and go on; what is gone already is fine."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        trouble.append(from_os(error, doing))
