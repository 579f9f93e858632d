"""A mounted repository is not changed by those who may not: each writing command says so and leaves no trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository

Container = Any
SOMEBODY = 54321
_WRITING = (
    "push /out/model --no-load", "promote v1", "promote v3 --channel beta", "rollback", "annotate v1 -m changed",
    "pin v1", "unpin v1", "cleanup", "remove v1", "channel remove canary", "verify --repair",
)  # fmt: skip


def picture(root: Path) -> dict[Path, tuple[int, ...]]:
    """Of every entry its inode, mode, owner, size and times."""
    paths = (root, *root.rglob("*"))
    seen = {path: path.lstat() for path in paths}
    return {
        path: (it.st_ino, it.st_mode, it.st_uid, it.st_size, it.st_mtime_ns, it.st_ctime_ns)
        for path, it in seen.items()
    }


@pytest.mark.parametrize(
    ("user", "options", "kinds"),
    [
        (SOMEBODY, "ro", {"permission", "read-only"}),
        (SOMEBODY, "rw", {"permission"}),
        (0, "ro", {"read-only"}),
    ],
)
def test_writing_commands_answer_8_and_change_nothing(
    live: Repository, container: Container, user: int, options: str, kinds: set[str]
) -> None:
    (container.out / "model").mkdir()
    (container.out / "model" / "saved_model.pb").write_bytes((live.root / "v1" / "saved_model.pb").read_bytes())
    before = picture(live.root)
    for words in _WRITING:
        done = container.modelrepo("--json", *words.split(), user=user, options=options)
        assert done.returncode == 8, (words, done.stderr)
        assert json.loads(done.stdout)["error"]["kind"] in kinds, words
        assert picture(live.root) == before, words
