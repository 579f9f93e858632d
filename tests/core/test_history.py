"""The journal folded: stacks as promise 5 says them, open intents, and laws."""

from __future__ import annotations

from copy import copy
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.history import EMPTY, Evidence, State, Stored, effective_stack, fold, judge, settle
from modelrepo.core.records import Record
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor
from modelrepo.core.versions import Stack, without

START = datetime(2026, 1, 1, tzinfo=UTC)
ACTOR = Actor(user="ada", uid=1000, host="host")


def v(*numbers: int) -> tuple[Version, ...]:
    return tuple(Version(number) for number in numbers)


def sums(state: State) -> dict[str, Any]:
    """All that a state says, copied."""
    return {field.name: copy(getattr(state, field.name)) for field in fields(state)}


class Journal:
    """Records as the operations write them, one hour apart."""

    def __init__(self, channel: str = "latest") -> None:
        self.records: list[Record] = []
        self.channel = channel

    def add(self, phase: str = "done", **fields: Any) -> Record:
        seq = len(self.records) + 1
        values = {
            "seq": seq, "time": START + timedelta(hours=seq), "boot": "b", "uptime": seq * 3600.0, "actor": ACTOR,
            "prev": "", "phase": phase, **fields,
        }  # fmt: skip
        self.records.append(Record(**values))
        return self.records[-1]

    @property
    def state(self) -> State:
        return fold(self.records)

    @property
    def stack(self) -> tuple[Version, ...]:
        return tuple(self.state.stacks.get(self.channel, ()))

    def push(self, *numbers: int) -> None:
        for number in numbers:
            facts: dict[str, Any] = {
                "digest": f"d{number}",
                "manifest_digest": f"m{number}",
                "size": number,
                "files": 1,
            }
            self.add(action="push", version=Version(number), **facts)

    def promote(self, *numbers: int, action: str = "promote") -> None:
        for number in numbers:
            self.add(
                action=action, channel=self.channel, to=Version(number), origin=self.stack[-1] if self.stack else None
            )

    def rollback(self, steps: int = 1) -> Version:
        target = self.stack[-1 - steps]
        self.add(action="rollback", channel=self.channel, origin=self.stack[-1], to=target, steps=steps)
        return target

    def remove(self, number: int) -> None:
        self.add(action="cleanup", version=Version(number))


def test_after_promoting_1_2_3_rollback_gives_2_then_1_and_never_3_again() -> None:
    journal = Journal()
    journal.promote(1, 2, 3)
    assert [journal.rollback(), journal.rollback()] == list(v(2, 1))
    assert journal.stack == v(1)


def test_after_promoting_1_3_2_rollback_gives_3() -> None:
    journal = Journal()
    journal.promote(1, 3, 2)
    assert journal.rollback() == Version(3)
    assert journal.rollback() == Version(1)


def test_after_1_2_3_rollback_and_promote_4_rollback_gives_2() -> None:
    journal = Journal()
    journal.promote(1, 2, 3)
    assert journal.rollback() == Version(2)
    journal.promote(4)
    assert journal.stack == v(1, 2, 4)
    assert journal.rollback() == Version(2)


def test_promoting_the_current_target_changes_nothing_on_the_stack() -> None:
    journal = Journal()
    journal.promote(1, 2, 2, 2)
    assert journal.stack == v(1, 2)


def test_a_removed_target_leaves_the_stack_and_equal_neighbours_merge() -> None:
    journal = Journal()
    journal.promote(1, 2, 1, 3)
    journal.remove(2)
    assert journal.stack == v(1, 3)
    assert journal.rollback() == Version(1)
    assert journal.stack == v(1)


def test_removal_leaves_every_channels_stack() -> None:
    latest, canary = Journal(), Journal("canary")
    latest.promote(1, 2, 3)
    canary.records = latest.records
    canary.promote(2, 4)
    latest.remove(2)
    assert latest.state.stacks == {"latest": v(1, 3), "canary": v(4)}


def test_several_steps_take_several_targets_off_at_once() -> None:
    journal = Journal()
    journal.promote(1, 2, 3, 4, 5)
    assert journal.rollback(steps=3) == Version(2)
    assert journal.stack == v(1, 2)


