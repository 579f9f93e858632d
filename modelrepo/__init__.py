"""A versioned model repository for TensorFlow SavedModels: one directory, no server, no database, no daemon.

`Repository` is the library; the command `modelrepo` is the same in a shell. Importing this package imports neither
TensorFlow nor typer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelrepo.core.refs import Version
    from modelrepo.repository import Repository

__version__ = "0.1.0"
__all__ = ["Repository", "Version", "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name means
    """Import what is asked for: the inspector's child needs nothing of it."""
    if name == "Repository":
        from modelrepo.repository import Repository

        return Repository
    if name == "Version":
        from modelrepo.core.refs import Version

        return Version
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
