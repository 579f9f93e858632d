"""Pushing what was exported from a repository: its manifest is checked, and recorded as where it came from."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core.contents import FileEntry
from modelrepo.core.layout import MANIFEST
from modelrepo.core.values import check_labels, check_metrics, check_text
from modelrepo.errors import IntegrityError, ModelRepoError, SourceError, told
from modelrepo.fs.files import read_file
from modelrepo.fs.source import Listing

if TYPE_CHECKING:  # few sources are exports, and it brings pydantic
    from modelrepo.core.manifest import Exported, Manifest

_NAMED = 5
#: A manifest of the most files that a push takes, with names of usual length.
_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Export:
    """The manifest that lies in a source, and its raw bytes."""

    manifest: Manifest
    raw: bytes

    def origin(self) -> Exported:
        """The same as a record of where a version came from."""
        from modelrepo.core.manifest import Exported

        manifest = self.manifest
        return Exported(
            version=manifest.version,
            manifest_digest=f"sha256:{hashlib.sha256(self.raw).hexdigest()}",
            created_at=manifest.created_at,
            created_by=manifest.created_by,
            path=manifest.source.path,
            host=manifest.source.host,
        )

    def require(self, files: Sequence[FileEntry], place: Path) -> None:
        """Make sure that what was copied is what was exported.

        Raises:
            IntegrityError: A file is missing, new or other than its manifest says.
        """
        want, got = {entry.path: entry for entry in self.manifest.files}, {entry.path: entry for entry in files}
        wrong = sorted(path for path in want.keys() | got.keys() if want.get(path) != got.get(path))
        if wrong:
            raise IntegrityError(
                f"{place} is not what was exported",
                kind="export-damaged",
                expected=f"the files of {self.manifest.version} as its {MANIFEST} names them",
                got=f"{len(wrong)} that differ",
                hint=f"copy the export again; to push it as a model of its own, take its {MANIFEST} away",
                items=tuple(_said(path, want.get(path), got.get(path)) for path in wrong[:_NAMED]),
            )


def _said(path: str, want: FileEntry | None, got: FileEntry | None) -> str:
    if got is None:
        return f"{path} is missing"
    return f"{path} is new" if want is None else f"{path} has other bytes"


def read(listing: Listing) -> Export | None:
    """The manifest in a source that was exported; None in any other.

    Raises:
        SourceError: A `manifest.json` lies there that is not modelrepo's.
        IntegrityError: It is of a newer format.
    """
    if listing.manifest is None:
        return None
    from modelrepo.core.manifest import parse_manifest

    try:
        raw = read_file(Path(listing.manifest.real), _LIMIT)
        manifest = parse_manifest(raw, listing.manifest.real)
        check_labels(manifest.labels)
        check_metrics(manifest.metrics)
        check_text(manifest.message or "", "its message")
    except (ModelRepoError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EFBIG:
            raise
        if isinstance(error, IntegrityError) and error.kind == "newer-format":
            raise
        raise SourceError(
            f"{listing.manifest.real} is no manifest of modelrepo's, which keeps that name for itself",
            kind="source-unstorable",
            got=told(error, "read it"),
            hint="give it another name, or put it into a directory such as assets.extra/",
        ) from error
    return Export(manifest, raw)
