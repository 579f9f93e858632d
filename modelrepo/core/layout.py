"""Where everything is. Each path of a repository is spelled here and nowhere else."""

from __future__ import annotations

from pathlib import Path

from modelrepo.core.modes import Modes
from modelrepo.core.refs import Version
from modelrepo.core.values import Value

#: The directory that makes a directory a repository.
STATE = ".modelrepo"
#: Reserved at the top of a version.
MANIFEST = "manifest.json"
#: Reserved beside the files of what was made of a version.
RECORD = "record.json"
#: The base paths for TensorFlow Serving.
SERVING = "serving"
_HEX_DIGITS = 64
#: What file systems and desktops put into a directory; an empty directory may hold them.
SYSTEM_ENTRIES = frozenset({"lost+found", ".snapshot", ".snapshots", ".zfs", ".Trash-0", ".Trash-1000", ".DS_Store"})


class Layout(Value):
    """The paths of the repository at `root`, an absolute path without links."""

    root: Path

    @property
    def state(self) -> Path:
        """Modelrepo's own directory."""
        return self.root / STATE

    @property
    def config(self) -> Path:
        """Its presence is what makes the repository."""
        return self.state / "config.toml"

    @property
    def lock(self) -> Path:
        """The writers' lock."""
        return self.state / "lock"

    @property
    def journal(self) -> Path:
        """The append-only history."""
        return self.state / "journal.jsonl"

    @property
    def index(self) -> Path:
        """The journal's sum, derived: made again where it is gone."""
        return self.state / "index"

    @property
    def checked(self) -> Path:
        """When `verify` has last read each version whole, derived: without it all count as not checked."""
        return self.state / "checked"

    def set_aside(self, digest: str) -> Path:
        """Where a damaged journal of this digest is kept."""
        return self.state / f"journal-{digest.removeprefix('sha256:')[:12]}.damaged"

    @property
    def ballast(self) -> Path:
        """Room that a full disk gives back."""
        return self.state / "ballast"

    @property
    def removed(self) -> Path:
        """Manifests of deleted versions."""
        return self.state / "removed"

    @property
    def golden(self) -> Path:
        """Golden requests, by digest; made with the first."""
        return self.state / "golden"

    def golden_file(self, digest: str, kind: str) -> Path:
        """One file of golden requests."""
        return self.golden / f"{digest.removeprefix('sha256:')}.{kind}"

    def is_golden(self, path: Path) -> bool:
        """Whether a path is spelled like one of them."""
        digest, _, kind = path.name.partition(".")
        return len(digest) == _HEX_DIGITS and not set(digest) - set("0123456789abcdef") and kind in {"json", "npz"}

    @property
    def derived(self) -> Path:
        """What was made of versions and kept, such as converted models; made with the first."""
        return self.state / "derived"

    def derived_of(self, version: Version) -> Path:
        """What was made of one version: a directory for each, by name."""
        return self.derived / str(version)

    def derived_record(self, version: Version, name: str) -> Path:
        """The record of one of them, beside its files."""
        return self.derived_of(version) / name / RECORD

    @property
    def staging(self) -> Path:
        """Versions and views being built."""
        return self.state / "staging"

    @property
    def trash(self) -> Path:
        """Versions being deleted."""
        return self.state / "trash"

    @property
    def serving(self) -> Path:
        """The views."""
        return self.root / SERVING

    def own_directories(self, modes: Modes) -> tuple[tuple[Path, int], ...]:
        """Modelrepo's directories and their modes, whatever the umask; the first holds the others but the last."""
        return (
            (self.state, modes.directory),
            (self.removed, modes.directory),
            (self.staging, modes.private),
            (self.trash, modes.private),
            (self.serving, modes.directory),
        )

    def version(self, version: Version) -> Path:
        """One version's directory."""
        return self.root / str(version)

    def place(self, version: Version) -> str:
        """One version's directory as a text: for ten thousand, making a `Path` each takes longer than looking there.

        >>> Layout(Path("/models")).place(Version(1)), Layout(Path("/")).place(Version(1))
        ('/models/v1', '/v1')
        """
        return f"{str(self.root).rstrip('/')}/{version}"

    def manifest(self, version: Version) -> Path:
        """One version's manifest."""
        return self.root / f"{version}/{MANIFEST}"

    def removed_manifest(self, version: Version) -> Path:
        """The manifest of a version that is gone."""
        return self.removed / f"{version}.json"

    def channel(self, channel: str) -> Path:
        """A channel's link."""
        return self.root / channel

    def view(self, channel: str) -> Path:
        """A channel's base path for TensorFlow Serving."""
        return self.serving / channel


def view_target(version: Version) -> str:
    """The text of a view's link, seen from `serving/<channel>/`."""
    return f"../../{version}"


def version_in_view(name: str, text: str) -> Version | None:
    """The version that an entry of a view stands for, or None where it is not modelrepo's.

    >>> version_in_view("3", "../../v3"), version_in_view("3", "../../v4"), version_in_view("notes", "x")
    (Version(3), None, None)
    """
    version = Version.from_name(f"v{name}")
    return version if version is not None and text == view_target(version) else None


def version_of_path(root: Path, path: str) -> tuple[Version | None, bool]:
    """The version that a path without links leads into.

    Args:
        root: The repository's root.
        path: An absolute path without links.

    Returns:
        The version, or None; and whether the path is the version's directory itself, not something below.

    >>> [version_of_path(Path("/models"), path) for path in ("/models/v2", "/models/v2/assets", "/other/v2")]
    [(Version(2), True), (Version(2), False), (None, False)]
    """
    if not path.startswith(f"{str(root).rstrip('/')}/"):
        return None, False
    name, _, below = path[len(str(root).rstrip("/")) + 1 :].partition("/")
    version = Version.from_name(name)
    return version, version is not None and not below
