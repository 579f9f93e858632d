"""What reading gives."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelrepo.core.derived import Record
from modelrepo.core.manifest import Manifest
from modelrepo.core.values import Actor, Timestamp, Value, VersionField
from modelrepo.repository.results.problems import Problem


class VersionSummary(Value):
    """One row of `list`.

    Attributes:
        version: Which one.
        digest: Of its content.
        size: Bytes of its files.
        unshared: Of these, what no other file shares: so much its deletion alone would free. None where nobody can say.
        created_at: When it was pushed.
        channels: The channels that name it.
        pinned: Whether it is kept for ever.
        load: Whether TensorFlow has loaded it.
        labels: Words, by key.
        metrics: Numbers, by key.
        message: What was said about it.
        signatures: The names of its signatures.
        problem: Why the rest is not known.
        removed_at: When it was deleted.
    """

    version: VersionField
    digest: str
    size: int
    unshared: int | None
    created_at: Timestamp | None
    channels: tuple[str, ...]
    pinned: bool
    load: Literal["passed", "skipped"] | None
    labels: dict[str, str] | None
    metrics: dict[str, float] | None
    message: str | None
    signatures: tuple[str, ...] | None
    problem: str | None = None
    removed_at: Timestamp | None = None


class Derived(Value):
    """Something that was made of a version and kept.

    Attributes:
        name: What it is called.
        path: Its directory.
        record: What is said of it; None where that cannot be read.
        problem: Why not.
    """

    name: str
    path: str
    record: Record | None
    problem: str | None = None


class VersionDetails(Manifest):
    """A manifest, and what the repository says about the version now.

    Attributes:
        manifest_digest: Of the manifest's raw bytes.
        channels: The channels that name it.
        pinned: Whether it is kept for ever.
        path: Its directory; None where it was deleted.
        removed_at: When it was deleted.
        derived: What was made of it and is kept.
    """

    manifest_digest: str
    channels: tuple[str, ...]
    pinned: bool
    path: str | None
    removed_at: Timestamp | None
    derived: tuple[Derived, ...] = ()


class HistoryEntry(Value):
    """One outcome in the journal; of an annotation also what it gave and took away."""

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
    allowed_ops: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    metrics: dict[str, float] | None = None
    message: str | None = None
    unset: tuple[str, ...] | None = None


class HistoryAt(Value):
    """Where the channels pointed at a time.

    Attributes:
        at: When.
        channels: What each channel named then.
        moves: The moves that had brought them there.
    """

    at: Timestamp
    channels: dict[str, VersionField]
    moves: tuple[HistoryEntry, ...]


class Status(Value):
    """The repository at one glance.

    Attributes:
        repo: The root's absolute path.
        channels: What each channel names; None where its link names no version.
        rollback_to: Where a rollback would lead, None where there is nothing.
        versions: How many there are.
        size: Bytes of their files.
        frees: Bytes that a cleanup would free by the repository's own rules, if nobody held what goes. None where that
            takes more than a glance, with more than 500 versions: `cleanup --dry-run` says it.
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
    frees: int | None
    free: int
    pinned: tuple[VersionField, ...]
    problems: tuple[Problem, ...]
    journal_head: str | None


class Channel(Value):
    """One channel.

    Attributes:
        channel: Its name.
        target: What it names; None where its link names no version.
        stack: Its targets, the present one last.
        rollback_to: Where a rollback would lead, None where there is nothing.
        base_path: Its base path for TensorFlow Serving; None where it has none.
    """

    channel: str
    target: VersionField | None
    stack: tuple[VersionField, ...]
    rollback_to: VersionField | None
    base_path: str | None


class PathResult(Value):
    """A version and where it is."""

    version: VersionField
    path: str


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
