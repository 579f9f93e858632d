"""The journal holds: each line of a real one edited, taken out, repeated, swapped, torn or zeroed.

What a crash leaves is cut off by the next writer. All else is named by `verify`, line by line, and answered by `verify
--repair` with a new journal, in which every pin that can be read still holds.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from modelrepo import Repository
from modelrepo.errors import IntegrityError

from .forged import line, records, write_journal
from .invariants import check_tree, targets
from .scene import STATE, set_up
from .trials import Tally, Trial

Lines = list[bytes]


def _edited(lines: Lines, index: int) -> int:
    """A letter of somebody's name."""
    lines[index] = lines[index].replace(b'"host":"', b'"host":"x', 1)
    return index


def _forged(lines: Lines, index: int) -> int:
    """The same, with a checksum that fits: the next line tells."""
    body = json.loads(lines[index])
    del body["crc"]
    lines[index] = line({**body, "boot": "another"})
    return index + 1


def _missing(lines: Lines, index: int) -> int:
    del lines[index]
    return index


def _renumbered(lines: Lines, index: int) -> int:
    """A line taken out, all behind it numbered anew with checksums that fit."""
    del lines[index]
    for later in range(index, len(lines)):
        body = json.loads(lines[later])
        del body["crc"]
        lines[later] = line({**body, "seq": body["seq"] - 1})
    return index


def _repeated(lines: Lines, index: int) -> int:
    lines.insert(index, lines[index])
    return index + 1


def _swapped(lines: Lines, index: int) -> int:
    lines[index : index + 2] = reversed(lines[index : index + 2])
    return index


def _joined(lines: Lines, index: int) -> int:
    lines[index] = lines[index].rstrip(b"\n")
    return index


#: What somebody does to a line, none of them the last; each says which line, from 0, shows it.
DOINGS: Mapping[str, Callable[[Lines, int], int]] = {
    "edited": _edited,
    "edited, its checksum right": _forged,
    "taken out": _missing,
    "taken out, the others numbered anew": _renumbered,
    "repeated": _repeated,
    "swapped with the next": _swapped,
    "joined with the next": _joined,
}
#: How many lines the journal of the scene has.
LINES = 23


def _set_up(place: Path) -> tuple[Path, Lines]:
    root = set_up(place)
    lines = (root / STATE / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == LINES, len(lines)
    return root, lines


def damaged(what: str, index: int) -> Trial:
    """Do something to a line: it is named, nothing is written, and a repair keeps what can be read."""

    def run(place: Path) -> Tally:
        root, lines = _set_up(place)
        shown = DOINGS[what](lines, index) + 1
        data = b"".join(lines)
        write_journal(root, data)
        repository = Repository(root)
        found = [problem for problem in repository.verify(quick=True).findings if problem.kind == "journal-damaged"]
        assert len(found) == 1, found
        assert found[0].detail.startswith(f"line {shown}: "), f"not line {shown}: {found[0].detail}"
        if what not in {"edited, its checksum right", "taken out, the others numbered anew"}:  # `verify` alone sees it
            _require_refused(repository)
        pinned = {f"v{body['version'][1:]}" for body in _readable(lines) if body.get("action") == "pin"}
        before, spent = targets(root), 6
        left = [problem for problem in repository.verify(repair=True).findings if not problem.repaired]
        if not any(body.get("action") == "remove" and body["phase"] == "done" for body in _readable(lines)):
            # That v1 was removed is not known any more: nobody guesses.
            assert [(problem.kind, problem.path) for problem in left] == [("version-lost", "v1")], left
        else:
            assert left == [], left
        _require_kept(root, data)
        assert targets(root) == before, "a repair moved a link"
        assert set(map(str, repository.status().pinned)) == pinned, "a pin was lost, or made up"
        cleaned = repository.cleanup(keep_last=0, keep_rollback=1, min_age=timedelta(0), grace=timedelta(0))
        assert not pinned & set(map(str, cleaned.removed)), "what was pinned is gone"
        check_tree(root)
        pushed = repository.push(place / "exports" / "new", load=False)
        assert pushed.version.number == spent + 1, "a number was used again"
        return Tally(Counter({"damaged journals": 1}), {f"journal: line {index + 1} {what}"})

    return Trial(f"line {index + 1} {what}", run)


def _readable(lines: Lines) -> Iterator[dict[str, str]]:
    for raw in b"".join(lines).splitlines(keepends=True):
        try:
            body = json.loads(raw)
            crc = body.pop("crc")
        except ValueError:
            continue
        if json.loads(line(body))["crc"] == crc:
            yield body


def _require_refused(repository: Repository) -> None:
    """Who writes, or deletes, does not build on it."""
    for call in (partial(repository.pin, "v2"), partial(repository.promote, "v5"), repository.cleanup):
        assert _refusal(call) == "journal-damaged", "a damaged journal was built on"


def _refusal(call: Callable[[], object]) -> str | None:
    try:
        call()
    except IntegrityError as error:
        return error.kind
    return None


def _require_kept(root: Path, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    assert (root / STATE / f"journal-{digest[:12]}.damaged").read_bytes() == data, "it was not set aside whole"
    assert records(root)[0]["previous"] == f"sha256:{digest}", "the new journal does not carry the old one's digest"


def torn(length: int, *, zeroed: bool) -> Trial:
    """Leave so many bytes of the last line, or these and zeros: the next writer cuts them off and goes on."""

    def run(place: Path) -> Tally:
        root, lines = _set_up(place)
        left = lines[-1][:length] + b"\0" * (len(lines[-1]) - length if zeroed else 0)
        write_journal(root, b"".join(lines[:-1]) + left)
        repository = Repository(root)
        kinds = {problem.kind for problem in repository.verify(quick=True).findings if not problem.note}
        assert "journal-damaged" not in kinds, kinds
        before = targets(root)
        repository.pin("v2")
        assert targets(root) == before, "recovery moved a link"
        now = (root / STATE / "journal.jsonl").read_bytes()
        assert now.startswith(b"".join(lines[:-1])), "a whole record was lost"
        result = repository.verify()
        assert result.findings == (), result.findings
        return Tally(Counter({"torn journals": 1}), {f"journal: {length} bytes of its last line, {zeroed}"})

    return Trial(f"{length} bytes of the last line{' and zeros' if zeroed else ''}", run)


def trials(generator: random.Random) -> Iterator[Trial]:
    """Every line and every way, once; torn at every eighth byte."""
    every = [damaged(what, index) for what in DOINGS for index in range(LINES - 1)]
    every += [torn(length, zeroed=zeroed) for length in range(1, 300, 8) for zeroed in (False, True)]
    generator.shuffle(every)
    yield from every


def sample(generator: random.Random) -> list[Trial]:
    """Each way with some line, and some torn ends."""
    chosen = [damaged(what, generator.randrange(LINES - 1)) for what in DOINGS]
    return chosen + [torn(generator.randrange(1, 300), zeroed=zeroed) for zeroed in (False, True)]
