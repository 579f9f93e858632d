"""Which module declares which command, so that a call imports, and lets Typer build, no more than it needs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

#: In the order of `--help`.
MODULES = {
    "storing": ("init", "push", "export", "verify", "cleanup", "remove"),
    "converting": ("convert",),
    "releasing": ("promote", "rollback", "annotate", "pin", "unpin", "channel"),
    "asking": (
        "list", "show", "inspect", "diff", "predict", "history", "status", "path", "serving-config",
    ),
    "comparing": ("compare",),
    "executing": ("exec",),
}  # fmt: skip
_FLAGS = frozenset({"--json", "--quiet", "-q"})


def called(arguments: list[str]) -> str | None:
    """The command that is called; None where that takes the whole program to tell, or to help; "" for the version.

    >>> called(["-q", "--repo", "list", "promote", "v2"]), called(["--help", "promote"]), called(["premote"])
    ('promote', None, None)
    """
    words = iter(arguments)
    for word in words:
        if word in {"--repo", "-r"}:
            next(words, None)
        elif word in {"--version", "-V"}:
            return ""
        elif word not in _FLAGS and not word.startswith("--repo="):
            return word if any(word in names for names in MODULES.values()) else None
    return None


def program(word: str | None) -> typer.Typer:
    """The program with this command, or with all.

    Args:
        word: What `called` says.
    """
    for module, names in MODULES.items():
        if word is None or word in names:
            importlib.import_module(f"modelrepo.cli.{module}")
    from modelrepo.cli.app import assemble

    return assemble(word)
