"""Looking at a hand-made tree before it is adopted: every version and link is checked, and nothing is written.

What stands in the way is collected and said together: a tree of thousands of versions is not mended one error at a
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from modelrepo import __version__
from modelrepo.core.contents import FileEntry, content_digest
from modelrepo.core.findings import refused
from modelrepo.core.layout import MANIFEST, Layout
from modelrepo.core.manifest import Manifest, Origin
from modelrepo.core.refs import LATEST, MAX_NUMBER, Version
from modelrepo.errors import ModelError, RefusedError, SourceError
from modelrepo.fs import look, machine, native, source
from modelrepo.fs.files import file_digest
from modelrepo.repository import origins
from modelrepo.repository.progress import Counter, Progress
from modelrepo.savedmodel.report import Report
from modelrepo.savedmodel.runner import Inspector, default_memory

_NAMED = 20
#: Numbers made of dates and times, down to nanoseconds, lie below.
_HIGHEST = MAX_NUMBER - 10**18
#: Who copies a version by hand needs a moment between two files.
_SETTLED_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A version that can be adopted.

    Attributes:
        version: Which one.
        listing: Its files, as they were when they were read.
        manifest: What is written, or is there already.
        raw: Its bytes.
    """

    version: Version
    listing: source.Listing
    manifest: Manifest
    raw: bytes

    @property
    def manifest_digest(self) -> str:
        """The digest of the manifest's bytes."""
        return f"sha256:{hashlib.sha256(self.raw).hexdigest()}"

    def is_unchanged(self, layout: Layout) -> bool:
        """Whether the version's files still are what was read."""
        try:
            return source.look(layout.version(self.version)) == self.listing
        except (OSError, SourceError):
            return False


@dataclass(slots=True)
class Survey:
    """One look at a tree.

    Attributes:
        layout: Where.
        tree: What stands in the root.
        problems: What stands in the way of adopting it.
        unread: Whether TensorFlow is not installed here, so that no signatures were read.
        warnings: What somebody should know of what can be adopted.
    """

    layout: Layout
    tree: look.Tree
    problems: list[str] = field(default_factory=list)
    unread: bool = False
    warnings: list[str] = field(default_factory=list)

    def links(self) -> None:
        """Check the links that would be channels, and what has their names."""
        tree = self.tree
        if LATEST in tree.others:
            self.problems.append(f"{LATEST} is not a link: move it away")
        for name, link in sorted(tree.links.items()):
            if Version.from_name(name) is not None:
                self.problems.append(f"{name} is a link, not a directory: put the directory itself in its place")
            elif link.is_channel and link.version not in tree.versions:
                self.problems.append(f"{name} {_wrong(link, tree)}: point it at a version, or move it away")
            elif not link.is_channel and link.into is not None:
                self.warnings.append(
                    f"{name} is no channel's name (a-z, then a-z 0-9 _): it stays a link, and keeps {link.into}"
                )
        self.warnings += [
            f"{name} is not taken over: versions are called v1, v2, …"
            for name in tree.others
            if re.fullmatch(r"[vV]?[0-9]+", name)
        ]

    def numbers(self) -> None:
        """Check that the highest number leaves room for the next ones."""
        if self.tree.versions and max(self.tree.versions).number > _HIGHEST:
            self.problems.append(f"{max(self.tree.versions)}: the number is too high for others to follow: rename it")

    def versions(self, versions: Iterable[Version], progress: Progress | None) -> tuple[Found, ...]:
        """Check, read and digest versions; what cannot be adopted is a problem.

        Raises:
            OSError: Something may not be read.
        """
        listings = {version: listing for version in sorted(versions) if (listing := self._listing(version)) is not None}
        if self.problems:
            return ()  # reading every byte would not change the answer
        counter = Counter(sum(listing.size for listing in listings.values()), progress)
        largest = max((listing.size for listing in listings.values()), default=0)
        found = []
        with _Inspectors(default_memory(largest)) as inspectors:
            for version, listing in listings.items():
                manifest = self._manifest(version, listing, inspectors, counter)
                if manifest is not None:
                    found.append(manifest)
        return tuple(found)

    def refuse(self) -> None:
        """Say what stands in the way.

        Raises:
            RefusedError: Something does.
        """
        if not self.problems:
            return
        more = (f"and {len(self.problems) - _NAMED} more",) if len(self.problems) > _NAMED else ()
        raise RefusedError(
            f"{self.layout.root} cannot be adopted as it stands",
            kind="not-adoptable",
            expected="real directories vN with a SavedModel each, and links that name them",
            got=f"{len(self.problems)} thing{'s' if len(self.problems) > 1 else ''} in the way",
            hint="mend these and run it again; nothing was changed",
            items=(*self.problems[:_NAMED], *more),
        )

    def _listing(self, version: Version) -> source.Listing | None:
        """A version's files, where all of it can be stored and lies in the root itself."""
        directory = self.layout.version(version)
        try:
            listing = source.look(directory)
        except SourceError as error:
            self.problems.append(error.message)
            return None
        except PermissionError as error:
            self.problems.append(f"{version} may not be read by this user: {error.filename}")
            return None
        device = look.device(self.layout.root)
        elsewhere = [file.path for file in listing.files if file.identity[0] != device]
        elsewhere += [path for path in (".", *listing.directories) if look.device(directory / path) != device]
        if elsewhere:
            self.problems.append(f"{version}/{min(elsewhere)} lies on another device: copy it into {version}")
            return None
        mounted = native.mount_points(str(directory))
        if mounted:
            path = os.path.normpath(f"{version}/{mounted[0]}")
            self.problems.append(f"{path} is mounted from elsewhere: copy it into its place")
            return None
        if not look.may_write(directory):
            self.problems.append(f"{version} may not be written by this user: its manifest goes there")
            return None
        return listing

    def _manifest(
        self, version: Version, listing: source.Listing, inspectors: _Inspectors, counter: Counter
    ) -> Found | None:
        try:
            export = origins.read(listing)
        except SourceError:
            self.problems.append(f"{version}/{MANIFEST} is not modelrepo's, which keeps that name: move it away")
            return None
        files = self._files(version, listing, counter)
        if files is None:
            return None
        if export is not None:  # of an adoption that was interrupted, or of a repository that lost its state
            if export.manifest.version != version:
                self.problems.append(f"{version}/{MANIFEST} is of {export.manifest.version}")
            elif export.manifest.files != files:
                self.problems.append(f"{version}/{MANIFEST} names other files, or other bytes, than are there")
            else:
                return self._kept(version, listing, export, inspectors)
            return None
        report = self._report(version, inspectors)
        if report is None and not self.unread:
            return None
        if machine.now().time.timestamp() - max(file.changed for file in listing.files) < _SETTLED_SECONDS:
            self.warnings.append(f"{version} changed just now; what a copy brings later, `modelrepo verify` finds")
        manifest = _written(self.layout, version, listing, files, report)
        return Found(version, listing, manifest, manifest.to_bytes())

    def _kept(
        self, version: Version, listing: source.Listing, export: origins.Export, inspectors: _Inspectors
    ) -> Found | None:
        """A version with the manifest that is there, where that says of the model what reading it says."""
        report = self._report(version, inspectors)
        if report is None and not self.unread:
            return None
        if report is not None and export.manifest.signatures not in (None, report.served.signatures):
            self.problems.append(f"{version}/{MANIFEST} tells other signatures than the model has: move it away")
            return None
        return Found(version, listing, export.manifest, export.raw)

    def _files(self, version: Version, listing: source.Listing, counter: Counter) -> tuple[FileEntry, ...] | None:
        """A version's files with their digests; None where somebody writes to them, or one may not be read."""
        files = []
        for file in listing.files:
            try:
                size, digest = file_digest(self.layout.version(version) / file.path, counter.add)
            except PermissionError:
                self.problems.append(f"{version}/{file.path} may not be read by this user")
                return None
            if size != file.size:
                self.problems.append(f"{version}/{file.path} changed while it was read: wait until it is copied")
                return None
            files.append(FileEntry(path=file.path, size=size, digest=digest))
        return tuple(files)

    def _report(self, version: Version, inspectors: _Inspectors) -> Report | None:
        if self.unread:
            return None
        try:
            report = inspectors.get().read(self.layout.version(version))
        except SourceError as error:
            self.problems.append(f"{version}: {error.message}")
        except ModelError as error:
            self.unread = error.kind == "tensorflow-missing"
            if not self.unread:
                self.problems.append(f"{version}: {error.message}")
                inspectors.drop()
        else:
            if bad := refused(report.findings, ()):
                what = ", ".join(sorted({each.op or each.rule for each in bad})[:_NAMED])
                self.warnings.append(
                    f"{version}: a push would have refused it: {what}; `modelrepo inspect {version}` says more"
                )
            return report
        return None


