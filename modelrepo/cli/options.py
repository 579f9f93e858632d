"""Options and arguments that several commands take, and how their words are read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar

import typer

from modelrepo.cli import completion
from modelrepo.core.contents import MAX_REQUEST_BYTES
from modelrepo.core.refs import looks_like_path
from modelrepo.errors import ModelRepoError, NoRepositoryError, NotFoundError, RequestError

T = TypeVar("T")

RefArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="v7, 7, a channel, latest~1, newest, or sha256: with 8 or more digits.",
        autocompletion=completion.refs,
    ),
]
BeforeArgument = Annotated[
    str, typer.Argument(metavar="A", help="What callers know: a version, or ./export.", autocompletion=completion.refs)
]
AfterArgument = Annotated[
    str, typer.Argument(metavar="B", help="What they would get: likewise.", autocompletion=completion.refs)
]
SignatureOption = Annotated[
    str | None, typer.Option("--signature", metavar="S", help="Which signature (serving_default, or the only one).")
]
ChannelOption = Annotated[
    str, typer.Option("--channel", metavar="C", help="Which channel.", autocompletion=completion.channels)
]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="What the history says about it.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
TimeoutOption = Annotated[
    str, typer.Option("--load-timeout", metavar="DURATION", help="How long TensorFlow may take to load it.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--load-memory", metavar="SIZE", help="Memory for the load (4 GiB and 3 times the model)."),
]
AllowOption = Annotated[
    list[str] | None, typer.Option("--allow-op", metavar="OP", help="Let this op in, though the scan refuses it.")
]
MessageOption = Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="What to say about it.")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", metavar="K=V", help="A word for programs.")]
MetricOption = Annotated[list[str] | None, typer.Option("--metric", metavar="K=NUMBER", help="A finite number.")]
BreakingOption = Annotated[bool, typer.Option("--allow-breaking", help="Let it break callers of the present target.")]


def pairs(words: list[str], option: str, read: Callable[[str], T]) -> dict[str, T]:
    """Read `key=value` words."""
    found: dict[str, T] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise RequestError(f"{option} needs key=value", kind="pair-malformed", got=ascii(word))
        if key in found:
            raise RequestError(f"{option} {key} is given twice", kind="pair-malformed", got=ascii(word))
        found[key] = read(value)
    return found


def finite(text: str) -> float:
    """Read a number; whether it is finite, the library decides."""
    try:
        return float(text)
    except ValueError:
        raise RequestError(
            f"{text!a} is not a number", kind="metric-malformed", expected="a finite number", got=ascii(text)
        ) from None


def attempt(
    operation: Callable[..., T], expected: type[T], *words: object, **options: object
) -> tuple[T, ModelRepoError | None]:
    """Call an operation; where it failed but had done something, return that with the error."""
    try:
        return operation(*words, **options), None
    except ModelRepoError as error:
        if isinstance(error.partial, expected):
            return error.partial, error
        raise


@contextlib.contextmanager
def meaning(*targets: str) -> Iterator[None]:
    """Where a ref is not there, but a directory of that name is, ask whether that was meant."""
    try:
        yield
    except (NotFoundError, NoRepositoryError, RequestError) as error:
        for target in targets:
            if not looks_like_path(target) and os.path.isdir(target):
                error.hint = f"did you mean ./{target}?"
        raise


def standard_input() -> bytes:
    """All of it, but not more than one byte over what is taken."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
