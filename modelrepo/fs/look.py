"""Looking without touching: what stands in the root, below a version, and at a name; no link is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modelrepo.core.layout import STATE, SYSTEM_ENTRIES, Layout, version_in_view, version_of_path
from modelrepo.core.refs import Version, is_channel, number_of
from modelrepo.core.values import Value
from modelrepo.core.versions import Versions


class Link(Value):
    """A symbolic link in the root.

    Attributes:
        name: Its name.
        text: What it says.
        version: The version that it names, on whatever way, or None.
        into: The version that it leads into: the same, or one of whose files or directories it names.
        relative: Whether the text is the form that modelrepo writes.
        owner: The link's owner.
        changed: Its ctime, seconds since the epoch.
    """

    name: str
    text: str
    version: Version | None
    into: Version | None
    relative: bool
    owner: int
    changed: float

    @property
    def is_channel(self) -> bool:
        """Whether its name is a channel's."""
        return is_channel(self.name)


class Tree(Value):
    """What stands in the root.

    Attributes:
        versions: The real directories named like a version, modelrepo's or not.
        links: The symbolic links by name.
        others: The names of everything else, without what modelrepo made or file systems put there.
        directories: The names of the real directories that are spelled like a version, at least in the beginning.
    """

    versions: Versions
    links: Mapping[str, Link]
    others: tuple[str, ...]
    directories: frozenset[str]

    def channels(self) -> dict[str, Version | None]:
        """The links whose names are channels': what each names, None where that is no version's directory."""
        return {
            name: link.version if link.version in self.versions else None
            for name, link in sorted(self.links.items())
            if link.is_channel
        }


def read_tree(layout: Layout, before: Tree | None = None) -> Tree:
    """Look at the root once.

    Args:
        layout: Where.
        before: What was seen there before: where the same directories stand, their names need not be read again.
    """
    directories: list[str] = []
    links: dict[str, Link] = {}
    others: list[str] = []
    with os.scandir(layout.root) as entries:
        for entry in entries:
            name = entry.name
            if name[:1] == "v" and entry.is_dir(follow_symlinks=False):
                directories.append(name)
            elif entry.is_symlink():
                link = _read_link(layout.root, entry)
                if link is not None:
                    links[name] = link
            elif name not in SYSTEM_ENTRIES and name not in {STATE, layout.serving.name}:
                others.append(name)
    names = frozenset(directories)
    if before is not None and names == before.directories:
        versions = before.versions
    else:
        versions = Versions.of(number for name in names if (number := number_of(name)) is not None)
    if len(versions) < len(names):
        others += [name for name in names if number_of(name) is None]
    return Tree(versions, links, tuple(sorted(others)), names)


def _read_link(root: Path, entry: os.DirEntry[str]) -> Link | None:
    try:
        text = os.readlink(entry.path)
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # it went away while we looked
        return None
    version, into, relative = _follow(root, entry.path, text)
    return Link(entry.name, text, version, into, relative, status.st_uid, status.st_ctime)


def _follow(root: Path, path: str, text: str) -> tuple[Version | None, Version | None, bool]:
    """What a link names, what it leads into, and whether it says so in the plain relative form."""
    version = Version.from_name(text) if os.path.dirname(path) == str(root) else None
    if version is not None:
        return version, version, True
    into, exact = version_of_path(root, _real(path))
    if is_channel(text.removeprefix("./").rstrip("/")):
        return None, into, False  # a channel names a version, not another channel
    return into if exact else None, into, False


def _real(path: Path | str) -> str:
    """Where a path leads, all links followed; of a link that went away while it was followed, the path itself."""
    try:
        return os.path.realpath(path)
    except OSError:  # Python reads a link behind the look whether it is one
        return str(path)


class View(Value):
    """One entry of `serving/`: a channel's view, or something else that lies there.

    Attributes:
        versions: What its links name, of those that modelrepo makes.
        others: Names of entries that modelrepo did not make.
        into: The versions that any of its links leads into.
        own: Whether it is a real directory.
    """

    versions: frozenset[Version]
    others: tuple[str, ...]
    into: frozenset[Version]
    own: bool = True


