"""What a command answers, and how it is written: as text for people, as one JSON document for programs.

Nothing that came from a model, a name or a person reaches a terminal raw.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelrepo.core.values import Value
from modelrepo.errors import ModelRepoError, UnconfirmedError

_WIDE = 100_000


@dataclass(frozen=True)
class Answer:
    """One command's answer.

    Attributes:
        result: The value, or values.
        text: The same for people, ready to print; may be empty.
        brief: What `-q` prints instead.
        notes: What goes to standard error.
        error: What makes the command fail although it has an answer.
    """

    result: Value | Sequence[Value]
    text: str
    brief: str = ""
    notes: tuple[str, ...] = ()
    error: ModelRepoError | None = None


@dataclass(frozen=True)
class Style:
    """How the user wants answers."""

    json: bool = False
    quiet: bool = False


def printable(text: str) -> str:
    r"""A text with everything escaped that is not plainly visible; newlines stay.

    >>> printable("caf\u00e9 \x1b[31m\u202e")
    'café \\x1b[31m\\u202e'
    """
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Lay out rows in columns, folded to the terminal's width; in a pipe nothing is folded or cut.

    Args:
        headings: The columns' names.
        rows: The cells.
        right: Which columns hold numbers.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else _WIDE
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def document(result: Value | Sequence[Value] | None, error: ModelRepoError | None, code: int) -> str:
    """The one JSON document of a command."""
    body: Any = _plain(result)
    if error is not None:
        body = body if isinstance(body, dict) else {}
        if isinstance(error, UnconfirmedError):
            body |= {"durable": error.durable, "view": error.view, "recorded": error.recorded}
        body["error"] = {
            "code": code,
            "kind": error.kind,
            "message": error.message,
            "expected": error.expected,
            "got": error.got,
            "hint": error.hint,
        }
    return json.dumps(body, indent=2, ensure_ascii=True, allow_nan=False)


def _plain(result: Value | Sequence[Value] | None) -> Any:  # noqa: ANN401 - JSON
    if result is None:
        return {}
    if isinstance(result, Value):
        return result.model_dump(mode="json", by_alias=True)
    return [value.model_dump(mode="json", by_alias=True) for value in result]


def complaint(error: ModelRepoError) -> str:
    """An error for people: what, expected, got, what to do next."""
    lines = [f"modelrepo: {error.message}"]
    if error.expected is not None:
        lines.append(f"  expected: {error.expected}")
    if error.got is not None:
        lines.append(f"  got: {error.got}")
    if error.hint is not None:
        lines.append(f"  next: {error.hint}")
    return printable("\n".join(lines))


def say(text: str, *, to_error: bool = False) -> None:
    """Print lines; nothing for an empty text. A reader that went away is no error."""
    if not text:
        return
    stream = sys.stderr if to_error else sys.stdout
    try:
        stream.write(text + "\n")
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except UnicodeEncodeError:
        stream.write(text.encode("ascii", "backslashreplace").decode() + "\n")
        stream.flush()
