"""The index: what it says is what the journal's lines say, and nothing else is taken for one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core.facts import Digests
from modelrepo.core.history import EMPTY, State, fold_lines
from modelrepo.core.index import Index, Mark, Stamp, decode, encode, seal, unseal
from modelrepo.core.moment import Moment
from modelrepo.core.records import Chain, Line, parse_journal
from modelrepo.core.refs import Version
from modelrepo.core.values import Actor
from modelrepo.core.versions import Stack, Versions
from modelrepo.errors import IntegrityError

NOW = Moment(datetime(2026, 1, 1, tzinfo=UTC), "boot", 1.0)
MARK = Mark(7, 100, 200, "sha256:" + "0" * 64, 99)
STAMP = Stamp(1, 2, 3, 4)
VERSIONS = st.integers(1, 6).map(Version)
CHANNELS = st.sampled_from(["latest", "canary"])
MOVES = st.tuples(st.sampled_from(["promote", "external", "rollback"]), CHANNELS, VERSIONS, st.integers(1, 3)).map(
    lambda move: {"action": move[0], "channel": move[1], "to": move[2], "steps": move[3]}
)
ABOUT = st.tuples(
    st.sampled_from(["push", "push-again", "adopt", "pin", "unpin", "annotate", "cleanup", "remove"]),
    VERSIONS,
    st.integers(0, 1000),
).map(lambda fact: {"action": fact[0], "version": fact[1], "size": fact[2], "labels": {"n": str(fact[2])}})
GONE = CHANNELS.map(lambda channel: {"action": "channel-remove", "channel": channel})


def journal(steps: list[dict[str, Any]]) -> tuple[Line, ...]:
    """The lines of a journal, one minute apart."""
    chain = Chain(NOW, Actor(user="ada", uid=1, host="host"))
    chain.add(phase="start")
    for number, step in enumerate(steps):
        digests = {"digest": f"d{number}", "manifest_digest": f"sha256:{number:064x}"}
        chain.add(time=NOW.time + timedelta(minutes=number), **digests, **step)
    return parse_journal(chain.data).lines


def reader(lines: tuple[Line, ...]) -> Callable[[int], Any]:
    return {line.start: line.record for line in lines}.__getitem__


def said(state: State) -> dict[str, Any]:
    """All that a state says, every fact read."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: dict(value) if hasattr(value, "items") else value for name, value in values.items()}


@given(st.lists(MOVES | ABOUT | GONE, max_size=30), st.integers(0, 30))
def test_a_state_from_an_index_is_the_journals_and_goes_on_like_it(steps: list[dict[str, Any]], cut: int) -> None:
    lines = journal(steps)
    before, behind = lines[: cut + 1], lines[cut + 1 :]
    written = encode(Index(MARK, STAMP, fold_lines(before)))
    read = decode(written, reader(lines))
    assert (read.mark, read.stamp) == (MARK, STAMP)
    assert said(read.state) == said(fold_lines(before))
    grown = fold_lines(behind, decode(written, reader(lines)).state)
    assert said(grown) == said(fold_lines(lines))
    again = decode(encode(Index(MARK, STAMP, grown)), reader(lines))
    assert said(again.state) == said(fold_lines(lines)), "an index can be written from an index"


@given(st.lists(MOVES | ABOUT | GONE, max_size=40))
def test_lines_folded_one_by_one_give_what_they_give_at_once(steps: list[dict[str, Any]]) -> None:
    lines, state = journal(steps), EMPTY
    for line in lines:
        state = fold_lines([line], state)
        assert state.size == sum(stored.size for stored in state.stored.values())
    assert said(state) == said(fold_lines(lines))


def test_facts_are_read_when_they_are_asked_for_and_once() -> None:
    steps = [{"action": "push", "version": Version(number), "size": number} for number in (1, 2, 3)]
    lines = journal(steps)
    asked: list[int] = []

    def read(line: int) -> Any:
        asked.append(line)
        return reader(lines)(line)

    state = decode(encode(Index(MARK, STAMP, fold_lines(lines))), read).state
    assert state.size == 6
    assert state.stored.versions == {Version(1), Version(2), Version(3)}
    assert asked == []
    assert [state.stored[Version(2)].size for _ in range(2)] == [2, 2]
    assert asked == [lines[2].start]
    assert state.stored.get(Version(9)) is None


def test_a_line_about_another_version_is_not_believed() -> None:
    steps = [{"action": "push", "version": Version(number), "size": number} for number in (1, 2)]
    lines = journal(steps)
    swapped = {lines[1].start: lines[2].record, lines[2].start: lines[1].record}
    state = decode(encode(Index(MARK, STAMP, fold_lines(lines))), swapped.__getitem__).state
    with pytest.raises(IntegrityError) as caught:
        state.stored[Version(1)]
    assert caught.value.kind == "index-damaged"


