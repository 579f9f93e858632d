"""`diff`: what changes from one model to another, for callers and on disk. Nothing is loaded.

Versions are answered from their manifests, paths from their files; ops, and signatures that no manifest has, are read
by the inspector's child process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.core.refs import NumberRef, Version, looks_like_path, parse_ref
from modelrepo.core.signatures import Signature, compare
from modelrepo.errors import ModelError
from modelrepo.fs import source
from modelrepo.fs.files import file_digest
from modelrepo.repository import inspecting, leasing, querying
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import DiffResult
from modelrepo.repository.results.models import Compared, FileChange, FileChanges, Numbers
from modelrepo.savedmodel.report import Report
from modelrepo.savedmodel.runner import Inspector, default_memory


@dataclass(frozen=True, slots=True)
class _File:
    """One file: its size, and its digest or where its bytes are."""

    size: int
    digest: str | None = None
    real: Path | None = None

    def content(self) -> str:
        return file_digest(self.real)[1] if self.real is not None else self.digest or ""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two models.

    Attributes:
        place: Where it can be read; None where it was deleted.
        version: Which version it is; None for a path.
        files: By path.
        signatures: As its manifest has them; None where it has none, or there is no manifest.
    """

    place: Path | None
    version: Version | None
    files: Mapping[str, _File]
    signatures: dict[str, Signature] | None

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())

    @property
    def name(self) -> Compared:
        return Compared(path=str(self.place) if self.place is not None else None, version=self.version)


def diff(layout: Layout, before: str, after: str) -> DiffResult:
    """Compare two models.

    Args:
        layout: The repository; it need not exist where both are paths.
        before: What callers know: a ref, also of a version that was deleted, or a path.
        after: What they would get.

    Raises:
        NotFoundError: There is no such version.
        SourceError: A path is no SavedModel.
        ModelError: Signatures are in no manifest and cannot be read: TensorFlow is not installed here, say.
    """
    with contextlib.ExitStack() as leases:
        sides = [_side(layout, argument, leases) for argument in (before, after)]
        reports = _reports(sides)
    old, new = sides
    contracts = [_signatures(side, report) for side, report in zip(sides, reports, strict=True)]
    ops = [report.served.ops if report is not None else None for report in reports]
    first, second = contracts
    return DiffResult(
        before=old.name,
        after=new.name,
        signatures=compare(first, second) if first is not None and second is not None else None,
        files=_files(old.files, new.files),
        size=Numbers(before=old.size, after=new.size),
        ops=_counts(ops[0], ops[1]) if ops[0] is not None and ops[1] is not None else None,
        warnings=tuple(_unread(sides, reports, contracts)),
    )


def _side(layout: Layout, argument: str, leases: contextlib.ExitStack) -> _Side:
    if looks_like_path(argument):
        place = Path(os.path.realpath(argument))
        inspecting.require_model(place, argument)
        listing = source.look(place, follow_links=True)
        files = {file.path: _File(file.size, real=Path(file.real)) for file in listing.files}
        return _Side(place, None, files, None)
    ref = parse_ref(argument)
    snapshot = reading.take(layout)
    if isinstance(ref, NumberRef) and ref.version in snapshot.state.removed:
        version, place_or_none = ref.version, None
    else:
        lease = leases.enter_context(leasing.lease(layout, ref))
        version, place_or_none = lease.version, lease.path
    manifest = querying.manifest_of(snapshot, version)[0]
    files = {entry.path: _File(entry.size, entry.digest) for entry in manifest.files}
    return _Side(place_or_none, version, files, manifest.signatures)


def _reports(sides: list[_Side]) -> list[Report | None]:
    """What reading them gives; None of one that was deleted, or where it cannot be read and need not be."""
    if all(side.place is None for side in sides):
        return [None for _ in sides]
    with Inspector(memory=default_memory(max(side.size for side in sides))) as inspector:
        return [_report(inspector, side) for side in sides]


def _report(inspector: Inspector, side: _Side) -> Report | None:
    if side.place is None:
        return None
    try:
        return inspecting.read(inspector, side.place, side.version)
    except ModelError as error:
        if error.kind != "tensorflow-missing" or side.signatures is None:
            raise
        return None


def _signatures(side: _Side, report: Report | None) -> dict[str, Signature] | None:
    if side.signatures is not None or report is None:
        return side.signatures
    return report.served.signatures


def _unread(
    sides: list[_Side], reports: list[Report | None], contracts: list[dict[str, Signature] | None]
) -> list[str]:
    """What was not compared, and why."""
    told = []
    for side, report, contract in zip(sides, reports, contracts, strict=True):
        if report is None:
            why = "was deleted" if side.place is None else "cannot be read where TensorFlow is not installed"
            what = "ops" if contract is not None else "signatures and ops"
            told.append(f"{what} were not compared: {side.version} {why}")
    return told


def _files(old: Mapping[str, _File], new: Mapping[str, _File]) -> FileChanges:
    """What differs; bytes are only read where the sizes are the same."""
    added, removed, changed = list[FileChange](), list[FileChange](), list[FileChange]()
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None and now is not None:
            added.append(FileChange(path=path, before=None, after=now.size))
        elif now is None and was is not None:
            removed.append(FileChange(path=path, before=was.size, after=None))
        elif was is not None and now is not None and (was.size != now.size or was.content() != now.content()):
            changed.append(FileChange(path=path, before=was.size, after=now.size))
    return FileChanges(added=tuple(added), removed=tuple(removed), changed=tuple(changed))


def _counts(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, Numbers]:
    return {
        op: Numbers(before=old.get(op, 0), after=new.get(op, 0))
        for op in sorted(old.keys() | new.keys())
        if old.get(op, 0) != new.get(op, 0)
    }
