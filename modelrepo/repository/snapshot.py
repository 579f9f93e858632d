"""Reading a repository without a lock: one stable look at its links, its journal and its directories.

Readers never wait for a writer. Links are read, then the journal, then the links again, until both looks agree; an
intent that is still open counts where the tree agrees with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core import outline
from modelrepo.core.annotations import About
from modelrepo.core.config import Config
from modelrepo.core.contents import MAX_MANIFEST_BYTES
from modelrepo.core.history import Evidence, State, effective_stack, settle
from modelrepo.core.index import misfit
from modelrepo.core.layout import Layout
from modelrepo.core.outline import Outline
from modelrepo.core.records import Damage, Parsed, Record, line_digest
from modelrepo.core.refs import Ref, Version
from modelrepo.core.versions import Stack, Versions
from modelrepo.errors import BusyError, IntegrityError
from modelrepo.fs import native
from modelrepo.fs.files import NO_FILE, read_file
from modelrepo.fs.known import Known
from modelrepo.fs.look import Tree, View, read_tree, read_views
from modelrepo.repository.opening import follow, journal_damaged, open_config, open_known
from modelrepo.repository.resolving import resolve

if TYPE_CHECKING:  # it brings pydantic, which a move has no time for
    from modelrepo.core.manifest import Manifest

_LOOKS = 50


@dataclass(frozen=True)
class Snapshot:
    """What a reader saw.

    Attributes:
        layout: Where.
        config: The settings.
        tree: What stands in the root.
        parsed: The journal; its last lines, where only the sum of the others is known.
        raw: The journal's sum, open intents left open.
        state: The same, with an open intent counted where the tree agrees.
    """

    layout: Layout
    config: Config
    tree: Tree
    parsed: Parsed
    raw: State
    state: State

    @property
    def damage(self) -> Damage | None:
        """What is wrong with the journal beyond an unfinished end."""
        return self.parsed.damage

    @property
    def head(self) -> str | None:
        """The digest of the journal's last whole line."""
        return line_digest(self.parsed.lines[-1].raw) if self.parsed.lines else None

    @cached_property
    def present(self) -> Versions:
        """The versions that are there and are modelrepo's.

        Where the journal is damaged, a directory with a manifest of its own number counts too: reading goes on.
        """
        known = self.tree.versions & self.state.stored.versions
        if self.damage is None:
            return known
        return known | Versions(version for version in self.tree.versions - known if self._owns(version))

    def _owns(self, version: Version) -> bool:
        try:
            return self.outline(version).version == version
        except IntegrityError:
            return False

    @cached_property
    def foreign(self) -> tuple[str, ...]:
        """Names in the root that are not modelrepo's by any record."""
        versions = sorted(self.tree.versions - self.present)
        return (*self.tree.others, *(str(version) for version in versions))

    @cached_property
    def channels(self) -> dict[str, Version | None]:
        """Every channel and the version that its link names; None where there is no link or no such version."""
        linked = {name: version if version in self.present else None for name, version in self.tree.channels().items()}
        return dict(sorted({**dict.fromkeys(self.state.stacks), **linked}.items()))

    @cached_property
    def views(self) -> dict[str, View]:
        """The views, by channel."""
        return read_views(self.layout)

    @cached_property
    def file_system(self) -> tuple[str, bool]:
        """The file system that holds the root, and whether it is known to keep the promises."""
        return native.file_system(str(self.layout.root))

    def channels_of(self, version: Version) -> tuple[str, ...]:
        """The channels that name a version."""
        return tuple(name for name, target in self.channels.items() if target == version)

    def stack(self, channel: str) -> Stack:
        """A channel's targets, the present one last, with a move that nobody has recorded yet."""
        return effective_stack(self.state, channel, self.channels.get(channel))

    def pops(self, channel: str, steps: int) -> int:
        """How many targets so many rollbacks take off a channel's stack.

        A link that names no version stands above the stack: the first step leads back to the recorded target, unless
        that is what the link names, and is gone.
        """
        stack = self.stack(channel)
        above = self.channels.get(channel) is None and stack[-1:] and stack[-1] in self.present
        return steps - 1 if steps and above else steps

    def below(self, channel: str) -> Version | None:
        """Where one rollback of a channel would lead: nowhere, if that is gone."""
        stack, pops = self.stack(channel), self.pops(channel, 1)
        target = stack[-1 - pops] if pops < len(stack) else None
        return target if target in self.present else None

    def about(self, manifest: Manifest | Outline) -> About:
        """What is said of a version: its manifest's words and numbers, and what was said since."""
        said = About(labels=manifest.labels, metrics=manifest.metrics, message=manifest.message)
        since = self.state.annotations.get(manifest.version)
        return said if since is None else since.over(said)

    def manifest(self, version: Version) -> Manifest:
        """A version's manifest; see `read_manifest`."""
        return self.read_manifest(version)[0]

    def read_manifest(self, version: Version) -> tuple[Manifest, bytes]:
        """A version's manifest and its raw bytes.

        Raises:
            IntegrityError: It is missing, damaged, of another version, or not the one that was pushed.
        """
        data = self.manifest_bytes(version)
        return self._parsed(data, version), data

    def outline(self, version: Version, *, whole: bool = False) -> Outline:
        """What a version's manifest says that lists and moves look at.

        Args:
            version: Which version.
            whole: Check all of it, also what its outline does not tell.

        Raises:
            IntegrityError: It is missing, damaged, of another version, or not the one that was pushed.
        """
        data = self.manifest_bytes(version)
        found = outline.read(data) if version in self.state.stored else None
        if found is None or found.version != version:
            self._parsed(data, version)  # nobody vouches for it, or somebody forged the journal, too
            found = outline.require(data, str(self.layout.manifest(version)))
        elif whole:
            from modelrepo.core import soundness  # few commands ask

            soundness.require(data, found)
        return found

    def _parsed(self, data: bytes, version: Version) -> Manifest:
        from modelrepo.core.manifest import parse_manifest

        return parse_manifest(data, str(self.layout.manifest(version)), version)

    def manifest_bytes(self, version: Version) -> bytes:
        """The raw bytes of a version's manifest, checked against the journal.

        Raises:
            IntegrityError: They cannot be read, or are not the ones that were pushed.
        """
        path = self.layout.manifest(version)
        try:
            data = read_file(path, MAX_MANIFEST_BYTES)
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            raise IntegrityError(
                f"the manifest of {version} cannot be read: {error.strerror}: {path}",
                kind="manifest-missing",
                hint="run `modelrepo verify` to see what else is wrong with it",
            ) from error
        digest = hashlib.sha256(data)
        if version in self.state.stored and self.state.manifests.get(version) != digest.digest():
            expected, got = self.state.stored[version].manifest_digest, f"sha256:{digest.hexdigest()}"
            if got == expected:
                raise misfit()
            raise IntegrityError(
                f"{path} is not the manifest that was pushed",
                kind="manifest-damaged",
                expected=expected,
                got=got,
                hint="it was edited or replaced; run `modelrepo verify`, and push the model again",
            )
        return data

    def resolve(self, ref: Ref) -> Version:
        """The version that a ref names; see `resolving.resolve`."""
        return resolve(self, ref)

    def require_journal(self) -> None:
        """Refuse to go on where history matters and cannot be read.

        Raises:
            IntegrityError: The journal is damaged.
        """
        if self.damage is not None:
            raise journal_damaged(self.layout, self.damage)