def test_steps_count_targets_not_distinct_versions() -> None:
    journal = Journal()
    journal.promote(1, 2, 1, 2)
    assert journal.rollback(steps=2) == Version(2)
    assert journal.stack == v(1, 2)


def test_an_external_move_counts_as_a_push_on_the_stack() -> None:
    journal = Journal()
    journal.promote(1, 2)
    journal.promote(1, action="external")
    assert journal.stack == v(1, 2, 1)
    assert journal.rollback() == Version(2)


def test_a_rollback_to_where_no_stack_leads_still_says_where_the_link_points() -> None:
    journal = Journal()
    journal.promote(1)
    journal.add(action="rollback", channel="latest", origin=Version(1), to=Version(9), steps=5)
    assert journal.stack == v(9)


def test_channels_do_not_touch_each_other() -> None:
    latest, canary = Journal(), Journal("canary")
    canary.records = latest.records
    latest.promote(1, 2)
    canary.promote(3)
    latest.rollback()
    assert latest.state.stacks == {"latest": v(1), "canary": v(3)}


def test_what_a_channel_last_left_by_a_rollback_is_remembered_until_it_is_left_otherwise() -> None:
    journal = Journal()
    journal.promote(1, 2, 3)
    journal.rollback()
    assert journal.state.rolled_back["latest"] == set(v(3))
    journal.promote(3)
    assert journal.state.rolled_back["latest"] == set(v(3))
    journal.promote(4)
    assert journal.state.rolled_back["latest"] == set()


def test_the_moment_when_a_target_was_left_is_the_moment_of_the_move() -> None:
    journal = Journal()
    journal.promote(1, 2)
    assert journal.state.left == {Version(1): journal.records[1].moment}
    journal.promote(1, 3)
    assert journal.state.left == {Version(1): journal.records[3].moment, Version(2): journal.records[2].moment}


def test_a_push_is_stored_with_its_facts_and_a_repeated_push_makes_it_young_again() -> None:
    journal = Journal()
    journal.push(1)
    again = journal.add(action="push-again", version=Version(1))
    assert journal.state.stored == {Version(1): Stored("d1", "m1", 1, 1, again.moment)}


def test_a_repeated_push_of_what_is_gone_stores_nothing() -> None:
    journal = Journal()
    journal.push(1)
    journal.remove(1)
    journal.add(action="push-again", version=Version(1))
    assert not journal.state.stored


def test_a_deleted_version_is_removed_with_its_pin_and_remembered() -> None:
    journal = Journal()
    journal.push(1)
    journal.add(action="pin", version=Version(1), reason="audit")
    assert journal.state.pins[Version(1)].reason == "audit"
    journal.remove(1)
    state = journal.state
    assert [*state.stored, *state.pins, *state.left] == []
    assert dict(state.removed) == {Version(1): journal.records[-1].time}
    assert state.highest == 1


def test_unpin_takes_a_pin_away_and_one_that_is_not_there_too() -> None:
    journal = Journal()
    journal.add(action="unpin", version=Version(1))
    journal.add(action="pin", version=Version(1))
    journal.add(action="unpin", version=Version(1))
    assert journal.state.pins == {}


@pytest.mark.parametrize("phase", ["start", "intent", "done", "aborted", "unknown"])
@pytest.mark.parametrize("field", ["version", "to", "origin"])
def test_a_number_in_any_record_is_spent(phase: str, field: str) -> None:
    journal = Journal()
    journal.add(phase, action="promote", **{field: Version(7)})
    assert journal.state.highest == 7


def test_the_highest_number_of_a_set_aside_journal_is_spent() -> None:
    journal = Journal()
    journal.add("start", highest=41)
    assert journal.state.highest == 41


