"""The journal's lines: round trips, unfinished ends, damage, and the chain."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.core import records
from modelrepo.core.moment import Moment
from modelrepo.core.records import (
    NOTHING,
    Chain,
    Parsed,
    Record,
    chain_damage,
    decode,
    encode,
    line_digest,
    parse_journal,
)
from modelrepo.core.refs import MAX_NUMBER, Version, is_channel
from modelrepo.core.values import Actor

NOW = Moment(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "boot", 12.345)
ACTOR = Actor(user="ada", uid=1000, host="host", claims={"MODELREPO_ACTOR": "ci \u00e9"})

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VERSIONS = st.integers(1, MAX_NUMBER).map(Version)
ACTORS = st.builds(
    Actor, user=TEXT, uid=st.integers(0, 2**32), host=TEXT, claims=st.dictionaries(TEXT, TEXT, max_size=2)
)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


RECORDS = st.builds(
    Record,
    seq=st.integers(1, MAX_NUMBER),
    time=st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    boot=TEXT,
    uptime=st.floats(0, 1e12),
    actor=ACTORS,
    phase=st.sampled_from(["start", "intent", "done", "aborted", "unknown"]),
    action=maybe(st.sampled_from(["push", "push-again", "promote", "rollback", "external", "pin", "unpin", "cleanup"])),
    intent=maybe(st.integers(1, MAX_NUMBER)),
    channel=maybe(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(is_channel)),
    origin=maybe(VERSIONS),
    to=maybe(VERSIONS),
    version=maybe(VERSIONS),
    token=maybe(st.from_regex(r"[a-zA-Z0-9_-]{1,30}", fullmatch=True)),
    digest=maybe(TEXT),
    manifest_digest=maybe(TEXT),
    size=maybe(st.integers(0, MAX_NUMBER)),
    files=maybe(st.integers(0, 100_000)),
    steps=maybe(st.integers(1, 100)),
    breaking=maybe(st.lists(TEXT, max_size=3).map(tuple)),
    reason=maybe(TEXT),
    recorded_by=maybe(ACTORS),
    recovered=maybe(st.booleans()),
    highest=maybe(st.integers(0, MAX_NUMBER)),
    previous=maybe(TEXT),
    prev=TEXT,
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel", "/etc/cron.d"), ("channel", "../.modelrepo/removed"), ("channel", "serving"),
        ("channel", "\x1b[2J"), ("token", "../../etc"), ("token", ""), ("token", "a/b"), ("token", "x\n"),
        ("uptime", 1e300), ("uptime", -1.0), ("uptime", float("nan")), ("size", 10**400), ("size", -1),
        ("highest", 2**63),
    ],
)  # fmt: skip
def test_a_line_that_names_what_lies_outside_or_cannot_be_reckoned_with_is_no_record(field: str, value: Any) -> None:
    fields = {
        "seq": 2,
        "time": "2026-01-02T03:04:05.000000Z",
        "boot": "b",
        "uptime": 1.0,
        "phase": "done",
        "prev": NOTHING,
    }
    fields |= {"actor": {"user": "u", "uid": 1, "host": "h", "claims": {}}, field: value}
    body = json.dumps(fields, separators=(",", ":")).encode()
    with pytest.raises(ValueError, match=field):
        decode(body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body))


@given(RECORDS)
def test_a_record_is_read_from_the_line_that_it_writes(record: Record) -> None:
    raw = encode(record)
    assert raw.count(b"\n") == 1
    assert raw.isascii()
    assert decode(raw) == record


@given(RECORDS)
def test_what_is_absent_is_left_out_of_the_line(record: Record) -> None:
    assert b":null" not in encode(record)


def test_a_line_says_where_a_channel_came_from_as_from() -> None:
    record = decode(journal_lines()[1])
    fields = json.loads(encode(record.replaced(origin=Version(1))))
    assert fields["from"] == "v1"
    assert "origin" not in fields


def journal_lines() -> list[bytes]:
    """Seven lines of every kind."""
    chain = Chain(NOW, ACTOR)
    chain.add(phase="start")
    chain.add(action="pin", version=Version(1), reason="first")
    chain.add(phase="intent", action="promote", channel="latest", to=Version(1))
    chain.add(action="promote", intent=3, channel="latest", to=Version(1), reason="caf\u00e9 \u2028 \n {}")
    chain.add(phase="intent", action="promote", channel="latest", origin=Version(1), to=Version(2))
    chain.add(phase="aborted", action="promote", intent=5, channel="latest", origin=Version(1), to=Version(2))
    chain.add(action="unpin", version=Version(1))
    return chain.data.splitlines(keepends=True)


LINES = journal_lines()
DATA = b"".join(LINES)


def is_clean(parsed: Parsed) -> bool:
    return parsed.damage is None and not parsed.torn and chain_damage(parsed.lines) is None


def renumbered(lines: list[bytes]) -> bytes:
    """Lines that somebody numbered anew and gave right checksums, but not the right chain."""
    data = b""
    for seq, raw in enumerate(lines, 1):
        data += encode(decode(raw).replaced(seq=seq))
    return data


def test_a_whole_journal_is_read_line_by_line() -> None:
    parsed = parse_journal(DATA)
    assert [line.raw for line in parsed.lines] == LINES
    assert [line.record.seq for line in parsed.lines] == [1, 2, 3, 4, 5, 6, 7]
    assert parsed.end == len(DATA)
    assert is_clean(parsed)


def test_the_first_line_carries_nothing_and_each_other_the_digest_of_the_line_before() -> None:
    records = [decode(raw) for raw in LINES]
    assert records[0].prev == NOTHING
    assert [record.prev for record in records[1:]] == [line_digest(raw) for raw in LINES[:-1]]


def test_a_tail_torn_at_any_byte_is_unfinished_and_never_damage() -> None:
    for cut in range(len(LINES[0]), len(DATA) + 1):
        parsed = parse_journal(DATA[:cut])
        whole = [raw for number, raw in enumerate(LINES, 1) if len(b"".join(LINES[:number])) <= cut]
        assert [line.raw for line in parsed.lines] == whole, cut
        assert parsed.damage is None, cut
        assert (parsed.end, parsed.torn) == (len(b"".join(whole)), cut - len(b"".join(whole)))


@pytest.mark.parametrize("zeros", [1, 511, 4096, 70_000])
@pytest.mark.parametrize("torn", [0, 1, 40])
def test_zeros_at_the_end_are_what_a_power_cut_leaves(zeros: int, torn: int) -> None:
    piece = LINES[-1][:torn]
    parsed = parse_journal(b"".join(LINES[:-1]) + piece + b"\0" * zeros)
    assert len(parsed.lines) == 6
    assert parsed.damage is None
    assert parsed.torn == torn + zeros


@pytest.mark.parametrize("lost", [1, 20, len(LINES[-1]) - 1])
def test_a_record_whose_first_block_was_lost_and_whose_end_was_not_is_an_unfinished_end(lost: int) -> None:
    parsed = parse_journal(b"".join(LINES[:-1]) + bytes(lost) + LINES[-1][lost:])
    assert len(parsed.lines) == 6
    assert parsed.damage is None
    assert parsed.torn == len(LINES[-1])


def test_zeros_in_front_of_a_good_line_are_damage() -> None:
    parsed = parse_journal(b"".join(LINES[:3]) + b"\0" * 4096 + b"\n" + b"".join(LINES[4:]))
    assert len(parsed.lines) == 3
    assert parsed.damage is not None
    assert parsed.damage.number == 4


def test_a_missing_start_is_damage() -> None:
    for data in (b"", b"\0" * 100, LINES[0][:-1], LINES[1], b"".join(LINES[1:]), b"\n" + DATA, b"{}\n"):
        parsed = parse_journal(data)
        assert parsed.lines == ()
        assert parsed.damage is not None
        assert parsed.damage.number == 1


def test_a_second_start_is_damage() -> None:
    chain = Chain(NOW, ACTOR)
    chain.add(phase="start")
    chain.add(phase="start")
    damage = parse_journal(chain.data).damage
    assert damage is not None
    assert "only the first line starts" in damage.detail


@pytest.mark.parametrize("bit", [0, 3, 6])
def test_no_edited_byte_anywhere_goes_unseen(bit: int) -> None:
    """Only a last newline or a zero that came in look like an unfinished end: then the last line does not count."""
    for offset in range(len(DATA)):
        edited = bytearray(DATA)
        edited[offset] ^= 1 << bit
        parsed = parse_journal(bytes(edited))
        assert not is_clean(parsed), (offset, DATA[offset : offset + 20])
        assert all(line.raw in LINES for line in parsed.lines)


def test_an_edited_line_that_is_still_json_is_damage_also_at_the_end() -> None:
    for number, raw in enumerate(LINES):
        edited = raw.replace(b'"user":"ada"', b'"user":"eve"')
        assert edited != raw
        parsed = parse_journal(b"".join([*LINES[:number], edited, *LINES[number + 1 :]]))
        assert parsed.damage is not None
        assert parsed.damage.number == number + 1
        assert parsed.damage.detail == "its checksum is wrong"


def test_an_edited_line_with_a_right_checksum_breaks_the_chain_behind_it() -> None:
    for number in range(len(LINES) - 1):
        edited = encode(decode(LINES[number]).replaced(reason="I never did this"))
        parsed = parse_journal(b"".join([*LINES[:number], edited, *LINES[number + 1 :]]))
        assert parsed.damage is None
        damage = chain_damage(parsed.lines)
        assert damage is not None
        assert damage.number == number + 2


def test_swapped_lines_are_found_whether_renumbered_or_not() -> None:
    for order in permutations(range(1, 5)):
        lines = [LINES[0], *(LINES[number] for number in order), *LINES[5:]]
        if lines == LINES:
            continue
        assert parse_journal(b"".join(lines)).damage is not None
        assert chain_damage(parse_journal(renumbered(lines)).lines) is not None


def test_a_line_taken_out_of_the_middle_is_found_whether_renumbered_or_not() -> None:
    for number in range(1, len(LINES) - 1):
        lines = LINES[:number] + LINES[number + 1 :]
        assert parse_journal(b"".join(lines)).damage is not None
        assert chain_damage(parse_journal(renumbered(lines)).lines) is not None


def test_a_repeated_line_is_found_whether_renumbered_or_not() -> None:
    for number in range(1, len(LINES)):
        lines = [*LINES[: number + 1], *LINES[number:]]
        assert parse_journal(b"".join(lines)).damage is not None
        assert chain_damage(parse_journal(renumbered(lines)).lines) is not None


@given(st.binary(max_size=200))
def test_whatever_stands_behind_the_whole_lines_they_are_all_read(rest: bytes) -> None:
    parsed = parse_journal(DATA + rest)
    assert [line.raw for line in parsed.lines] == LINES
    assert parsed.end == len(DATA)
    assert parsed.torn == len(rest)


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    parsed = parse_journal(data)
    assert parsed.lines == ()
    assert parsed.damage is not None


@pytest.mark.parametrize(
    "behind", [b"[" * 100_000 + b"\n", b'{"a":' * 50_000 + b"\n", b"9" * 5000 + b"\n", b"\xff\xfe{\n"]
)
def test_an_ended_line_that_is_no_record_and_holds_no_zeros_is_damage_and_no_crash(behind: bytes) -> None:
    parsed = parse_journal(DATA + behind)
    assert len(parsed.lines) == len(LINES)
    assert parsed.torn == len(behind)
    assert parsed.damage is not None
    assert parse_journal(DATA + behind[:-1]).damage is None, "without its newline it is a piece of a line"


def sealed(fields: dict[str, Any]) -> bytes:
    """A line with a right checksum, whatever it says."""
    body = json.dumps(fields, separators=(",", ":")).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def plain_fields() -> dict[str, Any]:
    record = Record(seq=1, time=NOW.time, boot="", uptime=0, actor=ACTOR, phase="start", prev=NOTHING)
    return {name: value for name, value in record.as_json().items() if value is not None}


@pytest.mark.parametrize(
    "changed",
    [
        {"phase": "maybe"},
        {"action": "explode"},
        {"seq": "one"},
        {"seq": None},
        {"to": "latest"},
        {"version": "v0"},
        {"time": "yesterday"},
        {"time": "2026-01-01T00:00:00"},
        {"time": "0001-01-01T00:00:00+23:00"},
        {"actor": None},
        {"uptime": 10**400},
        {"metrics": {"a": 10**400}},
        {"unknown": 1},
    ],
)
def test_a_line_that_is_no_record_is_a_value_error_in_spite_of_its_checksum(changed: dict[str, Any]) -> None:
    assert decode(sealed(plain_fields())).seq == 1
    with pytest.raises(ValueError, match=r".+: .+"):
        decode(sealed({**plain_fields(), **changed}))


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"{}", b"{}\n", b"null\n", LINES[0][:-1], LINES[0] + b"\n", b" " + LINES[0]]
)
def test_a_line_that_is_not_whole_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"it has no checksum|its checksum is wrong"):
        decode(raw)


def test_a_record_knows_the_moment_of_its_writing() -> None:
    assert decode(LINES[0]).moment == NOW


def test_every_field_that_is_written_can_be_read() -> None:
    record = Record(seq=1, time=NOW.time, boot="", uptime=0, actor=ACTOR, phase="start", prev=NOTHING)
    assert records._KINDS.keys() == record.as_json().keys()
