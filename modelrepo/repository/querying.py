"""The reading commands: `list`, `show`, `status`, `path`, `inspect`, `serving-config`. None takes a lock."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelrepo.core import outline
from modelrepo.core.contents import MAX_MANIFEST_BYTES
from modelrepo.core.layout import Layout
from modelrepo.core.outline import Outline
from modelrepo.core.refs import NumberRef, Ref, Version, parse_channel
from modelrepo.core.serving import model_name, server_config
from modelrepo.errors import IntegrityError, ModelRepoError, NotFoundError, RequestError, told
from modelrepo.fs.files import NO_FILE, read_file
from modelrepo.fs.look import room
from modelrepo.repository import derived, opening, planning, routing, sizing, verifying
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import (
    Problem,
    ServingConfig,
    Status,
    VersionSummary,
)
from modelrepo.repository.snapshot import Snapshot

if TYPE_CHECKING:  # they bring pydantic
    from modelrepo.core.manifest import Manifest
    from modelrepo.repository.results import VersionDetails

#: So many versions are looked at while somebody waits for a glance.
_FEW = 500


def summaries(
    layout: Layout, limit: int | None, labels: Mapping[str, str], *, removed: bool = False
) -> tuple[VersionSummary, ...]:
    """The versions, highest number first.

    Args:
        layout: Where.
        limit: At most this many; None for all.
        labels: Only those that carry all these labels.
        removed: The deleted ones, instead of those that are there.
    """
    snapshot = reading.take(layout)
    found: list[VersionSummary] = []
    for version in (snapshot.state.removed.versions if removed else snapshot.present).newest():
        if limit is not None and len(found) >= limit:
            break
        summary = _summary(snapshot, version)
        if not removed and summary.problem is not None and version not in reading.take(layout).present:
            continue  # a cleanup was faster
        if all((summary.labels or {}).get(key) == value for key, value in labels.items()):
            found.append(summary)
    return tuple(found)


def _summary(snapshot: Snapshot, version: Version) -> VersionSummary:
    state: dict[str, Any] = {
        "version": version,
        "channels": snapshot.channels_of(version),
        "pinned": version in snapshot.state.pins,
        "removed_at": snapshot.state.removed.get(version),
    }
    try:
        said = _outline(snapshot, version)
    except (ModelRepoError, OSError) as error:
        stored = snapshot.state.stored.get(version)
        return VersionSummary(
            digest=stored.digest if stored else "",
            size=stored.size if stored else 0,
            unshared=None,
            created_at=None,
            load=None,
            labels=None,
            metrics=None,
            message=None,
            signatures=None,
            problem=told(error, "read it"),
            **state,
        )
    about = snapshot.about(said)
    return VersionSummary(
        digest=said.digest,
        size=said.size,
        unshared=None if state["removed_at"] else sizing.unshared(snapshot, version, said.size),
        created_at=said.created_at,
        load=said.load,
        labels=about.labels,
        metrics=about.metrics,
        message=about.message,
        signatures=said.names,
        **state,
    )


def _outline(snapshot: Snapshot, version: Version) -> Outline:
    """What a version's manifest says, also where the version was deleted."""
    if version not in snapshot.state.removed:
        return snapshot.outline(version)
    return outline.require(manifest_of(snapshot, version)[1], str(snapshot.layout.removed_manifest(version)))


def manifest_of(snapshot: Snapshot, version: Version) -> tuple[Manifest, bytes]:
    """A version's manifest and its raw bytes, also where the version was deleted.

    Raises:
        NotFoundError: It was deleted, and its manifest was not kept.
        IntegrityError: It is not what was pushed, or lies elsewhere.
    """
    if version not in snapshot.state.removed:
        return snapshot.read_manifest(version)
    from modelrepo.core.manifest import parse_manifest

    path = snapshot.layout.removed_manifest(version)
    opening.require_directory(path.parent)
    try:
        raw = read_file(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"{version} was deleted, and its manifest was not kept", kind="version-removed") from None
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise IntegrityError(
            f"{path} is not a manifest: {error.strerror}", kind="manifest-damaged", hint="move it away"
        ) from error
    return parse_manifest(raw, str(path), version), raw