def take(layout: Layout, known: Known | None = None, *, whole: bool = False, lines: bool = False) -> Snapshot:
    """Look at a repository without a lock.

    Args:
        layout: Where.
        known: What is known of its journal.
        whole: Where nothing is known, read every line, whatever an index says.
        lines: And keep them: else only their sum and the end.

    Raises:
        NoRepositoryError: There is none.
        IntegrityError: It cannot be read as one.
        OSError: The system said no.
    """
    config = open_config(layout)
    before = read_tree(layout)
    known = open_known(layout, whole=whole, lines=lines) if known is None else follow(layout, known)
    for _ in range(_LOOKS):
        tree = read_tree(layout, before)
        if tree == before:
            raw = known.state
            state = settle(raw, evidence(layout, tree, raw.open)) if raw.open is not None else raw
            return Snapshot(layout, config, tree, known.parsed, raw, state)
        before, known = tree, follow(layout, known)
    raise BusyError(f"{layout.root} changes faster than it can be read", kind="changing", hint="try again")


def evidence(layout: Layout, tree: Tree, intent: Record) -> Evidence:
    """What the tree says about an open intent."""
    link = tree.links.get(intent.channel or "")
    digest = None
    if intent.action == "push" and intent.version is not None:
        try:
            data = read_file(layout.manifest(intent.version), MAX_MANIFEST_BYTES)
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        except OSError:
            digest = None
    return Evidence(
        link=link.version if link is not None else None,
        link_there=link is not None,
        manifest_digest=digest,
        version_there=intent.version in tree.versions,
        token_there=bool(intent.token) and _exists(layout.trash / str(intent.token)),
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # a reader may not look into the trash
        return False
