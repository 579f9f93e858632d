"""What was made of versions and kept: `.modelrepo/derived/vN/NAME/`, files with the record that names them.

It appears whole (`keeping`), is no part of its version, whose digest does not know of it, and goes with it: into the
trash by the command that deletes the version, or, where that one was killed, by the next cleanup.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core.layout import RECORD, STATE, Layout
from modelrepo.core.refs import Version
from modelrepo.errors import IntegrityError, ModelRepoError, from_os, told
from modelrepo.fs import durable
from modelrepo.fs.files import file_digest, read_file
from modelrepo.fs.look import kind_at, names_in, walk
from modelrepo.repository.results import Problem
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import Writer, token

if TYPE_CHECKING:  # they are documents, which bring pydantic
    from modelrepo.core.derived import Record
    from modelrepo.repository.results import Derived


def read(layout: Layout, version: Version, name: str) -> Record:
    """The record of what was made of a version.

    Raises:
        IntegrityError: It cannot be read, or is of something else.
    """
    from modelrepo.core.derived import MAX_RECORD_BYTES, parse_record

    path = layout.derived_record(version, name)
    if kind_at(path.parent) != "directory":
        raise _damaged(path, "it lies in no directory")
    try:
        data = read_file(path, MAX_RECORD_BYTES)
    except PermissionError:
        raise
    except OSError as error:
        raise _damaged(path, error.strerror or "it cannot be read") from error
    record = parse_record(data, str(path), version)
    if record.name != name:
        raise _damaged(path, f"it is of {record.name}")
    return record


def _damaged(path: Path, why: str) -> IntegrityError:
    hint = "delete its directory, and convert the version again"
    return IntegrityError(f"{path} is no record: {why}", kind="derived-damaged", hint=hint)


def place_of(layout: Layout, version: Version) -> Path | None:
    """Where what was made of a version lies; None where there is no such directory of modelrepo's own.

    Raises:
        PermissionError: Nobody may look.
    """
    place = layout.derived_of(version)
    return place if kind_at(layout.derived) == "directory" and kind_at(place) == "directory" else None


def names(layout: Layout, version: Version) -> list[str]:
    """What was made of a version, by name; nothing where one may not look, or where a link leads elsewhere."""
    with contextlib.suppress(PermissionError):
        if (place := place_of(layout, version)) is not None:
            return names_in(place)
    return []


def versions(layout: Layout) -> frozenset[Version]:
    """The versions of which something may have been made."""
    with contextlib.suppress(PermissionError):
        found = map(Version.from_name, names_in(layout.derived))
        return frozenset(version for version in found if version is not None)
    return frozenset()


def of(layout: Layout, version: Version) -> Iterator[Derived]:
    """What was made of a version; of what cannot be read, why."""
    from modelrepo.repository.results import Derived

    for name in names(layout, version):
        record, problem = None, None
        try:
            record = read(layout, version, name)
        except (IntegrityError, OSError) as error:
            problem = told(error, "read its record")
        path = str(layout.derived_of(version) / name)
        yield Derived(name=name, path=path, record=record, problem=problem)


def problems(snapshot: Snapshot, version: Version, *, quick: bool) -> Iterator[Problem]:
    """What is wrong with what was made of a version: each file's size, and unless quick its digest."""
    layout = snapshot.layout
    with contextlib.suppress(PermissionError):
        kind = kind_at(layout.derived_of(version)) if kind_at(layout.derived) == "directory" else None
        if kind not in {None, "directory"}:
            path = str(layout.derived_of(version).relative_to(layout.root))
            yield Problem(kind="derived-damaged", path=path, detail=f"it is a {kind}, not a directory")
    for name in names(layout, version):
        place = layout.derived_of(version) / name
        where = f"{STATE}/{layout.derived.name}/{version}/{name}"
        try:
            record = read(layout, version, name)
            found = {entry.path: entry for entry in walk(place)}
            for entry in record.files:
                there = found.pop(entry.path, None)
                path = f"{where}/{entry.path}"
                if there is None or there.kind != "file":
                    yield Problem(kind="derived-damaged", path=path, detail="it is gone, or no file")
                elif there.size != entry.size:
                    detail = f"it has {there.size} bytes, not {entry.size}"
                    yield Problem(kind="derived-damaged", path=path, detail=detail)
                elif not quick and file_digest(place / entry.path)[1] != entry.digest:
                    yield Problem(kind="derived-damaged", path=path, detail=f"its digest is not {entry.digest}")
            for path in sorted(found.keys() - {RECORD}):
                yield Problem(kind="derived-damaged", path=f"{where}/{path}", detail="it was not made with the rest")
        except IntegrityError as error:
            yield Problem(kind="derived-damaged", path=where, detail=error.message)
        except OSError as error:
            yield Problem(kind="unreadable", path=where, detail=from_os(error, "read it").message)


def left(snapshot: Snapshot) -> Iterator[Path]:
    """What was made of versions that are gone."""
    layout = snapshot.layout
    for name in names_in(layout.derived):
        version = Version.from_name(name)
        if version is not None and version not in snapshot.tree.versions:
            yield layout.derived_of(version)


def to_trash(writer: Writer, version: Version, trouble: list[ModelRepoError]) -> list[str]:
    """Take what was made of a version out of sight, behind the version itself; return its name in the trash.

    Args:
        writer: Who holds the lock.
        version: Which version.
        trouble: Where to note that it could not be taken: then the next cleanup does it.
    """
    try:
        place = place_of(writer.layout, version)
    except PermissionError as error:
        trouble.append(from_os(error, f"look for what was made of {version}"))
        return []
    return _to_trash(writer, [] if place is None else [place], trouble)


def take_left(writer: Writer, trouble: list[ModelRepoError]) -> None:
    """Take what was made of versions that are gone into the trash.

    Args:
        writer: Who holds the lock.
        trouble: Where to note what could not be taken.
    """
    _to_trash(writer, left(writer.snapshot()), trouble)


def _to_trash(writer: Writer, places: Iterable[Path], trouble: list[ModelRepoError]) -> list[str]:
    layout, taken = writer.layout, []
    for place in places:
        name = token(f"derived-{place.name}")
        try:
            writer.lock.check()
            durable.rename_new(place, layout.trash / name)
            durable.sync_directory(layout.derived)
            durable.sync_directory(layout.trash)
            taken.append(name)
        except OSError as error:
            trouble.append(from_os(error, f"take {place} out of sight"))
    return taken
