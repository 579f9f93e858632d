"""Which stored files a push may use instead of writing their bytes again: `[storage] dedup`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator

from modelrepo.core.contents import is_safe_path
from modelrepo.errors import IntegrityError
from modelrepo.fs import native, reuse, source
from modelrepo.fs.reuse import Reuse, Stored
from modelrepo.repository.snapshot import Snapshot

#: Of so many different contents of one size, the newest; more are not worth the looking.
_TRIED = 4


def reuse_of(snapshot: Snapshot, listing: source.Listing) -> Reuse | None:
    """How a push may use what the repository's versions hold; None where nothing can be shared.

    Args:
        snapshot: The repository.
        listing: What is pushed.
    """
    how = snapshot.config.storage.dedup
    sizes = {file.size for file in listing.files if file.size >= reuse.SMALLEST}
    if how == "off" or not sizes or not snapshot.present:
        return None
    if how == "reflink" and native.file_system(str(snapshot.layout.root))[0] not in native.CLONING_FILE_SYSTEMS:
        return None
    return Reuse(how, _Known(snapshot, sizes).of)


class _Known:
    """What the versions hold, read from their manifests when it is first asked for."""

    def __init__(self, snapshot: Snapshot, sizes: set[int]) -> None:
        self._snapshot = snapshot
        self._sizes = sizes
        self._by_size: dict[int, dict[str, tuple[str, Stored]]] | None = None

    def of(self, path: str, size: int) -> Iterable[Stored]:
        """The files of a size, one of each content: those of the same path first, the newest first."""
        if self._by_size is None:
            self._by_size = self._read()
        found = sorted(self._by_size.get(size, {}).values(), key=lambda known: known[0] != path)
        return [stored for _, stored in found[:_TRIED]]

    def _read(self) -> dict[int, dict[str, tuple[str, Stored]]]:
        """By size and digest: a file's path, and where it is."""
        by_size: dict[int, dict[str, tuple[str, Stored]]] = defaultdict(dict)
        stored = self._snapshot.state.stored
        for version in sorted(self._snapshot.present, reverse=True):
            if version not in stored or stored[version].adopted:
                continue  # nobody knows who may write to an adopted file
            directory = self._snapshot.layout.version(version)
            try:
                raw = self._snapshot.manifest_bytes(version)
            except (IntegrityError, OSError):
                continue
            for path, size, digest in _files(raw):
                if size in self._sizes:
                    by_size[size].setdefault(digest, (path, Stored(directory / path, digest)))
        return by_size


def _files(raw: bytes) -> Iterator[tuple[str, int, str]]:
    """The files that a manifest names: it is what was pushed, and only a hint here, so it is not validated again."""
    for entry in json.loads(raw)["files"]:
        if is_safe_path(entry["path"]):
            yield entry["path"], entry["size"], entry["digest"]