@pytest.mark.parametrize("phase", ["aborted", "unknown", "intent"])
@pytest.mark.parametrize(
    "record",
    [
        {"action": "promote", "channel": "latest", "to": Version(2)},
        {"action": "rollback", "channel": "latest", "to": Version(2), "steps": 1},
        {"action": "push", "version": Version(2)},
        {"action": "cleanup", "version": Version(1)},
        {"action": "pin", "version": Version(1)},
    ],
)
def test_only_what_is_done_counts(phase: str, record: dict[str, Any]) -> None:
    journal = Journal()
    journal.push(1)
    journal.promote(1)
    before = sums(journal.state) | {"highest": 2, "open": None}
    journal.add(phase, **record)
    after = sums(journal.state) | {"highest": 2, "open": None}
    assert after == before


@pytest.mark.parametrize("phase", ["done", "aborted", "unknown"])
def test_an_intent_is_open_until_its_outcome_closes_it(phase: str) -> None:
    journal = Journal()
    intent = journal.add("intent", action="promote", channel="latest", to=Version(1))
    assert journal.state.open == intent
    journal.add(action="pin", version=Version(1))
    assert journal.state.open == intent
    journal.add(phase, action="promote", channel="latest", to=Version(1), intent=intent.seq)
    assert journal.state.open is None


def intent_of(action: str, **fields: Any) -> Record:
    return Journal().add("intent", action=action, **fields)


#: The name of a directory in the trash.
TRASHED = {"token": "t"}
MOVE = {"channel": "latest", "origin": Version(1), "to": Version(2)}


@pytest.mark.parametrize("action", ["promote", "rollback"])
@pytest.mark.parametrize(("link", "verdict"), [(2, "done"), (1, "aborted"), (3, "unknown"), (None, "unknown")])
def test_a_move_happened_where_the_link_says_so(action: str, link: int | None, verdict: str) -> None:
    evidence = Evidence(link=None if link is None else Version(link))
    assert judge(intent_of(action, **MOVE), evidence) == verdict


def test_a_first_promote_did_not_happen_where_there_is_no_link() -> None:
    assert judge(intent_of("promote", channel="latest", to=Version(1)), Evidence()) == "aborted"


@pytest.mark.parametrize(("digest", "verdict"), [("m", "done"), ("other", "aborted"), (None, "aborted")])
def test_a_push_happened_where_its_manifest_stands_in_the_root(digest: str | None, verdict: str) -> None:
    intent = intent_of("push", version=Version(1), manifest_digest="m")
    assert judge(intent, Evidence(manifest_digest=digest, version_there=True)) == verdict


@pytest.mark.parametrize(
    ("there", "token", "verdict"),
    [(True, False, "aborted"), (False, True, "done"), (False, False, "done"), (True, True, "done")],
)
def test_a_deletion_happened_where_the_directory_left_its_place(there: bool, token: bool, verdict: str) -> None:  # noqa: FBT001
    intent = intent_of("cleanup", version=Version(1), **TRASHED)
    assert judge(intent, Evidence(version_there=there, token_there=token)) == verdict


@pytest.mark.parametrize("action", ["pin", "unpin", "external", "push-again"])
def test_nobody_can_say_whether_anything_else_happened(action: str) -> None:
    assert judge(intent_of(action, version=Version(1)), Evidence()) == "unknown"


def test_a_reader_counts_an_open_intent_where_the_tree_agrees() -> None:
    journal = Journal()
    journal.promote(1)
    journal.add("intent", action="promote", **MOVE)
    settled = settle(journal.state, Evidence(link=Version(2)))
    assert settled.stacks == {"latest": v(1, 2)}
    assert settled.open is None


@pytest.mark.parametrize("link", [1, 3])
def test_a_reader_does_not_count_an_open_intent_where_the_tree_disagrees(link: int) -> None:
    journal = Journal()
    journal.promote(1)
    journal.add("intent", action="promote", **MOVE)
    settled = settle(journal.state, Evidence(link=Version(link)))
    assert settled.stacks == {"latest": v(1)}
    assert settled.open is None


