"""Processes by name, so that a message can say who holds what. Where there is no `/proc` (macOS), nobody is named."""

from __future__ import annotations

import os

_READ_BYTES = 4096
_SHOWN_CHARACTERS = 120


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


def lock_holders(inode: int) -> list[int]:
    """The processes that hold an `flock` on a file of this number, as far as the system says."""
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    return sorted({int(line[4]) for line in lines if _holds(line, str(inode)) and int(line[4]) > 0})


def _holds(line: list[str], inode: str) -> bool:
    # "1: FLOCK  ADVISORY  WRITE 123 00:2a:4711 0 EOF"; a waiting one has "->" behind the number. The device is not
    # compared: on btrfs and overlay it differs from what stat says, and a wrong guess only names one process too many.
    return len(line) > 5 and line[1] == "FLOCK" and line[5].rpartition(":")[2] == inode
