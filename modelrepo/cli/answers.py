"""What a command answers, and how it is written: as text for people, as one JSON document for programs.

Nothing that came from a model, a name or a person reaches a terminal raw.
"""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from modelrepo.core.values import Value, as_json, plain
from modelrepo.errors import ModelRepoError, UnconfirmedError

if TYPE_CHECKING:  # it brings pydantic
    from modelrepo.core.documents import Document

_USUAL_COLUMNS = 80


class Answer(Value):
    """One command's answer.

    Attributes:
        result: The value, or values.
        text: The same for people, ready to print, or what lays it out where somebody wants to see it; may be empty.
        brief: What `-q` prints instead, a line each.
        notes: What goes to standard error.
        error: What makes the command fail although it has an answer.
        code: The exit code that the error has here, where it is not its family's.
        path: A path that is the whole answer: a pipe gets its very bytes.
    """

    result: Value | Document | Sequence[Value]
    text: str | Callable[[], str]
    brief: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: ModelRepoError | None = None
    code: int | None = None
    path: str | None = None

    @property
    def page(self) -> str:
        """The text."""
        return self.text if isinstance(self.text, str) else self.text()


class Answers(Value):
    """The answers of one command for several repositories, each given when it is asked for.

    Attributes:
        parts: Each repository's root and answer.
    """

    parts: Iterator[tuple[str, Answer]]


class Style(Value):
    """How the user wants answers."""

    json: bool = False
    quiet: bool = False


def printable(text: str) -> str:
    r"""One line of text, with everything escaped that is not plainly visible.

    >>> printable("caf\u00e9 \x1b[31m\u202e\n")
    'café \\x1b[31m\\u202e\\n'
    """
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def page(lines: Iterable[str]) -> str:
    """Lines of text, none of which can pass for two."""
    return "\n".join(map(printable, lines))


def hanging(text: str, indent: str) -> list[str]:
    """One indented line; on a terminal folded to its width, what follows indented further; in a pipe never folded."""
    if not _on_terminal():
        return [f"{indent}{printable(text)}"]
    import textwrap

    return textwrap.wrap(
        printable(text),
        width=max(_columns(), 2 * len(indent)),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), whole: Sequence[int] = ()
) -> str:
    """Lay out rows in columns, folded to the terminal's width; in a pipe nothing is folded or cut.

    Args:
        headings: The columns' names.
        rows: The cells.
        right: Which columns hold numbers.
        whole: Which columns are never folded.
    """
    cells = [tuple(map(printable, row)) for row in rows]
    if not _on_terminal():
        return _aligned([tuple(headings), *cells], right)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if index in right else "left", overflow="fold", no_wrap=index in whole)
    for row in cells:
        grid.add_row(*map(Text, row))
    page = io.StringIO()
    styled = not os.environ.get("NO_COLOR")
    Console(file=page, width=_columns(), force_terminal=styled, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    """Rows as wide as they are: where nothing is folded there is nothing to lay out, and a thousand rows are quick."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        gaps = [" " * (width - _width(cell)) for width, cell in zip(widths, row, strict=True)]
        lines.append("  ".join(g + c if i in right else c + g for i, (g, c) in enumerate(zip(gaps, row, strict=True))))
    return "\n".join(line.rstrip() for line in lines)


def _width(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(each) else wide.get(unicodedata.east_asian_width(each), 1) for each in text)


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _columns() -> int:
    """The terminal's width."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return max(1, int(os.environ["COLUMNS"]))
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS


def document(result: Value | Document | Sequence[Value] | None, error: ModelRepoError | None, code: int) -> str:
    """The one JSON document of a command."""
    return _written(({} if result is None else result) if error is None else _failed(result, error, code))


def documents(parts: Iterable[tuple[str, Answer, int]]) -> str:
    """The one JSON document of a command for several repositories: of each its root, exit code and own document."""
    return _written(
        [
            {
                "repo": repo,
                "code": code,
                "error": None,
                **(as_json(answer.result) if answer.error is None else _failed(answer.result, answer.error, code)),
            }
            for repo, answer, code in parts
        ]
    )


def _written(body: Any) -> str:  # noqa: ANN401 - JSON
    """Written for people too: one thing over several lines, of many things one a line, which is fast as well."""
    if isinstance(body, list | tuple) and body:
        line = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=plain).encode
        return "[\n  " + ",\n  ".join(map(line, body)) + "\n]"
    return json.dumps(body, indent=2, ensure_ascii=True, allow_nan=False, default=plain)


def _failed(result: Value | Document | Sequence[Value] | None, error: ModelRepoError, code: int) -> dict[str, Any]:
    said = {} if result is None else as_json(result)
    body: dict[str, Any] = said if isinstance(said, dict) else {}
    if isinstance(error, UnconfirmedError):
        body |= {"durable": error.durable, "view": error.view, "recorded": error.recorded}
    body["error"] = {
        "code": code,
        "kind": error.kind,
        "message": error.message,
        "expected": error.expected,
        "got": error.got,
        "hint": error.hint,
        "items": list(error.items),
    }
    return body


def complaint(error: ModelRepoError) -> str:
    """An error for people: what, expected, got, what to do next."""
    lines = [f"modelrepo: {error.message}", *(f"    {item}" for item in error.items)]
    if error.expected is not None:
        lines.append(f"  expected: {error.expected}")
    if error.got is not None:
        lines.append(f"  got: {error.got}")
    if error.hint is not None:
        lines.append(f"  next: {error.hint}")
    return page(lines)


def say_path(path: str) -> None:
    """Print a path: for a program its very bytes, for a terminal nothing that acts on it.

    Raises:
        OSError: As `say`.
    """
    if sys.stdout is None or sys.stdout.isatty():
        say(printable(path))
        return
    say(path, errors="surrogateescape")


def say(text: str, *, to_error: bool = False, errors: str = "backslashreplace") -> None:
    """Print lines; nothing for an empty text. A reader that went away is no error.

    Raises:
        OSError: Standard output cannot be written: the disk behind it is full, say.
    """
    stream: TextIO | None = sys.stderr if to_error else sys.stdout
    if not text or stream is None:  # Python has no stream where the descriptor was closed
        return
    data = f"{text}\n".encode(stream.encoding or "ascii", errors)
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError as error:
        # What is still in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not to_error and not isinstance(error, BrokenPipeError):
            raise
