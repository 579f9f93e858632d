"""What all methods of `Repository` share: where it is, and how long to wait."""

from __future__ import annotations

import os
from pathlib import Path

from modelrepo.core.layout import Layout
from modelrepo.repository.border import border, place


class Rooted:
    """A repository's place."""

    def __init__(self, root: str | os.PathLike[str], *, lock_timeout: float | None = None) -> None:
        with border("find the repository"):
            self._layout = Layout(Path(os.path.realpath(place(root, "the repository"))))
        self._timeout = lock_timeout

    def __repr__(self) -> str:
        return f"Repository({str(self.root)!r})"

    @property
    def root(self) -> Path:
        """The repository's directory, absolute and without links."""
        return self._layout.root
