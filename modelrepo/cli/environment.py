"""What the command line sets in its own environment, and a program that it becomes shall not inherit."""

from __future__ import annotations

import os

#: Looking for pydantic's plugins in every installed package takes longer than a promote; none is wanted here.
_OWN = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
#: In the locale `C`, Python takes another one for characters, and says so here (PEP 538).
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
    given = {name: value for name, value in os.environ.items() if name not in _added}
    if _COERCED in given and (before := _started_with(_COERCED)) != given[_COERCED]:
        del given[_COERCED]
        given |= {} if before is None else {_COERCED: before}
    return given


def _started_with(name: str) -> str | None:
    """What this process was started with, whatever it has set since; as it is now where the system does not say."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = file.read().split(b"\0")
    except OSError:
        return os.environ.get(name)
    return next((os.fsdecode(pair[len(name) + 1 :]) for pair in pairs if pair.startswith(f"{name}=".encode())), None)
