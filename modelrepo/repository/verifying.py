"""`verify`: checking bytes, links, views and journal against what was promised."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from modelrepo.core.layout import MANIFEST, STATE, Layout
from modelrepo.core.manifest import Manifest
from modelrepo.core.records import chain_damage
from modelrepo.core.refs import Ref, Version
from modelrepo.errors import BusyError, IntegrityError, from_os
from modelrepo.fs.copying import DIRECTORY_MODE, FILE_MODE
from modelrepo.fs.look import Found, file_digest, mode_of, walk
from modelrepo.repository import leasing
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import Problem, VerifyResult
from modelrepo.repository.snapshot import Snapshot

_PAUSE_SECONDS = 0.1
_WRITABLE = 0o222
_WRITABLE_BY_OTHERS = 0o022


def verify(layout: Layout, refs: Sequence[Ref], *, quick: bool, repaired: tuple[Problem, ...] = ()) -> VerifyResult:
    """Check versions, and with no refs everything.

    Args:
        layout: Where.
        refs: Which versions; none for all, and for the links, views and journal too.
        quick: Read no bytes: sizes and modes only.
        repaired: What a repair has mended just before.
    """
    snapshot = reading.take(layout)
    versions = sorted({snapshot.resolve(ref) for ref in refs} if refs else snapshot.present)
    findings = [] if refs else structure(snapshot)
    for version in versions:
        try:
            findings += checked(snapshot, version, quick=quick)
        except BusyError as error:
            findings.append(Problem(kind="held", path=str(version), detail=f"not checked: {error.message}"))
    found = (*repaired, *findings)
    return VerifyResult(
        ok=all(problem.note or problem.repaired for problem in found),
        versions=tuple(versions),
        findings=found,
    )


def checked(snapshot: Snapshot, version: Version, *, quick: bool = False) -> list[Problem]:
    """Check one version while holding a lease, so that no cleanup deletes it meanwhile."""
    try:
        hold = leasing.hold(snapshot.layout, version)
    except FileNotFoundError:
        if version not in reading.take(snapshot.layout).state.stored:
            return []  # a cleanup was faster
        return [Problem(kind="version-lost", path=str(version), detail="its directory is gone without a record")]
    except PermissionError as error:
        return [Problem(kind="unreadable", path=str(version), detail=from_os(error, "read it").message)]
    with hold:
        return contents(snapshot, version, quick=quick)


def damage(snapshot: Snapshot, version: Version) -> list[Problem]:
    """What is wrong with one version's bytes; modes, and files that were not pushed, do not make it damaged."""
    return [problem for problem in checked(snapshot, version) if problem.kind not in {"mode", "file-extra"}]


def contents(snapshot: Snapshot, version: Version, *, quick: bool = False) -> list[Problem]:
    """Check one version's files against its manifest, and its manifest against the journal."""
    try:
        manifest = snapshot.manifest(version)
    except OSError as error:
        return [Problem(kind="unreadable", path=f"{version}/{MANIFEST}", detail=from_os(error, "read it").message)]
    except IntegrityError as error:
        return [Problem(kind=error.kind, path=f"{version}/{MANIFEST}", detail=_sentence(error))]
    stored = snapshot.state.stored.get(version)
    if stored is not None and stored.digest != manifest.digest:
        return [Problem(kind="manifest-damaged", path=f"{version}/{MANIFEST}", detail="not the digest in the journal")]
    directory = snapshot.layout.version(version)
    try:
        found = {entry.path: entry for entry in walk(directory)}
    except OSError as error:
        return [Problem(kind="unreadable", path=str(version), detail=from_os(error, "read it").message)]
    top = Found("", 0, mode_of(directory) or 0, "directory")
    return [
        *_files(directory, version, manifest, found, quick=quick),
        *_open_modes(version, manifest, (top, *found.values())),
    ]


