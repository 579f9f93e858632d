"""`push`: taking a SavedModel in as the next version, whole or not at all.

Staging directory made and held → files copied, digested, synced → source looked at again → read, scanned and loaded in
a child process → manifest, directories → lock → same-content check → intent → rename to `vN`, sync the root (commit) →
outcome.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo import __version__
from modelrepo.core import modes
from modelrepo.core.annotations import About, Annotation
from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.layout import MANIFEST, Layout
from modelrepo.core.refs import NumberRef, Version
from modelrepo.errors import IntegrityError, ModelRepoError, UnconfirmedError, from_os, told
from modelrepo.fs import copying, durable, machine, source
from modelrepo.repository import (
    checking,
    from_keras,
    golden,
    initializing,
    moving,
    numbering,
    opening,
    origins,
    reusing,
    staging,
)
from modelrepo.repository import snapshot as reading
from modelrepo.repository.border import border
from modelrepo.repository.progress import Counter, Progress
from modelrepo.repository.results import PushResult
from modelrepo.repository.writing import Writer, check_file_system, lock_seconds, writing
from modelrepo.savedmodel.runner import Inspector, default_memory
from modelrepo.savedmodel.trial import Trial

if TYPE_CHECKING:
    from modelrepo.core.manifest import Manifest


@dataclass(frozen=True)
class Options:
    """What a caller asks of a push.

    Attributes:
        message: What to say about the version.
        labels: Words, by key.
        metrics: Finite numbers, by key.
        load: Whether TensorFlow must load it first.
        load_seconds: How long that may take.
        allow_ops: Ops that the scan shall let in.
        load_memory: How much memory it may use, in bytes; None for 4 GiB and three times the model.
        links: What to do with symbolic links in the source.
        allow_duplicate: Store it although a version has the same content.
        promotion: The move to make after, or None.
        init: Make the repository if there is none.
        number: The version's number; None for the next.
        golden: The bytes of a file of golden requests that it shall carry.
        smoke: Whether to call every signature with zeros or empty strings.
        keras: The Keras model that the source was exported from; None where it is what was pushed.
    """

    message: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    load: bool = True
    load_seconds: float = 300.0
    load_memory: int | None = None
    allow_ops: frozenset[str] = frozenset()
    links: staging.Links = field(default_factory=staging.Links)
    allow_duplicate: bool = False
    promotion: moving.Request | None = None
    init: bool = False
    number: int | None = None
    golden: bytes | None = None
    smoke: bool = False
    keras: from_keras.Source | None = None


@dataclass(frozen=True)
class _Staged:
    """A version that is built, checked and waits for its number."""

    directory: Path
    token: str
    listing: source.Listing
    files: tuple[FileEntry, ...]
    checked: staging.Checked
    export: origins.Export | None
    golden: golden.Kept | None
    notes: tuple[str, ...]


def push(
    layout: Layout, path: Path, options: Options, timeout: float | None, progress: Progress | None = None
) -> PushResult:
    """Take in a SavedModel."""
    lock_seconds(timeout)  # what cannot be understood is said before the work, not after
    place = staging.locate(layout, path)
    listing = staging.look_at(place, options.links)
    export = origins.read(listing)
    if options.init:
        with contextlib.suppress(UnconfirmedError):  # the push itself syncs it, or fails
            initializing.init(layout, timeout)
    snapshot = reading.take(layout)
    snapshot.require_journal()
    check_file_system(layout.root, snapshot.config.storage)
    if layout.staging.is_symlink() or not layout.staging.is_dir():
        with writing(layout, timeout):
            pass  # recovery makes it again, or says why it cannot
    if options.number is None or Version(options.number) not in snapshot.present:  # that may have the same content
        numbering.following(layout, snapshot.state, options.number)
    memory = options.load_memory if options.load_memory is not None else default_memory(listing.size)
    staging.require_room(layout.root, listing, snapshot)
    with (
        staging.staging(layout, snapshot.config.modes) as (directory, name),
        _inspector(options, memory) as inspector,
    ):
        copied = (place, export.manifest) if export is not None else None
        kept, notes = golden.carried(inspector, options.golden, snapshot, copied, load=options.load)
        if options.load:
            inspector.warm()
        reuse = reusing.reuse_of(snapshot, listing)
        files = copying.copy(listing, directory, snapshot.config.modes, reuse, seen=Counter(listing.size, progress).add)
        staging.look_again(place, listing, options.links)
        if export is not None:
            export.require(files, place)
        trial = Trial(
            golden=kept.data if kept is not None else None,
            answers=options.keras.answers if options.keras is not None else None,
            smoke=options.smoke,
        )
        with staging.told_as(place, directory):
            checked = staging.inspect(
                inspector,
                directory,
                load=options.load,
                allow=options.allow_ops,
                trial=trial,
                linked=reuse.linked if reuse is not None else (),
                size=listing.size,
            )
        staged = _Staged(directory, name, listing, files, checked, export, kept, notes)
        result = _commit(layout, staged, place, options, timeout)
    if options.promotion is None:
        return result
    return _promoted(layout, result, options.promotion, timeout)


def _inspector(options: Options, memory: int) -> contextlib.AbstractContextManager[Inspector]:
    if options.keras is not None and options.keras.inspector is not None:
        return contextlib.nullcontext(options.keras.inspector)
    return Inspector(memory=memory, seconds=options.load_seconds)


def _commit(layout: Layout, staged: _Staged, place: Path, options: Options, timeout: float | None) -> PushResult:
    digest = content_digest(staged.files)
    warnings = [*staged.notes, *staged.checked.warnings]
    if options.keras is not None:
        warnings += options.keras.warnings
    sound: set[Version] = set()
    damaged: set[Version] = set()
    guess = (
        numbering.following(layout, reading.take(layout).state, None)
        if options.number is None
        else Version(options.number)
    )
    manifest, raw = _write_manifest(staged, place, options, digest, guess)
    copying.sync_directories(staged.directory, staged.listing)
    while True:
        journal = opening.open_known(layout, whole=False)  # what is read of it now need not be read under the lock
        if not options.allow_duplicate:
            unread = _same(reading.take(layout, journal), digest) - sound - damaged
            for version in sorted(unread):
                problems = checking.damage(reading.take(layout), version)
                (damaged if problems else sound).add(version)
                if problems:
                    first = problems[0]
                    warnings.append(f"{version} has the same content, but is damaged: {first.path}: {first.detail}")
        with writing(layout, timeout, journal) as writer:
            same = set() if options.allow_duplicate else _same(writer.snapshot(), digest)
            if same - sound - damaged:
                continue  # somebody pushed the same content meanwhile: read it without the lock
            if same & sound:
                return _push_again(writer, numbering.meant(same & sound, options.number), staged, options, warnings)
            version = numbering.following(layout, writer.state, options.number)
            if version != manifest.version:
                manifest, raw = _write_manifest(staged, place, options, digest, version)
                durable.sync_directory(staged.directory)
            return _rename(writer, staged, manifest, raw, warnings)


def _same(snapshot: reading.Snapshot, digest: str) -> set[Version]:
    stored = snapshot.state.stored
    return {version for version in snapshot.present if version in stored and stored[version].digest == digest}


def _write_manifest(
    staged: _Staged, place: Path, options: Options, digest: str, version: Version
) -> tuple[Manifest, bytes]:
    from modelrepo.core.manifest import Manifest, Origin

    actor = machine.actor()
    report, loaded = staged.checked.report, staged.checked.loaded
    export = staged.export
    said = About(options.labels, options.metrics, options.message)
    if export is not None:  # what was said there, where nothing else is said here
        before = export.manifest
        given = Annotation(options.labels, options.metrics, options.message)
        said = given.over(About(before.labels, before.metrics, before.message))
    manifest = Manifest(
        version=version,
        digest=digest,
        size=sum(entry.size for entry in staged.files),
        files=staged.files,
        created_at=machine.now().time,
        created_by=actor,
        source=Origin(
            path=str(options.keras.place if options.keras is not None else place),
            host=actor.host,
            exported=export.origin() if export is not None else None,
        ),
        message=said.message,
        labels=said.labels,
        metrics=said.metrics,
        model_format=staged.listing.model_format or "pb",
        tags=tuple(graph.tags for graph in report.meta_graphs) if report else None,
        signatures=report.served.signatures if report else None,
        tensorflow_version=report.served.tensorflow_version if report else None,
        fingerprint=report.fingerprint if report else None,
        load="passed" if loaded else "skipped",
        loaded_by=loaded.tensorflow_version if loaded else None,
        cage=loaded.cage if loaded else None,
        findings=report.findings if report else None,
        scanned_by=report.scanned_by if report else None,
        allowed_ops=staged.checked.allowed,
        training=report.served.training if report else None,
        keras=options.keras.facts if options.keras is not None else None,
        golden=staged.golden.facts if staged.golden else None,
        modelrepo_version=__version__,
    )
    raw = manifest.to_bytes()
    path = staged.directory / MANIFEST
    durable.remove_file(path)
    durable.write_new(path, raw, modes.FILE)
    return manifest, raw


def _push_again(writer: Writer, version: Version, staged: _Staged, options: Options, warnings: list[str]) -> PushResult:
    manifest = writer.snapshot().manifest(version)
    checked = staged.checked
    writer.record_change("push-again", version=version, digest=manifest.digest, allowed_ops=checked.allowed or None)
    ignored = [word for word in ("message", "labels", "metrics") if getattr(options, word)]
    if staged.golden is not None and manifest.golden != staged.golden.facts:
        ignored.append("golden requests")
    if ignored:
        missing = f"{version} has this content already; not stored of this push: {', '.join(ignored)}"
        warnings.append(f"{missing}; `modelrepo annotate {version}` adds them")
    result = _result(manifest, warnings, created=False)
    now: dict[str, object] = {} if checked.loaded is None else {"load": "passed"}
    if checked.report is not None:  # what is known now, not what was known then
        now |= {"findings": checked.report.findings, "scanned_by": checked.report.scanned_by}
    return result.replaced(**now, allowed_ops=checked.allowed)


def _rename(writer: Writer, staged: _Staged, manifest: Manifest, raw: bytes, warnings: list[str]) -> PushResult:
    version, target = manifest.version, writer.layout.version(manifest.version)
    if staged.golden is not None:
        golden.store(writer, staged.golden)
    intent = writer.record(
        "intent",
        "push",
        version=version,
        token=staged.token,
        digest=manifest.digest,
        manifest_digest=f"sha256:{hashlib.sha256(raw).hexdigest()}",
        size=manifest.size,
        files=len(manifest.files),
        allowed_ops=manifest.allowed_ops or None,
    )
    try:
        writer.lock.check()
        durable.rename_new(staged.directory, target)
    except IntegrityError:  # the lock is not ours any more: nothing was put in place
        writer.give_up(intent)
        raise
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
    except (OSError, IntegrityError) as error:
        raise UnconfirmedError(
            f"{version} is there, but {told(error, step)}",
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
        findings=manifest.findings,
        scanned_by=manifest.scanned_by,
        allowed_ops=manifest.allowed_ops,
        golden=manifest.golden,
        warnings=tuple(warnings),
    )


def _promoted(layout: Layout, result: PushResult, request: moving.Request, timeout: float | None) -> PushResult:
    try:
        with border("promote"):
            move = moving.promote(layout, NumberRef(result.version), request, dry_run=False, timeout=timeout)
    except ModelRepoError as error:
        moved = error.partial if isinstance(error, UnconfirmedError) else None
        error.partial = result.replaced(promoted=moved)
        error.message = (
            f"{result.version} is stored, but not promoted: {error.message}" if moved is None else error.message
        )
        raise
    return result.replaced(promoted=move, warnings=(*result.warnings, *move.warnings))
