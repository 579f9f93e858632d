"""What a command will need, begun while the command line still finds out what it is asked."""

from __future__ import annotations

from modelrepo.savedmodel import child


def expect_models() -> None:
    """Let the process that reads models start now: some command will read one."""
    child.start()