def _wrong(link: look.Link, tree: look.Tree) -> str:
    """What is wrong with a link that would be a channel."""
    name = link.text.removeprefix("./").rstrip("/")
    if name in tree.links:
        return f"names another link, {ascii(name)[1:-1]}"
    if link.into is not None and link.into in tree.versions:
        return f"leads into {link.into}, to {link.text!a}"
    return f"names no version here: it says {link.text!a}"


def _written(
    layout: Layout, version: Version, listing: source.Listing, files: tuple[FileEntry, ...], report: Report | None
) -> Manifest:
    directory = layout.version(version)
    uid, changed = look.owner_and_age(directory, [file.path for file in listing.files])
    owner = machine.owner(uid)
    now = machine.now().time
    return Manifest(
        version=version,
        digest=content_digest(files),
        size=listing.size,
        files=files,
        created_at=min(now, datetime.fromtimestamp(changed, UTC)),
        created_by=owner,
        source=Origin(path=str(directory), host=owner.host),
        adopted=True,
        model_format=listing.model_format or "pb",
        tags=tuple(graph.tags for graph in report.meta_graphs) if report else None,
        signatures=report.served.signatures if report else None,
        tensorflow_version=report.served.tensorflow_version if report else None,
        fingerprint=report.fingerprint if report else None,
        findings=report.findings if report else None,
        scanned_by=report.scanned_by if report else None,
        modelrepo_version=__version__,
    )


class _Inspectors:
    """One child process that reads model after model; another one where a model ended it."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._stack = contextlib.ExitStack()
        self._inspector: Inspector | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def get(self) -> Inspector:
        """The child."""
        if self._inspector is None:
            self._inspector = self._stack.enter_context(Inspector(memory=self._memory))
        return self._inspector

    def drop(self) -> None:
        """Give the child up."""
        self._stack.close()
        self._inspector = None
