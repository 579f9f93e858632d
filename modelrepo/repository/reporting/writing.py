"""Where a page goes: a new file, whole, outside of repositories."""

from __future__ import annotations

import os
from pathlib import Path

from modelrepo.errors import NotFoundError, RefusedError
from modelrepo.fs import durable, machine
from modelrepo.repository import placing
from modelrepo.repository.opening import require_outside
from modelrepo.repository.results.comparing import CompareResult
from modelrepo.repository.writing import token


def goal(path: Path) -> Path:
    """Where the page shall stand, without links above it.

    Raises:
        NotFoundError: There is no directory for it.
        RefusedError: Something is there, or it lies in a repository.
    """
    above = Path(os.path.realpath(path.parent))
    require_outside(above, "write it to another place")
    if not above.is_dir():
        raise NotFoundError(f"there is no directory {above}", kind="directory-missing", hint="make it first")
    place = above / path.name
    if not path.name or os.path.lexists(place):
        raise _taken(place)
    return place


def write(place: Path, result: CompareResult) -> None:
    """Write a comparison as a page: it appears whole, synced, and in the place of nothing.

    Raises:
        RefusedError: Something has come there meanwhile.
        OSError: It could not be written; then it is not there.
        UnconfirmedError: It is there, and a power cut may take it away.
    """
    from modelrepo.repository.reporting import pages

    temporary = place.with_name(f".{token('modelrepo-page')}")
    durable.write_new(temporary, pages.page(result, machine.now().time).encode(), None)
    try:
        durable.rename_new(temporary, place)
    except FileExistsError:
        durable.remove_file(temporary)
        raise _taken(place) from None
    except BaseException:
        durable.remove_file(temporary)
        raise
    placing.confirm(place)


def _taken(place: Path) -> RefusedError:
    return RefusedError(
        f"{place} is there already", kind="file-taken", expected="no such file yet", hint="name another, or delete it"
    )
