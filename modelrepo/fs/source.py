"""Looking at a source before it is taken in, and again after.

What is listed is what is copied: links, pipes, sockets and devices are refused, names must be ones that every tool can
handle, and the bounds of `modelrepo.core.contents` hold. All problems are collected, then reported once.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelrepo.core.contents import MAX_FILES, MAX_LEVELS, name_problem
from modelrepo.core.layout import MANIFEST, STATE
from modelrepo.errors import SourceError
from modelrepo.fs.files import open_regular
from modelrepo.fs.look import kind_of

#: TensorFlow looks for one of these at the top (tensorflow/python/saved_model/loader_impl.py).
MODEL_FILES = {"saved_model.pb": "pb", "saved_model.pbtxt": "pbtxt", "saved_model.cpb": "cpb"}
_NAMED = 5
_NAMED_CHARACTERS = 60
#: The version's digest could not be checked with sha256sum.
_STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to copy.

    Attributes:
        path: Where it will stand in the version, relative, with `/`.
        real: Where its bytes are; the same place, unless a link was followed.
        identity: Device, inode, size and both times of change: if any differs later, the file is not what was listed.
    """

    path: str
    real: str
    identity: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes, a sparse file's holes counted."""
        return self.identity[2]

    @property
    def changed(self) -> float:
        """When it was last changed in any way: its ctime, seconds since the epoch."""
        return self.identity[4] / 1e9


@dataclass(frozen=True, slots=True)
class Listing:
    """All that will be copied, sorted by path.

    Attributes:
        files: The files.
        directories: The directories, without the top.
        manifest: A `manifest.json` at the top: it is not copied. What was exported from a repository has one.
    """

    files: tuple[SourceFile, ...]
    directories: tuple[str, ...]
    manifest: SourceFile | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def model_format(self) -> str | None:
        """`pb`, `pbtxt` or `cpb`; None where this is no SavedModel."""
        names = {file.path for file in self.files}
        return next((kind for name, kind in MODEL_FILES.items() if name in names), None)


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What must not differ between listing and copying. Nobody can set the ctime back."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


#: A directory to look into: prefix of the paths below, where it is, and the identities from the top down to it.
_Place = tuple[str, str, tuple[tuple[int, int], ...]]


@dataclass(slots=True)
class _Scan:
    """One look at a source."""

    allowed: tuple[str, ...]
    follow: bool
    files: list[SourceFile] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    manifest: SourceFile | None = None

    def run(self, root: str) -> None:
        status = os.stat(root)
        stack: list[_Place] = [("", root, ((status.st_dev, status.st_ino),))]
        while stack and len(self.files) <= MAX_FILES and len(self.directories) <= MAX_FILES:
            prefix, path, above = stack.pop()
            if len(above) > MAX_LEVELS:
                self.problems.append(f"{prefix!a} is more than {MAX_LEVELS} levels deep")
                continue
            with os.scandir(path) as entries:
                for entry in entries:
                    below = self._look(prefix, entry, above)
                    if below is not None:
                        stack.append(below)
        if len(self.files) > MAX_FILES or len(self.directories) > MAX_FILES:
            self.problems.append(f"it holds more than {MAX_FILES:,} files or directories")

    def _look(self, prefix: str, entry: os.DirEntry[str], above: tuple[tuple[int, int], ...]) -> _Place | None:
        """Take in one entry, or note why not; return the directory to look into next."""
        path = f"{prefix}{entry.name}"
        if path == MANIFEST and entry.is_file(follow_symlinks=False):
            self.manifest = SourceFile(path, entry.path, identity(entry.stat(follow_symlinks=False)))
            return None
        reserved = _reserved(path, entry.name)
        if reserved is not None:
            self.problems.append(f"{path!a} {reserved}")
            return None
        real = self._resolve(path, entry.path) if entry.is_symlink() else entry.path
        status = None if real is None else self._status(path, real)
        if real is None or status is None:
            return None
        if stat.S_ISREG(status.st_mode):
            self.files.append(SourceFile(path, real, identity(status)))
        elif not stat.S_ISDIR(status.st_mode):
            self.problems.append(f"{path!a} is a {kind_of(status.st_mode)}")
        elif (status.st_dev, status.st_ino) in above:
            self.problems.append(f"{path!a} leads back into itself")
        else:
            self.directories.append(path)
            return f"{path}/", real, (*above, (status.st_dev, status.st_ino))
        return None

    def _status(self, path: str, real: str) -> os.stat_result | None:
        try:
            return os.stat(real, follow_symlinks=False)
        except FileNotFoundError:
            self.problems.append(f"{path!a} went away while it was looked at")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            self.problems.append(f"the path {path[:_NAMED_CHARACTERS]!a}… is too long for the system")
        return None

    def _resolve(self, path: str, link: str) -> str | None:
        if not self.follow:
            self.problems.append(f"{path!a} is a symbolic link")
            return None
        try:
            real = os.path.realpath(link, strict=True)
        except OSError:
            self.problems.append(f"{path!a} is a symbolic link that leads nowhere")
            return None
        if any(real == place or real.startswith(f"{place.rstrip('/')}/") for place in self.allowed):
            return real
        self.problems.append(f"{path!a} is a symbolic link that leads out, to {real!a}")
        return None


def _reserved(path: str, name: str) -> str | None:
    """Why something of this name cannot stand here, whatever it is."""
    problem = name_problem(name)
    if problem is not None:
        return problem
    if path == MANIFEST or name == STATE:
        return "is a name that modelrepo keeps for itself"
    if path == _STANDARD_INPUT:
        return "is a name that sha256sum takes for its standard input"
    return None


def look(source: Path, *, follow_links: bool = False, links_into: Sequence[Path] = ()) -> Listing:
    """List a source.

    Args:
        source: A directory, absolute and without links.
        follow_links: Store what a symbolic link inside the source names, where that is inside the source too.
        links_into: Directories outside that followed links may lead into as well.

    Raises:
        SourceError: It is no SavedModel, or holds what cannot be stored; the message names up to five problems.
        OSError: It may not be read.
    """
    allowed = (str(source), *(os.path.realpath(place) for place in links_into))
    scan = _Scan(allowed, follow_links or bool(links_into))
    scan.run(str(source))
    if scan.problems:
        named = "; ".join(sorted(scan.problems)[:_NAMED])
        more = f"; and {len(scan.problems) - _NAMED} more" if len(scan.problems) > _NAMED else ""
        links = any("symbolic link" in problem for problem in scan.problems)
        raise SourceError(
            f"{source} cannot be stored: {named}{more}",
            kind="source-unstorable",
            expected="regular files and directories only",
            hint="--follow-links stores what links inside the source name, --links-into DIR those that lead into DIR"
            if links
            else "export the model again into an empty directory",
        )
    listing = Listing(
        tuple(sorted(scan.files, key=lambda file: file.path.encode())),
        tuple(sorted(scan.directories, key=str.encode)),
        scan.manifest,
    )
    if listing.model_format is None:
        raise SourceError(
            f"{source} is not a SavedModel",
            kind="not-a-savedmodel",
            expected="one of " + ", ".join(MODEL_FILES) + " at its top",
            got=_summary(listing),
            hint="name the directory that model.export() or tf.saved_model.save() wrote",
        )
    return listing


def begins_with(path: Path, mark: bytes) -> bool:
    """Whether a regular file begins with some bytes."""
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        return file.read(len(mark)) == mark


def _summary(listing: Listing) -> str:
    names = sorted({file.path.split("/")[0] for file in listing.files} | set(listing.directories))
    if not names:
        return "an empty directory"
    return ", ".join(ascii(name)[1:-1] for name in names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