@given(st.data())
def test_an_index_that_is_not_whole_is_none(data: st.DataObject) -> None:
    whole = encode(
        Index(MARK, STAMP, fold_lines(journal([{"action": "promote", "channel": "latest", "to": Version(1)}])))
    )
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    for torn in (bytes(changed), whole[:place], whole[:place] + b"\0" * (len(whole) - place)):
        if torn != whole:
            with pytest.raises(ValueError, match="not whole"):
                decode(torn, reader(()))


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"{}", b'{"index":1,"order":"0100000000000000"}', b'{"index":2,"order":"0000000000000001"}', b"\xff"],
)
def test_what_is_whole_but_no_index_of_this_program_is_none(header: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        decode(seal(header + b"\n"), reader(()))


@given(st.binary(max_size=300))
def test_any_bytes_can_be_sealed(data: bytes) -> None:
    assert bytes(unseal(seal(data))) == data


def test_a_deep_stack_and_many_versions_stay_numbers() -> None:
    state = replace(EMPTY, stacks={"latest": Stack(Version(1 + number % 2) for number in range(5000))})
    read = decode(
        encode(Index(MARK, STAMP, replace(state, rolled_back={"latest": Versions((Version(4),))}))), reader(())
    )
    assert read.state.stacks["latest"] == state.stacks["latest"]
    assert read.state.stacks["latest"][-2:] == (Version(1), Version(2))
    assert read.state.rolled_back == {"latest": {Version(4)}}


#: A value of each kind where another one belongs.
WRONG: tuple[Any, ...] = (None, True, -1, 1.5, "x", [], [["a"]], {}, 10**40)


@pytest.mark.parametrize("value", WRONG, ids=map(repr, WRONG))
@pytest.mark.parametrize(
    "place",
    [
        *((name,) for name in ("index", "order", "mark", "stamp", "highest", "size", "former", "columns")),
        *(("mark", index) for index in (0, 1, 2, 4)),
        *(("stamp", index) for index in range(4)),
        *(("columns", 0, index) for index in (0, 1)),
    ],
    ids=repr,
)
def test_a_forged_header_gives_an_index_of_the_right_kinds_or_none(place: tuple[Any, ...], value: object) -> None:
    """With a right checksum: a wrong kind would fail much later, as something that nobody foresaw."""
    lines = journal([{"action": "push", "version": Version(1), "size": 5}, {"action": "pin", "version": Version(1)}])
    whole = encode(Index(MARK, STAMP, fold_lines(lines)))
    head, _, rest = bytes(unseal(whole)).partition(b"\n")
    header = json.loads(head)
    inner: Any = header
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    try:
        index = decode(seal(json.dumps(header).encode() + b"\n" + rest), reader(lines))
    except ValueError:
        return
    mark, stamp, state = index.mark, index.stamp, index.state
    numbers = (mark.seq, mark.start, mark.end, mark.crc, state.highest, state.size, *vars(stamp).values())
    assert all(type(number) is int and number >= 0 for number in numbers)
    assert dict(state.stored)[Version(1)].size == 5
    assert all(isinstance(name, str) for name in state.former)


def test_a_header_that_is_nested_without_end_is_none() -> None:
    with pytest.raises(ValueError, match="no index"):
        decode(seal(b"[" * 100_000 + b"]" * 100_000 + b"\n"), reader(()))


@pytest.mark.parametrize("number", [0, -3])
def test_a_column_without_versions_is_none(number: int) -> None:
    lines = journal([{"action": "push", "version": Version(1), "size": 5}])
    whole = bytes(unseal(encode(Index(MARK, STAMP, fold_lines(lines)))))
    start = whole.find(b"\n") + 1
    forged = whole[:start] + number.to_bytes(8, sys.byteorder, signed=True) + whole[start + 8 :]
    with pytest.raises(ValueError, match="no version has such a number"):
        decode(seal(forged), reader(lines))


def test_a_list_reads_no_line_to_know_the_digests_of_manifests() -> None:
    lines = journal([{"action": "push", "version": Version(number), "size": 1} for number in (1, 2, 3)])
    read = decode(encode(Index(MARK, STAMP, fold_lines(lines))), reader(()))
    assert read.state.manifests.get(Version(3)) == (2).to_bytes(32, "big")
    assert read.state.manifests.get(Version(4)) is None


def test_what_is_written_as_no_digest_is_none() -> None:
    digests = Digests()
    digests.put(Version(1), "sha256:" + "0" * 64)
    digests.put(Version(1), "sha256:" + "0" * 63)
    digests.put(Version(2), "")
    assert digests == Digests()


@pytest.mark.parametrize("count", [0, 3, 8])
def test_digests_of_other_lengths_are_none(count: int) -> None:
    lines = journal([{"action": "push", "version": Version(1), "size": 5}])
    head, _, rest = bytes(unseal(encode(Index(MARK, STAMP, fold_lines(lines))))).partition(b"\n")
    header = json.loads(head)
    columns = dict(header["columns"])
    before = sum(columns[name] for name in list(columns)[: list(columns).index("manifests#")]) * 8
    header["columns"] = [(name, count if name == "manifests#" else columns[name]) for name in columns]
    forged = rest[:before] + bytes(8 * count) + rest[before + 32 :]
    with pytest.raises(ValueError, match="its digests are not its versions'"):
        decode(seal(json.dumps(header).encode() + b"\n" + forged), reader(lines))


@pytest.mark.parametrize(
    "former", [["/srv/elsewhere"], ["../../elsewhere"], ["v1"], ["Latest"], [1], [None], ["latest", ""], "latest", {}]
)
def test_a_removed_channel_whose_name_is_none_is_no_index(former: object) -> None:
    """Its view is deleted where it still stands: by such a name, something elsewhere would be."""
    head, _, rest = bytes(unseal(encode(Index(MARK, STAMP, EMPTY)))).partition(b"\n")
    header = {**json.loads(head), "former": former}
    with pytest.raises(ValueError, match="its channels are none"):
        decode(seal(json.dumps(header).encode() + b"\n" + rest), reader(()))