def read_view(layout: Layout, name: str) -> View | None:
    """Look at one entry of `serving/`; None where there is none."""
    path = layout.view(name)
    if path.is_symlink() or not path.is_dir():
        if not os.path.lexists(path):
            return None
        into = version_of_path(layout.root, _real(path))[0]
        return View(frozenset(), (), frozenset() if into is None else frozenset({into}), own=False)
    versions: list[Version] = []
    others: list[str] = []
    into_all: list[Version] = []
    for name_below in sorted(os.listdir(path)):
        try:
            text = os.readlink(path / name_below)
        except OSError:
            others.append(name_below)
            continue
        version = version_in_view(name_below, text)
        into = version_of_path(layout.root, _real(path / name_below))[0]
        if into is not None:
            into_all.append(into)
        if version is None:
            others.append(name_below)
        else:
            versions.append(version)
    return View(frozenset(versions), tuple(others), frozenset(into_all))


def read_views(layout: Layout) -> dict[str, View]:
    """Look at all entries of `serving/`, by name."""
    try:
        names = sorted(os.listdir(layout.serving)) if kind_at(layout.serving) == "directory" else []
    except (FileNotFoundError, NotADirectoryError):
        return {}
    views = {name: read_view(layout, name) for name in names}
    return {name: view for name, view in views.items() if view is not None}


class Found(Value):
    """One entry below a version, as it stands on the disk.

    Attributes:
        path: Below the version.
        size: In bytes.
        mode: Its permissions.
        kind: `file`, `directory`, `link` or `special`.
        shared: Device and inode of a file that has several names.
    """

    path: str
    size: int
    mode: int
    kind: str
    shared: tuple[int, int] | None = None


def walk(directory: Path) -> Iterator[Found]:
    """Everything below a directory, without following links; `kind_of` names the kinds."""
    stack = [("", str(directory))]
    while stack:
        prefix, path = stack.pop()
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                status = entry.stat(follow_symlinks=False)
                name = f"{prefix}{entry.name}"
                kind, shared = kind_of(status.st_mode), None
                if kind == "file" and status.st_nlink > 1:
                    shared = status.st_dev, status.st_ino
                yield Found(name, status.st_size, stat.S_IMODE(status.st_mode), kind, shared)
                if stat.S_ISDIR(status.st_mode):
                    stack.append((f"{name}/", entry.path))


def mode_of(path: Path) -> int | None:
    """A file's or directory's permissions; None where there is none, or something else."""
    try:
        mode = os.stat(path, follow_symlinks=False).st_mode
    except OSError:
        return None
    return stat.S_IMODE(mode) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None


#: What a mode may describe, in words.
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "directory"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
)


def kind_of(mode: int) -> str:
    """Name the kind of thing that a mode describes."""
    return next((word for test, word in _KINDS if test(mode)), "device")


def kind_at(path: Path) -> str | None:
    """What has a name, a link not followed; None where nothing has it."""
    try:
        return kind_of(os.stat(path, follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def used_numbers(layout: Layout) -> list[int]:
    """The numbers that names in the root, among removed manifests and in the trash show to be spent."""
    there = [version.number for version in map(Version.from_name, os.listdir(layout.root)) if version is not None]
    return there + gone_numbers(layout)


def gone_numbers(layout: Layout) -> list[int]:
    """The numbers that removed manifests and the trash show to be spent by versions that are gone."""
    names = [*names_in(layout.removed), *names_in(layout.trash)]
    versions = (Version.from_name(name.partition(".")[0].partition("-")[0]) for name in names)
    return [version.number for version in versions if version is not None]


def names_in(directory: Path) -> list[str]:
    """The names in a directory of modelrepo's own; none where it is none, a link included, or nobody may look."""
    if kind_at(directory) != "directory":
        return []
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def device(path: Path) -> int:
    """The device that holds a file or directory; a link is not followed."""
    return os.stat(path, follow_symlinks=False).st_dev


def owner_and_age(directory: Path, names: Iterable[str]) -> tuple[int, float]:
    """A directory's owner, and when the newest of some files in it was changed (seconds since the epoch)."""
    times = [os.stat(directory / name, follow_symlinks=False).st_mtime for name in names]
    return os.stat(directory, follow_symlinks=False).st_uid, max(times, default=0.0)


def may_write(directory: Path) -> bool:
    """Whether this process may make and rename files in a directory."""
    return os.access(directory, os.W_OK | os.X_OK)


def room(path: Path) -> tuple[int, int]:
    """Free bytes and free files (inodes) for an ordinary user on the file system that holds a path."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize, status.f_favail
