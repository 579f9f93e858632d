"""What must hold behind a command on a damaged repository, whatever the damage: judged from the bytes on the disk."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .damages import Damage
from .runner import Ran
from .scene import DELETING, STATE, channels, entries, versions

#: Codes whose message names what is damaged, and says what to do next.
_TOLD = {5, 7, 8, 10, 125}
_OWN_FAILURE, _NO_REPOSITORY = 125, 10
_JOURNAL = ".modelrepo/journal.jsonl"
_CHECKED = ".modelrepo/checked"


@dataclass(frozen=True)
class Before:
    """What stood there before a command.

    Attributes:
        beside: Everything but the repository.
        root: Everything in it.
        channels: Where channels led, of those that led to a version.
        versions: The bytes of versions.
        journal: The journal's bytes; None where it is no file.
    """

    beside: tuple[tuple[str, str, bytes], ...]
    root: tuple[tuple[str, str, bytes], ...]
    channels: dict[str, str]
    versions: dict[str, dict[str, bytes]]
    journal: bytes | None


def look(place: Path) -> Before:
    """Look at a place."""
    root = place / "ranker"
    return Before(tuple(_beside(place)), tuple(sorted(entries(root))), channels(root), versions(root), _journal(root))


def judge(damage: Damage, name: str, place: Path, before: Before, ran: Ran) -> None:
    """Check how a command ended, and that nothing was lost.

    Args:
        damage: What was done to the repository.
        name: The command.
        place: Where.
        before: What stood there.
        ran: What the command did.
    """
    allowed = damage.allowed(name)
    if name == "exec":
        allowed = frozenset(code and _OWN_FAILURE for code in allowed)
    assert ran.code in allowed, f"exit code {ran.code}, not {sorted(allowed)}: {ran.err}"
    assert "Traceback" not in ran.err, ran.err
    assert "\x1b" not in ran.err + ran.out, "a terminal's escape was printed"
    if ran.code in _TOLD:
        _require_told(damage, name, ran)
    now = look(place)
    assert now.beside == before.beside, f"something beside was changed: {set(now.beside) ^ set(before.beside)}"
    for channel in before.channels.keys() - ({"canary"} if name == "channel remove" else set()):
        assert channel in now.channels, f"{channel} leads to no version any more"
    gone = before.versions.keys() - now.versions.keys()
    if name in DELETING and gone:
        assert gone <= set(ran.document["removed"]), f"{gone} went without a word"
        gone = set()
    assert not gone, f"{gone} went"
    changed = [
        version
        for version in before.versions.keys() & now.versions
        if before.versions[version] != now.versions[version]
    ]
    assert not changed, f"bytes of {changed} were changed"
    _require_history(name, before, now, place / "ranker")


def _require_history(name: str, before: Before, now: Before, root: Path) -> None:
    """All whole lines of the journal are still there, or a repair has set it aside as it was."""
    data = (before.journal or b"").rstrip(b"\0")
    whole = data[: data.rfind(b"\n") + 1]
    if (now.journal or b"").startswith(whole):
        return
    assert name == "repair", "the history was cut"
    digest = hashlib.sha256(before.journal or b"").hexdigest()
    aside = root / STATE / f"journal-{digest[:12]}.damaged"
    assert aside.read_bytes() == before.journal, "the damaged journal was not set aside whole"


def unchanged(place: Path, before: Before) -> None:
    """Check that a reading command has changed nothing at all, but for what `verify` notes of itself."""
    changed = set(look(place).root) ^ set(before.root)
    changed = {entry for entry in changed if entry[0] != _CHECKED}
    assert not changed, f"a reader changed something: {changed}"


def _require_told(damage: Damage, name: str, ran: Ran) -> None:
    """A failure names the thing, or the version that it is of, and says what to do."""
    if ran.code == _NO_REPOSITORY:
        things = ["ranker"]
    else:
        things = [os.path.basename(damage.thing), *(["v3"] if damage.thing.startswith("v3/") else [])]
    if name == "exec":
        text, way_on = ran.err, "next: " in ran.err
    else:
        answer, error = ran.document, ran.error
        if damage.thing == _JOURNAL and error["kind"] in {"version-lost", "channel-dangling"}:
            things = ["v"]  # it ends too early, and says nothing wrong: what it does not know of is named
        found = [each["path"] + each["detail"] for each in answer.get("findings", answer.get("problems", ()))]
        text = " ".join([error["message"], str(error["got"]), *error["items"], *found])
        way_on = bool(error["hint"] or found)
    assert any(thing in text for thing in things), f"nothing names {things}: {ran.out}{ran.err}"
    assert way_on, f"nothing says what to do: {ran.out}{ran.err}"


def _journal(root: Path) -> bytes | None:
    path = root / STATE / "journal.jsonl"
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


def _beside(place: Path) -> list[tuple[str, str, bytes]]:
    """All that stands beside the repository, but what an export made."""
    return sorted(
        entry for entry in entries(place) if entry[0].split("/")[0] not in {"ranker", "copy", "copy.golden.json"}
    )
