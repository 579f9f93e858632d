"""`verify --repair`: mending what can be mended without a guess.

Views, the journal's end, unrecorded moves and dead staging are what every recovery mends. Beyond that: modes, absolute
links, and a journal that is damaged inside. Never model bytes, never where a link leads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator

from modelrepo.core.history import fold
from modelrepo.core.layout import MANIFEST, STATE, Layout
from modelrepo.core.records import Chain, Damage, Record, chain_damage, decode, parse_journal
from modelrepo.errors import IntegrityError, ModelRepoError
from modelrepo.fs import durable, machine
from modelrepo.fs.files import NO_FILE, read_file
from modelrepo.fs.known import MAX_JOURNAL_BYTES
from modelrepo.fs.locks import WriterLock
from modelrepo.fs.look import Found, mode_of, read_tree, used_numbers, walk
from modelrepo.repository import deleting, opening, verifying
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import Problem
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.writing import Writer, lock_seconds, own_directories, token, writing

#: What a new journal cannot carry.
_LOST = ": where the channels had been before is not known any more, so there is nothing to roll back to"
#: What a recovery mends, besides what it records.
_MENDED_BY_RECOVERY = {"view", "journal-torn", "unfinished", "unrecorded", "directory-missing"}


def repair(layout: Layout, timeout: float | None) -> tuple[Problem, ...]:
    """Mend, and say what was mended."""
    mended = list(_journal(layout, timeout))
    before = [
        problem
        for problem in verifying.structure(reading.take(layout, whole=True, lines=True))
        if problem.kind in _MENDED_BY_RECOVERY
    ]
    with writing(layout, timeout) as writer:
        mended += links(writer)
        mended += _modes(writer.snapshot())
        trouble: list[ModelRepoError] = []
        rubbish = deleting.take_abandoned(writer, trouble)
    after = verifying.problems(reading.take(layout, whole=True, lines=True))
    deleting.empty_trash(layout, rubbish, trouble)
    mended += [problem for problem in before if problem not in after]
    mended += [
        Problem(kind="leftover", path=f"{STATE}/{layout.trash.name}/{name}", detail="of a crashed command: deleted")
        for name in rubbish
        if not (layout.trash / name).exists()
    ]
    left = [Problem(kind="undeletable", path=STATE, detail=error.message) for error in trouble]
    return (*(problem.replaced(repaired=True) for problem in mended), *left)


def links(writer: Writer) -> Iterator[Problem]:
    """Rewrite links that name a version absolutely as the relative form of the same target."""
    snapshot = writer.snapshot()
    for channel, target in snapshot.channels.items():
        link = snapshot.tree.links.get(channel)
        if target is not None and link is not None and not link.relative:
            writer.lock.check()
            durable.move_link(writer.layout.channel(channel), str(target), writer.temporary())
            durable.sync_directory(writer.layout.root)
            yield Problem(kind="link-form", path=channel, detail=f"it said {link.text!a}, now {target}")


def _modes(snapshot: Snapshot) -> Iterator[Problem]:
    """Set wrong modes right, as far as this user may: another's are found again by what verifies behind this."""
    layout, modes = snapshot.layout, snapshot.config.modes
    wrong = list(verifying.state_modes(snapshot))
    for version in sorted(snapshot.present):
        directory = layout.version(version)
        with contextlib.suppress(IntegrityError, PermissionError):  # `verify` names what nobody may read
            known = {entry.path for entry in snapshot.manifest(version).files}
            top = Found("", 0, mode_of(directory) or 0, "directory")
            for problem, there in verifying.wrong_modes(snapshot, version, (top, *walk(directory))):
                if there.kind == "directory" or there.path in known or there.path == MANIFEST:
                    wrong.append((problem, directory / there.path, modes.right(directory=there.kind == "directory")))
    group = os.stat(layout.root).st_gid if modes.shared else None
    _, known_file_system = snapshot.file_system
    for problem, path, right in wrong:
        if known_file_system or not problem.note:  # elsewhere the file system makes the modes
            with contextlib.suppress(PermissionError):
                durable.set_mode(path, right, group, top=layout.root)
                yield problem


