"""What versions take on the disk, where they share bytes: what deleting them would free."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from modelrepo.core.layout import MANIFEST, Layout
from modelrepo.core.refs import Version
from modelrepo.fs import native, space
from modelrepo.repository import derived
from modelrepo.repository.snapshot import Snapshot


def freed(layout: Layout, going: Iterable[Path | str], staying: Iterable[Path | str]) -> int:
    """Bytes that deleting some versions' directories would free; a manifest outlives its version.

    Of blocks that are shared with files outside of the repository, nobody knows: two versions that go together and
    share them count as freeing them.

    Args:
        layout: Where.
        going: Their directories.
        staying: Those of the other versions.
    """
    blocks = _share_blocks(layout)
    return space.measure(going, blocks=blocks, besides=MANIFEST).freed(
        lambda: space.measure(staying, blocks=blocks, besides=MANIFEST)
    )


def would_free(snapshot: Snapshot, versions: Iterable[Version]) -> int:
    """Bytes that deleting some versions of a repository, and what was made of them, would free."""
    going = set(versions)
    layout = snapshot.layout
    made = [
        str(layout.derived_of(version))
        for version in going & derived.versions(layout)
        if derived.names(layout, version)
    ]
    return freed(layout, [*map(layout.place, going), *made], map(layout.place, snapshot.present - going))


def unshared(snapshot: Snapshot, version: Version, size: int) -> int:
    """Bytes of a version that nothing else shares. Its files are looked at only where the repository shares any.

    Args:
        snapshot: The repository.
        version: One that is there.
        size: The bytes of all its files.
    """
    dedup = snapshot.config.storage.dedup
    blocks = dedup == "reflink" and snapshot.file_system[0] in native.CLONING_FILE_SYSTEMS
    if dedup != "hardlink" and not blocks:
        return size
    return space.measure([snapshot.layout.version(version)], blocks=blocks, besides=MANIFEST).own


def _share_blocks(layout: Layout) -> bool:
    return native.file_system(str(layout.root))[0] in native.CLONING_FILE_SYSTEMS
