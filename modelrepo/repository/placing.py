"""Places outside the repository that something is put in by one rename: an export, a converted model.

A directory of our own is made beside the goal, on its file system, and filled and synced there; what is in it then gets
the goal's name. A crash leaves that directory, which the next command of the kind takes away.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.errors import NotFoundError, RefusedError, UnconfirmedError, from_os
from modelrepo.fs import deletion, durable, locks
from modelrepo.repository.opening import require_outside
from modelrepo.repository.writing import token

_PREFIX = "modelrepo-export"


def goal(layout: Layout, path: Path) -> Path:
    """Where a directory shall stand, without links.

    Args:
        layout: The repository.
        path: Missing, or an empty directory; the directory above it exists.

    Raises:
        NotFoundError: There is no directory to make it in.
        RefusedError: Something is there, or it lies in a repository.
    """
    place = _outside(layout, path)
    if os.path.lexists(place) and (not place.is_dir() or os.listdir(place)):
        raise taken(place)
    return place


def goal_of_file(layout: Layout, path: Path) -> Path:
    """Where a file shall stand, without links: nothing may be there; else as `goal`."""
    place = _outside(layout, path)
    if os.path.lexists(place):
        raise taken(place, "nothing")
    return place


def _outside(layout: Layout, path: Path) -> Path:
    place = Path(os.path.realpath(path))
    require_outside(place, "name a place outside of it", layout)
    if not place.parent.is_dir():
        raise NotFoundError(f"there is no directory {place.parent}", kind="directory-missing", hint="make it first")
    return place


def taken(place: Path, expected: str = "nothing, or an empty directory for the copy itself") -> RefusedError:
    """The refusal where something is there."""
    what = "a directory that holds something" if place.is_dir() else "something that is no directory"
    return RefusedError(
        f"{place} is there already",
        kind="not-empty",
        expected=expected,
        got=what,
        hint="nothing was overwritten; name another directory",
    )


@contextlib.contextmanager
def beside(place: Path) -> Iterator[Path]:
    """A directory of our own beside the goal, on its file system; gone afterwards, unless it was renamed."""
    _sweep(place.parent)
    copy = place.with_name(f".{token(_PREFIX)}")
    try:
        durable.make_directory(copy, None, inherit=False)
    except PermissionError as error:
        refused = from_os(error, "make the copy")
        refused.hint = f"export to a place where this user may write; {place.parent} is none"
        raise refused from error
    hold = locks.take(copy)  # so that another export does not take it for abandoned
    try:
        yield copy
    finally:
        if hold is not None:
            hold.close()
        # Once it is renamed, no failure to look for it, for want of a descriptor, say, may say that nothing happened.
        if os.path.lexists(copy):
            with contextlib.suppress(FileNotFoundError):
                deletion.delete_tree(copy)


def _sweep(directory: Path) -> None:
    """Delete what a killed export left beside its goal: a copy that nobody holds."""
    for name in os.listdir(directory):
        if name.startswith(f".{_PREFIX}-"):
            with contextlib.suppress(OSError):
                hold = locks.take(directory / name, exclusive=True)
                if hold is not None:
                    with hold:
                        deletion.delete_tree(directory / name)


def put(copy: Path, place: Path, mark: str) -> None:
    """Give a filled directory the goal's name: the commit.

    Args:
        copy: The directory that lies beside the goal.
        place: The goal.
        mark: A file in it that tells it from others.

    Raises:
        RefusedError: Somebody was faster, or a mount point is there.
    """
    try:
        durable.replace_empty_directory(copy, place)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:  # somebody was faster
            raise taken(place) from error
        if error.errno == errno.EBUSY:
            raise RefusedError(
                f"{place} is a mount point, which nothing can replace",
                kind="not-empty",
                expected="a missing or empty directory",
                hint=f"export to a directory in it, such as {place / 'model'}",
            ) from error
        if copy.exists() or not (place / mark).exists():
            raise  # else it was renamed all the same


def put_file(file: Path, place: Path) -> None:
    """Give a file the goal's name: the commit.

    Raises:
        RefusedError: Somebody was faster.
    """
    try:
        durable.rename_new(file, place)
    except FileExistsError as error:
        raise taken(place, "nothing") from error


def confirm(place: Path, partial: object = None) -> None:
    """Sync the goal's name.

    Args:
        place: The goal, which is there.
        partial: What was done; None where the caller adds it.

    Raises:
        UnconfirmedError: It could not be.
    """
    try:
        durable.sync_directory(place.parent)
    except OSError as error:
        raise UnconfirmedError(
            f"{place} is there, but {from_os(error, 'sync its name to the disk').message}",
            durable=False,
            view=None,
            recorded=False,
            hint="mend the cause; `sync` writes it to the disk",
            partial=partial,
        ) from error