def _journal(layout: Layout, timeout: float | None) -> Iterator[Problem]:
    """Set a damaged journal aside whole and start a new one.

    The new one carries the old one's digest, the highest number, the versions that are there, every pin and annotation
    that can be read, and where the links lead now. What it cannot carry is each channel's past.
    """
    if (old := _read(layout)) is not None and _damage(old) is None:
        return
    modes = opening.open_config(layout).modes
    with WriterLock.hold(layout.lock, lock_seconds(timeout), modes.lock) as lock:
        data = _read(layout)
        kind, detail, digest = "journal-missing", "it was gone", None
        own_directories(layout, modes)
        if data is not None:
            if (damage := _damage(data)) is None:
                return
            kind, digest = "journal-damaged", f"sha256:{hashlib.sha256(data).hexdigest()}"
            aside = layout.set_aside(digest)
            durable.replace_file(aside, data, modes.state, layout.staging / token("journal"))
            detail = f"line {damage.number}: {damage.detail}; set aside as {aside.name}"
        lock.check()
        lines = _restarted(layout, data or b"", digest)
        durable.replace_file(layout.journal, lines, modes.state, layout.staging / token("journal"))
    yield Problem(kind=kind, path=f"{STATE}/{layout.journal.name}", detail=f"{detail}; a new one was started{_LOST}")


def _read(layout: Layout) -> bytes | None:
    """The journal's bytes; None where there is none."""
    try:
        return read_file(layout.journal, MAX_JOURNAL_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise IntegrityError(
            f"{layout.journal} is not a file that can be read: {error.strerror}",
            kind="journal-missing",
            hint="move it out of the way, then repair again",
        ) from error


def _damage(data: bytes) -> Damage | None:
    parsed = parse_journal(data)
    return parsed.damage or chain_damage(parsed.lines)


def _readable(data: bytes) -> list[Record]:
    """Every line that is whole by its own checksum, wherever it stands."""
    records = []
    for raw in data.splitlines(keepends=True):
        with contextlib.suppress(ValueError):
            records.append(decode(raw))
    return records


def _restarted(layout: Layout, data: bytes, digest: str | None) -> bytes:
    """The lines of the new journal."""
    records = _readable(data)
    known = fold(records)
    tree = read_tree(layout)
    now, actor = machine.now(), machine.actor()
    chain = Chain(now, actor)
    chain.add(phase="start", highest=max(known.highest, *used_numbers(layout)), previous=digest)
    snapshot = Snapshot(layout, opening.open_config(layout), tree, parse_journal(b""), known, known)
    for version, stored in sorted(known.stored.items()):
        # What the old journal says of a version stays said, even where its directory does not fit (any more).
        chain.add(
            action="push",
            version=version,
            digest=stored.digest,
            manifest_digest=stored.manifest_digest,
            size=stored.size,
            files=stored.files,
            time=stored.pushed.time,
            recorded_by=actor,
        )
    for version in sorted(tree.versions - known.stored.versions - known.removed.versions):
        # Where its record cannot be read, a manifest that names this very number speaks for the directory.
        with contextlib.suppress(IntegrityError):
            manifest, raw = snapshot.read_manifest(version)
            chain.add(
                action="push",
                version=version,
                digest=manifest.digest,
                manifest_digest=f"sha256:{hashlib.sha256(raw).hexdigest()}",
                size=manifest.size,
                files=len(manifest.files),
                actor=manifest.created_by,
                time=manifest.created_at,
                recorded_by=actor,
            )
    for version, time in sorted(known.removed.items()):
        chain.add(action="cleanup", version=version, time=time, recorded_by=actor)
    for version, pin in sorted(known.pins.items()):
        chain.add(action="pin", version=version, reason=pin.reason, time=pin.time, recorded_by=actor)
    for version, said in sorted(known.annotations.items()):
        chain.add(
            action="annotate",
            version=version,
            labels=dict(said.labels) or None,
            metrics=dict(said.metrics) or None,
            message=said.message,
            unset=tuple(sorted(said.unset)) or None,
            recorded_by=actor,
        )
    for channel, target in tree.channels().items():
        if target is not None:
            chain.add(action="external", channel=channel, to=target, recorded_by=actor)
    return chain.data
