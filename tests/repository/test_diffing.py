"""`diff` says what changes for callers and on disk, of versions and of paths, and loads nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.errors import IntegrityError, NotFoundError, SourceError

Look = Callable[[Path], dict[str, tuple[Any, ...]]]


@pytest.fixture
def contracts(repository: Repository, samples: Path) -> Repository:
    """v1 and v2 with the same contract, v3 with another one."""
    for name in ("classifier_v1", "classifier_v2", "renamed_input"):
        repository.push(samples / name, load=False)
    return repository


def test_what_breaks_callers_and_what_does_not_stands_beside_files_sizes_and_ops(contracts: Repository) -> None:
    result = contracts.diff("v1", "v3")
    assert (result.before.version, result.after.version) == (Version(1), Version(3))
    assert result.signatures is not None
    assert [change.kind for change in result.signatures.breaking].count("input-removed") == 2
    assert [file.path for file in result.files.changed if file.path == "saved_model.pb"]
    assert result.size.before == contracts.show("v1").size
    assert result.size.after == contracts.show("v3").size
    assert result.ops is not None
    assert result.ops["Relu"].before > result.ops["Relu"].after == 0


def test_a_model_does_not_differ_from_itself_wherever_it_lies(contracts: Repository, samples: Path) -> None:
    for before, after in (("v1", "v1"), ("v1", str(samples / "classifier_v1")), (str(samples / "classifier_v1"), "1")):
        result = contracts.diff(before, after)
        assert result.signatures is not None
        assert (result.signatures.breaking, result.signatures.compatible, result.ops) == ((), (), {})
        assert (result.files.added, result.files.removed, result.files.changed) == ((), (), ())


def test_the_way_back_swaps_what_was_added_and_what_was_removed(contracts: Repository, samples: Path) -> None:
    there, back = (contracts.diff("v1", str(samples / "vocabulary")), contracts.diff(str(samples / "vocabulary"), "v1"))
    assert [file.path for file in there.files.added] == ["assets/vocabulary.txt"]
    assert [file.path for file in there.files.added] == [file.path for file in back.files.removed]
    assert [file.path for file in there.files.changed] == [file.path for file in back.files.changed]
    assert {file.before for file in there.files.added} == {None}
    assert (there.size.before, there.size.after) == (back.size.after, back.size.before)


def test_a_file_of_the_same_size_and_other_bytes_is_changed(repository: Repository, model: Callable[..., Path]) -> None:
    one = model("one")
    repository.push(one, load=False)
    (one / "assets.extra" / "note.txt").write_text("eno")
    changed = repository.diff("v1", str(one)).files.changed
    assert [(file.path, file.before, file.after) for file in changed] == [("assets.extra/note.txt", 3, 3)]


def test_a_deleted_version_is_compared_by_its_manifest(contracts: Repository) -> None:
    contracts.remove(["v1"])
    result = contracts.diff("v1", "v3")
    assert (result.before.path, result.ops) == (None, None)
    assert result.signatures is not None
    assert result.signatures.breaking
    assert result.warnings == ("ops were not compared: v1 was deleted",)


def test_two_paths_need_no_repository(tmp_path: Path, samples: Path) -> None:
    nowhere = Repository(tmp_path / "nowhere")
    result = nowhere.diff(str(samples / "classifier_v1"), str(samples / "renamed_input"))
    assert result.signatures is not None
    assert result.signatures.breaking
    assert not nowhere.root.exists()


def test_comparing_changes_nothing(contracts: Repository, look: Look) -> None:
    before = look(contracts.root)
    contracts.diff("v1", "v3")
    assert look(contracts.root) == before


def test_what_is_not_there_or_no_model_is_said(contracts: Repository, tmp_path: Path, samples: Path) -> None:
    with pytest.raises(NotFoundError):
        contracts.diff("v1", "v9")
    with pytest.raises(SourceError):
        contracts.diff("v1", str(tmp_path / "nothing"))
    broken = Path(shutil.copytree(samples / "tf1_linear", tmp_path / "broken"))
    (broken / "saved_model.pb").write_bytes(b"\xff" * 99)
    with pytest.raises(SourceError) as caught:
        contracts.diff("v1", str(broken))
    assert caught.value.kind == "model-unparsable"


def test_where_tensorflow_is_not_installed_manifests_are_compared_all_the_same(
    contracts: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's Python finds no module of that name."""
    (tmp_path / "sitecustomize.py").write_text("""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == "tensorflow" else find(name, path, target)
PathFinder.find_spec = find_spec
""")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[2]}")
    result = contracts.diff("v1", "v3")
    assert result.signatures is not None
    assert result.signatures.breaking
    assert result.ops is None
    assert "TensorFlow is not installed" in result.warnings[0]


@pytest.mark.parametrize("harm", ["gone", "a link", "a directory", "garbage"])
def test_a_version_whose_model_is_damaged_is_5_not_a_source_that_is_none(contracts: Repository, harm: str) -> None:
    model = Path(contracts.path("v1").path) / "saved_model.pb"
    model.chmod(0o644)
    if harm == "garbage":
        model.write_bytes(b"\xff" * model.stat().st_size)
    else:
        model.rename(model.with_name("moved"))
    if harm == "a link":
        model.symlink_to("moved")
    elif harm == "a directory":
        model.mkdir()
    for call in (lambda: contracts.diff("v1", "v2"), lambda: contracts.inspect("v1")):
        with pytest.raises(IntegrityError) as caught:
            call()
        assert caught.value.kind == "version-damaged"
        assert "v1" in caught.value.message
