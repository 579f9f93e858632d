"""What is kept, and every reason why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.config import Retention
from modelrepo.core.history import Pin, State, Stored
from modelrepo.core.moment import Moment
from modelrepo.core.refs import Version
from modelrepo.core.retention import IN_USE, LEASED, PINNED, Decision, Scene, decide, rollback_targets
from modelrepo.core.versions import Stack, Versions

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = Moment(NOON, "boot", 10**7)
HOUR = timedelta(hours=1)
#: Nothing is kept by number or by age.
BARE = Retention(keep_last=0, keep_rollback=1, min_age=timedelta(0), grace=timedelta(0))


def v(*numbers: int) -> tuple[Version, ...]:
    return tuple(Version(number) for number in numbers)


def ago(duration: timedelta, boot: str = "boot") -> Moment:
    return Moment(NOON - duration, boot, NOW.uptime - duration.total_seconds())


def stored(*numbers: int, age: timedelta = timedelta(days=30)) -> dict[Version, Stored]:
    return {version: Stored("d", "m", 1, 1, ago(age)) for version in v(*numbers)}


def summed(**known: Mapping[Version, Any]) -> State:
    """A state that knows these facts of versions."""
    state = State()
    for name, facts in known.items():
        for version, fact in facts.items():
            getattr(state, name).put(version, fact, ())
    return state


def scene(*numbers: int, **fields: Any) -> Scene:
    state = summed(**{"stored": stored(*numbers), **fields.pop("state", {})})
    values = {"present": Versions(v(*numbers)), "stacks": {}, "links": {}, "views": {}, "now": NOW, **fields}
    return Scene(state=state, **values)


def reasons(scene: Scene, rules: Retention = BARE) -> dict[str, tuple[str, ...]]:
    return {str(decision.version): decision.reasons for decision in decide(scene, rules)}


def test_what_no_rule_keeps_goes() -> None:
    assert decide(scene(1), BARE) == (Decision(Version(1), ()),)
    assert not decide(scene(1), BARE)[0].keep


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stacks": {"canary": v(1)}}, "channel:canary"),
        ({"links": {"Production": Version(1)}}, "link:Production"),
        ({"views": {"canary": frozenset(v(1))}}, "serving:canary"),
        ({"stacks": {"latest": v(1, 9)}}, "rollback:latest"),
        ({"state": {"pins": {Version(1): Pin("audit", NOON)}}}, PINNED),
        ({"busy": {Version(1): (LEASED,)}}, "leased"),
        ({"busy": {Version(1): (IN_USE,)}}, "in-use"),
        ({"state": {"stored": stored(1, age=-HOUR)}}, None),
    ],
)
def test_each_protection_alone_keeps_and_says_so(fields: dict[str, Any], reason: str | None) -> None:
    expected = () if reason is None else (reason,)
    assert reasons(scene(1, **fields)) == {"v1": expected}


def test_a_version_says_all_the_reasons_that_keep_it() -> None:
    busy = scene(
        1,
        2,
        3,
        state={
            "stored": stored(1, 2, 3, age=HOUR),
            "pins": {Version(1): Pin(None, NOON)},
            "left": {Version(1): ago(HOUR)},
        },
        stacks={"latest": v(1, 2), "canary": v(3, 1), "beta": v(1)},
        links={"a": Version(1), "b": Version(1)},
        views={"canary": frozenset(v(1, 3)), "latest": frozenset(v(2))},
        busy={Version(1): (LEASED, IN_USE)},
    )
    assert reasons(busy, Retention())["v1"] == (
        "channel:beta",
        "channel:canary",
        "grace",
        "in-use",
        "keep-last",
        "leased",
        "link:a",
        "link:b",
        "min-age",
        "pinned",
        "rollback:latest",
        "serving:canary",
    )


def test_decisions_come_highest_number_first() -> None:
    assert [str(decision.version) for decision in decide(scene(2, 10, 9), BARE)] == ["v10", "v9", "v2"]


def test_keep_last_keeps_the_newest_by_number_that_are_there() -> None:
    rules = BARE.replaced(keep_last=2)
    assert reasons(scene(1, 9, 10), rules) == {"v10": ("keep-last",), "v9": ("keep-last",), "v1": ()}


def test_keep_rollback_counts_distinct_targets_that_are_there() -> None:
    """Not the present one, not one twice, not one that is gone."""
    look = scene(1, 2, 3, 5, stacks={"latest": v(1, 2, 3, 4, 3, 5, 3, 5)})
    assert rollback_targets(look, "latest", 1) == set(v(3))
    assert rollback_targets(look, "latest", 2) == set(v(3, 2))
    assert rollback_targets(look, "latest", 3) == set(v(3, 2, 1))
    assert rollback_targets(look, "latest", 9) == set(v(3, 2, 1))


def test_each_channel_keeps_its_own_rollback_targets() -> None:
    look = scene(1, 2, 3, 4, stacks={"latest": v(1, 3), "canary": v(2, 4)})
    assert reasons(look) == {
        "v4": ("channel:canary",),
        "v3": ("channel:latest",),
        "v2": ("rollback:canary",),
        "v1": ("rollback:latest",),
    }


def test_a_channel_without_history_keeps_nothing() -> None:
    assert reasons(scene(1, stacks={"latest": ()})) == {"v1": ()}


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        (timedelta(0), True),
        (24 * HOUR - timedelta(microseconds=1000), True),
        (24 * HOUR, False),
        (25 * HOUR, False),
    ],
)
def test_min_age_keeps_what_is_younger_and_not_what_is_exactly_as_old(age: timedelta, kept: bool) -> None:  # noqa: FBT001
    rules = BARE.replaced(min_age=24 * HOUR)
    look = scene(1, state={"stored": stored(1, age=age)})
    assert reasons(look, rules) == {"v1": ("min-age",) if kept else ()}


@pytest.mark.parametrize(("age", "kept"), [(timedelta(0), True), (23 * HOUR, True), (24 * HOUR, False)])
def test_grace_keeps_a_target_until_it_was_left_that_long_ago(age: timedelta, kept: bool) -> None:  # noqa: FBT001
    rules = BARE.replaced(grace=24 * HOUR)
    assert reasons(scene(1, state={"left": {Version(1): ago(age)}}), rules) == {"v1": ("grace",) if kept else ()}


def test_a_version_whose_push_nobody_recorded_counts_as_young() -> None:
    look = scene(1, state={"stored": {}})
    assert reasons(look) == {"v1": ("min-age",)}


@given(st.integers(-(10**5), 10**5))
def test_a_clock_that_jumps_within_a_boot_neither_keeps_nor_deletes(jump: int) -> None:
    rules = BARE.replaced(min_age=24 * HOUR, grace=24 * HOUR)
    jumped = Moment(NOON + timedelta(hours=jump), "boot", NOW.uptime)
    young = scene(1, state={"stored": stored(1, age=HOUR), "left": {Version(1): ago(HOUR)}}, now=jumped)
    old = scene(1, state={"stored": stored(1, age=25 * HOUR), "left": {Version(1): ago(25 * HOUR)}}, now=jumped)
    assert reasons(young, rules) == {"v1": ("grace", "min-age")}
    assert reasons(old, rules) == {"v1": ()}


def test_a_push_in_the_future_of_another_boot_is_young() -> None:
    rules = BARE.replaced(min_age=HOUR)
    future = {Version(1): Stored("d", "m", 1, 1, Moment(NOON + timedelta(days=9), "other", 1.0))}
    assert reasons(scene(1, state={"stored": future}), rules) == {"v1": ("min-age",)}


NUMBERS = st.integers(1, 5).map(Version)
SCENES = st.builds(
    lambda present, stacks, links, views, pins, ages, busy: Scene(
        summed(
            stored={version: Stored("", "", 0, 0, ago(age * HOUR)) for version, age in ages.items()},
            left={version: ago(age * HOUR) for version, age in ages.items() if age % 2},
            pins={version: Pin(None, NOON) for version in pins},
        ),
        present,
        stacks,
        links,
        views,
        NOW,
        dict.fromkeys(busy, (LEASED,)),
    ),
    st.frozensets(NUMBERS).map(Versions),
    st.dictionaries(st.sampled_from(["latest", "canary"]), st.lists(NUMBERS, max_size=5).map(Stack)),
    st.dictionaries(st.sampled_from(["a", "b"]), NUMBERS),
    st.dictionaries(st.sampled_from(["latest", "canary"]), st.frozensets(NUMBERS)),
    st.frozensets(NUMBERS),
    st.dictionaries(NUMBERS, st.integers(0, 48)),
    st.frozensets(NUMBERS),
)
RULES = st.builds(
    Retention,
    keep_last=st.integers(0, 6),
    keep_rollback=st.integers(1, 6),
    min_age=st.integers(0, 48).map(lambda hours: hours * HOUR),
    grace=st.integers(0, 48).map(lambda hours: hours * HOUR),
)


@given(SCENES, RULES)
def test_whatever_is_there_is_decided_once_and_nothing_else(scene: Scene, rules: Retention) -> None:
    assert [decision.version for decision in decide(scene, rules)] == sorted(scene.present, reverse=True)


@given(SCENES, RULES)
def test_no_rule_lets_go_what_anybody_points_to_holds_or_pinned(scene: Scene, rules: Retention) -> None:
    tops = {stack[-1] for stack in scene.stacks.values() if stack}
    viewed = {version for versions in scene.views.values() for version in versions}
    safe = tops | viewed | set(scene.links.values()) | set(scene.state.pins) | set(scene.busy)
    assert not {decision.version for decision in decide(scene, rules) if not decision.keep} & safe


@given(SCENES, RULES, RULES)
def test_keeping_more_never_deletes_more(scene: Scene, rules: Retention, other: Retention) -> None:
    wider = Retention(
        keep_last=max(rules.keep_last, other.keep_last),
        keep_rollback=max(rules.keep_rollback, other.keep_rollback),
        min_age=max(rules.min_age, other.min_age),
        grace=max(rules.grace, other.grace),
    )
    for narrow, wide in zip(decide(scene, rules), decide(scene, wider), strict=True):
        assert set(narrow.reasons) <= set(wide.reasons)


@given(SCENES, RULES)
def test_after_a_cleanup_every_channel_can_roll_back_as_far_as_promised(scene: Scene, rules: Retention) -> None:
    kept = {decision.version for decision in decide(scene, rules) if decision.keep}
    for stack in scene.stacks.values():
        beneath = list(dict.fromkeys(version for version in reversed(stack[:-1]) if version in scene.present))
        distinct = [version for version in beneath if version != stack[-1]]
        assert set(distinct[: rules.keep_rollback]) <= kept
