"""A repository is opened by its settings and its journal, or it is a clear error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError, NoRepositoryError


def test_no_repository_says_what_to_do(tmp_path: Path) -> None:
    for place in (tmp_path / "missing", tmp_path):
        with pytest.raises(NoRepositoryError) as caught:
            Repository(place).status()
        assert "init" in (caught.value.hint or "")
        assert "--repo" in (caught.value.hint or "")
    (tmp_path / "file").touch()
    with pytest.raises(NoRepositoryError):
        Repository(tmp_path / "file").status()


CONFIGS = {
    "format = 2\n": "newer-format",
    "format = 99\n[new]\nkey = 1\n": "newer-format",
    "format = 0\n": "config-damaged",
    'format = "1"\n': "config-damaged",
    "": "config-damaged",
    "format = 1\nother = 2\n": "config-damaged",
    "format = 1\n[retention]\nkeep_last = -1\n": "config-damaged",
    'format = 1\n[retention]\nmin_age = "1 day"\n': "config-damaged",
    'format = 1\n[gates]\nbreaking = "maybe"\n': "config-damaged",
    "format = 1\n\x00": "config-damaged",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_settings_that_cannot_be_used_are_5_for_everybody(filled: Repository, layout: Layout, text: str) -> None:
    layout.config.write_text(text)
    for call in (filled.status, filled.list, lambda: filled.path("v1"), lambda: filled.promote("v1"), filled.cleanup):
        with pytest.raises(IntegrityError) as caught:
            call()
        assert caught.value.kind == CONFIGS[text]
        assert str(layout.config) in caught.value.message


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_settings_that_are_no_file_are_5_and_nobody_hangs(filled: Repository, layout: Layout, kind: str) -> None:
    layout.config.unlink()
    if kind == "directory":
        layout.config.mkdir()
    elif kind == "link":
        layout.config.symlink_to("/dev/zero")
    else:
        os.mkfifo(layout.config)
    for call in (filled.status, lambda: filled.pin("v1"), filled.init):
        with pytest.raises(IntegrityError):
            call()


def test_a_journal_that_is_gone_is_5(filled: Repository, layout: Layout) -> None:
    layout.journal.unlink()
    for call in (filled.status, filled.list, lambda: filled.promote("v1"), filled.history):
        with pytest.raises(IntegrityError):
            call()
    assert not layout.journal.exists()


def test_settings_that_are_gone_beside_versions_are_5(filled: Repository, layout: Layout) -> None:
    layout.config.unlink()
    with pytest.raises(IntegrityError) as caught:
        filled.status()
    assert caught.value.kind == "config-missing"
