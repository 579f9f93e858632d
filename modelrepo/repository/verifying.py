"""What `verify` and `status` look at: a version's files, links, views and journal, against what was promised."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from modelrepo.core.layout import MANIFEST, STATE
from modelrepo.core.modes import FILE, is_fs_group
from modelrepo.core.outline import Outline
from modelrepo.core.records import chain_damage
from modelrepo.core.refs import Version
from modelrepo.errors import IntegrityError, from_os
from modelrepo.fs import locks, look
from modelrepo.fs.look import Found, mode_of, walk
from modelrepo.repository import derived, golden, opening
from modelrepo.repository import snapshot as reading
from modelrepo.repository.results import Problem
from modelrepo.repository.snapshot import Snapshot
from modelrepo.repository.summing import Digests, Pending

_PAUSE_SECONDS = 0.1
#: A writer holds the lock for milliseconds, on a slow and busy disk for a second or two.
_PATIENCE_SECONDS = 5.0


def contents(snapshot: Snapshot, version: Version, digests: Digests | None) -> list[Problem | Pending]:
    """Check one version's files against its manifest, and its manifest against the journal.

    Args:
        snapshot: What was seen.
        version: Which one.
        digests: Makes digests; None to read no bytes.
    """
    path = f"{version}/{MANIFEST}"
    try:
        outline = snapshot.outline(version, whole=True)
        stored = snapshot.state.stored.get(version)
        if stored is not None and stored.digest != outline.digest:
            return [Problem(kind="manifest-damaged", path=path, detail="not the digest in the journal")]
        parts = list(_parts(snapshot, version, outline, digests))
    except OSError as error:
        return [Problem(kind="unreadable", path=path, detail=from_os(error, "read it").message)]
    except IntegrityError as error:
        return [Problem(kind=error.kind, path=path, detail=_sentence(error))]
    return parts


def _parts(
    snapshot: Snapshot, version: Version, outline: Outline, digests: Digests | None
) -> Iterator[Problem | Pending]:
    directory = snapshot.layout.version(version)
    try:
        there = {entry.path: entry for entry in walk(directory)}
    except OSError as error:
        yield Problem(kind="unreadable", path=str(version), detail=from_os(error, "read it").message)
        return
    yield from _files(directory, outline, there, digests)
    top = Found("", 0, mode_of(directory) or 0, "directory")
    yield from _open_modes(snapshot, version, (top, *there.values()))
    yield from golden.problems(snapshot, version, outline, quick=digests is None)
    yield from derived.problems(snapshot, version, quick=digests is None)


def _open_modes(snapshot: Snapshot, version: Version, found: Sequence[Found]) -> Iterator[Problem]:
    """What others may change; of an adopted version in one note, since adoption leaves modes as they stood."""
    wrong = [problem for problem, _ in wrong_modes(snapshot, version, found)]
    if wrong and version in snapshot.state.stored and snapshot.state.stored[version].adopted:
        many = f"{len(wrong)} of its files and directories can be changed: it was adopted as it stood"
        detail = f"{many}; `modelrepo verify --repair` makes them read-only"
        yield Problem(kind="mode", path=str(version), detail=detail, note=True)
    else:
        yield from wrong


def _sentence(error: IntegrityError) -> str:
    both = f" (expected {error.expected}, got {error.got})" if error.expected and error.got else ""
    return f"{error.message}{both}"


def _files(
    directory: Path, outline: Outline, found: dict[str, Found], digests: Digests | None
) -> Iterator[Problem | Pending]:
    version, expected = outline.version, {entry.path: entry for entry in outline.files}
    for path, entry in expected.items():
        there, where = found.get(path), f"{version}/{path}"
        if there is None:
            yield Problem(kind="file-missing", path=where, detail="it is gone")
        elif there.kind != "file":
            yield Problem(kind="file-replaced", path=where, detail=f"it is a {there.kind}, not a file")
        elif there.size != entry.size:
            yield Problem(kind="file-size", path=where, detail=f"it has {there.size} bytes, not {entry.size}")
        elif digests is not None:
            yield digests.pending(directory / path, there, where, entry.digest)
    for path, there in found.items():
        if there.kind != "directory" and path not in expected and path != MANIFEST:
            yield Problem(kind="file-extra", path=f"{version}/{path}", detail=f"a {there.kind} that was not pushed")


def wrong_modes(snapshot: Snapshot, version: Version, found: Iterable[Found]) -> Iterator[tuple[Problem, Found]]:
    """The files and directories of a version whose modes let too many change them, or too few delete them."""
    for there in found:
        if there.kind in {"file", "directory"}:
            directory = there.kind == "directory"
            right = snapshot.config.modes.right(directory=directory)
            path = f"{version}/{there.path}".rstrip("/")
            problem = _wrong_mode(snapshot, path, there.mode, right, directory=directory)
            if problem is not None:
                yield problem, there


def _wrong_mode(snapshot: Snapshot, path: str, mode: int, right: int, *, directory: bool) -> Problem | None:
    """What is wrong with a mode; only a note where others than modelrepo's users make the modes."""
    fault = snapshot.config.modes.fault(mode, right)
    if fault is None:
        return None
    detail = f"its mode is {mode:04o}, not {right:04o}: {fault}"
    if is_fs_group(mode, right, directory=directory):
        return Problem(kind="mode", path=path, detail=f"{detail}, as Kubernetes' fsGroup leaves it", note=True)
    return Problem(kind="mode", path=path, detail=detail, note=not snapshot.file_system[1])


