"""`remove`: deleting named versions now, past retention's ages and counts; never what somebody or something needs."""

from __future__ import annotations

from collections.abc import Sequence

from modelrepo.core.layout import Layout
from modelrepo.core.refs import NumberRef, Ref, Version
from modelrepo.core.retention import needs
from modelrepo.errors import ModelRepoError, RefusedError, UnconfirmedError
from modelrepo.fs import locks
from modelrepo.repository import deleting, derived, planning, sizing
from modelrepo.repository.border import border
from modelrepo.repository.results import RemoveResult
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import Writer, token, writing


def remove(layout: Layout, refs: Sequence[Ref], reason: str | None, timeout: float | None) -> RemoveResult:
    """Delete versions: all of them, or none where one may not go.

    Raises:
        RefusedError: One of them is needed, or they are all that there is; nothing was deleted.
        IntegrityError: The repository is inconsistent; nothing was deleted.
        UnconfirmedError: They are out of sight, and something behind that is unfinished.
    """
    removed: list[Version] = []
    names: list[str] = []
    trouble: list[ModelRepoError] = []
    with writing(layout, timeout, whole=True) as writer:  # as `cleanup` does it
        snapshot = writer.snapshot()
        planning.require_consistent(snapshot)
        lost, versions = _sorted_out(snapshot, refs)
        for version in lost:  # there is nothing to delete: the record is the change
            writer.record_change("remove", version=version, reason=reason)
            removed.append(version)
        if not versions:
            return RemoveResult(removed=tuple(removed), freed=0)
        unseen = _refuse_needed(snapshot, versions)
        for version in versions:
            try:
                with border(f"remove {version}"):
                    snapshot = writer.snapshot()  # each time anew: links are moved by hand, too, and files opened
                    _refuse_needed(snapshot, [version])
                    names.append(_out_of_sight(writer, snapshot, version, reason))
                    names += derived.to_trash(writer, version, trouble)
            except ModelRepoError as error:
                gone = [*removed, version] if isinstance(error, UnconfirmedError) else removed
                error.partial = RemoveResult(removed=tuple(gone), freed=0, unseen=unseen)
                raise
            removed.append(version)
    staying = [layout.version(version) for version in snapshot.present - set(versions)]
    freed = sizing.freed(layout, [layout.trash / name for name in names], staying)
    left = set(names) - set(deleting.empty_trash(layout, names, trouble))
    result = RemoveResult(removed=tuple(removed), freed=0 if left else freed, unseen=unseen)
    if left or trouble:
        raise deleting.bytes_left(removed, trouble, result)
    return result


def _sorted_out(snapshot: Snapshot, refs: Sequence[Ref]) -> tuple[list[Version], list[Version]]:
    """The versions that are gone without a record, and those that are there."""
    gone = snapshot.state.stored.versions - snapshot.tree.versions
    lost = {ref.version for ref in refs if isinstance(ref, NumberRef) and ref.version in gone}
    there = {snapshot.resolve(ref) for ref in refs if not (isinstance(ref, NumberRef) and ref.version in lost)}
    return sorted(lost), sorted(there)


def _refuse_needed(snapshot: Snapshot, versions: Sequence[Version]) -> int:
    """Refuse where a channel, link, view, pin, lease or process needs one of them, naming each.

    Returns:
        How many processes could not be looked at.

    Raises:
        RefusedError: One is needed, or nothing would be left.
    """
    only = frozenset(versions)
    plan = planning.plan(snapshot, snapshot.config.retention, only=only)
    needed = {each.version: needs(each) for each in plan.decisions if needs(each)}
    if needed:
        raise RefusedError(
            f"{', '.join(map(str, sorted(needed)))} cannot be removed: somebody needs it",
            kind="version-needed",
            expected="versions that no channel, link, pin, lease or process holds",
            hint="promote another version, unpin it, or wait until its users have ended; nothing was removed",
            items=tuple(
                "; ".join((f"{version}: {', '.join(reasons)}", *plan.by.get(version, ())))
                for version, reasons in sorted(needed.items())
            ),
        )
    if only == snapshot.present:
        raise RefusedError(
            f"nothing would be left: {', '.join(map(str, versions))} is all that there is",
            kind="last-version",
            hint="push another version first; to give the repository up, delete its directory",
        )
    return plan.unseen


def _out_of_sight(writer: Writer, snapshot: Snapshot, version: Version, reason: str | None) -> str:
    """Rename a version into the trash; return its name there."""
    directory = writer.layout.version(version)
    hold = locks.take(directory, exclusive=True)
    if hold is None:
        who = "; ".join(planning.leasers(directory))
        raise RefusedError(f"{version} was leased a moment ago: {who}", kind="version-needed", hint="try again")
    name = token(str(version))
    with hold:
        deleting.to_trash(writer, snapshot, version, name, "remove", reason)
    return name
