"""Opening a repository: its settings and its journal, or the error that says why there is none to open."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

from modelrepo.core.config import Config, parse_config
from modelrepo.core.layout import STATE, Layout
from modelrepo.core.modes import PRIVATE
from modelrepo.core.records import Damage
from modelrepo.core.refs import Version
from modelrepo.errors import IntegrityError, NoRepositoryError, RefusedError
from modelrepo.fs import known
from modelrepo.fs.files import NO_FILE, read_file
from modelrepo.fs.known import Known
from modelrepo.fs.look import kind_at

#: Many times what `init` writes. `tomllib` needs time by the square of a key's length: a megabyte holds readers up.
_CONFIG_LIMIT = 16 * 1024


def open_config(layout: Layout) -> Config:
    """The settings of the repository at this place.

    Raises:
        NoRepositoryError: There is none.
        IntegrityError: Its settings cannot be used, or it is half deleted.
    """
    require_directory(layout.state)
    try:
        data = read_file(layout.config, _CONFIG_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_repository(layout) from None
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise IntegrityError(
            f"{layout.config} cannot be read: {error.strerror}", kind="config-damaged", hint="put the file back"
        ) from error
    return parse_config(data, str(layout.config))


def _no_repository(layout: Layout) -> IntegrityError | NoRepositoryError:
    holds_versions = any(Version.from_name(path.name) for path in layout.root.glob("v*"))
    if layout.journal.exists() and holds_versions:
        return IntegrityError(
            f"{layout.config} is gone, but versions are there: the repository is half deleted",
            kind="config-missing",
            hint="put the file back from a backup; where `init --adopt` was interrupted, run it again",
        )
    if layout.state.exists():
        return NoRepositoryError(
            f"the repository at {layout.root} was never finished",
            kind="repository-unfinished",
            hint=f"`modelrepo --repo {layout.root} init` finishes it",
        )
    makes = "init --adopt` makes one of the versions there" if holds_versions else "init` makes one"
    return NoRepositoryError(
        f"there is no repository at {layout.root}",
        expected=f"a directory with {STATE}/",
        got="no such directory" if not layout.root.exists() else "a directory without it",
        hint=f"`modelrepo --repo {layout.root} {makes}; --repo or MODELREPO_REPO names another",
    )


def replaced(layout: Layout, *besides: Path) -> Iterator[tuple[Path, str]]:
    """Modelrepo's own directories in whose place something else is, a link above all, and what.

    Args:
        layout: Where.
        besides: More directories that may be missing, but nothing else.
    """
    for path in (*(path for path, _ in layout.own_directories(PRIVATE)), *besides):
        if (kind := kind_at(path) or "directory") != "directory":
            yield path, kind


def require_directory(path: Path) -> None:
    """Refuse to read what is modelrepo's own by a link, from elsewhere, or where it cannot be; it may be missing.

    Raises:
        IntegrityError: Something that is no directory has its name.
    """
    if (kind := kind_at(path) or "directory") != "directory":
        raise _not_own(path, kind)


def require_outside(place: Path, hint: str, layout: Layout | None = None) -> None:
    """Make sure that something that is written for somebody does not lie in a repository.

    Args:
        place: Where, without links.
        hint: What to do instead.
        layout: A repository that counts also where it has no settings.

    Raises:
        RefusedError: It does.
    """
    for above in (place, *place.parents):
        if (layout is not None and above == layout.root) or Layout(above).config.exists():
            where = f"{place} lies inside the repository {above}"
            raise RefusedError(where, kind="inside-repository", hint=hint)


def require_own(layout: Layout, *besides: Path) -> None:
    """Refuse to write where a directory of modelrepo's own is something else: what is done there is done elsewhere.

    Args:
        layout: Where.
        besides: More directories that may be missing, but nothing else.

    Raises:
        IntegrityError: One is.
    """
    for path, kind in replaced(layout, *besides):
        raise _not_own(path, kind)


def _not_own(path: Path, kind: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not a directory of its own",
        kind="directory-replaced",
        expected="a directory",
        got=f"a {kind}",
        hint="put a real directory in its place; nothing was changed",
    )


def open_known(layout: Layout, *, whole: bool, lines: bool = False) -> Known:
    """The journal of an existing repository.

    Args:
        layout: Where.
        whole: Read every line, whatever an index says.
        lines: Keep every line; else the sum and the end.

    Raises:
        IntegrityError: It is gone, or no regular file.
    """
    if whole and not lines:
        return _journal(layout, lambda: known.read_sum(layout.journal))
    return _journal(layout, lambda: known.read(layout.journal, None if whole else layout.index))


def follow(layout: Layout, before: Known) -> Known:
    """The journal, when it was read before.

    Raises:
        IntegrityError: It is gone, or no regular file.
    """
    return _journal(layout, lambda: known.follow(before, layout.journal))


def _journal(layout: Layout, read: Callable[[], Known]) -> Known:
    try:
        return read()
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        is_gone = error.errno == errno.ENOENT
        raise IntegrityError(
            f"{layout.journal} is gone" if is_gone else f"{layout.journal} cannot be read: {error.strerror}",
            kind="journal-missing",
            hint="put a backup back, or "
            + ("" if is_gone else "move it away: ")
            + "`modelrepo verify --repair` starts a new one from what is there",
        ) from error


def journal_damaged(layout: Layout, damage: Damage) -> IntegrityError:
    """The error for a journal that a crash cannot explain."""
    return IntegrityError(
        f"{layout.journal} is damaged at line {damage.number}: {damage.detail}",
        kind="journal-damaged",
        hint="`modelrepo verify` shows it; put a backup back, or `modelrepo verify --repair` starts a new journal",
    )
