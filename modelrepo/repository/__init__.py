"""The operations, in the order that keeps the promises."""

import sys

from modelrepo.errors import SystemRefusedError

if sys.platform == "win32":  # before an import fails that only Linux and macOS have
    raise SystemRefusedError(
        "modelrepo does not run on Windows: it needs symbolic links, renames and locks as Linux and macOS have them",
        kind="platform",
        expected="Linux or macOS",
        got="Windows",
        hint="run it in WSL 2, with the repository on WSL's own disk (ext4), or in a Linux container",
    )

from modelrepo.repository.facade import Repository

__all__ = ["Repository"]
