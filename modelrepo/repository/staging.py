"""The first half of a push: the source is found, listed and copied; a child process reads, scans and loads the copy."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core import findings
from modelrepo.core.layout import Layout
from modelrepo.core.modes import Modes
from modelrepo.core.refs import Version, looks_like_path
from modelrepo.core.units import format_size
from modelrepo.errors import (
    NO_ROOM_OUTSIDE,
    BusyError,
    ModelError,
    ModelRepoError,
    SourceError,
    SystemRefusedError,
    from_os,
)
from modelrepo.fs import copying, deletion, durable, locks, look, source
from modelrepo.repository import admitting, planning
from modelrepo.repository import snapshot as reading
from modelrepo.repository.writing import token
from modelrepo.savedmodel.runner import Inspector
from modelrepo.savedmodel.trial import NOTHING, Trial

if TYPE_CHECKING:
    from modelrepo.savedmodel.report import Loaded, Report

_TRIES = 5
_BLOCK = 4096
_EXPECTED = "a SavedModel directory, or a .keras or .h5 file"
_NOTHING_TO_FREE = "free some room on that disk; `modelrepo cleanup --dry-run` says why nothing of it can go"


@dataclass(frozen=True, slots=True)
class Links:
    """What a push does with symbolic links in the source.

    Attributes:
        follow: Store what they name, instead of refusing them.
        into: Directories outside the source that they may lead into.
    """

    follow: bool = False
    into: Sequence[Path] = ()


def look_at(place: Path, links: Links) -> source.Listing:
    """List the source; see `source.look`."""
    try:
        return source.look(place, follow_links=links.follow, links_into=links.into)
    except PermissionError as error:
        raise unreadable(error) from error


def _is_there(path: Path) -> bool:
    """Whether something has this name.

    Raises:
        SystemRefusedError: A directory above may not be entered: nobody can say.
    """
    try:
        os.lstat(path)
    except PermissionError as error:
        raise unreadable(error) from error
    except OSError:
        return False
    return True


def unreadable(error: OSError) -> ModelRepoError:
    """The error for a source that this user may not read."""
    refused = from_os(error, "read the source")
    refused.hint = "let this user read it"
    return refused


def locate(layout: Layout, path: Path) -> Path:
    """The source without links, checked not to be tangled with the repository.

    Raises:
        SourceError: It is missing, no directory, inside the repository or around it.
    """
    if not _is_there(path):
        hint = None
        if not looks_like_path(str(path)) and Version.from_name(path.name) in reading.take(layout).present:
            hint = f"{path} is a version that is stored: `modelrepo promote {path}` makes it live"
        raise SourceError(f"{path} does not exist", kind="source-missing", expected=_EXPECTED, hint=hint)
    try:
        place = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{path} is a link that leads nowhere", kind="source-missing") from error
    if not place.is_dir():
        hint = "name the directory that holds it" if place.name in source.MODEL_FILES else None
        raise SourceError(f"{path} is not a directory", kind="not-a-directory", expected=_EXPECTED, hint=hint)
    if place == layout.root or layout.root in place.parents:
        raise SourceError(
            f"{path} lies inside the repository {layout.root}",
            kind="source-inside",
            hint="what is in there is stored already; `modelrepo promote` makes it live",
        )
    if place in layout.root.parents:
        raise SourceError(f"the repository {layout.root} lies inside {path}", kind="source-around")
    return place


def require_room(place: Path, listing: source.Listing, snapshot: reading.Snapshot | None = None) -> None:
    """Make sure that the disk has room, before the first byte is copied.

    Args:
        place: A directory on that disk.
        listing: What will be copied.
        snapshot: The repository that lies there: the message says what its cleanup would free.

    Raises:
        SystemRefusedError: There is none.
    """
    blocks = sum(-(-file.size // _BLOCK) + 1 for file in listing.files) + 2 * len(listing.directories) + 64
    need, (free, free_files) = blocks * _BLOCK, look.room(place)
    names = len(listing.files) + len(listing.directories) + 2
    if need <= free and (free_files == 0 or names <= free_files):
        return
    hint = NO_ROOM_OUTSIDE
    if snapshot is not None:
        freed = planning.would_free(snapshot)
        hint = f"`modelrepo cleanup` would free {format_size(freed)}" if freed else _NOTHING_TO_FREE
    raise SystemRefusedError(
        f"there is no room for {format_size(listing.size)} in {place}",
        kind="no-space",
        expected=f"{format_size(need)} and {names} files",
        got=f"{format_size(free)} and {free_files} files",
        hint=hint,
    )


@contextlib.contextmanager
def staging(layout: Layout, modes: Modes) -> Iterator[tuple[Path, str]]:
    """A directory that is ours alone, held by a lease so that no cleanup takes it for abandoned.

    The lease is taken behind the making, and the directory is looked at again: one that a cleanup took in between is
    given up for another.
    """
    for _ in range(_TRIES):
        name = token("push")
        directory = layout.staging / name
        try:
            durable.make_directory(directory, modes.directory)
            hold = locks.take(directory)
        except FileNotFoundError:
            continue
        if hold is None:
            continue
        with hold:
            try:
                yield directory, name
            finally:
                if directory.exists():
                    deletion.delete_tree(directory, top=layout.root)
        return
    raise BusyError("a staging directory went away as soon as it was made", kind="staging", hint="try again")


def look_again(place: Path, listing: source.Listing, links: Links) -> None:
    """Make sure that the source still is what was listed.

    Raises:
        SourceError: Somebody changed it meanwhile.
    """
    try:
        now = look_at(place, links)
    except (OSError, SourceError) as error:
        raise copying.changed(str(place)) from error
    if now != listing:
        differ = set(now.files) ^ set(listing.files)
        paths = sorted({file.path for file in differ} | (set(now.directories) ^ set(listing.directories)))
        raise copying.changed(", ".join(paths[:3]) or str(place))


@dataclass(frozen=True, slots=True)
class Checked:
    """What a child process said about a staged model.

    Attributes:
        report: What it read; None where TensorFlow is not installed.
        loaded: What the load gave; None where nobody asked for it.
        allowed: Ops that would have kept it out.
        warnings: What somebody should know.
    """

    report: Report | None
    loaded: Loaded | None
    allowed: tuple[str, ...]
    warnings: tuple[str, ...]


@contextlib.contextmanager
def told_as(place: Path, directory: Path) -> Iterator[None]:
    """Let errors name the source where they would name the copy, which is gone by the time that somebody reads them."""
    try:
        yield
    except ModelRepoError as error:
        copy, meant = str(directory), str(place)
        error.message = error.message.replace(copy, meant)
        error.expected, error.got, error.hint = (
            each.replace(copy, meant) if isinstance(each, str) else each
            for each in (error.expected, error.got, error.hint)
        )
        error.items = tuple(each.replace(copy, meant) for each in error.items)
        raise


def inspect(
    inspector: Inspector,
    directory: Path,
    *,
    load: bool,
    allow: Collection[str],
    trial: Trial = NOTHING,
    linked: Collection[str] = (),
    size: int,
) -> Checked:
    """Read and scan a staged model, and load and try it if asked: never one that the scan refuses.

    Args:
        inspector: The child process.
        directory: The staged model.
        load: Whether TensorFlow shall load it.
        allow: Ops that the scan shall let in.
        trial: What to ask it.
        linked: Its files that have other names besides.
        size: Bytes of its files.

    Raises:
        SourceError: It does not parse.
        ModelError: The scan refuses it, TensorFlow could not load it, it failed the trial, or it changed its own files
            meanwhile.
        RequestError: The trial does not fit it.
    """
    try:
        report = inspector.read(directory)
    except ModelError as error:
        if load or error.kind != "tensorflow-missing":
            raise
        return Checked(
            None, None, (), ("TensorFlow is not installed here: it was not scanned, nor were its signatures read",)
        )
    admitting.require_admitted(report, allow)
    warnings = []
    allowed = findings.let_in(report.findings, allow)
    if unused := sorted(set(allow) - set(allowed)):
        warnings.append(f"--allow-op was not needed: the scan refuses no {', '.join(unused)}")
    from modelrepo.savedmodel.report import SERVE

    if report.served.tags != SERVE:
        tags = ",".join(report.served.tags) or "(none)"
        warnings.append(f"no meta graph is tagged exactly `serve`: TensorFlow Serving needs --saved_model_tags={tags}")
    if not report.served.signatures:
        warnings.append("it has no signatures: nobody can call it by name")
    if report.served.unfilled:
        names = ", ".join(report.served.unfilled)
        what = f"{names}: reads variables that neither the checkpoint nor the start fills, and will fail when called"
        warnings.append(f"{what}; of a Keras model, push the .keras file, or an export by model.export()")
    training = report.served.training
    if training is not None and training.is_worth_saying(size):
        warnings.append(f"{training}: an export for serving, such as Keras's model.export(), leaves that out")
    if not load:
        return Checked(report, None, allowed, tuple(warnings))
    before = copying.stamps(directory, linked)
    loaded = admitting.load(inspector, directory, report, allow, trial)
    if copying.stamps(directory, linked) != before:
        raise ModelError(
            "the model changed its own files while it was loaded",
            kind="model-writes",
            hint="a model that writes files is a program; look at its ops with `modelrepo inspect --json PATH`",
        )
    warnings += [f"not tried with zeros: {why}" for why in loaded.untried]
    return Checked(report, loaded, allowed, tuple(warnings))
