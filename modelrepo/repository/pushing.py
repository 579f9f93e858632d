"""`push`: taking a SavedModel in as the next version, whole or not at all.

Staging directory made and held → files copied, digested, synced → source looked at again → read and loaded in a child
process → manifest, directories → lock → same-content check → intent → rename to `vN`, sync the root (commit) → outcome.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelrepo import __version__
from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.layout import MANIFEST, Layout
from modelrepo.core.manifest import Manifest, Origin
from modelrepo.core.refs import MAX_NUMBER, NumberRef, Version
from modelrepo.core.units import format_size
from modelrepo.errors import (
    BusyError,
    ModelError,
    ModelRepoError,
    RefusedError,
    SourceError,
    SystemRefusedError,
    UnconfirmedError,
    from_os,
)
from modelrepo.fs import copying, durable, locks, machine, source
from modelrepo.fs.look import room
from modelrepo.repository import cleaning, moving, verifying
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import PushResult
from modelrepo.repository.writing import Writer, check_file_system, token, writing
from modelrepo.savedmodel.report import SERVE, Loaded, Report
from modelrepo.savedmodel.runner import Inspector, default_memory

_TRIES = 5
_BLOCK = 4096


@dataclass(frozen=True)
class Options:
    """What a caller asks of a push.

    Attributes:
        message: What to say about the version.
        labels: Words, by key.
        metrics: Finite numbers, by key.
        load: Whether TensorFlow must load it first.
        load_seconds: How long that may take.
        load_memory: How much memory it may use, in bytes; None for 4 GiB and three times the model.
        follow_links: Store what links inside the source name.
        links_into: Places outside where links may lead.
        allow_duplicate: Store it although a version has the same content.
        promotion: The move to make after, or None.
    """

    message: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    load: bool = True
    load_seconds: float = 300.0
    load_memory: int | None = None
    follow_links: bool = False
    links_into: Sequence[Path] = ()
    allow_duplicate: bool = False
    promotion: moving.Request | None = None


@dataclass(frozen=True)
class _Staged:
    """A version that is built, checked and waits for its number."""

    directory: Path
    token: str
    listing: source.Listing
    files: tuple[FileEntry, ...]
    report: Report | None
    loaded: Loaded | None
    warnings: tuple[str, ...]


def push(layout: Layout, path: Path, options: Options, timeout: float | None) -> PushResult:
    """Take in a SavedModel."""
    snapshot = reading.take(layout)
    snapshot.require_journal()
    check_file_system(layout.root)
    place = _locate(layout, path)
    listing = source.look(place, follow_links=options.follow_links, links_into=options.links_into)
    memory = options.load_memory if options.load_memory is not None else default_memory(listing.size)
    _require_room(layout, snapshot, listing)
    with _staging(layout) as (directory, name), Inspector(memory=memory, seconds=options.load_seconds) as inspector:
        if options.load:
            inspector.warm()
        files = copying.copy(listing, directory)
        _look_again(place, listing, options)
        report, loaded, warnings = _inspect(inspector, directory, load=options.load)
        staged = _Staged(directory, name, listing, files, report, loaded, warnings)
        result = _commit(layout, staged, place, options, timeout)
    if options.promotion is None:
        return result
    return _promoted(layout, result, options.promotion, timeout)


def _locate(layout: Layout, path: Path) -> Path:
    """The source without links, checked not to be tangled with the repository."""
    if not os.path.lexists(path):
        raise SourceError(f"{path} does not exist", kind="source-missing", expected="a SavedModel directory")
    try:
        place = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{path} is a link that leads nowhere", kind="source-missing") from error
    if not place.is_dir():
        hint = "name the directory that holds it" if place.name in source.MODEL_FILES else None
        raise SourceError(
            f"{path} is not a directory", kind="not-a-directory", expected="a SavedModel directory", hint=hint
        )
    if place == layout.root or layout.root in place.parents:
        raise SourceError(
            f"{path} lies inside the repository {layout.root}",
            kind="source-inside",
            hint="what is in there is stored already; `modelrepo promote` makes it live",
        )
    if place in layout.root.parents:
        raise SourceError(f"the repository {layout.root} lies inside {path}", kind="source-around")
    return place


def _require_room(layout: Layout, snapshot: reading.Snapshot, listing: source.Listing) -> None:
    blocks = sum(-(-file.size // _BLOCK) + 1 for file in listing.files) + 2 * len(listing.directories) + 64
    need, (free, free_files) = blocks * _BLOCK, room(layout.root)
    names = len(listing.files) + len(listing.directories) + 2
    if need <= free and (free_files == 0 or names <= free_files):
        return
    freed = format_size(cleaning.would_free(snapshot))
    raise SystemRefusedError(
        f"there is no room for {format_size(listing.size)} in {layout.root}",
        kind="no-space",
        expected=f"{format_size(need)} and {names} files",
        got=f"{format_size(free)} and {free_files} files",
        hint=f"`modelrepo cleanup` would free {freed}",
    )


@contextlib.contextmanager
def _staging(layout: Layout) -> Iterator[tuple[Path, str]]:
    """A directory that is ours alone, held by a lease so that no cleanup takes it for abandoned.

    The lease is taken behind the making, and the directory is looked at again: one that a cleanup took in between is
    given up for another.
    """
    for _ in range(_TRIES):
        name = token("push")
        directory = layout.staging / name
        durable.make_directory(directory, copying.DIRECTORY_MODE)
        try:
            hold = locks.take(directory)
        except FileNotFoundError:
            continue
        if hold is None:
            continue
        with hold:
            try:
                yield directory, name
            finally:
                if directory.exists():
                    durable.delete_tree(directory)
        return
    raise BusyError("a staging directory went away as soon as it was made", kind="staging", hint="try again")


def _look_again(place: Path, listing: source.Listing, options: Options) -> None:
    try:
        now = source.look(place, follow_links=options.follow_links, links_into=options.links_into)
    except (OSError, SourceError) as error:
        raise copying.changed(str(place)) from error
    if now != listing:
        differ = set(now.files) ^ set(listing.files)
        paths = sorted({file.path for file in differ} | (set(now.directories) ^ set(listing.directories)))
        raise copying.changed(", ".join(paths[:3]) or str(place))


def _inspect(
    inspector: Inspector, directory: Path, *, load: bool
) -> tuple[Report | None, Loaded | None, tuple[str, ...]]:
    try:
        report = inspector.read(directory)
    except ModelError as error:
        if load or error.kind != "tensorflow-missing":
            raise
        return None, None, ("TensorFlow is not installed here: the signatures were not read",)
    warnings = []
    if report.served.tags != SERVE:
        tags = ",".join(report.served.tags) or "(none)"
        warnings.append(f"no meta graph is tagged exactly `serve`: TensorFlow Serving needs --saved_model_tags={tags}")
    if not report.served.signatures:
        warnings.append("it has no signatures: nobody can call it by name")
    return report, inspector.load(directory, report.served.tags) if load else None, tuple(warnings)


def _commit(layout: Layout, staged: _Staged, place: Path, options: Options, timeout: float | None) -> PushResult:
    digest = content_digest(staged.files)
    warnings = list(staged.warnings)
    sound: set[Version] = set()
    damaged: set[Version] = set()
    manifest, raw = _write_manifest(staged, place, options, digest, _next(reading.take(layout)))
    copying.sync_directories(staged.directory, staged.listing)
    while True:
        same: set[Version] = set()
        if not options.allow_duplicate:
            unread = _same(reading.take(layout), digest) - sound - damaged
            for version in sorted(unread):
                problems = verifying.checked(reading.take(layout), version)
                (damaged if problems else sound).add(version)
                if problems:
                    warnings.append(f"{version} has the same content, but is damaged: {problems[0].detail}")
        with writing(layout, timeout) as writer:
            same = set() if options.allow_duplicate else _same(writer.snapshot(), digest)
            if same - sound - damaged:
                continue  # somebody pushed the same content meanwhile: read it without the lock
            if same & sound:
                return _push_again(writer, max(same & sound), options, warnings)
            version = Version(writer.next_number())
            if version.number > MAX_NUMBER:
                raise RefusedError("there are no numbers left", kind="numbers-exhausted")
            if version != manifest.version:
                manifest, raw = _write_manifest(staged, place, options, digest, version)
                durable.sync_directory(staged.directory)
            return _rename(writer, staged, manifest, raw, warnings)


def _next(snapshot: reading.Snapshot) -> Version:
    """The number that will most likely be ours."""
    numbers = [snapshot.state.highest, *(version.number for version in snapshot.tree.versions)]
    return Version(min(max(numbers) + 1, MAX_NUMBER))


def _same(snapshot: reading.Snapshot, digest: str) -> set[Version]:
    stored = snapshot.state.stored
    return {version for version in snapshot.present if version in stored and stored[version].digest == digest}


def _write_manifest(
    staged: _Staged, place: Path, options: Options, digest: str, version: Version
) -> tuple[Manifest, bytes]:
    actor = machine.actor()
    report, loaded = staged.report, staged.loaded
    manifest = Manifest(
        version=version,
        digest=digest,
        size=sum(entry.size for entry in staged.files),
        files=staged.files,
        created_at=machine.now().time,
        created_by=actor,
        source=Origin(path=str(place), host=actor.host),
        message=options.message,
        labels=options.labels,
        metrics=options.metrics,
        model_format=staged.listing.model_format or "pb",
        tags=tuple(graph.tags for graph in report.meta_graphs) if report else None,
        signatures=report.served.signatures if report else None,
        tensorflow_version=report.served.tensorflow_version if report else None,
        fingerprint=report.fingerprint if report else None,
        load="passed" if loaded else "skipped",
        loaded_by=loaded.tensorflow_version if loaded else None,
        modelrepo_version=__version__,
    )
    raw = manifest.to_bytes()
    path = staged.directory / MANIFEST
    durable.remove_file(path)
    durable.write_new(path, raw, copying.FILE_MODE)
    return manifest, raw


def _push_again(writer: Writer, version: Version, options: Options, warnings: list[str]) -> PushResult:
    manifest = writer.snapshot().manifest(version)
    writer.record("done", "push-again", version=version, digest=manifest.digest)
    ignored = [word for word in ("message", "labels", "metrics") if getattr(options, word)]
    if ignored:
        warnings.append(f"{version} has this content already: the new {' and '.join(ignored)} were not stored")
    return _result(manifest, warnings, created=False)


def _rename(writer: Writer, staged: _Staged, manifest: Manifest, raw: bytes, warnings: list[str]) -> PushResult:
    version, target = manifest.version, writer.layout.version(manifest.version)
    intent = writer.record(
        "intent",
        "push",
        version=version,
        token=staged.token,
        digest=manifest.digest,
        manifest_digest=f"sha256:{hashlib.sha256(raw).hexdigest()}",
        size=manifest.size,
        files=len(manifest.files),
    )
    try:
        writer.lock.check()
        durable.rename_new(staged.directory, target)
    except OSError as error:
        if staged.directory.exists() or not target.exists():
            writer.give_up(intent)
            raise from_os(error, f"put {version} in its place") from error
    result = _result(manifest, warnings, created=True)
    step = "sync the new version's name to the disk"
    durable_now = False
    try:
        durable.sync_directory(writer.layout.root)
        durable_now, step = True, "write the outcome into the journal"
        writer.close(intent, "done")
    except OSError as error:
        raise UnconfirmedError(
            f"{version} is there, but {from_os(error, step).message}",
            durable=durable_now,
            view=None,
            recorded=False,
            hint="mend the cause; the next writing command completes it",
            partial=result,
        ) from error
    return result


def _result(manifest: Manifest, warnings: list[str], *, created: bool) -> PushResult:
    return PushResult(
        version=manifest.version,
        created=created,
        digest=manifest.digest,
        size=manifest.size,
        files=len(manifest.files),
        signatures=manifest.signatures,
        load=manifest.load,
        warnings=tuple(warnings),
    )


def _promoted(layout: Layout, result: PushResult, request: moving.Request, timeout: float | None) -> PushResult:
    try:
        move = moving.promote(layout, NumberRef(result.version), request, dry_run=False, timeout=timeout)
    except ModelRepoError as error:
        moved = error.partial if isinstance(error, UnconfirmedError) else None
        error.partial = result.model_copy(update={"promoted": moved})
        error.message = (
            f"{result.version} is stored, but not promoted: {error.message}" if moved is None else error.message
        )
        raise
    return result.model_copy(update={"promoted": move, "warnings": (*result.warnings, *move.warnings)})
