"""The processes that can be seen from here, and their names, so that a message can say who holds what."""

from __future__ import annotations

import os

_READ_BYTES = 4096
_SHOWN_CHARACTERS = 120


def running() -> list[int]:
    """All processes that can be seen from here, by number; none where the system has no `/proc`."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except FileNotFoundError:
        return []


def named(process: int) -> str:
    """A process for people: `process 123 (modelrepo push ./export)`, without the words where nobody may see them."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = file.read(_READ_BYTES).decode(errors="replace").split("\0")
    except OSError:
        return f"process {process}"
    text = " ".join(" ".join(command_words(words)).split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return f"process {process} ({printable[:_SHOWN_CHARACTERS]})" if printable else f"process {process}"


def command_words(words: list[str]) -> list[str]:
    """The words of a command as somebody typed them: where the program and its interpreter lie says nothing.

    >>> command_words(["/opt/venv/bin/python3", "/opt/venv/bin/modelrepo", "push", "/srv/export"])
    ['python3', 'modelrepo', 'push', '/srv/export']
    >>> command_words(["/usr/bin/rsync", "-a", "/srv/export"])
    ['rsync', '-a', '/srv/export']
    """
    program, *rest = words or [""]
    if rest and os.path.isabs(rest[0]) and os.path.basename(program).startswith("python"):
        rest[0] = os.path.basename(rest[0])
    return [os.path.basename(program), *rest]
