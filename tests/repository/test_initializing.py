"""`init` makes a repository in an empty place, whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError, NoRepositoryError, RefusedError, StorageError
from modelrepo.fs import durable


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_tree_is_the_promised_one_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        result = Repository(tmp_path / "ranker").init()
    finally:
        os.umask(before)
    layout = Layout(tmp_path / "ranker")
    assert (result.repo, result.created, result.adopted) == (str(layout.root), True, ())
    assert sorted(os.listdir(layout.root)) == [".modelrepo", "serving"]
    assert sorted(os.listdir(layout.state)) == [
        "ballast",
        "config.toml",
        "journal.jsonl",
        "lock",
        "removed",
        "staging",
        "trash",
    ]
    assert [mode(path) for path in (layout.staging, layout.trash, layout.lock)] == [0o700, 0o700, 0o600]
    assert [mode(path) for path in (layout.root, layout.state, layout.serving, layout.removed)] == [0o755] * 4
    assert [mode(path) for path in (layout.config, layout.journal)] == [0o644] * 2
    assert os.listdir(layout.staging) == os.listdir(layout.trash) == []


def test_the_ballast_is_sixteen_pieces_of_64_kib(layout: Layout) -> None:
    assert [path.stat().st_size for path in layout.ballast.iterdir()] == [65536] * 16


def test_missing_parents_are_made(tmp_path: Path) -> None:
    assert Repository(tmp_path / "a" / "b" / "ranker").init().created
    assert Repository(tmp_path / "a" / "b" / "ranker").status().versions == 0


def test_a_second_init_changes_no_byte(
    repository: Repository, look: Callable[[Path], dict[str, tuple[Any, ...]]]
) -> None:
    before = look(repository.root)
    assert repository.init().created is False
    assert look(repository.root) == before


def test_what_file_systems_put_there_does_not_count(tmp_path: Path) -> None:
    root = tmp_path / "volume"
    (root / "lost+found").mkdir(parents=True)
    assert Repository(root).init().created
    assert Repository(root).status().problems == ()


def test_a_directory_with_anything_else_is_refused_naming_up_to_five_entries(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"entry{number}").touch()
    with pytest.raises(RefusedError) as caught:
        Repository(tmp_path).init()
    assert caught.value.got == "entry0, entry1, entry2, entry3, entry4, …"
    assert not (tmp_path / ".modelrepo").exists()


def test_a_file_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ranker").touch()
    with pytest.raises(RefusedError):
        Repository(tmp_path / "ranker").init()


def test_a_place_inside_another_repository_is_refused(repository: Repository) -> None:
    for place in (repository.root / "inner", repository.root / "v1" / "deep"):
        with pytest.raises(RefusedError, match="inside the repository"):
            Repository(place).init()
    assert sorted(os.listdir(repository.root)) == [".modelrepo", "serving"]


def test_an_interrupted_init_is_no_repository_and_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository(tmp_path / "ranker")
    real = durable.replace_file

    def broken(path: Path, *rest: Any) -> None:
        if path.name == "config.toml":
            with pytest.raises(NoRepositoryError):
                repository.status()  # nobody sees it before it is whole
            raise OSError(5, "Input/output error")
        real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace_file", broken)
        with pytest.raises(StorageError):
            repository.init()
    with pytest.raises(NoRepositoryError) as caught:
        repository.status()
    assert caught.value.kind == "repository-unfinished"
    assert repository.init().created
    assert repository.verify().ok


def test_two_at_once_make_one_repository(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "modelrepo", "--json", "-r", str(tmp_path / "ranker"), "init"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted('"created": true' in text for text in said) == [False, True]
    assert Repository(tmp_path / "ranker").verify().ok


def test_a_repository_that_lost_its_settings_is_not_made_anew(filled: Repository, layout: Layout) -> None:
    journal = layout.journal.read_bytes()
    layout.config.unlink()
    with pytest.raises(IntegrityError):
        filled.init()
    assert not layout.config.exists()
    assert layout.journal.read_bytes() == journal


def test_a_history_without_versions_and_settings_is_not_made_anew(
    filled: Repository, layout: Layout, ageless: dict[str, Any]
) -> None:
    filled.cleanup(**ageless)
    layout.config.unlink()
    with pytest.raises(IntegrityError, match="history"):
        filled.init()


def test_a_newer_format_is_left_alone(repository: Repository, layout: Layout) -> None:
    layout.config.write_text("format = 2\n")
    with pytest.raises(IntegrityError) as caught:
        repository.init()
    assert (caught.value.kind, caught.value.expected, caught.value.got) == ("newer-format", "format 1", "format 2")
