"""What a shell offers at the Tab key: the versions and channels of the repository that the line means.

Typer talks to the shells (`--install-completion`, `--show-completion`, `_MODELREPO_COMPLETE`); here stands what it
offers for a REF and for `--channel`. Somebody is in the middle of a line: what cannot be offered is not spoken of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence

import typer

from modelrepo.cli.answers import printable
from modelrepo.cli.app import Run
from modelrepo.core.refs import is_channel
from modelrepo.errors import ModelRepoError
from modelrepo.repository import Repository

#: So many versions are read for one Tab, the newest: nobody chooses from more, and each costs a third of a millisecond.
_VERSIONS = 200
#: Beyond the name, one line of a terminal has room for about so much.
_HELP_LIMIT = 60
#: zsh evaluates a help text inside quotes, and Typer reads it as markup: these would be more than text.
_ACTIVE = str.maketrans(dict.fromkeys("\"'`\\$[", "·"))


def refs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The versions with date and message, newest first, then the channels, then `newest`."""
    try:
        repository = _repository(context)
        versions = [row for row in repository.list(limit=_VERSIONS) if str(row.version).startswith(incomplete)]
        found = [
            (str(row.version), f"{row.created_at:%Y-%m-%d %H:%M}  {row.message or ''}" if row.created_at else "damaged")
            for row in versions
        ]
        found += _channels(repository)
    except ModelRepoError:
        return []
    return [(name, plain(text)) for name, text in [*found, ("newest", "the highest number")]]


def channels(context: typer.Context) -> list[tuple[str, str]]:
    """The channels, and what each names."""
    try:
        return [(name, plain(text)) for name, text in _channels(_repository(context))]
    except ModelRepoError:
        return []


def _channels(repository: Repository) -> Iterator[tuple[str, str]]:
    for name, target in repository.status().channels.items():
        if is_channel(name):
            yield name, f"names {target}" if target is not None else "names no version"


def _repository(context: typer.Context) -> Repository:
    """The repository that the words so far mean. They come as they were typed, so `~` and `$HOME` still stand there."""
    here: typer.Context | None = context
    named = None
    while here is not None and named is None:
        named, here = here.params.get("repo"), here.parent  # type: ignore[assignment]
    return Run(None if named is None else os.path.expandvars(os.path.expanduser(named))).repository()


def plain(text: str) -> str:
    r"""A short line that no shell, no terminal and no markup takes for more than text.

    >>> plain("it's \x1b[1m \\$(reboot)")
    'it·s ·x1b·1m ··(reboot)'
    """
    line = printable(text).translate(_ACTIVE).strip()
    return line if len(line) <= _HELP_LIMIT else f"{line[: _HELP_LIMIT - 1]}…"


def prepare(environment: MutableMapping[str, str]) -> None:
    """Mend what Typer is told by the shell, and what it would make of long texts and old encodings."""
    environment["COLUMNS"] = (
        "10000"  # it folds a text at the terminal's width, and a shell takes each line for an offer
    )
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    words = environment.get("COMP_WORDS", "").split("\n")
    position = environment.get("COMP_CWORD", "")
    if len(words) > 1 and position.isdecimal():
        words = rejoined(words[: int(position) + 1])
        environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)


def rejoined(words: Sequence[str]) -> list[str]:
    """Words as they were typed: bash takes `=` and `:` for words of their own.

    >>> rejoined(["modelrepo", "--repo", "=", "/models", "promote", "sha256", ":", "00"])
    ['modelrepo', '--repo=/models', 'promote', 'sha256:00']
    """
    joined: list[str] = []
    glue = True
    for word in words:
        separator = bool(word) and set(word) <= {"=", ":"}
        if joined and (separator or glue):
            joined[-1] += word
        else:
            joined.append(word)
        glue = separator
    return joined
