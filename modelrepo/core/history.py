"""What the journal says, folded into one value: what was pushed and removed, pins, and each channel's stack.

The links in the tree are the truth about where channels point (`effective_stack` puts the two together); the journal
says how they came there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from modelrepo.core.annotations import Annotation
from modelrepo.core.facts import Digests, Facts
from modelrepo.core.moment import Moment
from modelrepo.core.records import Line, Record
from modelrepo.core.refs import Version
from modelrepo.core.values import Value
from modelrepo.core.versions import Stack, Versions, without


class Stored(Value):
    """What the journal knows about a version that is not deleted."""

    digest: str
    manifest_digest: str
    size: int
    files: int
    pushed: Moment
    adopted: bool = False


class Pin(Value):
    """Why a version is kept for ever, and since when."""

    reason: str | None
    time: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The journal's sum.

    Attributes:
        highest: The highest number in any record; numbers are never used again.
        size: Bytes of all versions that were pushed and not deleted.
        stored: Versions that were pushed and not deleted.
        manifests: The digests of their manifests' raw bytes: a list compares ten thousand, and reads no line for it.
        removed: Versions that were deleted, and when.
        pins: Pinned versions.
        annotations: What was said about versions after their push, also about deleted ones.
        left: When a version was last left by a channel.
        stacks: For each channel its targets, the present one last; no equal neighbours, nothing deleted.
        rolled_back: For each channel the versions that it last left by a rollback.
        former: Channels that were removed and not made again.
        open: An intent that nothing has closed yet.
    """

    highest: int = 0
    size: int = 0
    stored: Facts[Stored] = field(default_factory=Facts)
    manifests: Digests = field(default_factory=Digests)
    removed: Facts[datetime] = field(default_factory=Facts)
    pins: Facts[Pin] = field(default_factory=Facts)
    annotations: Facts[Annotation] = field(default_factory=Facts)
    left: Facts[Moment] = field(default_factory=Facts)
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    rolled_back: Mapping[str, Versions] = field(default_factory=dict)
    former: frozenset[str] = frozenset()
    open: Record | None = None


EMPTY = State()
_NOBODY = Versions()


class _Channel:
    """The mutable middle of one channel: copied once, then changed in place."""

    def __init__(self, stack: Stack, rolled_back: Versions) -> None:
        self.numbers = array("q", stack.numbers)
        self.rolled_back = set(rolled_back.numbers)
        self.gone: set[int] = set()  # deleted versions that are still among the numbers

    def settle(self) -> None:
        """Take deleted versions out. Not at each deletion: a long history of both would take its square."""
        if self.gone:
            self.numbers = without(self.numbers, self.gone)
            self.gone = set()

    def top(self, to: Version | None = None) -> int | None:
        """The present target, before a move to another one."""
        if not self.gone.isdisjoint({*self.numbers[-1:], to.number if to else 0}):
            self.settle()
        return self.numbers[-1] if self.numbers else None


