"""`export`: a plain copy of a version outside the repository, verified, synced, there by one rename.

Version leased → golden requests written, synced and renamed to their place beside the goal → copied into a directory
beside the goal, digested on the way, compared with the manifest → manifest written, all synced → renamed (commit) →
directory above synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core.contents import FileEntry
from modelrepo.core.layout import MANIFEST, Layout
from modelrepo.core.refs import Ref, Version
from modelrepo.errors import (
    IntegrityError,
    NotFoundError,
    RefusedError,
    SourceError,
    UnconfirmedError,
    from_os,
)
from modelrepo.fs import copying, deletion, durable, locks, source
from modelrepo.repository import golden, leasing, opening, staging
from modelrepo.repository import snapshot as reading
from modelrepo.repository.progress import Counter, Progress
from modelrepo.repository.results import ExportResult
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import token

if TYPE_CHECKING:
    from modelrepo.core.manifest import Manifest

_NAMED = 5
_PREFIX = "modelrepo-export"


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
        place = _goal(layout, path)
        listing = _listing(lease.path, manifest)
        staging.require_room(place.parent, listing)
        result = ExportResult(version=lease.version, path=str(place), files=len(manifest.files), size=manifest.size)
        with _beside(place) as copy, _golden(snapshot, manifest, place, copy) as (requests, warnings):
            result = result.replaced(golden=requests, warnings=warnings)
            files = copying.copy(listing, copy, None, seen=Counter(manifest.size, progress).add)
            _compare(lease.version, manifest, files)
            durable.write_new(copy / MANIFEST, raw, None)
            copying.sync_directories(copy, listing)
            _put(copy, place)
    try:
        durable.sync_directory(place.parent)
    except OSError as error:
        raise UnconfirmedError(
            f"{place} is there, but {from_os(error, 'sync its name to the disk').message}",
            durable=False,
            view=None,
            recorded=False,
            hint="mend the cause; `sync` writes it to the disk",
            partial=result,
        ) from error
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
        raise _taken(path) from None
    try:
        yield str(path), ()
    except BaseException:
        durable.remove_file(path)
        raise


def _goal(layout: Layout, path: Path) -> Path:
    """Where the copy shall stand, without links."""
    place = Path(os.path.realpath(path))
    opening.require_outside(place, "export to another place, and push it from there", layout)
    if not place.parent.is_dir():
        raise NotFoundError(f"there is no directory {place.parent}", kind="directory-missing", hint="make it first")
    if os.path.lexists(place) and (not place.is_dir() or os.listdir(place)):
        raise _taken(place)
    return place


def _taken(place: Path) -> RefusedError:
    what = "a directory that holds something" if place.is_dir() else "something that is no directory"
    return RefusedError(
        f"{place} is there already",
        kind="not-empty",
        expected="nothing, or an empty directory for the copy itself",
        got=what,
        hint="nothing was overwritten; name another directory",
    )


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


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A directory of our own beside the goal, on its file system; gone afterwards, unless it was renamed."""
    _sweep(place.parent)
    copy = place.with_name(f".{token(_PREFIX)}")
    try:
        durable.make_directory(copy, None, inherit=False)
    except PermissionError as error:
        refused = from_os(error, "make the copy")
        refused.hint = f"export to a place where this user may write; {place.parent} is none"
        raise refused from error
    hold = locks.take(copy)  # so that another export does not take it for abandoned
    try:
        yield copy
    finally:
        if hold is not None:
            hold.close()
        # Once it is renamed, no failure to look for it, for want of a descriptor, say, may say that nothing happened.
        if os.path.lexists(copy):
            with contextlib.suppress(FileNotFoundError):
                deletion.delete_tree(copy)


def _sweep(directory: Path) -> None:
    """Delete what a killed export left beside its goal: a copy that nobody holds."""
    for name in os.listdir(directory):
        if name.startswith(f".{_PREFIX}-"):
            with contextlib.suppress(OSError):
                hold = locks.take(directory / name, exclusive=True)
                if hold is not None:
                    with hold:
                        deletion.delete_tree(directory / name)


def _put(copy: Path, place: Path) -> None:
    try:
        durable.replace_empty_directory(copy, place)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:  # somebody was faster
            raise _taken(place) from error
        if error.errno == errno.EBUSY:
            raise RefusedError(
                f"{place} is a mount point, which nothing can replace",
                kind="not-empty",
                expected="a missing or empty directory",
                hint=f"export to a directory in it, such as {place / 'model'}",
            ) from error
        if copy.exists() or not (place / MANIFEST).exists():
            raise  # else it was renamed all the same
