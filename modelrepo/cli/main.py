"""The entry point: runs the program, writes the answer, maps error families to exit codes."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from modelrepo.cli import exits
from modelrepo.cli.answers import Answer, Style, complaint, document, say
from modelrepo.cli.app import app
from modelrepo.errors import ModelRepoError, from_os


class _TerminatedError(BaseException):
    """SIGTERM, so that what is half done is given up in order."""


def main() -> NoReturn:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def _terminate(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _TerminatedError


def run(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: The words behind the program's name.

    Returns:
        The exit code.
    """
    try:
        return _run(arguments)
    except OSError as error:  # the answer could not be written
        say(complaint(from_os(error, "write the answer")), to_error=True)
        return exits.UNEXPECTED


def _run(arguments: list[str]) -> int:
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    style = Style(json="--json" in before_dashes)
    try:
        answered = _invoke(arguments)
    except ModelRepoError as error:
        return _fail(error, style)
    except typer.TyperException as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        problem = ModelRepoError(text, kind="usage", hint="`modelrepo --help`, or `modelrepo COMMAND --help`")
        return _fail(problem, style, exits.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_stopped("interrupted"), style, exits.INTERRUPTED)
    except _TerminatedError:
        return _fail(_stopped("terminated"), style, exits.TERMINATED)
    except OSError:
        raise  # operations wrap their own: this is a help text that could not be written
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody gets a traceback
        return _fail(_unexpected(error), style, exits.UNEXPECTED)
    if isinstance(answered, tuple):
        return _answer(*answered)
    return answered if isinstance(answered, int) else exits.DONE


def _invoke(arguments: list[str]) -> object:
    from modelrepo.cli import changing, reading  # noqa: F401 - they declare the commands

    return typer.main.get_command(app).main(args=arguments, prog_name="modelrepo", standalone_mode=False)


def _answer(answer: Answer, style: Style) -> int:
    code = exits.DONE if answer.error is None else exits.code_of(answer.error)
    for note in answer.notes:
        say(complaint(ModelRepoError(f"warning: {note}")), to_error=True)
    if style.json:
        say(document(answer.result, answer.error, code))
    else:
        say(answer.brief if style.quiet else answer.text)
    if answer.error is not None:
        say(complaint(answer.error), to_error=True)
    return code


def _fail(error: ModelRepoError, style: Style, code: int | None = None) -> int:
    code = exits.code_of(error) if code is None else code
    if style.json:
        say(document(error.partial, error, code))
    say(complaint(error), to_error=True)
    return code


def _stopped(how: str) -> ModelRepoError:
    return ModelRepoError(
        how, kind="interrupted", hint="nothing is half done: what was begun, the next command finishes or undoes"
    )


def _unexpected(error: Exception) -> ModelRepoError:
    text = f"{type(error).__name__}: {error}"
    return ModelRepoError(
        f"unexpected failure: {text[:2000]}", kind="unexpected", hint="this is a defect of modelrepo; please report it"
    )


if __name__ == "__main__":
    main()