def _open_modes(version: Version, manifest: Manifest, found: Sequence[Found]) -> Iterator[Problem]:
    """What others may change; of an adopted version in one note, since adoption leaves modes as they stood."""
    wrong = [problem for problem, _ in wrong_modes(version, found)]
    if wrong and manifest.adopted:
        many = f"others may change {len(wrong)} of its files and directories: it was adopted as it stood"
        detail = f"{many}; `modelrepo verify --repair` closes them"
        yield Problem(kind="mode", path=str(version), detail=detail, note=True)
    else:
        yield from wrong


def _sentence(error: IntegrityError) -> str:
    both = f" (expected {error.expected}, got {error.got})" if error.expected and error.got else ""
    return f"{error.message}{both}"


def _files(
    directory: Path, version: Version, manifest: Manifest, found: dict[str, Found], *, quick: bool
) -> Iterator[Problem]:
    expected = {entry.path: entry for entry in manifest.files}
    for path, entry in expected.items():
        there, where = found.get(path), f"{version}/{path}"
        if there is None:
            yield Problem(kind="file-missing", path=where, detail="it is gone")
        elif there.kind != "file":
            yield Problem(kind="file-replaced", path=where, detail=f"it is a {there.kind}, not a file")
        elif there.size != entry.size:
            yield Problem(kind="file-size", path=where, detail=f"it has {there.size} bytes, not {entry.size}")
        elif not quick:
            try:
                digest = file_digest(directory / path)[1]
            except OSError as error:
                yield Problem(kind="file-unreadable", path=where, detail=from_os(error, "read it").message)
                continue
            if digest != entry.digest:
                yield Problem(kind="file-digest", path=where, detail=f"its bytes have {digest}, not {entry.digest}")
    for path, there in found.items():
        if there.kind != "directory" and path not in expected and path != MANIFEST:
            yield Problem(kind="file-extra", path=f"{version}/{path}", detail=f"a {there.kind} that was not pushed")


def wrong_modes(version: Version, found: Iterable[Found]) -> Iterator[tuple[Problem, Found]]:
    """The files and directories that others than modelrepo may change."""
    for there in found:
        wrong = (there.kind == "file" and there.mode & _WRITABLE) or (
            there.kind == "directory" and there.mode & _WRITABLE & ~DIRECTORY_MODE
        )
        if wrong:
            expected = FILE_MODE if there.kind == "file" else DIRECTORY_MODE
            detail = f"its mode is {there.mode:04o}, not {expected:04o}: others may change it"
            yield Problem(kind="mode", path=f"{version}/{there.path}".rstrip("/"), detail=detail), there


def structure(snapshot: Snapshot, *, chain: bool = True) -> list[Problem]:
    """Check journal, links, views and what else lies there. What is doubtful is looked at again after a moment."""
    found = problems(snapshot, chain=chain)
    if all(problem.note for problem in found):
        return found
    time.sleep(_PAUSE_SECONDS)
    return [
        problem for problem in problems(reading.take(snapshot.layout), chain=chain) if problem in found or problem.note
    ]


def problems(snapshot: Snapshot, *, chain: bool = True) -> list[Problem]:
    """What is wrong with journal, links, views and the rest, at one look; no file of a version is read.

    Args:
        snapshot: What was seen.
        chain: Whether to walk the journal's whole chain of digests.
    """
    return [*_journal(snapshot, chain=chain), *_standing(snapshot)]


def _journal(snapshot: Snapshot, *, chain: bool) -> Iterator[Problem]:
    path = f"{STATE}/{snapshot.layout.journal.name}"
    damage = snapshot.damage or (chain_damage(snapshot.parsed.lines) if chain else None)
    if damage is not None:
        yield Problem(kind="journal-damaged", path=path, detail=f"line {damage.number}: {damage.detail}")
    elif snapshot.parsed.torn:
        detail = f"{snapshot.parsed.torn} bytes of an unfinished record at its end; the next writing command cuts them"
        yield Problem(kind="journal-torn", path=path, detail=detail)
    if damage is None and snapshot.raw.open is not None:
        record = snapshot.raw.open
        detail = f"a {record.action} (record {record.seq}) was begun and not closed; the next writing command closes it"
        yield Problem(kind="unfinished", path=path, detail=detail)