def structure(snapshot: Snapshot, *, chain: bool = True) -> list[Problem]:
    """Check journal, links, views and what else lies there.

    What is doubtful is looked at again after a moment, and as long as somebody writes: what a writer has begun looks
    unfinished until he is done. What stays for so long that he must be stuck is a problem all the same.
    """
    found = problems(snapshot, chain=chain)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    quiet = False
    while not quiet and any(not problem.note for problem in found) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        quiet, head = not locks.holders(snapshot.layout.lock), snapshot.head
        snapshot = reading.take(snapshot.layout, whole=chain, lines=chain)
        quiet &= head == snapshot.head
        found = [problem for problem in problems(snapshot, chain=chain) if problem in found or problem.note]
    return found


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
        for version in sorted(snapshot.state.stored.versions - snapshot.tree.versions):
            detail = f"its directory is gone without a record; `modelrepo remove {version}` records it"
            yield Problem(kind="version-lost", path=str(version), detail=detail)
    yield from foreign(snapshot)
    yield from _own_files(snapshot)
    yield from _leftovers(snapshot)
    yield from _storage(snapshot)


def foreign(snapshot: Snapshot) -> Iterator[Problem]:
    """What stands in the root and is not modelrepo's."""
    for name in snapshot.foreign:
        adoptable = "; `modelrepo init --adopt` takes over a model" if Version.from_name(name) is not None else ""
        detail = f"not modelrepo's; it is never touched{adoptable}"
        yield Problem(kind="foreign", path=name, detail=detail, note=True)


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


def _storage(snapshot: Snapshot) -> Iterator[Problem]:
    """What is promised less where the repository lies."""
    name, known = snapshot.file_system
    if known and not snapshot.config.storage.network_fs:
        return
    where = f"on a file system of type {name}" if not known else "used as a network file system (config.toml)"
    detail = (
        f"{where}: not promised are that what was done survives a power cut, that a lease keeps other hosts from "
        "deleting, and that versions in use elsewhere are seen"
    )
    yield Problem(kind="network-fs", path=".", detail=detail, note=True)


def _own_files(snapshot: Snapshot) -> Iterator[Problem]:
    """Modelrepo's own directories and files: there, and writable for those who should, and nobody else."""
    layout = snapshot.layout
    for path, _ in layout.own_directories(snapshot.config.modes):
        if look.kind_at(path) is None:
            detail = "it is gone; the next writing command makes it again"
            yield Problem(kind="directory-missing", path=str(path.relative_to(layout.root)), detail=detail)
    for path, kind in opening.replaced(layout, layout.ballast, layout.golden, layout.derived):
        detail = f"it is a {kind}, not a directory of modelrepo's own"
        yield Problem(kind="directory-replaced", path=str(path.relative_to(layout.root)), detail=detail)
    if (kind := look.kind_at(layout.lock) or "file") != "file":
        detail = f"it is a {kind}, not a file: nobody can write until it is moved away"
        yield Problem(kind="lock-replaced", path=str(layout.lock.relative_to(layout.root)), detail=detail)
    for problem, _, _ in state_modes(snapshot):
        yield problem


def state_modes(snapshot: Snapshot) -> Iterator[tuple[Problem, Path, int]]:
    """Modelrepo's own directories and files, and views, whose modes are wrong: what is wrong, where, the right mode.

    The root's mode is its owner's choice, except that the group of a shared repository must be able to write to it.
    """
    layout, modes = snapshot.layout, snapshot.config.modes
    directories = layout.own_directories(modes)
    if modes.shared:
        directories = ((layout.root, modes.directory), *directories)
    views = (layout.view(name) for name, view in snapshot.views.items() if view.own)
    besides = (layout.ballast, layout.golden, layout.derived, *views)
    directories = (*directories, *((path, modes.directory) for path in besides))
    files = ((layout.config, modes.state), (layout.journal, modes.state), (layout.lock, modes.lock))
    kept = ((path, FILE) for path in (layout.index, layout.checked, *golden.files(layout)))
    for path, right in (*directories, *files, *kept):
        mode, directory = mode_of(path), (path, right) in directories
        if mode is not None and path.is_dir() == directory:  # else something is wrong with it that no mode mends
            name = str(path.relative_to(layout.root))
            problem = _wrong_mode(snapshot, name, mode, right, directory=directory)
            if problem is not None:
                yield problem, path, right


def _leftovers(snapshot: Snapshot) -> Iterator[Problem]:
    """What crashed commands left in staging and trash, and of what was made of versions that are gone."""
    layout = snapshot.layout
    for place in derived.left(snapshot):
        detail = "made of a version that is gone; cleanup deletes it"
        yield Problem(kind="leftover", path=str(place.relative_to(layout.root)), detail=detail, note=True)
    for directory in (layout.staging, layout.trash):
        for name in look.names_in(directory):  # readers may not look; `verify` of the owner does
            yield Problem(
                kind="leftover",
                path=f"{STATE}/{directory.name}/{name}",
                detail="of a command that runs, or crashed; cleanup deletes it when nobody holds it",
                note=True,
            )