def show(layout: Layout, ref: Ref) -> VersionDetails:
    """One version, also one that was deleted."""
    from modelrepo.core.manifest import Manifest
    from modelrepo.repository.results import VersionDetails

    snapshot = reading.take(layout)
    gone = isinstance(ref, NumberRef) and ref.version in snapshot.state.removed
    version = ref.version if gone and isinstance(ref, NumberRef) else snapshot.resolve(ref)
    try:
        manifest, raw = manifest_of(snapshot, version)
    except IntegrityError:
        if gone or version in reading.take(layout).present:
            raise
        return show(layout, ref)  # a cleanup was faster
    about = snapshot.about(manifest)
    fields = {name: getattr(manifest, name) for name in Manifest.model_fields}
    said = {"labels": about.labels, "metrics": about.metrics, "message": about.message}
    return VersionDetails.model_validate(
        {
            **fields,
            **said,
            "manifest_digest": f"sha256:{hashlib.sha256(raw).hexdigest()}",
            "channels": snapshot.channels_of(version),
            "pinned": version in snapshot.state.pins,
            "path": None if gone else str(layout.version(version)),
            "removed_at": snapshot.state.removed.get(version),
            "derived": () if gone else tuple(derived.of(layout, version)),
        }
    )


def status(layout: Layout) -> Status:
    """The repository at one glance."""
    snapshot = reading.take(layout)
    state = snapshot.state
    gone = state.stored.versions - snapshot.present
    return Status(
        repo=str(layout.root),
        channels=snapshot.channels,
        rollback_to={channel: snapshot.below(channel) for channel in snapshot.channels},
        versions=len(snapshot.present),
        size=state.size - sum(state.stored[version].size for version in gone),
        frees=_frees(snapshot),
        free=room(layout.root)[0],
        pinned=tuple(sorted(snapshot.state.pins)),
        problems=(*verifying.structure(snapshot, chain=False), *_damaged(snapshot)),
        journal_head=snapshot.head,
    )


def _frees(snapshot: Snapshot) -> int | None:
    """What a cleanup would free. That takes a look at every file, and so of very many versions only a plan says it."""
    return planning.would_free(snapshot) if len(snapshot.present) <= _FEW else None


def _damaged(snapshot: Snapshot) -> Iterator[Problem]:
    """What the channels name must be there, with the right sizes; only `verify` reads the bytes."""
    for version in sorted({target for target in snapshot.channels.values() if target is not None}):
        try:
            routing.check_sizes(snapshot, version)
        except (IntegrityError, OSError) as error:
            if version in reading.take(snapshot.layout).present:  # else a promote and a cleanup were faster
                yield Problem(kind="version-damaged", path=str(version), detail=told(error, "look at it"))


def check_channels(snapshots: Sequence[Snapshot], channels: Collection[str]) -> None:
    """Refuse channels that none of the repositories has.

    Raises:
        NotFoundError: There is such a one.
    """
    there = {channel for snapshot in snapshots for channel in snapshot.channels}
    for channel in map(parse_channel, channels):
        if channel not in there:
            known = ", ".join(sorted(there)) or "none"
            raise NotFoundError(f"there is no channel {channel}", kind="channel-missing", got=f"channels: {known}")


def serving_config(
    snapshots: Sequence[Snapshot], name: str | None, base_path: str | None, leave_out: Collection[str], *, many: bool
) -> ServingConfig:
    """One ModelServerConfig for the channels of one or more repositories that have a view.

    Args:
        snapshots: The repositories, as they were seen.
        name: The model's name, for a single repository; its root's name otherwise.
        base_path: Where the server sees the root; with several repositories, the directory that holds them all.
        leave_out: Channels without an entry, in whichever of the repositories they are.
        many: Whether several were asked for.
    """
    if name is not None and many:
        raise RequestError("--name is for one repository", kind="name-ambiguous", got="several repositories")
    models: dict[str, str] = {}
    without: list[str] = []
    left_out: list[str] = []
    for snapshot in snapshots:
        layout = snapshot.layout
        model = name if name is not None else layout.root.name
        if not model:
            raise RequestError("the root directory has no name to serve under", kind="name-missing", hint="give --name")
        base = base_path.rstrip("/") if base_path is not None else str(layout.root)
        if base_path is not None and many:
            base = f"{base}/{layout.root.name}"
        views = snapshot.views
        served = [channel for channel in snapshot.channels if channel in views and views[channel].versions]
        left_out += [model_name(model, channel) for channel in served if channel in leave_out]
        for channel in served:
            full = model_name(model, channel)
            if full in models:
                raise RequestError(f"two channels would be served as {full}", kind="name-ambiguous", got=full)
            if channel not in leave_out:
                models[full] = f"{base}/{layout.serving.name}/{channel}"
        if not served:
            without.append(str(layout.root))
    config = server_config(models.items())
    return ServingConfig(config=config, models=models, without=tuple(without), left_out=tuple(left_out))
