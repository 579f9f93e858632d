"""`export`: a plain copy of a version outside the repository, verified, synced, there by one rename.

Version leased → golden requests written, synced and renamed to their place beside the goal → copied into a directory
beside the goal, digested on the way, compared with the manifest → manifest written, all synced → renamed (commit) →
directory above synced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core.contents import FileEntry
from modelrepo.core.layout import MANIFEST, Layout
from modelrepo.core.refs import Ref, Version
from modelrepo.errors import IntegrityError, SourceError
from modelrepo.fs import copying, durable, source
from modelrepo.repository import golden, leasing, placing, staging
from modelrepo.repository import snapshot as reading
from modelrepo.repository.progress import Counter, Progress
from modelrepo.repository.results import ExportResult
from modelrepo.repository.snapshot import Snapshot

if TYPE_CHECKING:
    from modelrepo.core.manifest import Manifest

_NAMED = 5


def export(layout: Layout, ref: Ref, path: Path, progress: Progress | None = None) -> ExportResult:
    """Copy a version out.

    Args:
        layout: Where.
        ref: Which version.
        path: The goal: missing, or an empty directory; the directory above it exists.
        progress: Is told how many bytes are copied.

    Raises:
        NotFoundError: There is no such version, or no directory to make the goal in.
        RefusedError: Something is there, or it lies in the repository.
        IntegrityError: The version's files are not what was pushed; nothing is left behind.
    """
    with leasing.lease(layout, ref) as lease:
        snapshot = reading.take(layout)
        manifest, raw = snapshot.read_manifest(lease.version)
        place = placing.goal(layout, path)
        listing = _listing(lease.path, manifest)
        staging.require_room(place.parent, listing)
        result = ExportResult(version=lease.version, path=str(place), files=len(manifest.files), size=manifest.size)
        with placing.beside(place) as copy, _golden(snapshot, manifest, place, copy) as (requests, warnings):
            result = result.replaced(golden=requests, warnings=warnings)
            files = copying.copy(listing, copy, None, seen=Counter(manifest.size, progress).add)
            _compare(lease.version, manifest, files)
            durable.write_new(copy / MANIFEST, raw, None)
            copying.sync_directories(copy, listing)
            placing.put(copy, place, MANIFEST)
    placing.confirm(place, result)
    return result


@contextlib.contextmanager
def _golden(
    snapshot: Snapshot, manifest: Manifest, place: Path, copy: Path
) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """The golden requests beside the goal: in it they would not be what was pushed; gone again where that fails.

    They appear whole: what a killed export or a power cut left of them would be in the way of the next. Until then
    they lie in the copy, which that one takes away.
    """
    data, warnings = None, tuple[str, ...]()
    try:
        data = golden.load(snapshot, manifest)
    except IntegrityError as error:
        warnings = (f"without its golden requests: {error.message}",)
    if data is None or manifest.golden is None:
        yield None, warnings
        return
    path = golden.beside(place, manifest.golden)
    if golden.is_there(path, data):
        yield str(path), ()
        return
    temporary = copy / path.name
    durable.write_new(temporary, data, None)
    try:
        durable.rename_new(temporary, path)
    except FileExistsError:
        raise placing.taken(path) from None
    try:
        yield str(path), ()
    except BaseException:
        durable.remove_file(path)
        raise


def _listing(directory: Path, manifest: Manifest) -> source.Listing:
    """The version's files, as they stand on the disk: those that were pushed, and no others."""
    try:
        found = source.look(directory)
    except SourceError as error:
        raise _damaged(manifest.version, [error.message]) from error
    paths = {entry.path for entry in manifest.files}
    missing = sorted(paths - {file.path for file in found.files})
    if missing:
        raise _damaged(manifest.version, [f"{path} is missing" for path in missing])
    return source.Listing(tuple(file for file in found.files if file.path in paths), found.directories)


def _compare(version: Version, manifest: Manifest, files: tuple[FileEntry, ...]) -> None:
    promised = {entry.path: entry for entry in manifest.files}
    wrong = [f"{entry.path} has other bytes" for entry in files if promised[entry.path] != entry]
    if wrong:
        raise _damaged(version, wrong)


def _damaged(version: Version, what: list[str]) -> IntegrityError:
    return IntegrityError(
        f"{version} is damaged",
        kind="version-damaged",
        hint=f"`modelrepo verify {version}` says all; nothing was exported",
        items=tuple(what[:_NAMED]),
    )
