"""A repository is opened by its settings and its journal, or it is a clear error."""

from __future__ import annotations

import os
from functools import partial
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
    "format = 1\n[" + "a." * 100_000 + "a]\n": "config-damaged",
}


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
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


def put(kind: str, path: Path) -> None:
    """Something else in the place of a file or a directory."""
    if path.is_dir():
        path.rename(path.with_name("moved"))
    else:
        path.unlink()
    if kind.startswith("link"):
        path.symlink_to("moved" if kind == "link" else path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_text("x")


@pytest.mark.parametrize("kind", ["link", "link to itself", "pipe", "file"])
def test_state_that_is_no_directory_of_its_own_is_5_for_all(filled: Repository, layout: Layout, kind: str) -> None:
    put(kind, layout.state)
    adopt = partial(filled.init, adopt=True)
    for call in (filled.status, filled.verify, lambda: filled.pin("v1"), filled.cleanup, filled.init, adopt):
        with pytest.raises(IntegrityError) as caught:
            call()
        assert caught.value.kind == "directory-replaced"
        assert str(layout.state) in caught.value.message


@pytest.mark.parametrize("kind", ["link", "link to itself", "pipe", "file"])
@pytest.mark.parametrize("name", ["staging", "trash", "removed", "serving"])
def test_a_directory_that_is_none_stops_who_writes_and_is_named_to_who_reads(
    filled: Repository, layout: Layout, name: str, kind: str
) -> None:
    path = getattr(layout, name)
    put(kind, path)
    for call in (lambda: filled.pin("v1"), filled.cleanup, partial(filled.verify, repair=True)):
        with pytest.raises(IntegrityError) as caught:
            call()
        assert caught.value.kind == "directory-replaced"
    assert [row.version.number for row in filled.list()] == [3, 2, 1]
    found = [problem.path for problem in filled.verify().findings if problem.kind == "directory-replaced"]
    assert found == [str(path.relative_to(layout.root))]


@pytest.mark.parametrize("kind", ["link", "link to itself", "pipe", "directory"])
def test_a_lock_that_is_no_file_stops_who_writes_and_is_named_to_who_reads(
    filled: Repository, layout: Layout, kind: str
) -> None:
    put(kind, layout.lock)
    for call in (lambda: filled.pin("v1"), filled.cleanup, partial(filled.verify, repair=True)):
        with pytest.raises(IntegrityError) as caught:
            call()
        assert caught.value.kind == "lock-replaced"
    assert "lock-replaced" in {problem.kind for problem in filled.status().problems}
    filled.history()


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("kind", ["link to itself", "pipe", "directory"])
def test_a_journal_that_is_no_file_is_5_where_settings_are_gone(
    filled: Repository, layout: Layout, kind: str, *, adopt: bool
) -> None:
    layout.config.unlink()
    put(kind, layout.journal)
    with pytest.raises(IntegrityError):
        filled.init(adopt=adopt)


def test_the_manifest_of_a_removed_version_is_read_by_no_link(filled: Repository, layout: Layout) -> None:
    filled.remove(["v1"])
    put("link", layout.removed)
    with pytest.raises(IntegrityError) as caught:
        filled.show("v1")
    assert caught.value.kind == "directory-replaced"
