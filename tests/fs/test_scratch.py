"""Directories for temporary files."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.errors import SystemRefusedError
from modelrepo.fs import deletion, scratch


def test_it_is_this_users_alone() -> None:
    place = scratch.make()
    assert place.stat().st_mode & 0o777 == 0o700
    deletion.delete_tree(place)
    assert not place.exists()


def test_without_room_for_it_nobody_is_sent_to_cleanup(
    filled: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies on another disk than the repository, mostly."""

    def full(**_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", tempfile.gettempdir())

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    for act in (filled.push, filled.inspect):
        with pytest.raises(SystemRefusedError) as caught:
            act(str(tmp_path / "exports" / "one"))
        assert (caught.value.kind, caught.value.hint) == ("no-space", "free some room there, or name another place")
