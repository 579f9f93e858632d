"""Journals that somebody wrote: whole and sealed, and saying what modelrepo never says; and broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .damages import Damage, ends
from .forged import Body, line, records, seal, write_journal
from .scene import STATE

Change = Callable[[list[Body]], object]


def _more(**fields: Any) -> Change:
    """Add one record behind the last."""

    def change(bodies: list[Body]) -> None:
        last = {key: bodies[-1][key] for key in ("time", "boot", "uptime", "actor")}
        added = {"seq": len(bodies) + 1, **last, "phase": "done", **fields}
        bodies.append({key: told for key, told in added.items() if told is not None})

    return change


def _intent(**fields: Any) -> Change:
    return _more(phase="intent", **fields)


def _token(name: str) -> dict[str, str]:
    """What names a directory in staging or trash."""
    return {"token": name}


_FACTS = {"digest": "sha256:" + "1" * 64, "manifest_digest": "sha256:" + "2" * 64, "size": 1, "files": 1}
_FROM = {"from": "v3"}
#: Records that cannot be read, with the right checksum.
UNREADABLE: Mapping[str, Change] = {
    "a channel that leads up": _more(action="promote", channel="../../x", to="v3"),
    "a channel named serving": _more(action="promote", channel="serving", to="v3"),
    "a token that leads up": _intent(action="cleanup", version="v6", **_token("../../outside")),
    "a token with a line break": _intent(action="cleanup", version="v6", **_token("a\nb")),
    "a version v0": _more(action="pin", version="v0"),
    "a version below nothing": _more(action="pin", version="v-1"),
    "a version beyond all": _more(action="pin", version="v" + "9" * 30),
    "a version that leads up": _more(action="pin", version="../v3"),
    "a size below nothing": _more(action="push", version="v7", **{**_FACTS, "size": -1}),
    "a number beyond all": _more(action="push", version="v7", **{**_FACTS, "size": 10**40}),
    "an uptime below nothing": _more(action="pin", version="v3", uptime=-1),
    "an uptime beyond all": _more(action="pin", version="v3", uptime=10**400),
    "an uptime without an end": _more(action="pin", version="v3", uptime=float("inf")),
    "a metric beyond all": _more(action="annotate", version="v3", metrics={"a": 10**400}),
    "a metric that is none": _more(action="annotate", version="v3", metrics={"a": float("nan")}),
    "a time without a zone": _more(action="pin", version="v3", time="2026-01-01T00:00:00"),
    "a time in the year 10000": _more(action="pin", version="v3", time="10000-01-01T00:00:00Z"),
    "an unknown action": _more(action="format", version="v3"),
    "an unknown phase": _more(action="pin", version="v3", phase="maybe"),
    "an unknown key": _more(action="pin", version="v3", by="me"),
    "a second start": _more(phase="start", highest=0),
    "a number again": _more(action="pin", version="v3", seq=1),
    "a number left out": _more(action="pin", version="v3", seq=1000),
    "a number that is a fraction": _more(action="pin", version="v3", seq=1.5),
}
#: Records that can be read, and say what cannot be.
ABSURD: Mapping[str, Change] = {
    "a version pushed twice": _more(action="push", version="v3", **_FACTS),
    "a version that never was, pushed": _more(action="push", version="v7", **_FACTS),
    "a version that is there, removed": _more(action="cleanup", version="v6"),
    "a version that never was, pinned": _more(action="pin", version="v77"),
    "a version that never was, annotated": _more(action="annotate", version="v77", labels={"a": "b"}),
    "a version that never was, removed": _more(action="remove", version="v77"),
    "a promote to a version that never was": _more(action="promote", channel="latest", to="v77"),
    "a promote to nothing": _more(action="promote", channel="latest"),
    "a rollback of a million steps": _more(action="rollback", channel="latest", to="v2", steps=1_000_000),
    "a channel of nobody's, removed": _more(action="channel-remove", channel="blue"),
    "an outcome of no intent": _more(action="promote", channel="latest", to="v3", intent=77),
    "an outcome of an outcome": _more(action="promote", channel="latest", to="v3", intent=2),
    "no action": _more(),
    "an action about nothing": _more(action="push"),
    "a highest number of all": lambda bodies: bodies[0].update(highest=2**62),
    "a time in the year 1": _more(action="pin", version="v3", time="0001-01-01T00:00:00Z"),
    "a time in the year 9999": _more(action="pin", version="v3", time="9999-12-31T23:59:59.999999Z"),
    "a message with an escape": _more(action="annotate", version="v3", message="\x1b[2J"),
    "a reason of ten megabytes": _more(action="pin", version="v3", reason="x" * 10_000_000),
    "an actor with an escape": _more(
        action="pin", version="v3", actor={"user": "\x1b[2J", "uid": 0, "host": "h", "claims": {}}
    ),
    "a push begun, of a version that is there": _intent(action="push", version="v3", **_token("x"), **_FACTS),
    "a push begun, of one that is not": _intent(action="push", version="v7", **_token("x"), **_FACTS),
    "a move begun, to a version that is not": _intent(action="promote", channel="latest", to="v77", **_FROM),
    "a move begun, of a channel that is not": _intent(action="promote", channel="blue", to="v3"),
    "a move begun, that happened": _intent(action="promote", channel="latest", to="v3"),
    "a removal begun, of a channel that is there": _intent(action="channel-remove", channel="canary"),
    "a deletion begun, that did not happen": _intent(action="cleanup", version="v6", **_token("x")),
    "a deletion begun, of what never was": _intent(action="remove", version="v77", **_token("x")),
    "two intents open": lambda bodies: (
        _intent(action="cleanup", version="v6", **_token("x"))(bodies),
        _intent(action="promote", channel="latest", to="v5")(bodies),
    ),
    "a pin begun": _intent(action="pin", version="v3"),
}
#: What may stand in the journal.
BYTES: Mapping[str, Callable[[bytes], bytes]] = {
    "a mark before it": lambda data: b"\xef\xbb\xbf" + data,
    "a blank line in it": lambda data: data.replace(b"\n", b"\n\n", 1),
    "a carriage return in each line": lambda data: data.replace(b"\n", b"\r\n"),
    "words before it": lambda data: b"# the history\n" + data,
    "words behind it": lambda data: data + b"# the end\n",
    "words behind it, unfinished": lambda data: data + b"# the end",
    "zeros behind it": lambda data: data + b"\0" * 5000,
    "zeros, then words": lambda data: data + b"\0" * 50 + b"\nand words\n",
    "zeros in its middle": lambda data: data[: len(data) // 2] + b"\0" * 100 + data[len(data) // 2 + 100 :],
    "itself twice": lambda data: data * 2,
    "its lines turned round": lambda data: b"".join(reversed(data.splitlines(keepends=True))),
    "no line break at its end": lambda data: data[:-1],
    "nested lists behind it": lambda data: data + b"[" * 100_000 + b"\n",
    "a line of 50 MB": lambda data: data + b"x" * 50_000_000 + b"\n",
    "a million line breaks": lambda data: data + b"\n" * 1_000_000,
    "another's history": lambda data: seal([{**body, "version": "v1"} for body in _bodies(data)[:1]]),
    "a checksum that is wrong": lambda data: data.replace(b'"crc":"', b'"crc":"0', 1),
    "a record without a checksum": lambda data: data + b'{"seq":1}\n',
    "nested lists with a checksum": lambda data: data + line({"seq": _nested(900)}),
}


def _nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def _bodies(data: bytes) -> list[Body]:
    return [json.loads(text) for text in data.splitlines()]


def _sealed(change: Change) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        bodies = records(root)
        change(bodies)
        write_journal(root, seal(bodies))

    return do


def _made(make: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda root: write_journal(root, make((root / STATE / "journal.jsonl").read_bytes()))


#: Who needs history, and who writes, stops; others go on reading.
_STOPPED = "5 history status verify dry-cleanup adopt writing, 0 repair"
#: What was removed is not known either, where nothing can be read.
_UNKNOWN = f"3 show-removed, {_STOPPED}"
_NOTED = "5 status verify"
#: How commands end where they do not with 0, or with `_NOTED` behind an intent.
_ENDS: Mapping[str, str] = {
    **dict.fromkeys(UNREADABLE, _STOPPED),
    **{what: _NOTED for what in ABSURD if " begun" in what},
    "two intents open": _NOTED,
    "a version pushed twice": "5 diff compare status verify repair",
    "a version that never was, pushed": "5 status verify repair",
    "a version that is there, removed": "4 adopt, 3 remove",
    "a promote to a version that never was": "5 status verify rollback",
    "a rollback of a million steps": _NOTED,
    **dict.fromkeys(BYTES, _STOPPED),
    **dict.fromkeys(
        (
            "a mark before it", "a blank line in it", "a carriage return in each line", "words before it",
            "its lines turned round", "a checksum that is wrong",
        ),
        _UNKNOWN,
    ),
    "zeros in its middle": f"5 show-removed, {_STOPPED}",
    **dict.fromkeys(("words behind it, unfinished", "zeros behind it", "no line break at its end"), _NOTED),
    "another's history": "0|3|4|5 all",  # whose start it is, nobody can tell
}  # fmt: skip


def damages() -> list[Damage]:
    """All of it."""
    do = {what: _sealed(change) for what, change in {**UNREADABLE, **ABSURD}.items()}
    do |= {what: _made(make) for what, make in BYTES.items()}
    readable = {*ABSURD, "another's history"}  # what these say, not the journal, is what a message names
    return [
        Damage(
            f"journal: {what}",
            f"journal: {what}",
            "" if what in readable else ".modelrepo/journal.jsonl",
            harm,
            ends(_ENDS.get(what, "")),
        )
        for what, harm in do.items()
    ]
