"""Directories for temporary files, outside any repository, and mostly on another disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modelrepo.errors import from_os


def make() -> Path:
    """Make one, for this user alone; `deletion` ends it.

    Raises:
        SystemRefusedError: There is no room, or no place where this user may write.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="modelrepo-"))
    except OSError as error:
        raise from_os(error, "make a directory for temporary files", outside=True) from error
