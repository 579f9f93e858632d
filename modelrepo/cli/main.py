"""The entry point: runs the program, writes the answer, maps error families to exit codes.

Signals are heard from the first line on, and so this file imports the rest of the program only when it runs.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

    from modelrepo.cli.answers import Answer, Answers, Style
    from modelrepo.errors import ModelRepoError

#: The commands that have a child process read a model: it starts while this one still imports.
_READING_MODELS = {"push", "inspect", "diff", "predict", "compare", "convert"}


#: The exit code of the signal that was heard, if one was. Not the error: with it, all that was open would stay open.
_stopped_by: int | None = None


class _StoppedError(BaseException):
    """SIGINT or SIGTERM, so that what is half done is given up in order."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def main() -> NoReturn:
    """Run the command line and exit."""
    # Start-up makes many objects and hardly any garbage: looking for it at every 700 costs time and finds nothing.
    gc.set_threshold(50_000)
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # a shell's background job keeps ignoring it
                signal.signal(number, _stop)
        code = run(sys.argv[1:])
        _deaf()  # what was done is done, and said
    except _StoppedError as stopped:  # while an answer was written, or before anything began
        code = stopped.code
    except Exception:  # of a signal amid an import
        if _stopped_by is None:
            raise
        code = _stopped_by
    gc.freeze()  # to look through all of it once more, before it goes, takes as long as a move
    sys.exit(code)


def _stop(number: int, _frame: FrameType | None) -> None:
    global _stopped_by  # noqa: PLW0603 - a library may make another error of the one that is raised here
    _deaf()  # what is done because of the first signal is not disturbed by a second one
    _stopped_by = 128 + number
    raise _StoppedError(number)


def _deaf() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


