"""A version's files: their names, their digests, and the one digest of all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from modelrepo.core.values import has_control

#: Bounds at push.
MAX_FILES = 100_000
MAX_LEVELS = 32
MAX_NAME_BYTES = 200
#: A manifest of the largest version that push takes fits easily; what is larger was not written by modelrepo.
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
#: The largest file of requests, golden or for a prediction.
MAX_REQUEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a version.

    Attributes:
        path: Relative to the version, with `/`.
        size: Bytes.
        digest: `sha256:` and 64 hex digits of its bytes.
    """

    path: str
    size: int
    digest: str
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def name_problem(name: str) -> str | None:
    r"""Say why a file or directory of this name cannot be stored, or None.

    Args:
        name: One component of a path, as `os.fsdecode` gives it.

    >>> name_problem("variables.index") is None, name_problem("a\nb"), name_problem("x" * 201)
    (True, 'holds control characters', 'is longer than 200 bytes')
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if has_control(name):
        return "holds control characters"
    if len(raw) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None


def is_safe_path(path: str) -> bool:
    """Tell whether a manifest's path stays inside its version.

    >>> [is_safe_path(path) for path in ("a/b", "/a", "../a", "a/../b", "a//b", "")]
    [True, False, False, False, False, False]
    """
    return all(part not in {"", ".", ".."} and name_problem(part) is None for part in path.split("/"))


def content_digest(files: Iterable[FileEntry]) -> str:
    r"""The digest of a version's content.

    It is the SHA-256 of what this prints in the source, so that anybody can check it without modelrepo:
    `find . -type f ! -path ./manifest.json -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum --`

    >>> content_digest([FileEntry(path="a", size=0, digest="sha256:" + hashlib.sha256(b"").hexdigest())])[:14]
    'sha256:fba1930'
    """
    whole = hashlib.sha256()
    for entry in sorted(files, key=lambda entry: entry.path.encode()):
        whole.update(_sha256sum_line(entry))
    return f"sha256:{whole.hexdigest()}"


def _sha256sum_line(entry: FileEntry) -> bytes:
    """GNU sha256sum marks a name that it had to escape by a backslash before the line."""
    escaped = entry.path.replace("\\", "\\\\")
    mark = "\\" if escaped != entry.path else ""
    return f"{mark}{entry.digest.removeprefix('sha256:')}  {escaped}\n".encode()
