"""Exit codes, never given a second meaning. `docs/scripting.md` is the promise; this is the table."""

from __future__ import annotations

from collections.abc import Iterable

from modelrepo import errors

DONE, UNEXPECTED, USAGE, INTEGRITY = 0, 1, 2, 5
#: Of `exec`, as `env` has them: it failed itself, the command cannot be run, there is no such command.
EXEC_FAILED, NOT_EXECUTABLE, NO_COMMAND = 125, 126, 127

_CODES: dict[type[errors.ModelRepoError], int] = {
    errors.StorageError: UNEXPECTED,
    errors.RequestError: USAGE,
    errors.SourceError: USAGE,
    errors.NotFoundError: 3,
    errors.RefusedError: 4,
    errors.IntegrityError: INTEGRITY,
    errors.ModelError: 6,
    errors.UnconfirmedError: 7,
    errors.SystemRefusedError: 8,
    errors.NoRepositoryError: 10,
    errors.BusyError: 11,
}

#: What is gravest for whoever watches several repositories: first what is wrong with one, last what only has to wait.
_GRAVEST_FIRST = (INTEGRITY, UNEXPECTED, 7, 8, 10, 6, 4, 3, USAGE, 11, DONE)


def gravest(codes: Iterable[int]) -> int:
    """The code of a command for several repositories.

    >>> gravest([0, 11, 4]), gravest([5, 1]), gravest([])
    (4, 5, 0)
    """
    return min(codes, key=rank, default=DONE)


def rank(code: int) -> int:
    """How grave a code is: the smaller, the graver."""
    return _GRAVEST_FIRST.index(code)


def code_of(error: errors.ModelRepoError) -> int:
    """The exit code of an error's family."""
    return next((_CODES[family] for family in type(error).__mro__ if family in _CODES), UNEXPECTED)
