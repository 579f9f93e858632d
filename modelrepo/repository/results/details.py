"""What `show` gives: the one result that is a whole document."""

from __future__ import annotations

from modelrepo.core.documents import Timestamp
from modelrepo.core.manifest import Manifest


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
