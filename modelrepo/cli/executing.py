"""`exec`: becoming another program that holds a lease. The only command that does not come back."""

from __future__ import annotations

import os
import signal
from typing import Annotated, NoReturn

import typer

from modelrepo.cli import environment, exits
from modelrepo.cli.answers import Answer
from modelrepo.cli.app import Run, command
from modelrepo.cli.options import RefArgument
from modelrepo.errors import ModelRepoError, NotFoundError, RequestError, SystemRefusedError
from modelrepo.repository.leasing import Lease


@command("exec", interspersed=False)
def execute(
    run: Run,
    ref: RefArgument,
    words: Annotated[list[str], typer.Argument(metavar="[--] CMD...", help="The program and its arguments.")],
) -> Answer:
    """Become CMD while holding a version: MODELREPO_PATH and MODELREPO_VERSION say which.

    Neither cleanup nor remove deletes the version until CMD and all that has inherited the lease from it have ended,
    wherever channels move meanwhile. A program that closes its descriptors for its children, as Python does, passes on
    the one that MODELREPO_LEASE names.

    Exit codes are CMD's own; 125: modelrepo failed, 126: CMD cannot be run, 127: there is no CMD.
    """
    words = words[1:] if words[0] == "--" else words
    try:
        if not words or not words[0]:
            raise RequestError("there is no command to run", kind="command-missing", expected="REF -- CMD")
        _become(run.repository().lease(ref), words)
    except ModelRepoError as error:
        return Answer((), "", error=error, code=exits.EXEC_FAILED)
    except OSError as error:
        program = words[0]
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            missing = NotFoundError(f"there is no program {program}", kind="program-missing")
            return Answer((), "", error=missing, code=exits.NO_COMMAND)
        refused = SystemRefusedError(f"{program} cannot be run: {error.strerror}", kind="program-refused")
        return Answer((), "", error=refused, code=exits.NOT_EXECUTABLE)


def _become(lease: Lease, words: list[str]) -> NoReturn:
    with lease:
        own = {
            "MODELREPO_PATH": str(lease.path),
            "MODELREPO_VERSION": str(lease.version),
            "MODELREPO_LEASE": str(lease.inherit()),
        }
        # Python ignores these two, and what a process ignores, the program that it becomes ignores too.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(words[0], words, {**environment.original(), **own})  # noqa: S606 - its very purpose
