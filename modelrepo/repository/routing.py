"""Where a channel goes: promotes and rollbacks decided on, nothing moved. `moving` carries them out."""

from __future__ import annotations

from modelrepo.core.outline import Outline
from modelrepo.core.refs import LATEST, NumberRef, Ref, Version
from modelrepo.core.signatures import Change, compare
from modelrepo.core.values import Value
from modelrepo.core.versions import Stack
from modelrepo.errors import IntegrityError, NotFoundError, RefusedError
from modelrepo.fs.look import walk
from modelrepo.repository.results import MoveResult
from modelrepo.repository.snapshot import Snapshot

_NAMED = 5
#: How many breaking changes are told in words and written into the journal, and how long each may be.
_TOLD = 50
_TEXT = 1000


class Request(Value):
    """What a caller wants of a move.

    Attributes:
        channel: Which channel.
        reason: What to write into the history.
        allow_breaking: Whether a change that breaks callers may pass.
        automatic: Whether a push asks: then a version that this channel last left by a rollback is refused.
    """

    channel: str
    reason: str | None = None
    allow_breaking: bool = False
    automatic: bool = False


class Move(Value):
    """A move that was decided."""

    channel: str
    origin: Version | None
    to: Version
    steps: int | None
    breaking: tuple[Change, ...] | None
    warnings: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.origin != self.to

    def result(self) -> MoveResult:
        """The same as an answer."""
        return MoveResult(
            channel=self.channel,
            origin=self.origin,
            to=self.to,
            changed=self.changes,
            breaking=self.breaking,
            warnings=self.warnings,
        )


def plan_promote(snapshot: Snapshot, ref: Ref, request: Request) -> Move:
    """Decide on a promote.

    Raises:
        NotFoundError: There is no such version.
        IntegrityError: Its files are not what was pushed.
        RefusedError: It breaks callers, was never loaded though the settings want that, or the channel's name is taken
            by something else.
    """
    channel, to = request.channel, snapshot.resolve(ref)
    origin = origin_of(snapshot, channel)
    if origin == to:
        return Move(channel, origin, to, None, ())
    found = check_sizes(snapshot, to)
    if request.automatic and to in snapshot.state.rolled_back.get(channel, frozenset()):
        raise RefusedError(
            f"{to} is not promoted again by a push: {channel} left it by a rollback",
            kind="rolled-back",
            hint=f"if it should go live after all: `modelrepo promote {to}{_option(channel)}`",
        )
    unloaded = _not_loaded(snapshot, found)
    if snapshot.config.gates.breaking == "off":
        return Move(channel, origin, to, None, None, unloaded)
    breaking, warnings = _breaking(snapshot, origin, found)
    warnings = (*unloaded, *warnings)
    if breaking and snapshot.config.gates.breaking == "refuse" and not request.allow_breaking:
        raise RefusedError(
            f"{to} breaks callers of {channel} ({origin})",
            kind="breaking",
            expected=f"what callers of {origin} use",
            got=f"{len(breaking)} breaking change{'s' if len(breaking) > 1 else ''}",
            hint=f"change the callers first, then `modelrepo promote {to}{_option(channel)} --allow-breaking`",
            items=change_texts(breaking),
            partial=MoveResult(channel=channel, origin=origin, to=to, changed=False, breaking=breaking),
        )
    if breaking and snapshot.config.gates.breaking == "warn":
        warnings += change_texts(breaking)
    return Move(channel, origin, to, None, breaking, warnings)


def _not_loaded(snapshot: Snapshot, found: Outline) -> tuple[str, ...]:
    """What to say where TensorFlow has not loaded a version at its push.

    Raises:
        RefusedError: The settings want only what it has loaded.
    """
    gate, to = snapshot.config.gates.require_load, found.version
    if gate == "off" or found.load == "passed":
        return ()
    if gate == "warn":
        return (f"TensorFlow has not loaded {to}: whether it can be served, nobody has tried",)
    raise RefusedError(
        f"TensorFlow has not loaded {to}",
        kind="not-loaded",
        expected='load: passed, by [gates] require_load = "refuse"',
        got="load: skipped",
        hint="push the model again, without --no-load and with --allow-duplicate, and promote that version",
    )


def change_texts(changes: tuple[Change, ...]) -> tuple[str, ...]:
    """The changes in words; of very many the first, and how many more there are."""
    more = (f"and {len(changes) - _TOLD} more",) if len(changes) > _TOLD else ()
    return (*(change.text[:_TEXT] for change in changes[:_TOLD]), *more)


def _option(channel: str) -> str:
    """How a command names the channel."""
    return "" if channel == LATEST else f" --channel {channel}"


