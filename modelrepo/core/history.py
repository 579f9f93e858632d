"""What the journal says, folded into one value: what was pushed and removed, pins, and each channel's stack.

The links in the tree are the truth about where channels point (`effective_stack` puts the two together); the journal
says how they came there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from modelrepo.core.annotations import Annotation
from modelrepo.core.moment import Moment
from modelrepo.core.records import Record
from modelrepo.core.refs import Version

Stack = tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the journal knows about a version that is not deleted."""

    digest: str
    manifest_digest: str
    size: int
    files: int
    pushed: Moment
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Pin:
    """Why a version is kept for ever, and since when."""

    reason: str | None
    time: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The journal's sum.

    Attributes:
        highest: The highest number in any record; numbers are never used again.
        stored: Versions that were pushed and not deleted.
        removed: Versions that were deleted, and when.
        pins: Pinned versions.
        annotations: What was said about versions after their push, also about deleted ones.
        stacks: For each channel its targets, the present one last; no equal neighbours, nothing deleted.
        left: When a version was last left by a channel.
        rolled_back: For each channel the versions that it last left by a rollback.
        former: Channels that were removed and not made again.
        open: An intent that nothing has closed yet.
    """

    highest: int = 0
    stored: Mapping[Version, Stored] = field(default_factory=dict)
    removed: Mapping[Version, datetime] = field(default_factory=dict)
    pins: Mapping[Version, Pin] = field(default_factory=dict)
    annotations: Mapping[Version, Annotation] = field(default_factory=dict)
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    left: Mapping[Version, Moment] = field(default_factory=dict)
    rolled_back: Mapping[str, frozenset[Version]] = field(default_factory=dict)
    former: frozenset[str] = frozenset()
    open: Record | None = None


EMPTY = State()


class _Fold:
    """The mutable middle of `fold`: copies once, then changes in place."""

    def __init__(self, state: State) -> None:
        self.highest = state.highest
        self.stored = dict(state.stored)
        self.removed = dict(state.removed)
        self.pins = dict(state.pins)
        self.annotations = dict(state.annotations)
        self.stacks = dict(state.stacks)
        self.left = dict(state.left)
        self.rolled_back = dict(state.rolled_back)
        self.former = set(state.former)
        self.open = state.open

    def value(self) -> State:
        return State(
            self.highest,
            self.stored,
            self.removed,
            self.pins,
            self.annotations,
            self.stacks,
            self.left,
            self.rolled_back,
            frozenset(self.former),
            self.open,
        )

    def take(self, record: Record) -> None:
        numbers = [version.number for version in (record.version, record.to, record.origin) if version is not None]
        self.highest = max(self.highest, record.highest or 0, *numbers)
        if record.phase == "intent":
            self.open = record
            return
        if record.intent is not None and self.open is not None and record.intent == self.open.seq:
            self.open = None
        if record.phase == "done":
            self._done(record)

    def _done(self, record: Record) -> None:
        version = record.version
        match record.action:
            case "push" | "adopt" if version is not None:
                self.stored[version] = Stored(
                    record.digest or "",
                    record.manifest_digest or "",
                    record.size or 0,
                    record.files or 0,
                    record.moment,
                    adopted=record.action == "adopt",
                )
            case "push-again" if version in self.stored:
                self.stored[version] = replace(self.stored[version], pushed=record.moment)
            case "pin" if version is not None:
                self.pins[version] = Pin(record.reason, record.time)
            case "unpin" if version is not None:
                self.pins.pop(version, None)
            case "annotate" if version is not None:
                self.annotations[version] = self.annotations.get(version, Annotation()).then(annotation(record))
            case "cleanup" | "remove" if version is not None:
                self._removed(version, record)
            case "channel-remove" if record.channel is not None:
                self._channel_removed(record.channel, record)
            case "promote" | "external" | "rollback" if record.channel is not None and record.to is not None:
                self._moved(record.channel, record.to, record)
            case _:
                pass

    def _moved(self, channel: str, to: Version, record: Record) -> None:
        stack = self.stacks.get(channel, ())
        rolled_back = self.rolled_back.get(channel, frozenset())
        if stack and stack[-1] != to:
            self.left[stack[-1]] = record.moment
            rolled_back -= {stack[-1]}
            if record.action == "rollback":
                rolled_back |= {stack[-1]}
        if record.action == "rollback":
            self.stacks[channel] = _popped(stack, to, 1 if record.steps is None else record.steps)
        else:
            self.stacks[channel] = pushed(stack, to)
        self.rolled_back[channel] = rolled_back
        self.former.discard(channel)

    def _channel_removed(self, channel: str, record: Record) -> None:
        stack = self.stacks.pop(channel, ())
        self.rolled_back.pop(channel, None)
        self.former.add(channel)
        if stack:
            self.left[stack[-1]] = record.moment

    def _removed(self, version: Version, record: Record) -> None:
        self.stored.pop(version, None)
        self.pins.pop(version, None)
        self.left.pop(version, None)
        self.removed[version] = record.time
        for channel, stack in self.stacks.items():
            self.stacks[channel] = without(stack, version)


def annotation(record: Record) -> Annotation:
    """What a record says about its version."""
    return Annotation(record.labels or {}, record.metrics or {}, record.message, frozenset(record.unset or ()))


def fold(records: Iterable[Record], state: State = EMPTY) -> State:
    """Add records to a state, in their order."""
    middle = _Fold(state)
    for record in records:
        middle.take(record)
    return middle.value()


def pushed(stack: Stack, to: Version) -> Stack:
    """A stack after a move to a target; a move to where it is changes nothing."""
    return stack if stack and stack[-1] == to else (*stack, to)


def without(stack: Stack, version: Version) -> Stack:
    """A stack after a version was deleted; equal neighbours merge.

    >>> [str(version) for version in without((Version(1), Version(2), Version(1), Version(3)), Version(2))]
    ['v1', 'v3']
    """
    merged: list[Version] = []
    for target in stack:
        if target != version and (not merged or merged[-1] != target):
            merged.append(target)
    return tuple(merged)


def _popped(stack: Stack, to: Version, steps: int) -> Stack:
    """A stack after a rollback. The target stands `steps` beneath the top; where it does not, the link is the truth."""
    rest = stack[: max(0, len(stack) - steps)]
    return pushed(rest, to)


def effective_stack(state: State, channel: str, target: Version | None) -> Stack:
    """A channel's stack with the move that nobody has recorded yet, if its link says otherwise.

    Args:
        state: The journal's sum.
        channel: Which channel.
        target: What its link names, or None where it has no link or names no version.
    """
    stack = state.stacks.get(channel, ())
    return stack if target is None else pushed(stack, target)


def moves_at(records: Iterable[Record], time: datetime) -> dict[str, Record]:
    """For each channel that there was at a time, the move that had brought it where it was then, by channel."""
    found: dict[str, Record] = {}
    for record in records:
        if record.phase == "done" and record.channel is not None and record.time <= time:
            if record.action == "channel-remove":
                found.pop(record.channel, None)
            else:
                found[record.channel] = record
    return dict(sorted(found.items()))


Verdict = Literal["done", "aborted", "unknown"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the tree says about an open intent.

    Attributes:
        link: What the channel's link names now.
        link_there: Whether the channel has a link at all.
        manifest_digest: Of the manifest in the version's directory, None where there is none.
        version_there: Whether the version's directory stands in the root.
        token_there: Whether the token's directory stands in the trash.
    """

    link: Version | None = None
    link_there: bool = False
    manifest_digest: str | None = None
    version_there: bool = False
    token_there: bool = False


def judge(intent: Record, evidence: Evidence) -> Verdict:
    """Whether an intent's commit happened: the tree decides."""
    match intent.action:
        case "promote" | "rollback":
            if evidence.link == intent.to:
                return "done"
            return "aborted" if evidence.link == intent.origin else "unknown"
        case "push":
            there = evidence.version_there and evidence.manifest_digest == intent.manifest_digest
            return "done" if there else "aborted"
        case "channel-remove":
            return "aborted" if evidence.link_there else "done"
        case "cleanup" | "remove":
            return "done" if evidence.token_there or not evidence.version_there else "aborted"
        case _:
            return "unknown"


def settle(state: State, evidence: Evidence) -> State:
    """A reader's view of an open intent: it counts where the tree agrees with it."""
    if state.open is None:
        return state
    intent = state.open
    if judge(intent, evidence) == "done":
        closing = intent.model_copy(update={"phase": "done", "intent": intent.seq})
        return fold([closing], state)
    return replace(state, open=None)
