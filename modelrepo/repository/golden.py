"""Golden requests: files of requests and right answers that versions carry, kept by digest below `.modelrepo/golden/`.

A file is written and synced before the version that names it is renamed into place, and goes in the first cleanup
that finds no version of that name left: what a deleted version's manifest says of it stays, as its model's digests do.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modelrepo.core import modes
from modelrepo.core.contents import MAX_REQUEST_BYTES
from modelrepo.core.layout import Layout
from modelrepo.core.outline import Outline
from modelrepo.core.refs import Version
from modelrepo.errors import IntegrityError, ModelRepoError, RequestError, from_os
from modelrepo.fs import ballast, durable
from modelrepo.fs.files import read_file
from modelrepo.fs.look import kind_at, names_in
from modelrepo.repository import opening
from modelrepo.repository.results import Problem
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import Writer

if TYPE_CHECKING:  # they bring pydantic, which a cleanup has no need of
    from modelrepo.core.manifest import Golden, Manifest
    from modelrepo.savedmodel.runner import Inspector

_ZIP = b"PK\x03\x04"
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of golden requests, and what a manifest says of it."""

    data: bytes
    facts: Golden


def read_requests(path: Path) -> bytes:
    """Read a file of requests that somebody gave; a link is followed.

    Raises:
        RequestError: It is missing, no regular file, or too large.
    """
    try:
        return bounded(read_file(Path(os.path.realpath(path)), MAX_REQUEST_BYTES), str(path))
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise too_large(str(path)) from None
        if error.errno not in _NO_FILE:
            raise
        raise RequestError(
            f"{path} cannot be read: {error.strerror}",
            kind="requests-missing",
            expected="a file of requests, JSON or .npz",
        ) from error


def bounded(data: bytes, name: str) -> bytes:
    """What somebody gave, if it is not too large."""
    if len(data) > MAX_REQUEST_BYTES:
        raise too_large(name)
    return data


def too_large(name: str) -> RequestError:
    """The refusal of a file of requests."""
    return RequestError(
        f"{name} is too large", kind="requests-malformed", expected=f"at most {MAX_REQUEST_BYTES} bytes"
    )


def take(inspector: Inspector, data: bytes) -> Kept:
    """Look at the bytes of a golden file, in the child: nothing is loaded yet.

    Raises:
        RequestError: They are something else.
    """
    from modelrepo.core.manifest import Golden

    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    kind: Literal["npz", "json"] = "npz" if data.startswith(_ZIP) else "json"
    return Kept(data, Golden(digest=digest, format=kind, size=len(data), requests=inspector.count(data)))


def carried(
    inspector: Inspector, given: bytes | None, snapshot: Snapshot, copied: tuple[Path, Manifest] | None, *, load: bool
) -> tuple[Kept | None, tuple[str, ...]]:
    """The golden requests that a pushed version shall carry, and what somebody should know of them.

    Args:
        inspector: Looks at them.
        given: The bytes of those that the pusher gave.
        snapshot: The repository.
        copied: Where an export lies, and what its manifest says: its own are taken where none are given.
        load: Whether they will be run.

    Raises:
        RequestError: They are something else.
    """
    data, notes = given, []
    if data is None and copied is not None and copied[1].golden is not None:
        place, manifest = copied
        data = found_beside(place, snapshot, manifest)
        if data is None:
            notes.append(f"its golden requests were not found: {beside(place, copied[1].golden)}")
    if data is None:
        return None, tuple(notes)
    if not load:
        notes.append("its golden requests are kept, but were not run (--no-load)")
    return take(inspector, data), tuple(notes)


def store(writer: Writer, kept: Kept) -> None:
    """Keep a golden file, synced; nothing happens where the same is kept already."""
    layout = writer.layout
    path = layout.golden_file(kept.facts.digest, kept.facts.format)
    opening.require_own(layout, layout.golden)
    if kind_at(path) == "directory":  # all else is replaced
        raise IntegrityError(
            f"{path} is a directory, not golden requests", kind="golden-damaged", hint="move it away, and push again"
        )

    def write() -> None:
        durable.make_directory(layout.golden, writer.modes.directory)
        durable.replace_file(path, kept.data, modes.FILE, writer.temporary())

    if is_there(path, kept.data):
        durable.sync_directory(layout.golden)
        return
    ballast.with_room(layout.ballast, write)
    durable.sync_directory(layout.state)


def is_there(path: Path, data: bytes) -> bool:
    """Whether a file holds these bytes."""
    with contextlib.suppress(OSError):
        return read_file(path, MAX_REQUEST_BYTES) == data
    return False


