"""What the command line sets in its own environment, and a program that it becomes shall not inherit."""

from __future__ import annotations

import os

#: Looking for pydantic's plugins in every installed package takes longer than a promote; none is wanted here.
_OWN = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
_COERCED = "LC_CTYPE"
_added: set[str] = set()


def prepare() -> None:
    """Set what the program wants for itself, where the user has not said otherwise."""
    for name, value in _OWN.items():
        if name not in os.environ:
            os.environ[name] = value
            _added.add(name)


def original() -> dict[str, str]:
    """The environment as the user gave it."""
    own = _added | {_COERCED} if _is_coerced() else _added
    return {name: value for name, value in os.environ.items() if name not in own}


def _is_coerced() -> bool:
    """Whether Python itself has set the locale of characters, as it does in the locale `C` (PEP 538).

    Linux shows what a process was started with, whatever it has set since; elsewhere nobody can say.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read().split(b"\0")
    except OSError:
        return False
    return not any(pair.startswith(b"LC_CTYPE=") for pair in given)
