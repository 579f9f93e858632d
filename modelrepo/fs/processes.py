"""The processes that can be seen from here: which there are, their names, what they hold locked.

So that a message can say who holds what. Where there is no `/proc` (macOS), nobody is named.
"""

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


def lock_holders(key: tuple[int, int]) -> list[int]:
    """The processes that hold an `flock` on a file, as far as the system says.

    A lock is of an open file, which children inherit: where who took it is gone, or has let it go, those are named who
    have that file open now.

    Args:
        key: The file's device and inode.
    """
    takers = _takers(key[1])
    found = {process for process in takers if _holds(process, key, unseen=True)}
    if not takers or found != takers:
        found |= {process for process in running() if _holds(process, key, unseen=False)}
    return sorted(found)


def _takers(inode: int) -> set[int]:
    """The processes that once took a lock on a file of this inode, on whatever device.

    The device is not compared: on btrfs and overlay it differs from what `stat` says.
    """
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return set()
    # "1: FLOCK  ADVISORY  WRITE 123 00:2a:4711 0 EOF"; a waiting one has "->" behind the number.
    held = [line for line in lines if len(line) > 5 and line[1] == "FLOCK"]
    return {int(line[4]) for line in held if line[5].rpartition(":")[2] == str(inode) and int(line[4]) > 0}


def _holds(process: int, key: tuple[int, int], *, unseen: bool) -> bool:
    """Whether a process has a file open that is locked; `unseen` is the answer where nobody may look."""
    base = f"/proc/{process}"
    hidden = False
    try:
        for number in os.listdir(f"{base}/fd"):
            try:
                if _locked(base, number, key):
                    return True
            except PermissionError:
                hidden = True
    except PermissionError:
        hidden = True
    except OSError:  # it ended
        return False
    return hidden and unseen


def _locked(base: str, number: str, key: tuple[int, int]) -> bool:
    try:
        status = os.stat(f"{base}/fd/{number}")
        if (status.st_dev, status.st_ino) != key:
            return False
        with open(f"{base}/fdinfo/{number}", encoding="ascii", errors="replace") as file:
            return any(line.startswith("lock:") and " FLOCK " in line for line in file)
    except PermissionError:
        raise
    except OSError:  # it was closed, or lies on a mount that is dead
        return False
