"""Keeping what was made of a version: built and synced in staging, there by one rename, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from modelrepo.core.derived import Record
from modelrepo.core.layout import RECORD
from modelrepo.core.modes import FILE
from modelrepo.errors import UnconfirmedError, from_os
from modelrepo.fs import copying, durable, source
from modelrepo.repository import derived, opening, staging
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import writing


def listing_of(directory: Path) -> source.Listing:
    """What shall be copied of a directory without directories."""
    files = [directory / name for name in sorted(os.listdir(directory))]
    found = (source.SourceFile(path.name, str(path), source.identity(os.lstat(path))) for path in files)
    return source.Listing(tuple(found), ())


def keep(snapshot: Snapshot, listing: source.Listing, record: Record, timeout: float | None) -> tuple[Path, bool]:
    """Keep what was made of a version, which the caller leases.

    Args:
        snapshot: The repository.
        listing: Its files.
        record: What is said of them.
        timeout: Seconds to wait for the lock.

    Returns:
        Where it is, and whether it is new: the same content is kept once.

    Raises:
        IntegrityError: Something else stands there.
        UnconfirmedError: It is there, but whether on the disk is not known.
    """
    layout, modes = snapshot.layout, snapshot.config.modes
    above = layout.derived_of(record.version)
    place = above / record.name
    if layout.staging.is_symlink() or not layout.staging.is_dir():
        with writing(layout, timeout):
            pass  # recovery makes it again, or says why it cannot
    staging.require_room(layout.root, listing, snapshot)
    with staging.staging(layout, modes) as (directory, _):
        copying.copy(listing, directory, modes)
        durable.write_new(directory / RECORD, record.to_bytes(), FILE)
        copying.sync_directories(directory, listing)
        with writing(layout, timeout) as writer:
            opening.require_own(layout, layout.derived, above)
            for path in (layout.derived, above):
                durable.make_directory(path, modes.directory)
                durable.sync_directory(path.parent)
            writer.lock.check()
            try:
                durable.rename_new(directory, place)
            except FileExistsError:
                derived.read(layout, record.version, record.name)
                return place, False
    try:
        durable.sync_directory(above)
    except OSError as error:
        raise UnconfirmedError(
            f"{place} is there, but {from_os(error, 'sync its name to the disk').message}",
            durable=False,
            view=None,
            recorded=True,
            hint="mend the cause, and convert again: the same content is kept once",
        ) from error
    return place, True
