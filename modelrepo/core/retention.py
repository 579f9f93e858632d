"""The rule that says what cleanup keeps, and why. A pure function: it gives all its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

from modelrepo.core.config import Retention
from modelrepo.core.history import State
from modelrepo.core.moment import Moment
from modelrepo.core.refs import MAX_NUMBER, Version
from modelrepo.core.versions import Stack, Versions

#: Reasons of protections that hold whatever the ages and counts say.
PINNED, LEASED, IN_USE = "pinned", "leased", "in-use"
#: Reasons of versions that the system keeps: nobody may look, or nobody could delete.
UNREADABLE, UNDELETABLE = "unreadable", "undeletable"

#: Reasons that come from retention's ages and counts.
_COUNTED = frozenset({"min-age", "grace", "keep-last", "rollback"})


@dataclass(frozen=True, slots=True)
class Scene:
    """What retention looks at.

    Attributes:
        state: The journal's sum.
        present: The versions whose directories are there and are modelrepo's.
        stacks: Each channel's effective stack, its present target last.
        links: Every other link in the root that names a version: name and version.
        views: What each view names: channel and versions.
        now: When.
    """

    state: State
    present: Versions
    stacks: Mapping[str, Stack]
    links: Mapping[str, Version]
    views: Mapping[str, frozenset[Version]]
    now: Moment
    busy: Mapping[Version, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one version: it goes where there is no reason to keep it."""

    version: Version
    reasons: tuple[str, ...]

    @property
    def keep(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


def decide(scene: Scene, rules: Retention, only: AbstractSet[Version] | None = None) -> tuple[Decision, ...]:
    """Decide about versions that are there, highest number first, each with all the reasons that keep it.

    Args:
        scene: What is there.
        rules: What to keep.
        only: Which versions to decide about; None for all.
    """
    newest = Versions(islice(scene.present.newest(), min(rules.keep_last, MAX_NUMBER)))
    below = {channel: rollback_targets(scene, channel, rules.keep_rollback) for channel in scene.stacks}
    asked = scene.present if only is None else scene.present & only
    return tuple(Decision(version, tuple(_reasons(scene, rules, version, newest, below))) for version in asked.newest())


def needs(decision: Decision) -> tuple[str, ...]:
    """The reasons that hold whatever the ages and counts say: what somebody or something needs now.

    >>> needs(Decision(Version(1), ("channel:latest", "grace", "keep-last", "rollback:canary")))
    ('channel:latest',)
    """
    return tuple(reason for reason in decision.reasons if reason.partition(":")[0] not in _COUNTED)


def rollback_targets(scene: Scene, channel: str, count: int) -> frozenset[Version]:
    """The nearest distinct versions beneath the top of a channel's stack that are still there."""
    stack = scene.stacks[channel]
    found: list[Version] = []
    for version in reversed(stack[:-1]):
        if len(found) == count:
            break
        if version in scene.present and version != stack[-1] and version not in found:
            found.append(version)
    return frozenset(found)


def _reasons(
    scene: Scene,
    rules: Retention,
    version: Version,
    newest: Versions,
    below: Mapping[str, frozenset[Version]],
) -> list[str]:
    state, now = scene.state, scene.now
    reasons = [f"channel:{channel}" for channel, stack in scene.stacks.items() if stack and stack[-1] == version]
    reasons += [f"link:{name}" for name, target in scene.links.items() if target == version]
    reasons += [f"serving:{channel}" for channel, targets in scene.views.items() if version in targets]
    reasons += [f"rollback:{channel}" for channel, targets in below.items() if version in targets]
    if version in state.pins:
        reasons.append(PINNED)
    # No age is less than none: then nobody needs to read ten thousand lines for when that was.
    if version not in state.stored or (rules.min_age and state.stored[version].pushed.age(now) < rules.min_age):
        reasons.append("min-age")
    if rules.grace and version in state.left and state.left[version].age(now) < rules.grace:
        reasons.append("grace")
    if version in newest:
        reasons.append("keep-last")
    reasons += scene.busy.get(version, ())
    return sorted(reasons)
