"""What a ref names in a repository that was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelrepo.core.refs import ChannelRef, DigestRef, NewestRef, NumberRef, Ref, Version
from modelrepo.errors import IntegrityError, NotFoundError

if TYPE_CHECKING:
    from modelrepo.repository.snapshot import Snapshot


def resolve(snapshot: Snapshot, ref: Ref) -> Version:
    """The version that a ref names.

    Raises:
        NotFoundError: There is none, or a digest's digits fit several.
        IntegrityError: A channel's link names no version.
    """
    match ref:
        case NumberRef(version):
            return _number(snapshot, version)
        case NewestRef():
            if not snapshot.present:
                raise NotFoundError("there is no version yet", kind="version-missing", hint="push one")
            return Version(snapshot.present.highest)
        case DigestRef(prefix):
            return _digest(snapshot, prefix)
        case ChannelRef(channel, back):
            return _channel(snapshot, channel, back)


def _number(snapshot: Snapshot, version: Version) -> Version:
    if version in snapshot.present:
        return version
    if version in snapshot.state.removed:
        raise NotFoundError(
            f"{version} was deleted",
            kind="version-removed",
            got=f"deleted at {snapshot.state.removed[version]:%Y-%m-%d %H:%M} UTC",
            hint="`modelrepo history` says by whom",
        )
    if version in snapshot.tree.versions:
        raise NotFoundError(
            f"{version} is a directory here, but modelrepo did not make it",
            kind="version-foreign",
            hint="`modelrepo init --adopt` takes it over, if it is a model",
        )
    if version in snapshot.state.stored:
        raise IntegrityError(
            f"{version} is in the journal, but its directory is gone",
            kind="version-lost",
            hint=f"put it back from a backup, or `modelrepo remove {version}` records that it is gone",
        )
    raise NotFoundError(
        f"there is no {version}", kind="version-missing", got=_choice(snapshot), hint="`modelrepo list` shows all"
    )


def _choice(snapshot: Snapshot) -> str:
    if not snapshot.present:
        return "an empty repository"
    many = len(snapshot.present)
    return f"{many} version{'s' if many > 1 else ''}, the newest v{snapshot.present.highest}"


def _digest(snapshot: Snapshot, prefix: str) -> Version:
    found = sorted(version for version in snapshot.present if _digest_of(snapshot, version).startswith(prefix))
    if not found:
        raise NotFoundError(
            f"no version has a digest that starts with {prefix}",
            kind="version-missing",
            hint="`modelrepo show REF` and `modelrepo list --json` say the digests",
        )
    digests = {_digest_of(snapshot, version) for version in found}
    if len(digests) > 1:
        raise NotFoundError(
            f"{prefix} fits several versions",
            kind="digest-ambiguous",
            got=", ".join(map(str, found)),
            hint="give more digits",
        )
    return found[-1]


def _digest_of(snapshot: Snapshot, version: Version) -> str:
    stored = snapshot.state.stored.get(version)
    return stored.digest if stored is not None else snapshot.outline(version).digest


def _channel(snapshot: Snapshot, channel: str, back: int) -> Version:
    if channel not in snapshot.channels:
        known = ", ".join(snapshot.channels) or "none"
        raise NotFoundError(
            f"there is no channel {channel}",
            kind="channel-missing",
            got=f"channels: {known}",
            hint=_meant(snapshot, channel),
        )
    target = snapshot.channels[channel]
    if back:
        snapshot.require_journal()
        stack, pops = snapshot.stack(channel), snapshot.pops(channel, back)
        if pops >= len(stack):
            raise NotFoundError(
                f"{channel} has no target {back} back",
                kind="rollback-missing",
                expected=f"{back} target{'' if back == 1 else 's'} beneath the present one",
                got=max(0, len(stack) - 1),
                hint="`modelrepo channel list` shows what each channel named before",
            )
        return _number(snapshot, stack[-1 - pops])
    if target is None:
        link = snapshot.tree.links.get(channel)
        said = f"it says {link.text!a}" if link else "the link is gone"
        raise IntegrityError(
            f"channel {channel} names no version: {said}",
            kind="channel-dangling",
            hint=f"`modelrepo promote REF --channel {channel}` points it at a version",
        )
    return target


def _meant(snapshot: Snapshot, name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, snapshot.channels, n=1)
    return (
        f"did you mean {near[0]}?" if near else "`modelrepo status` shows the channels, `modelrepo list` the versions"
    )