def run(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: The words behind the program's name.

    Returns:
        The exit code.
    """
    from modelrepo.cli import environment, exits
    from modelrepo.cli.answers import complaint, say
    from modelrepo.errors import from_os

    environment.prepare()
    try:
        if arguments in (["--version"], ["-V"]) and not os.environ.get("_MODELREPO_COMPLETE"):
            from modelrepo import __version__

            say(f"modelrepo {__version__}")  # without the half of Typer that has nothing to do here
            return exits.DONE
        return _complete(arguments) if os.environ.get("_MODELREPO_COMPLETE") else _run(arguments)
    except OSError as error:  # the answer could not be written
        failure = from_os(error, "write the answer")
        failure.hint = None
        say(complaint(failure), to_error=True)
        return exits.UNEXPECTED


def _complete(arguments: list[str]) -> int:
    """Answer a shell that asks what could stand next; where that cannot be told, with nothing."""
    from modelrepo.cli import exits
    from modelrepo.cli.completion import prepare

    try:
        prepare(os.environ)
        answered = _invoke(arguments)
    except (Exception, _StoppedError):  # noqa: BLE001 - a message would stand in the line that is being typed
        return exits.DONE
    return answered if isinstance(answered, int) else exits.DONE


def _run(arguments: list[str]) -> int:
    from modelrepo.cli import exits
    from modelrepo.cli.answers import Answers, Style
    from modelrepo.errors import ModelRepoError, SystemRefusedError

    style = Style(json="--json" in _own(arguments))
    try:
        importlib.import_module("modelrepo.repository")  # which refuses on a system where nothing else would import
    except SystemRefusedError as error:
        return _fail(error, style)
    _start_early(arguments)
    import typer

    try:
        answered = _invoke(arguments)
        if isinstance(answered, tuple) and isinstance(answered[0], Answers):
            return _several(*answered)
    except ModelRepoError as error:
        return _fail(error, style)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        path = getattr(context, "command_path", "modelrepo")
        problem = ModelRepoError(text, kind="usage", hint=f"`{path} --help` says what it takes")
        command = getattr(context, "info_name", None)
        return _fail(problem, style, exits.EXEC_FAILED if command == "exec" else exits.USAGE)
    except _StoppedError as stopped:
        return _fail(_stopped(), style, stopped.code)
    except MemoryError:
        return _fail(SystemRefusedError("there is not enough memory", kind="no-memory"), style)
    except OSError:
        raise  # operations wrap their own: this is a help text that could not be written
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody gets a traceback
        return _unforeseen(error, style)
    if isinstance(answered, tuple):
        return _answer(*answered)
    return answered if isinstance(answered, int) else exits.DONE


def _unforeseen(error: Exception, style: Style) -> int:
    """A defect; or what a library made of the error that a signal raised inside of it."""
    from modelrepo.cli import exits

    if _stopped_by is not None:
        return _fail(_stopped(), style, _stopped_by)
    return _fail(_unexpected(error), style, exits.UNEXPECTED)


def _start_early(arguments: list[str]) -> None:
    """Let the process that reads models start now, where one will be needed."""
    from modelrepo.cli.commands import called

    if called(arguments) in _READING_MODELS and not {"-h", "--help"}.intersection(arguments):
        from modelrepo.repository import early

        early.expect_models()


def _own(arguments: list[str]) -> list[str]:
    """The words that are modelrepo's, without those of a program that `exec` becomes."""
    own: list[str] = []
    names = 0
    words = iter(arguments)
    for word in words:
        if word == "--":
            break
        own.append(word)
        if word in {"--repo", "-r"}:
            own.append(next(words, ""))
        elif not word.startswith("-"):
            names += 1
            if own[-1] != "exec" and names == 1:
                return arguments[: arguments.index("--")] if "--" in arguments else arguments
            if names == 2:  # the REF: what follows is the program's
                break
    return own


def _invoke(arguments: list[str]) -> object:
    import typer

    from modelrepo.cli.commands import called, program

    word = None if os.environ.get("_MODELREPO_COMPLETE") else called(arguments)
    try:
        command = typer.main.get_command(program(word))
        return command.main(args=arguments, prog_name="modelrepo", standalone_mode=False)
    except SystemExit as done:  # so Typer ends what has to do with completion
        return done.code


def _answer(answer: Answer, style: Style) -> int:
    from modelrepo.cli.answers import complaint, document, printable, say, say_path

    code = _code(answer)
    for note in answer.notes:
        say(f"modelrepo: warning: {printable(note)}", to_error=True)
    if style.json:
        say(document(answer.result, answer.error, code))
    elif answer.path is not None and not style.quiet:
        say_path(answer.path)
    else:
        say("\n".join(map(printable, answer.brief)) if style.quiet else answer.page)
    if answer.error is not None:
        say(complaint(answer.error), to_error=True)
    return code


def _several(answers: Answers, style: Style) -> int:
    """Say each answer as it comes, under its repository's name; as JSON all of them at the end."""
    from modelrepo.cli import exits
    from modelrepo.cli.answers import complaint, documents, printable, say

    parts: list[tuple[str, Answer, int]] = []
    for repo, answer in answers.parts:
        name = printable(repo)
        parts.append((repo, answer, _code(answer)))
        for note in answer.notes:
            say(f"modelrepo: warning: {name}: {printable(note)}", to_error=True)
        if style.quiet and not style.json:
            say("\n".join(f"{name.rstrip('/')}/{printable(line)}" for line in answer.brief))
        elif not style.json and (text := answer.page):
            say(text if text.startswith(name) else f"{name}:\n{text}")
        if answer.error is not None:
            if repo not in answer.error.message:
                answer.error.message = f"{repo}: {answer.error.message}"
            say(complaint(answer.error), to_error=True)
    if style.json:
        say(documents(parts))
    return exits.gravest(code for _, _, code in parts)


def _code(answer: Answer) -> int:
    from modelrepo.cli import exits

    return exits.DONE if answer.error is None else answer.code or exits.code_of(answer.error)


def _fail(error: ModelRepoError, style: Style, code: int | None = None) -> int:
    from modelrepo.cli import exits
    from modelrepo.cli.answers import complaint, document, say

    code = exits.code_of(error) if code is None else code
    if style.json:
        say(document(error.partial, error, code))
    say(complaint(error), to_error=True)
    return code


def _stopped() -> ModelRepoError:
    from modelrepo.errors import ModelRepoError

    return ModelRepoError(
        "interrupted",
        kind="interrupted",
        hint="nothing is half done: what a writing command had begun, the next one finishes or undoes",
    )


def _unexpected(error: Exception) -> ModelRepoError:
    from modelrepo.errors import ModelRepoError

    text = f"{type(error).__name__}: {error}"
    return ModelRepoError(
        f"unexpected failure: {text[:2000]}", kind="unexpected", hint="this is a defect of modelrepo; please report it"
    )


if __name__ == "__main__":
    main()
