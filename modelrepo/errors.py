"""Every error that modelrepo raises on purpose, in families.

A family says what the caller can do about it: ask for something else, look elsewhere, fix the input, stop trusting what
is there, try again. The facts are attributes; the command line maps families to exit codes (`modelrepo.cli.exits`).
This module imports nothing of the package, so that every layer may raise from it.
"""

from __future__ import annotations

import errno
import os
from typing import Any

#: Errors of the system that mean "you may not" or "there is no room", not "something broke".
_REFUSED = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "read-only",
    errno.ENOSPC: "no-space",
    errno.EDQUOT: "quota",
    errno.EMFILE: "too-many-open-files",
    errno.ENFILE: "too-many-open-files",
}


class ModelRepoError(Exception):
    """The base of all families. Catch a family, or this for all.

    Attributes:
        message: What went wrong and which one, in one sentence.
        kind: A short stable word for programs, such as `ref-malformed`.
        expected: What should have been there, if that helps.
        got: What was there instead.
        hint: What to do next.
        items: Single findings, where there are several; one line each.
        partial: What the operation had done when it failed, as its normal result, or None.
    """

    default_kind = "error"

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
        items: tuple[str, ...] = (),
        partial: Any = None,  # noqa: ANN401 - any operation's result
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or self.default_kind
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.hint = hint
        self.items = items
        self.partial = partial


class RequestError(ModelRepoError):
    """The request itself is malformed: a ref, a channel name, an option. Change the request."""

    default_kind = "request"


class SourceError(ModelRepoError):
    """What should be taken in is no SavedModel, cannot be stored, or changed while it was read. Fix the input."""

    default_kind = "source"


class NotFoundError(ModelRepoError):
    """A well-formed name of something that is not there. Look elsewhere."""

    default_kind = "not-found"


class NoRepositoryError(ModelRepoError):
    """There is no repository at this place. Look elsewhere, or make one."""

    default_kind = "no-repository"


class RefusedError(ModelRepoError):
    """A rule says no: a gate, nothing to roll back to, a directory that is not empty. Change the request."""

    default_kind = "refused"


class IntegrityError(ModelRepoError):
    """Bytes, links or journal are not what they should be, or of a newer format. Stop trusting it."""

    default_kind = "integrity"


class ModelError(ModelRepoError):
    """TensorFlow could not load the model. Fix the model."""

    default_kind = "model"


class UnconfirmedError(ModelRepoError):
    """The change happened, and something after it is unfinished or unconfirmed. Look, then run any writing command.

    Attributes:
        durable: Whether the change is known to be on the disk.
        view: Whether the channel's TensorFlow Serving view follows (None where there is none).
        recorded: Whether the journal has the outcome.
    """

    default_kind = "unconfirmed"

    def __init__(
        self,
        message: str,
        *,
        durable: bool,
        view: bool | None,
        recorded: bool,
        **facts: Any,  # noqa: ANN401 - the facts of the base class
    ) -> None:
        super().__init__(message, **facts)
        self.durable = durable
        self.view = view
        self.recorded = recorded


class SystemRefusedError(ModelRepoError):
    """The system refused: no room, quota, permission, read-only. Make room or ask for the right."""

    default_kind = "system"


class BusyError(ModelRepoError):
    """Somebody holds the lock or a lease. Try again."""

    default_kind = "busy"


class StorageError(ModelRepoError):
    """An operation of the file system failed in a way that nobody foresaw. Look at the disk."""

    default_kind = "storage"


def told(error: OSError | ModelRepoError, doing: str) -> str:
    """What went wrong, in words: of a system error what was being done, of one of ours its message."""
    return error.message if isinstance(error, ModelRepoError) else from_os(error, doing).message


#: What to do about a full disk that may be another one than the repository's.
NO_ROOM_OUTSIDE = "free some room there, or name another place"


def from_os(error: OSError, doing: str, *, outside: bool = False) -> ModelRepoError:
    """Wrap a system error at the border, so that nobody above sees a bare `OSError`.

    Args:
        error: What the system said.
        doing: What was being done, as in "could not {doing}".
        outside: Whether it was written outside of the repository, maybe on another disk, where no cleanup helps.

    Returns:
        `SystemRefusedError` where the system said no, `StorageError` for the rest. Raise it `from error`.

    >>> from_os(PermissionError(13, "Permission denied", "/models/latest"), "move the link").message
    'could not move the link: Permission denied: /models/latest'
    """
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    text = f"could not {doing}: {error.strerror or error}{where}"
    kind = _REFUSED.get(error.errno or 0)
    if kind is None:
        return StorageError(text, hint="look at the disk and the system's log, then run `modelrepo verify`")
    room = NO_ROOM_OUTSIDE if outside else "free some room: `modelrepo cleanup --dry-run` shows what could go"
    hints = {
        "no-space": room,
        "quota": room,
        "permission": "run it as the user who owns the repository, or as a member of its group where it is shared",
        "read-only": "the file system is mounted read-only here; write where it is writable",
    }
    return SystemRefusedError(text, kind=kind, hint=hints.get(kind))
