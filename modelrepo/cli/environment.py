"""What the command line sets in its own environment, and a program that it becomes shall not inherit."""

from __future__ import annotations

import os

#: Looking for pydantic's plugins in every installed package takes longer than a promote; none is wanted here.
_OWN = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
_added: set[str] = set()


def prepare() -> None:
    """Set what the program wants for itself, where the user has not said otherwise."""
    for name, value in _OWN.items():
        if name not in os.environ:
            os.environ[name] = value
            _added.add(name)


def original() -> dict[str, str]:
    """The environment as the user gave it."""
    return {name: value for name, value in os.environ.items() if name not in _added}
