"""What the operations return: frozen values, the same for Python and for `--json`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelrepo.core.manifest import Manifest
from modelrepo.core.signatures import Change, Signature
from modelrepo.core.values import Actor, Timestamp, Value, VersionField


class InitResult(Value):
    """What `init` did.

    Attributes:
        repo: The root's absolute path.
        created: Whether this call made the repository, or finished one that was interrupted.
        adopted: Versions taken over from a hand-made tree.
        warnings: What somebody should know, such as options that differ from what a whole repository is.
    """

    repo: str
    created: bool
    adopted: tuple[VersionField, ...] = ()
    warnings: tuple[str, ...] = ()


class MoveResult(Value):
    """What a promote or a rollback did.

    Attributes:
        channel: Which channel.
        origin: What it named before (`from` in JSON); None where it was new.
        to: What it names now.
        changed: Whether it moved; a plan says whether it would.
        breaking: What breaks callers of the version before; None where the contracts could not be or were not compared.
        warnings: What somebody should know.
    """

    channel: str
    origin: VersionField | None = Field(serialization_alias="from")
    to: VersionField
    changed: bool
    breaking: tuple[Change, ...] | None
    warnings: tuple[str, ...] = ()


class PushResult(Value):
    """What a push did.

    Attributes:
        version: The version that holds the content.
        created: Whether it is new; False where a version with the same content was there already.
        digest: Of the content.
        size: Bytes.
        files: How many.
        signatures: The contract, None where nobody read the model.
        load: Whether TensorFlow has loaded it, at this push or at the first of this content.
        findings: What a scan found; None because nobody scanned.
        promoted: The move of the channel, where one was asked for and happened.
        warnings: What somebody should know.
    """

    version: VersionField
    created: bool
    digest: str
    size: int
    files: int
    signatures: dict[str, Signature] | None
    load: Literal["passed", "skipped"]
    findings: tuple[str, ...] | None = None
    promoted: MoveResult | None = None
    warnings: tuple[str, ...] = ()


class VersionSummary(Value):
    """One row of `list`."""

    version: VersionField
    digest: str
    size: int
    created_at: Timestamp | None
    channels: tuple[str, ...]
    pinned: bool
    load: Literal["passed", "skipped"] | None
    labels: dict[str, str] | None
    metrics: dict[str, float] | None
    message: str | None
    signatures: tuple[str, ...] | None
    problem: str | None = None


class VersionDetails(Manifest):
    """A manifest, and what the repository says about the version now.

    Attributes:
        manifest_digest: Of the manifest's raw bytes.
        channels: The channels that name it.
        pinned: Whether it is kept for ever.
        path: Its directory; None where it was deleted.
        removed_at: When it was deleted.
    """

    manifest_digest: str
    channels: tuple[str, ...]
    pinned: bool
    path: str | None
    removed_at: Timestamp | None


class Inspection(Value):
    """What the inspector says about a SavedModel.

    Attributes:
        path: Where it is.
        version: Which version it is, None for a path.
        signatures: The contract of the meta graph for serving.
        tags: All tag sets.
        tensorflow_version: Which TensorFlow wrote it.
        fingerprint: TensorFlow's own.
        ops: How often each op stands in the meta graph for serving.
        findings: What a scan found; None because nobody scanned.
        load: Whether TensorFlow has loaded it just now; None where that was not asked.
        loaded_by: Which TensorFlow loaded it.
    """

    path: str
    version: VersionField | None
    signatures: dict[str, Signature]
    tags: tuple[tuple[str, ...], ...]
    tensorflow_version: str | None
    fingerprint: dict[str, str] | None
    ops: dict[str, int]
    findings: tuple[str, ...] | None = None
    load: Literal["passed"] | None = None
    loaded_by: str | None = None


class HistoryEntry(Value):
    """One outcome in the journal."""

    seq: int
    time: Timestamp
    actor: Actor
    action: str
    channel: str | None
    origin: VersionField | None = Field(serialization_alias="from")
    to: VersionField | None
    version: VersionField | None
    reason: str | None
    breaking: tuple[str, ...] | None
    recorded_by: Actor | None


class Problem(Value):
    """One finding of `verify` or `status`.

    Attributes:
        kind: A short stable word.
        path: What it is about, relative to the root where it is inside.
        detail: What is wrong, expected and got.
        repaired: Whether `verify --repair` has mended it.
        note: Whether it only informs: notes do not make a repository unsound.
    """

    kind: str
    path: str
    detail: str
    repaired: bool = False
    note: bool = False


class Status(Value):
    """The repository at one glance.

    Attributes:
        repo: The root's absolute path.
        channels: What each channel names; None where its link names no version.
        rollback_to: Where a rollback would lead, None where there is nothing.
        versions: How many there are.
        size: Bytes of their files.
        free: Free bytes on the file system.
        pinned: The pinned versions.
        problems: What should be looked at.
        journal_head: The digest of the journal's last line: noted elsewhere, it shows a cut-off end.
    """

    repo: str
    channels: dict[str, VersionField | None]
    rollback_to: dict[str, VersionField | None]
    versions: int
    size: int
    free: int
    pinned: tuple[VersionField, ...]
    problems: tuple[Problem, ...]
    journal_head: str | None


class PathResult(Value):
    """A version and where it is."""

    version: VersionField
    path: str


class PinResult(Value):
    """A version, and whether it is pinned now."""

    version: VersionField
    pinned: bool
    changed: bool


class Kept(Value):
    """A version that cleanup keeps, with all reasons."""

    version: VersionField
    reasons: tuple[str, ...]


class CleanupResult(Value):
    """What cleanup did, or with `dry_run` would do.

    Attributes:
        removed: The versions that went.
        kept: The others, and why.
        freed: Bytes of the files that went.
        dry_run: Whether this is only the plan.
        leftovers: How many abandoned directories of crashed commands were deleted.
        unseen: Processes that could not be looked at for open files; None where nobody had to look.
        problems: What was noticed on the way and stopped nothing.
    """

    removed: tuple[VersionField, ...]
    kept: tuple[Kept, ...]
    freed: int
    dry_run: bool
    leftovers: int = 0
    unseen: int | None = None
    problems: tuple[Problem, ...] = ()


class VerifyResult(Value):
    """What verify found.

    Attributes:
        ok: Whether nothing is wrong, or nothing is left wrong after a repair.
        versions: What was checked.
        findings: All that was found, notes included.
    """

    ok: bool
    versions: tuple[VersionField, ...]
    findings: tuple[Problem, ...]


class ServingConfig(Value):
    """A ModelServerConfig in protobuf's text format.

    Attributes:
        config: The text.
        models: Each model's name and base path.
        without: The repositories that have no channel to serve yet.
    """

    config: str
    models: dict[str, str]
    without: tuple[str, ...] = ()
