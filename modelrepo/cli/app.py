"""The Typer program: the options that every command has, and how a command is declared."""

from __future__ import annotations

import functools
import inspect
import os
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from modelrepo import Repository, __version__
from modelrepo.cli.answers import Answer, Answers, Style
from modelrepo.core.layout import STATE
from modelrepo.core.units import parse_seconds

DEFAULT_ROOT = "/models"
_NUMBER = re.compile(r"[0-9]{1,18}")


class _Light:
    """A command that lets the texts that it is given, and what it is not given, pass as they are.

    Typer has pydantic coerce every argument, also a text to a text, and pydantic takes longer to import than all else
    that a quick command does. What is no text still goes that way.
    """

    def get_params(self, context: Any) -> list[Any]:  # noqa: ANN401 - Typer's own classes, which have no public names
        parameters: list[Any] = super().get_params(context)  # type: ignore[misc]
        for parameter in parameters:
            if "process_value" not in vars(parameter):
                parameter.process_value = functools.partial(_process, parameter, parameter.process_value)
        return parameters


class _Command(_Light, TyperCommand):
    pass


class _Group(_Light, TyperGroup):
    pass


def _process(parameter: Any, coerce: Callable[[object, object], object], context: object, value: Any) -> object:  # noqa: ANN401
    told = getattr(parameter, "type_descriptor", None)  # a release of Typer may name it otherwise
    kind = None if told is None or told.is_ranged else told.annotation
    if value is None and not parameter.required:
        value = () if parameter.multiple or parameter.nargs != 1 else None
    elif isinstance(value, list | tuple) and value and kind == list[str]:
        value = list(value)
    elif isinstance(value, str) and kind is int and _NUMBER.fullmatch(value):
        value = int(value)
    elif not isinstance(value, str) or kind is not str:
        return coerce(context, value)
    return value if parameter.callback is None else parameter.callback(context, parameter, value)


app = typer.Typer(
    name="modelrepo",
    cls=_Group,
    help="A versioned model repository for TensorFlow SavedModels: one directory, no server, no database, no daemon.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

channel = typer.Typer(
    name="channel",
    cls=_Group,
    help="Take a channel away, or list the channels.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

RepoOption = Annotated[
    str | None,
    typer.Option(
        "--repo",
        "-r",
        metavar="ROOT",
        help="The repository. Else MODELREPO_REPO, else the nearest directory above with .modelrepo/, else /models.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the version, or one per line.")]
LockOption = Annotated[
    str | None,
    typer.Option("--lock-timeout", metavar="DURATION", help="How long to wait for the lock (30s; cleanup 0s)."),
]


@dataclass
class Run:
    """What the user said besides the command's own arguments."""

    repo: str | None = None
    json: bool = False
    quiet: bool = False

    @property
    def style(self) -> Style:
        """How to answer."""
        return Style(json=self.json, quiet=self.quiet)

    @property
    def root(self) -> str:
        """The repository's directory, by the rules of `--repo`."""
        if self.repo is not None:
            return self.repo
        if named := os.environ.get("MODELREPO_REPO"):
            return named
        try:
            here = Path.cwd()
        except FileNotFoundError:  # somebody deleted it under us
            return DEFAULT_ROOT
        above = (place for place in (here, *here.parents) if (place / STATE).is_dir())
        return str(next(above, DEFAULT_ROOT))

    def repository(self, lock_timeout: str | None = None) -> Repository:
        """The repository that is meant."""
        return Repository(self.root, lock_timeout=None if lock_timeout is None else parse_seconds(lock_timeout))


@dataclass(frozen=True)
class _Declared:
    name: str
    group: typer.Typer
    interspersed: bool
    function: Callable[..., Answer | Answers]


_declared: list[_Declared] = []


def command(
    name: str, group: typer.Typer = app, *, interspersed: bool = True
) -> Callable[[Callable[..., Answer | Answers]], Callable[..., Answer | Answers]]:
    """Declare a command: its function takes a `Run` first, and gets the common options behind its own.

    Args:
        name: Its name.
        group: What it is a command of.
        interspersed: Whether options may stand behind arguments.
    """

    def declare(function: Callable[..., Answer | Answers]) -> Callable[..., Answer | Answers]:
        _declared.append(_Declared(name, group, interspersed, function))
        return function

    return declare


def assemble(word: str | None) -> typer.Typer:
    """The program, of what was declared: all of it, or the one command or group that a call needs."""
    for declared in _declared:
        if word in {None, declared.name if declared.group is app else declared.group.info.name}:
            settings = {"allow_interspersed_args": declared.interspersed}
            declared.group.command(declared.name, cls=_Command, context_settings=settings)(
                _with_common(declared.function)
            )
    if word in {None, channel.info.name}:
        app.add_typer(channel)
    return app


def _with_common(function: Callable[..., Answer | Answers]) -> Callable[..., tuple[Answer | Answers, Style]]:
    hints = typing.get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    ]
    common = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for key, default, annotation in (
            ("repo", None, RepoOption),
            ("as_json", False, JsonOption),
            ("quiet", False, QuietOption),
        )
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    @functools.wraps(function)
    def call(
        *, context: typer.Context, repo: str | None, as_json: bool, quiet: bool, **arguments: object
    ) -> tuple[Answer | Answers, Style]:
        run: Run = context.obj
        run.repo = repo if repo is not None else run.repo
        run.json |= as_json
        run.quiet |= quiet
        return function(run, **arguments), run.style

    call.__signature__ = inspect.Signature([context, *own, *common])  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *own, *common)}
    return call


def _version(context: typer.Context, value: bool) -> None:
    if value and not context.resilient_parsing:  # a shell that asks what could stand next only has the line read
        typer.echo(f"modelrepo {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    *,
    repo: RepoOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version of modelrepo.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    del version
    context.obj = Run(repo, as_json, quiet)