def _standing(snapshot: Snapshot) -> Iterator[Problem]:
    yield from _links(snapshot)
    yield from _views(snapshot)
    if snapshot.damage is None:
        for version in sorted(snapshot.state.stored.keys() - snapshot.tree.versions):
            yield Problem(kind="version-lost", path=str(version), detail="its directory is gone without a record")
    for name in snapshot.foreign:
        yield Problem(kind="foreign", path=name, detail="not modelrepo's; it is never touched", note=True)
    yield from _own_files(snapshot.layout)
    yield from _leftovers(snapshot.layout)


def _links(snapshot: Snapshot) -> Iterator[Problem]:
    for channel, target in snapshot.channels.items():
        link = snapshot.tree.links.get(channel)
        stack = snapshot.state.stacks.get(channel, ())
        if link is None:
            was = f"; it named {stack[-1]}" if stack else ""
            yield Problem(kind="channel-missing", path=channel, detail=f"its link is gone{was}")
        elif target is None:
            yield Problem(kind="channel-dangling", path=channel, detail=f"it says {link.text!a}: no version")
        else:
            if not link.relative:
                yield Problem(kind="link-form", path=channel, detail=f"it says {link.text!a}, not {target}")
            if snapshot.damage is None and stack[-1:] != (target,):
                by = f"it was moved by hand to {target}; the next writing command records it"
                yield Problem(kind="unrecorded", path=channel, detail=by)
    for name, link in sorted(snapshot.tree.links.items()):
        if not link.is_channel:
            detail = f"a link that is no channel; it says {link.text!a}"
            yield Problem(kind="foreign", path=name, detail=detail, note=True)


def _views(snapshot: Snapshot) -> Iterator[Problem]:
    base = snapshot.layout.serving.name
    for channel, target in snapshot.channels.items():
        view = snapshot.views.get(channel)
        if target is None:
            continue
        there = sorted(view.versions) if view is not None else []
        if view is not None and not view.own:
            yield Problem(kind="view-taken", path=f"{base}/{channel}", detail="it is not a directory of modelrepo's")
        elif there != [target]:
            names = ", ".join(map(str, there)) or "nothing"
            yield Problem(kind="view", path=f"{base}/{channel}", detail=f"it serves {names}, not {target}")
    for channel, view in sorted(snapshot.views.items()):
        if channel not in snapshot.channels:
            yield Problem(kind="foreign", path=f"{base}/{channel}", detail="no channel's view", note=True)
        for name in view.others:
            detail = "not modelrepo's; TensorFlow Serving tries to load it if its name is a number"
            yield Problem(kind="foreign", path=f"{base}/{channel}/{name}", detail=detail, note=not name.isdecimal())


def _own_files(layout: Layout) -> Iterator[Problem]:
    """Modelrepo's own directories and files: there, and not writable for everybody."""
    for path, _ in layout.own_directories():
        if not path.exists():
            detail = "it is gone; the next writing command makes it again"
            yield Problem(kind="directory-missing", path=str(path.relative_to(layout.root)), detail=detail)
    for path, mode in state_modes(layout):
        detail = f"its mode is {mode:04o}: others may change it"
        yield Problem(kind="mode", path=str(path.relative_to(layout.root)), detail=detail)


def state_modes(layout: Layout) -> Iterator[tuple[Path, int]]:
    """Modelrepo's own directories and files that others may change, and their modes."""
    for path in (*(path for path, _ in layout.own_directories()), layout.config, layout.journal, layout.lock):
        mode = mode_of(path)
        if mode is not None and mode & _WRITABLE_BY_OTHERS:
            yield path, mode


def _leftovers(layout: Layout) -> Iterator[Problem]:
    """What crashed commands left in staging and trash: not held by anybody."""
    for directory in (layout.staging, layout.trash):
        try:
            names = sorted(os.listdir(directory))
        except (PermissionError, FileNotFoundError):
            continue  # readers may not look; `verify` of the owner does
        for name in names:
            yield Problem(
                kind="leftover",
                path=f"{STATE}/{directory.name}/{name}",
                detail="of a command that runs, or crashed; cleanup deletes it when nobody holds it",
                note=True,
            )