def _breaking(
    snapshot: Snapshot, origin: Version | None, target: Outline
) -> tuple[tuple[Change, ...] | None, tuple[str, ...]]:
    if origin is None:
        return (), ()
    if origin not in snapshot.present:
        return None, (f"the contracts were not compared: {origin} is gone",)
    try:
        before = snapshot.outline(origin).signatures
    except IntegrityError as error:
        return None, (f"the contracts were not compared: {error.message}",)
    after = target.signatures
    if before is None or after is None:
        unread = origin if before is None else target.version
        return None, (f"the contracts were not compared: nobody read the signatures of {unread}",)
    return compare(before, after).breaking, ()


def plan_rollback(snapshot: Snapshot, channel: str, steps: int, to: Ref | None) -> Move:
    """Decide on a rollback.

    Raises:
        NotFoundError: There is no such channel.
        RefusedError: There is nothing to roll back to, or the target is not in the channel's history.
        IntegrityError: The target is gone without a record, or its files are not what was pushed.
    """
    if channel not in snapshot.channels:
        raise NotFoundError(
            f"there is no channel {channel}",
            kind="channel-missing",
            got=f"channels: {', '.join(snapshot.channels) or 'none'}",
        )
    stack = snapshot.stack(channel)
    origin = origin_of(snapshot, channel)
    if to is not None:
        steps = pops = _steps_to(snapshot, channel, stack, to)
    else:
        pops = snapshot.pops(channel, steps)
    if pops >= len(stack):
        raise RefusedError(
            f"{channel} has nothing to roll back to" if steps == 1 else f"{channel} cannot go back {steps} steps",
            kind="nothing-to-roll-back-to",
            expected=f"{steps} target{'s' if steps > 1 else ''} beneath the present one",
            got=max(0, len(stack) - 1),
            hint=f"`modelrepo promote REF{_option(channel)}` moves it to any version",
        )
    target = stack[-1 - pops]
    _require_there(snapshot, channel, stack, pops)
    check_sizes(snapshot, target)
    return Move(channel, origin, target, pops, None)


def _steps_to(snapshot: Snapshot, channel: str, stack: Stack, to: Ref) -> int:
    target = to.version if isinstance(to, NumberRef) else snapshot.resolve(to)
    for steps, version in enumerate(reversed(stack)):
        if version == target:
            return steps
    snapshot.resolve(NumberRef(target))
    raise RefusedError(
        f"{channel} was never at {target}, or has been rolled back past it",
        kind="not-on-the-stack",
        expected="one of " + ", ".join(map(str, reversed(stack[:-1]))) if len(stack) > 1 else "a former target",
        got=target,
        hint=f"use promote: `modelrepo promote {target}{_option(channel)}`",
    )


def _require_there(snapshot: Snapshot, channel: str, stack: Stack, steps: int) -> None:
    target = stack[-1 - steps]
    if target in snapshot.present:
        return
    next_steps = next((count for count in range(steps + 1, len(stack)) if stack[-1 - count] in snapshot.present), None)
    if next_steps is None:
        hint = f"`modelrepo promote REF{_option(channel)}` moves it to any version that is there"
    else:
        command = f"modelrepo rollback{_option(channel)} --to {stack[-1 - next_steps]}"
        hint = f"the next candidate is {stack[-1 - next_steps]}: `{command}`"
    raise IntegrityError(
        f"{target}, where {channel} would go, is gone without a record", kind="version-lost", hint=hint
    )


def origin_of(snapshot: Snapshot, channel: str) -> Version | None:
    """What the link names by its text, whether that is there or not.

    Raises:
        RefusedError: Something that is not a link has the channel's name.
    """
    link = snapshot.tree.links.get(channel)
    if link is None and channel in snapshot.tree.others:
        raise RefusedError(
            f"{snapshot.layout.channel(channel)} is not a link",
            kind="channel-taken",
            expected="a symbolic link, or nothing",
            got="a directory" if snapshot.layout.channel(channel).is_dir() else "a file",
            hint="move it away first; modelrepo replaces only links",
        )
    return link.version if link is not None else None


def check_sizes(snapshot: Snapshot, version: Version) -> Outline:
    """Make sure that a version's files are there with the sizes that were pushed; no bytes of them are read.

    Returns:
        What its manifest says.

    Raises:
        IntegrityError: Something is missing or has another size.
    """
    directory, outline = snapshot.layout.version(version), snapshot.outline(version)
    sizes = {found.path: found.size for found in walk(directory) if found.kind == "file"}
    wrong = [
        f"{entry.path} ({'missing' if entry.path not in sizes else f'{sizes[entry.path]} bytes, not {entry.size}'})"
        for entry in outline.files
        if sizes.get(entry.path) != entry.size
    ]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise IntegrityError(
            f"{version} is damaged: {', '.join(wrong[:_NAMED])}{more}",
            kind="version-damaged",
            hint=f"`modelrepo verify {version}` says all; push the model again",
        )
    return outline