def test_a_reader_counts_an_open_push_and_an_open_deletion_by_the_tree() -> None:
    journal = Journal()
    journal.add("intent", action="push", version=Version(1), digest="d", manifest_digest="m", size=3, files=1)
    assert set(settle(journal.state, Evidence(manifest_digest="m", version_there=True)).stored) == {Version(1)}
    assert settle(journal.state, Evidence()).stored == {}
    assert settle(journal.state, Evidence(manifest_digest="m")).stored == {}, "the tree was looked at before"
    other = Journal()
    other.push(1)
    other.add("intent", action="cleanup", version=Version(1), **TRASHED)
    assert set(settle(other.state, Evidence(token_there=True)).removed) == {Version(1)}
    assert settle(other.state, Evidence(version_there=True)).removed == {}


def test_a_state_without_an_open_intent_is_settled() -> None:
    journal = Journal()
    journal.promote(1, 2)
    assert settle(journal.state, Evidence()) == journal.state


def test_the_effective_stack_holds_a_move_that_nobody_recorded_yet() -> None:
    journal = Journal()
    journal.promote(1, 2)
    assert effective_stack(journal.state, "latest", Version(2)) == v(1, 2)
    assert effective_stack(journal.state, "latest", Version(1)) == v(1, 2, 1)
    assert effective_stack(journal.state, "latest", None) == v(1, 2)
    assert effective_stack(journal.state, "canary", Version(3)) == v(3)
    assert effective_stack(journal.state, "canary", None) == ()


NUMBERS = st.integers(1, 4).map(Version)
RECORDS = st.builds(
    lambda phase, action, version, to, origin, steps, intent, channel: {
        "phase": phase,
        "action": action,
        "version": version,
        "to": to,
        "origin": origin,
        "steps": steps,
        "intent": intent,
        "channel": channel,
    },
    st.sampled_from(["start", "intent", "done", "done", "done", "aborted", "unknown"]),
    st.sampled_from(["push", "push-again", "promote", "rollback", "external", "pin", "unpin", "cleanup", None]),
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 10),
    st.sampled_from([None, "latest", "canary"]),
)


def recorded(changes: list[dict[str, Any]]) -> list[Record]:
    journal = Journal()
    for one in changes:
        journal.add(**one)
    return journal.records


@given(st.lists(RECORDS, max_size=12), st.integers(0, 12))
def test_folding_in_two_parts_is_folding_in_one(changes: list[dict[str, Any]], cut: int) -> None:
    records = recorded(changes)
    first = fold(records[:cut])
    kept = sums(first)
    assert fold(records[cut:], first) == fold(records)
    assert sums(first) == kept, "folding on changed the state that it began with"


@given(st.lists(RECORDS, max_size=12))
def test_a_stack_has_no_equal_neighbours_and_nothing_deleted(changes: list[dict[str, Any]]) -> None:
    state = EMPTY
    for record in recorded(changes):
        state = fold([record], state)
        for stack in state.stacks.values():
            assert all(one != other for one, other in pairwise(stack))
            if record.phase == "done" and record.action == "cleanup":
                assert record.version not in stack
        if (
            record.phase == "done"
            and record.action in {"promote", "rollback", "external"}
            and record.channel
            and record.to
        ):
            assert state.stacks[record.channel][-1] == record.to


@given(st.lists(NUMBERS, max_size=8), NUMBERS)
def test_taking_a_version_out_keeps_the_order_of_the_rest(stack: list[Version], version: Version) -> None:
    built = Stack()
    for target in stack:
        built = built.pushed(target)
    rest = Stack.of(without(built.numbers, {version.number}))
    assert version not in rest
    assert list(dict.fromkeys(rest)) == [target for target in dict.fromkeys(built) if target != version]
    assert without(rest.numbers, {version.number}) == rest.numbers


@given(st.lists(st.integers(0, 4), max_size=20))
def test_promotes_and_rollbacks_are_pushes_and_pops(moves: list[int]) -> None:
    """0 rolls back where there is something to roll back to; the model is a plain list."""
    journal, model = Journal(), list[Version]()
    for move in moves:
        if move:
            journal.promote(move)
            model += [Version(move)] if model[-1:] != [Version(move)] else []
        elif len(model) > 1:
            model.pop()
            assert journal.rollback() == model[-1]
        assert list(journal.stack) == model