class _Fold:
    """The mutable middle of `fold`: copies once, then changes in place."""

    def __init__(self, state: State) -> None:
        self.before = state
        self.highest = state.highest
        self.size = state.size
        self.stored = copy(state.stored)
        self.manifests = copy(state.manifests)
        self.removed = copy(state.removed)
        self.pins = copy(state.pins)
        self.annotations = copy(state.annotations)
        self.left = copy(state.left)
        self.channels: dict[str, _Channel] = {}  # those that were touched
        self.former = set(state.former)
        self.open = state.open

    def value(self) -> State:
        stacks, rolled_back = dict(self.before.stacks), dict(self.before.rolled_back)
        for name, channel in self.channels.items():
            if name in self.former:
                stacks.pop(name, None)
                rolled_back.pop(name, None)
            else:
                channel.settle()
                stacks[name] = Stack.of(channel.numbers)
                rolled_back[name] = Versions.of(channel.rolled_back)
        return State(
            self.highest,
            self.size,
            self.stored,
            self.manifests,
            self.removed,
            self.pins,
            self.annotations,
            self.left,
            stacks,
            rolled_back,
            frozenset(self.former),
            self.open,
        )

    def take(self, record: Record, line: tuple[int, ...]) -> None:
        numbers = [version.number for version in (record.version, record.to, record.origin) if version is not None]
        self.highest = max(self.highest, record.highest or 0, *numbers)
        if record.phase == "intent":
            self.open = record
            return
        if record.intent is not None and self.open is not None and record.intent == self.open.seq:
            self.open = None
        if record.phase == "done":
            self._done(record, line)

    def _done(self, record: Record, line: tuple[int, ...]) -> None:
        version = record.version
        match record.action:
            case "push" | "adopt" if version is not None:
                self._forget(version)
                self.stored.put(version, stored((record,)), line)
                self.manifests.put(version, record.manifest_digest or "")
                self.size += record.size or 0
            case "push-again" if version is not None and version in self.stored:
                self.stored.add(version, self.stored[version].replaced(pushed=record.moment), line)
            case "pin" if version is not None:
                self.pins.put(version, pin((record,)), line)
            case "unpin" if version is not None:
                self.pins.drop(version)
            case "annotate" if version is not None:
                before = self.annotations.get(version, Annotation())
                self.annotations.add(version, before.then(annotation((record,))), line)
            case "cleanup" | "remove" if version is not None:
                self._removed(version, record, line)
            case "channel-remove" if record.channel is not None:
                self._channel_removed(record.channel, record, line)
            case "promote" | "external" | "rollback" if record.channel is not None and record.to is not None:
                self._moved(record.channel, record.to, record, line)
            case _:
                pass

    def _channel(self, name: str) -> _Channel:
        """A channel that is touched."""
        if name not in self.channels:
            known = self.before
            self.channels[name] = _Channel(known.stacks.get(name, Stack()), known.rolled_back.get(name, _NOBODY))
        return self.channels[name]

    def _moved(self, name: str, to: Version, record: Record, line: tuple[int, ...]) -> None:
        channel = self._channel(name)
        top = channel.top(to)
        if top is not None and top != to.number:
            self.left.put(Version(top), record.moment, line)
            channel.rolled_back.discard(top)
            if record.action == "rollback":
                channel.rolled_back.add(top)
        if record.action == "rollback":
            # The target stands `steps` beneath the top; where it does not, the link is the truth.
            channel.settle()
            del channel.numbers[max(0, len(channel.numbers) - (1 if record.steps is None else record.steps)) :]
        if channel.numbers[-1:] != array("q", (to.number,)):
            channel.numbers.append(to.number)
        self.former.discard(name)

    def _channel_removed(self, name: str, record: Record, line: tuple[int, ...]) -> None:
        top = self._channel(name).top()
        self.channels[name] = _Channel(Stack(), _NOBODY)
        self.former.add(name)
        if top is not None:
            self.left.put(Version(top), record.moment, line)

    def _removed(self, version: Version, record: Record, line: tuple[int, ...]) -> None:
        self._forget(version)
        self.pins.drop(version)
        self.left.drop(version)
        self.removed.put(version, record.time, line)
        for name in self.before.stacks.keys() | self.channels.keys():
            self._channel(name).gone.add(version.number)

    def _forget(self, version: Version) -> None:
        if version in self.stored:
            self.size -= self.stored[version].size
            self.stored.drop(version)
            self.manifests.drop(version)


def stored(records: Sequence[Record]) -> Stored:
    """What a push or adoption says of its version, and the pushes of the same content behind it."""
    first = records[0]
    return Stored(
        digest=first.digest or "",
        manifest_digest=first.manifest_digest or "",
        size=first.size or 0,
        files=first.files or 0,
        pushed=records[-1].moment,
        adopted=first.action == "adopt",
    )


def pin(records: Sequence[Record]) -> Pin:
    """What a pin says of its version."""
    return Pin(records[-1].reason, records[-1].time)


def annotation(records: Sequence[Record]) -> Annotation:
    """What records say about their version, together."""
    said = Annotation()
    for record in records:
        unset = frozenset(record.unset or ())
        said = said.then(Annotation(record.labels or {}, record.metrics or {}, record.message, unset))
    return said


def fold(records: Iterable[Record], state: State = EMPTY) -> State:
    """Add records to a state, in their order."""
    middle = _Fold(state)
    for record in records:
        middle.take(record, ())
    return middle.value()


def fold_lines(lines: Iterable[Line], state: State = EMPTY) -> State:
    """Add a journal's lines to a state, in their order; the state knows where they stand, and can be indexed."""
    middle = _Fold(state)
    for line in lines:
        middle.take(line.record, (line.start,))
    return middle.value()


def effective_stack(state: State, channel: str, target: Version | None) -> Stack:
    """A channel's stack with the move that nobody has recorded yet, if its link says otherwise.

    Args:
        state: The journal's sum.
        channel: Which channel.
        target: What its link names, or None where it has no link or names no version.
    """
    stack = state.stacks.get(channel, Stack())
    return stack if target is None else stack.pushed(target)


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


class Evidence(Value):
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
        closing = intent.replaced(phase="done", intent=intent.seq)
        return fold([closing], state)
    return replace(state, open=None)
