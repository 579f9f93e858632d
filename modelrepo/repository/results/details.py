"""What `show` and `convert` give: results that are whole documents."""

from __future__ import annotations

from modelrepo.core.derived import Record
from modelrepo.core.documents import Document, Timestamp
from modelrepo.core.manifest import Manifest


class Derived(Document):
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


class Conversion(Record):
    """What a conversion made: its record, and where it is.

    Attributes:
        path: What was written outside the repository; None where nothing was.
        kept: Its directory in the repository; None where it is not kept.
        created: Whether what is kept is new; False where the same was kept already, or nothing is.
        warnings: What somebody should know.
    """

    path: str | None
    kept: str | None
    created: bool
    warnings: tuple[str, ...] = ()