def load(snapshot: Snapshot, manifest: Manifest | Outline) -> bytes | None:
    """The bytes of a version's golden file, checked; None where it has none.

    Raises:
        IntegrityError: They are gone, or not what the manifest says.
    """
    facts = manifest.golden
    if facts is None:
        return None
    path = snapshot.layout.golden_file(facts.digest, facts.format)
    got = "nothing"
    try:
        data = read_file(path, MAX_REQUEST_BYTES)
        got = f"sha256:{hashlib.sha256(data).hexdigest()}"
    except OSError as error:
        if error.errno not in _NO_FILE | {errno.EFBIG}:
            raise
        data, got = b"", error.strerror or got
    if got == facts.digest:
        return data
    raise IntegrityError(
        f"the golden requests of {manifest.version} are not what was pushed: {path}",
        kind="golden-damaged",
        expected=facts.digest,
        got=got,
        hint="put the file back there, or push the model again with --golden and --allow-duplicate",
    )


def problems(snapshot: Snapshot, version: Version, manifest: Outline, *, quick: bool) -> Iterator[Problem]:
    """What is wrong with a version's golden file."""
    facts = manifest.golden
    if facts is None:
        return
    path = snapshot.layout.golden_file(facts.digest, facts.format)
    where = str(path.relative_to(snapshot.layout.root))
    try:
        size = path.lstat().st_size
        if not quick:
            load(snapshot, manifest)
        elif size != facts.size:
            detail = f"{version}'s golden requests have {size} bytes, not {facts.size}"
            yield Problem(kind="golden-damaged", path=where, detail=detail)
    except FileNotFoundError:
        yield Problem(kind="golden-damaged", path=where, detail=f"{version}'s golden requests are gone")
    except IntegrityError as error:
        detail = f"{version}'s golden requests have {error.got}, not {error.expected}"
        yield Problem(kind="golden-damaged", path=where, detail=detail)
    except OSError as error:
        yield Problem(kind="unreadable", path=where, detail=from_os(error, "read it").message)


def files(layout: Layout) -> list[Path]:
    """All golden files; none where one may not look, or where a link leads elsewhere."""
    return [path for name in names_in(layout.golden) if layout.is_golden(path := layout.golden / name)]


def named(snapshot: Snapshot, besides: Collection[Version] = ()) -> dict[Version, Path | None]:
    """The golden file that each version names, None where it carries none.

    Args:
        snapshot: The repository.
        besides: Versions that are not asked about.

    Raises:
        IntegrityError: A manifest cannot be read.
    """
    facts = {version: snapshot.outline(version).golden for version in snapshot.present if version not in besides}
    return {
        version: None if golden is None else snapshot.layout.golden_file(golden.digest, golden.format)
        for version, golden in facts.items()
    }


def sweep(writer: Writer, known: Mapping[Version, Path | None], trouble: list[ModelRepoError]) -> None:
    """Delete the golden files that no version names, under the lock; none where a manifest cannot be read.

    Args:
        writer: Who holds the lock.
        known: What versions name, read without the lock, which is not held while thousands of manifests are read.
        trouble: Where to note what could not be deleted.
    """
    found = files(writer.layout)
    if not found:
        return
    snapshot = writer.snapshot()
    try:
        naming = {**known, **named(snapshot, known)}
    except IntegrityError:
        return
    wanted = {path for version, path in naming.items() if version in snapshot.present}
    writer.lock.check()
    for path in found:
        if path not in wanted:
            try:
                durable.remove_file(path)
            except OSError as error:
                trouble.append(from_os(error, f"delete {path}"))
    durable.sync_directory(writer.layout.golden)


def beside(place: Path, facts: Golden) -> Path:
    """Where the golden requests of an exported version lie: beside its directory, which stays what was pushed."""
    return place.with_name(f"{place.name}.golden.{facts.format}")


def found_beside(place: Path, snapshot: Snapshot, manifest: Manifest) -> bytes | None:
    """The golden requests of an export: beside it, else here by the same digest; None where they are not found."""
    facts = manifest.golden
    if facts is None:
        return None
    with contextlib.suppress(OSError):
        data = read_file(beside(place, facts), MAX_REQUEST_BYTES)
        if f"sha256:{hashlib.sha256(data).hexdigest()}" == facts.digest:
            return data
    with contextlib.suppress(OSError, IntegrityError):
        return load(snapshot, manifest)
    return None
