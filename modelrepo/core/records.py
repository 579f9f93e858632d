"""The journal's lines: how a record is written, read, and chained to the one before.

A line is one JSON object. Its last field, `crc`, is the CRC-32 of the object without it, so that each line says by
itself whether it is whole; `prev` is the SHA-256 of the raw line before (newline included), so that a line that was
edited, taken out or moved is found. Where a record came from is not known here: a file, or later a log elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from modelrepo.core import kinds
from modelrepo.core.moment import Moment
from modelrepo.core.refs import MAX_NUMBER, Version, is_channel
from modelrepo.core.values import Actor, Value, read_time, read_version

Phase = Literal["start", "intent", "done", "aborted", "unknown"]
Action = Literal[
    "push", "push-again", "adopt", "promote", "rollback", "external", "pin", "unpin", "annotate",
    "channel-remove", "remove", "cleanup",
]  # fmt: skip


#: `prev` of the first line.
NOTHING = "sha256:" + "0" * 64
_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"\}\n')
_CRC_BYTES = len(b',"crc":"00000000"}\n')
#: `json.loads` would look for white space around each line.
_JSON = json.JSONDecoder()
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")
#: Nothing beyond what can be reckoned with.
_LONGEST_UPTIME = 1e12


class Record(Value, renamed={"origin": "from"}, kw_only=True):
    """One line. Fields that do not apply are None, and are left out on the disk.

    Attributes:
        seq: 1, 2, 3, … without a gap.
        time: When it happened: when it was recorded, or for an external move when the link was made.
        boot: The boot's identity, see `Moment`.
        uptime: Seconds since the boot, when it was recorded.
        actor: Who did it.
        phase: `start` heads a journal; `intent` announces; `done`, `aborted` and `unknown` close an intent or stand
        alone.
        action: What was done.
        intent: The `seq` of the intent that this closes.
        channel: Which channel moved.
        origin: Where it pointed before (`from` in JSON).
        to: Where it points after.
        version: Which version a push, pin or cleanup is about.
        token: The name of the directory in staging or trash.
        digest: Of a pushed version's content.
        manifest_digest: Of its manifest's raw bytes.
        size: Bytes of its files.
        files: Number of its files.
        steps: How many targets a rollback takes off the stack.
        breaking: The breaking changes that were let through.
        allowed_ops: Ops that the scan would have refused, and that a push let in.
        labels: Labels that an annotation gives a version.
        metrics: Metrics that it gives it.
        message: The message that it gives it; an empty one takes the message away.
        unset: Keys of labels and metrics that it takes away, before it gives any.
        reason: What the actor said.
        recorded_by: Who wrote it down, where that is not the actor.
        recovered: The command that closes this intent is not the one that opened it.
        highest: Of a start: the highest number ever used.
        previous: Of a start: the digest of the journal that was set aside.
        prev: Digest of the raw line before.
    """

    seq: int
    time: datetime
    boot: str
    uptime: float
    actor: Actor
    phase: Phase
    action: Action | None = None
    intent: int | None = None
    channel: str | None = None
    origin: Version | None = None
    to: Version | None = None
    version: Version | None = None
    token: str | None = None
    digest: str | None = None
    manifest_digest: str | None = None
    size: int | None = None
    files: int | None = None
    steps: int | None = None
    breaking: tuple[str, ...] | None = None
    allowed_ops: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    metrics: dict[str, float] | None = None
    message: str | None = None
    unset: tuple[str, ...] | None = None
    reason: str | None = None
    recorded_by: Actor | None = None
    recovered: bool | None = None
    highest: int | None = None
    previous: str | None = None
    prev: str

    @property
    def moment(self) -> Moment:
        """When it was recorded."""
        return Moment(time=self.time, boot=self.boot, uptime=self.uptime)


def _channel(value: object) -> str:
    """What paths are made of is checked when it is read: a journal that somebody forged names nothing outside."""
    if type(value) is not str or not is_channel(value):
        raise ValueError("it is no channel's name")
    return value


def _token(value: object) -> str:
    if type(value) is not str or not _TOKEN.fullmatch(value):
        raise ValueError("it is no name in staging or trash")
    return value


def _uptime(value: object) -> float:
    found = kinds.number(value)
    if not 0 <= found <= _LONGEST_UPTIME:
        raise ValueError("it is no time since a boot")
    return found


def _actor(value: object) -> Actor:
    known = _ACTORS.get(key := repr(value))
    if known is None:
        known = Actor(**kinds.read(ACTOR, value, ("user", "uid", "host")))
        if len(_ACTORS) < _MANY_ACTORS:
            _ACTORS[key] = known
    return known


#: Few people write many records.
_ACTORS: dict[str, Actor] = {}
_MANY_ACTORS = 1000


ACTOR: dict[str, kinds.Kind] = {
    "user": kinds.text,
    "uid": kinds.whole(-(2**63), MAX_NUMBER),
    "host": kinds.text,
    "claims": kinds.each(kinds.text),
}
_COUNT = kinds.whole(0, MAX_NUMBER)
_KINDS: dict[str, kinds.Kind] = {
    "seq": _COUNT,
    "time": read_time,
    "boot": kinds.text,
    "uptime": _uptime,
    "actor": _actor,
    "phase": kinds.one_of(*get_args(Phase)),
    "action": kinds.one_of(*get_args(Action)),
    "intent": _COUNT,
    "channel": _channel,
    "from": read_version,
    "to": read_version,
    "version": read_version,
    "token": _token,
    "digest": kinds.text,
    "manifest_digest": kinds.text,
    "size": _COUNT,
    "files": _COUNT,
    "steps": _COUNT,
    "breaking": kinds.texts,
    "allowed_ops": kinds.texts,
    "labels": kinds.each(kinds.text),
    "metrics": kinds.each(kinds.number),
    "message": kinds.text,
    "unset": kinds.texts,
    "reason": kinds.text,
    "recorded_by": _actor,
    "recovered": kinds.truth,
    "highest": _COUNT,
    "previous": kinds.text,
    "prev": kinds.text,
}
_REQUIRED = ("seq", "time", "boot", "uptime", "actor", "phase", "prev")


@dataclass(frozen=True, slots=True)
class Line:
    """A record and its raw bytes, newline included, and their offset in the journal."""

    record: Record
    raw: bytes
    start: int

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.start + len(self.raw)


class Damage(Value):
    """What is wrong with a journal beyond its unfinished end.

    Attributes:
        number: The line, counted from 1.
        detail: What is wrong with it.
    """

    number: int
    detail: str


class Parsed(Value):
    """A journal, as far as it can be read.

    Attributes:
        lines: The whole lines up to the first that is not; of a journal that an index knows, only the last ones.
        end: The offset behind the last of them.
        torn: Bytes behind `end` that a crash may leave: an unfinished record.
        damage: What a crash cannot explain.
    """

    lines: tuple[Line, ...]
    end: int
    torn: int
    damage: Damage | None


def line_digest(raw: bytes) -> str:
    """The digest that the next line carries as `prev`."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def encode(record: Record) -> bytes:
    """Write a record as a line."""
    fields = {name: value for name, value in record.as_json().items() if value is not None}
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def decode(raw: bytes) -> Record:
    """Read a line.

    Raises:
        ValueError: It is not whole, or not a record.
    """
    match = _CRC.fullmatch(raw[-_CRC_BYTES:])
    if not match:
        raise ValueError("it has no checksum")
    body = raw[:-_CRC_BYTES] + b"}"
    if int(match[1], 16) != zlib.crc32(body):
        raise ValueError("its checksum is wrong")
    try:
        found, end = _JSON.raw_decode(text := body.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if end != len(text):
        raise ValueError("something stands behind it")
    fields = kinds.read(_KINDS, found, _REQUIRED)
    if "from" in fields:
        fields["origin"] = fields.pop("from")
    return Record(**fields)


def parse_journal(data: bytes, start: int = 0, seq: int = 1) -> Parsed:
    """Read a journal's bytes, and tell an unfinished end from damage.

    Args:
        data: The bytes, from the start of a line to the end.
        start: Their offset in the journal.
        seq: The number of the first line.

    An unfinished end is what a crash or a power cut may leave behind the last whole line: a piece without a newline, or
    zeros where blocks were not written. A line that has its newline and no zeros was written whole: if it does not fit,
    somebody changed it.
    """
    lines: list[Line] = []
    offset = 0
    detail = None
    while offset < len(data):
        stop = data.find(b"\n", offset) + 1
        if not stop:
            break
        raw = data[offset:stop]
        try:
            record = decode(raw)
        except ValueError as error:
            detail = str(error)
            break
        if record.seq != len(lines) + seq:
            detail = f"its number is {record.seq}"
            break
        if (record.phase == "start") != (record.seq == 1):
            detail = "only the first line starts a journal"
            break
        lines.append(Line(record, raw, start + offset))
        offset = stop
    torn = len(data) - offset
    if not lines:
        return Parsed((), start, torn, Damage(seq, detail or "it does not start with a whole record"))
    damage = Damage(len(lines) + seq, detail) if detail and _was_whole(data[offset:]) else None
    return Parsed(tuple(lines), start + offset, torn, damage)


def _was_whole(rest: bytes) -> bool:
    """Whether any line in there has its newline and no zeros: a crash does not leave one that is not a record."""
    return any(b"\0" not in raw for raw in rest.split(b"\n")[:-1])


class Chain:
    """The lines of a new journal, each carrying the digest of the one before.

    Args:
        now: When the journal is made.
        actor: By whom.
    """

    def __init__(self, now: Moment, actor: Actor) -> None:
        self._now = now
        self._actor = actor
        self._raw: list[bytes] = []

    @property
    def data(self) -> bytes:
        """All lines."""
        return b"".join(self._raw)

    def add(self, **fields: Any) -> None:  # noqa: ANN401 - a record's fields
        """Add a record; it is done, by the actor and now, where the fields do not say otherwise."""
        values = {"time": self._now.time, "actor": self._actor, "phase": "done", **fields}
        prev = line_digest(self._raw[-1]) if self._raw else NOTHING
        seq = len(self._raw) + 1
        record = Record(seq=seq, boot=self._now.boot, uptime=self._now.uptime, prev=prev, **values)
        self._raw.append(encode(record))


def chain_damage(lines: tuple[Line, ...]) -> Damage | None:
    """Walk the whole chain: the first line that does not carry the digest of the line before."""
    before = NOTHING
    for number, line in enumerate(lines, 1):
        if line.record.prev != before:
            return Damage(number, "it does not carry the digest of the line before")
        before = line_digest(line.raw)
    return None
