"""`cleanup`: deleting what retention lets go, and what crashed commands left behind. Fit for cron.

A plan is a proposal. Each version is decided about again under the lock, held exclusively, renamed into the trash
(commit); only then, without the lock, its bytes are deleted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from modelrepo.core.config import Retention
from modelrepo.core.layout import Layout
from modelrepo.core.refs import Version
from modelrepo.core.retention import LEASED, UNDELETABLE
from modelrepo.errors import IntegrityError, ModelRepoError, SystemRefusedError, UnconfirmedError
from modelrepo.fs import locks
from modelrepo.fs.known import Known
from modelrepo.repository import deleting, derived, golden, planning, sizing, verifying
from modelrepo.repository import snapshot as reading
from modelrepo.repository.border import border
from modelrepo.repository.progress import Counter, Progress
from modelrepo.repository.results import CleanupResult, Kept, Problem
from modelrepo.repository.writing import LOCK_SECONDS, Writer, lock_seconds, token, writing


def cleanup(
    layout: Layout,
    rules: dict[str, object],
    *,
    dry_run: bool,
    timeout: float | None,
    progress: Progress | None = None,
) -> CleanupResult:
    """Delete what retention lets go.

    Args:
        layout: Where.
        rules: Retention's fields that differ from the settings.
        dry_run: Only say what would be done.
        timeout: Seconds to wait for the lock; None for the environment's, else none.
        progress: Is told how many bytes of the versions that go are deleted.

    Raises:
        IntegrityError: The repository is inconsistent; nothing was deleted.
        BusyError: Somebody holds the lock.
        RefusedError: The grace is too short for a network file system.
    """
    if dry_run:
        snapshot = reading.take(layout)  # a plan deletes nothing: the index will do
        proposal = planning.plan(snapshot, planning.retention(snapshot, rules))
        return CleanupResult(
            removed=proposal.going,
            kept=proposal.kept(),
            freed=sizing.would_free(snapshot, proposal.going),
            dry_run=True,
            unseen=proposal.unseen,
            problems=tuple(verifying.foreign(snapshot)),
        )
    run = _Run()
    first = lock_seconds(timeout, default=0.0)
    # What is deleted cannot be brought back: no index says what may go, the journal itself does.
    with writing(layout, first, whole=True) as writer:
        snapshot = writer.snapshot()
        planning.require_consistent(snapshot)
        retention = planning.retention(snapshot, rules)
        derived.take_left(writer, run.trouble)
        rubbish = deleting.take_abandoned(writer, run.trouble)
        run.problems = tuple(verifying.foreign(snapshot))
    run.journal = writer.known
    run.leftovers = len(deleting.empty_trash(layout, rubbish, run.trouble))
    # Looking at all files and processes takes time, and needs no lock: each version is decided about again.
    snapshot = reading.take(layout, run.journal, whole=True)
    run.proposal = planning.plan(snapshot, retention)
    sizes = {version: snapshot.state.stored[version].size for version in run.proposal.going}
    counter = Counter(sum(sizes.values()), progress)
    try:
        with border("clean up"):
            for version in run.proposal.going:
                # The first lock was asked for politely; what was begun is waited for.
                _go(layout, version, retention, max(first, LOCK_SECONDS), run)
                counter.add(sizes[version])
            _sweep(layout, max(first, LOCK_SECONDS), run)
    except ModelRepoError as error:
        error.partial = run.result()
        raise
    run.complain()
    return run.result()


def _sweep(layout: Layout, timeout: float, run: _Run) -> None:
    """Delete golden requests that no version carries any more."""
    if golden.files(layout):
        try:
            known = golden.named(reading.take(layout, run.journal, whole=True))
        except IntegrityError:  # what the others carry is not known
            return
        with writing(layout, timeout, run.journal, whole=True) as writer:
            golden.sweep(writer, known, run.trouble)


def _go(layout: Layout, version: Version, retention: Retention, timeout: float, run: _Run) -> None:
    """Delete one version, if it still may go; note why not."""
    try:
        with writing(layout, timeout, run.journal, whole=True) as writer:
            names = _remove(writer, version, retention, run)
        run.journal = writer.known
    except SystemRefusedError as error:  # this one cannot go; that is no reason to keep the others
        run.trouble.append(error)
        run.stayed[version] = Kept(version=version, reasons=(UNDELETABLE,))
        return
    # Deleting few bytes takes less time than those who wait for the lock need to see that it is free.
    time.sleep(locks.FREE_SECONDS)
    freed = sizing.freed(layout, [layout.trash / name for name in names], ())
    if deleting.empty_trash(layout, names, run.trouble):
        run.freed += freed
    elif names:
        run.left.append(version)


@dataclass(slots=True)
class _Run:
    """What one cleanup has done so far, and the journal as it knows it."""

    journal: Known | None = None
    proposal: planning.Plan = field(default_factory=lambda: planning.Plan((), 0))
    removed: list[Version] = field(default_factory=list)
    stayed: dict[Version, Kept] = field(default_factory=dict)
    left: list[Version] = field(default_factory=list)
    freed: int = 0
    leftovers: int = 0
    problems: tuple[Problem, ...] = ()
    trouble: list[ModelRepoError] = field(default_factory=list)

    def result(self) -> CleanupResult:
        kept = (*self.proposal.kept(self.removed), *self.stayed.values())
        return CleanupResult(
            removed=tuple(self.removed),
            kept=tuple(sorted(kept, key=lambda kept: kept.version, reverse=True)),
            freed=self.freed,
            dry_run=False,
            leftovers=self.leftovers,
            unseen=self.proposal.unseen,
            problems=self.problems,
        )

    def complain(self) -> None:
        """Say at the end what went wrong on the way.

        Raises:
            UnconfirmedError: Versions are gone, but bytes of them are left in the trash.
            SystemRefusedError: Something could not be deleted.
        """
        if not self.trouble:
            return
        if self.left:
            raise deleting.bytes_left(self.left, self.trouble, self.result())
        error, *others = self.trouble
        error.items = tuple(other.message for other in others)
        error.partial = self.result()
        raise error


def _remove(writer: Writer, version: Version, rules: Retention, run: _Run) -> list[str]:
    """Take one version out of sight; return the names in the trash that may be deleted now."""
    snapshot = writer.snapshot()
    if version not in snapshot.present:
        return []
    plan = planning.plan(snapshot, rules, only=frozenset({version}))
    for kept in plan.kept():
        if kept.version == version:
            run.stayed[version] = kept
            return []
    directory = writer.layout.version(version)
    hold = locks.take(directory, exclusive=True)
    if hold is None:
        run.stayed[version] = Kept(version=version, reasons=(LEASED,), by=planning.leasers(directory))
        return []
    name = token(str(version))
    with hold:
        try:
            deleting.to_trash(writer, snapshot, version, name, "cleanup")
        except UnconfirmedError:
            run.removed.append(version)  # it is gone all the same
            raise
    run.removed.append(version)
    return [name, *derived.to_trash(writer, version, run.trouble)]
