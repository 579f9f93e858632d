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
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from modelrepo.core.formats import first_problem
from modelrepo.core.moment import Moment
from modelrepo.core.refs import MAX_NUMBER, is_channel
from modelrepo.core.values import Actor, Timestamp, Value, VersionField

Phase = Literal["start", "intent", "done", "aborted", "unknown"]
Action = Literal[
    "push", "push-again", "adopt", "promote", "rollback", "external", "pin", "unpin", "annotate",
    "channel-remove", "remove", "cleanup",
]  # fmt: skip


def _channel(name: str) -> str:
    if not is_channel(name):
        raise ValueError("it is no channel's name")
    return name


#: What paths are made of is checked when it is read: a journal that somebody forged names nothing outside.
ChannelName = Annotated[str, AfterValidator(_channel)]
TokenName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
#: Nothing beyond what can be reckoned with.
Uptime = Annotated[FiniteFloat, Field(ge=0, le=1e12)]
Count = Annotated[int, Field(ge=0, le=MAX_NUMBER)]

#: `prev` of the first line.
NOTHING = "sha256:" + "0" * 64
_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"\}\n')
_CRC_BYTES = len(b',"crc":"00000000"}\n')


class Record(Value):
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

    model_config = ConfigDict(populate_by_name=True)

    seq: int
    time: Timestamp
    boot: str
    uptime: Uptime
    actor: Actor
    phase: Phase
    action: Action | None = None
    intent: int | None = None
    channel: ChannelName | None = None
    origin: VersionField | None = Field(default=None, alias="from")
    to: VersionField | None = None
    version: VersionField | None = None
    token: TokenName | None = None
    digest: str | None = None
    manifest_digest: str | None = None
    size: Count | None = None
    files: Count | None = None
    steps: Count | None = None
    breaking: tuple[str, ...] | None = None
    allowed_ops: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    metrics: dict[str, FiniteFloat] | None = None
    message: str | None = None
    unset: tuple[str, ...] | None = None
    reason: str | None = None
    recorded_by: Actor | None = None
    recovered: bool | None = None
    highest: Count | None = None
    previous: str | None = None
    prev: str

    @property
    def moment(self) -> Moment:
        """When it was recorded."""
        return Moment(self.time, self.boot, self.uptime)


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


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a journal beyond its unfinished end.

    Attributes:
        number: The line, counted from 1.
        detail: What is wrong with it.
    """

    number: int
    detail: str


@dataclass(frozen=True, slots=True)
class Parsed:
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
    fields = record.model_dump(mode="json", by_alias=True, exclude_none=True)
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
        return Record.model_validate_json(body)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


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
