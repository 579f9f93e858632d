"""What was made of a version lies beside it, whole, and goes with it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository
from modelrepo.errors import IntegrityError

from .kept import keep, record_of

DERIVED = Path(".modelrepo", "derived")


def lying(root: Path) -> set[str]:
    """All that lies in `derived`, below it."""
    return {str(path.relative_to(root / DERIVED)) for path in (root / DERIVED).rglob("*")}


def test_it_lies_there_whole_with_its_record_and_can_only_be_read(filled: Repository) -> None:
    place, created = keep(filled.root, "v2")
    assert created
    assert place.parent == filled.root / DERIVED / "v2"
    assert sorted(os.listdir(place)) == ["model.tflite", "record.json"]
    assert (place / "model.tflite").read_bytes() == b"a model"
    assert json.loads((place / "record.json").read_bytes())["version"] == "v2"
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o444}
    assert {path.stat().st_mode & 0o777 for path in (place, *place.parents[:2])} == {0o755}
    assert os.listdir(filled.root / ".modelrepo" / "staging") == []
    assert filled.verify().findings == ()


def test_the_same_content_is_kept_once_and_other_content_beside_it(filled: Repository) -> None:
    place, _ = keep(filled.root, "v2")
    before = place.stat().st_ino
    assert keep(filled.root, "v2") == (place, False)
    assert place.stat().st_ino == before
    other, created = keep(filled.root, "v2", b"another")
    assert created
    assert other.parent == place.parent
    assert other != place


def test_it_changes_nothing_of_its_version(filled: Repository) -> None:
    digest, files = filled.show("v2").digest, sorted(os.listdir(filled.root / "v2"))
    keep(filled.root, "v2")
    assert (filled.show("v2").digest, sorted(os.listdir(filled.root / "v2"))) == (digest, files)
    assert filled.push(filled.root.parent / "exports" / "two", load=False).created is False


def test_show_lists_it_and_says_why_one_cannot_be_read(filled: Repository) -> None:
    assert filled.show("v2").derived == ()
    place, _ = keep(filled.root, "v2")
    broken, _ = keep(filled.root, "v2", b"another")
    (broken / "record.json").chmod(0o644)
    (broken / "record.json").write_text("{}")
    shown = {each.name: each for each in filled.show("v2").derived}
    assert shown[place.name].path == str(place)
    assert shown[place.name].record == record_of(filled.root, "v2", b"a model").model_copy(
        update={"created_at": shown[place.name].record.created_at}  # type: ignore[union-attr]
    )
    assert shown[broken.name].record is None
    assert "is no record" in str(shown[broken.name].problem)
    assert filled.show("v3").derived == ()


def test_remove_and_cleanup_delete_it_with_its_version_and_no_other(
    filled: Repository, ageless: dict[str, Any]
) -> None:
    filled.promote("v3")
    for version in ("v1", "v2", "v3"):
        keep(filled.root, version)
    filled.remove(["v1"])
    assert sorted(os.listdir(filled.root / DERIVED)) == ["v2", "v3"]
    expected = filled.cleanup(dry_run=True, **ageless).freed
    done = filled.cleanup(**ageless)
    assert (list(map(str, done.removed)), done.freed) == (["v2"], expected)
    assert os.listdir(filled.root / DERIVED) == ["v3"]
    assert os.listdir(filled.root / ".modelrepo" / "trash") == []
    assert filled.show("v1").derived == ()


def test_what_is_left_of_a_version_that_is_gone_is_told_and_the_next_cleanup_deletes_it(filled: Repository) -> None:
    keep(filled.root, "v2")
    elsewhere = filled.root.parent / "elsewhere"
    shutil.copytree(filled.root / DERIVED, elsewhere)
    filled.remove(["v2"])
    shutil.copytree(elsewhere / "v2", filled.root / DERIVED / "v2")
    (filled.root / DERIVED / "notes").mkdir()
    findings = filled.verify().findings
    assert [(found.kind, found.path, found.note) for found in findings] == [("leftover", str(DERIVED / "v2"), True)]
    filled.cleanup()
    assert os.listdir(filled.root / DERIVED) == ["notes"]


@pytest.mark.parametrize(
    ("harm", "detail"),
    [
        (lambda place: (place / "model.tflite").write_bytes(b"A model"), "its digest is not"),
        (lambda place: (place / "model.tflite").write_bytes(b"short"), "it has 5 bytes, not 7"),
        (lambda place: (place / "model.tflite").unlink(), "it is gone, or no file"),
        (lambda place: (place / "record.json").unlink(), "is no record"),
        (lambda place: (place / "more").write_text("x"), "it was not made with the rest"),
        (lambda place: place.rename(place.with_name("x")) and place.write_text("x"), "it lies in no directory"),
        (lambda place: place.rename(place.with_name("x")) and place.symlink_to("/etc"), "it lies in no directory"),
        (lambda place: place.rename(place.with_name("tflite-000000000000")), "it is of tflite-"),
    ],
)
def test_verify_names_what_is_not_as_it_was(filled: Repository, harm: Callable[[Path], Any], detail: str) -> None:
    place, _ = keep(filled.root, "v2")
    for path in place.iterdir():
        path.chmod(0o644)
    harm(place)
    result = filled.verify(["v2"])
    assert not result.ok
    assert {found.kind for found in result.findings} == {"derived-damaged"}
    assert any(detail in found.detail for found in result.findings)
    assert filled.verify(["v3"]).ok
    filled.remove(["v2"])
    assert os.listdir(filled.root / DERIVED) == []
    assert Path("/etc/passwd").exists()


def test_damage_of_it_is_no_damage_of_its_version(filled: Repository) -> None:
    """A push of the same content finds the version sound, and makes no second one."""
    place, _ = keep(filled.root, "v2")
    (place / "model.tflite").chmod(0o644)
    (place / "model.tflite").write_bytes(b"A model")
    pushed = filled.push(filled.root.parent / "exports" / "two", load=False)
    assert (str(pushed.version), pushed.created) == ("v2", False)


def test_a_quick_verify_reads_no_bytes_of_it(filled: Repository) -> None:
    place, _ = keep(filled.root, "v2")
    (place / "model.tflite").chmod(0o644)
    (place / "model.tflite").write_bytes(b"A model")
    (place / "model.tflite").chmod(0o444)
    assert filled.verify(["v2"], quick=True).ok
    assert not filled.verify(["v2"]).ok


def test_where_something_else_has_its_name_nothing_is_kept(filled: Repository) -> None:
    place, _ = keep(filled.root, "v2")
    (place / "record.json").chmod(0o644)
    (place / "record.json").write_text("{}")
    with pytest.raises(IntegrityError, match="is no record"):
        keep(filled.root, "v2")
    shutil.rmtree(filled.root / DERIVED)
    (filled.root / DERIVED).symlink_to(filled.root.parent)
    with pytest.raises(IntegrityError) as caught:
        keep(filled.root, "v2")
    assert caught.value.kind == "directory-replaced"
    assert not (filled.root.parent / "v2").exists()


def test_in_a_shared_repository_the_group_may_delete_it(tmp_path: Path, model: Callable[[str], Path]) -> None:
    repository = Repository(tmp_path / "shared")
    repository.init(shared=str(os.getgid()))
    repository.push(model("one"), load=False)
    place, _ = keep(repository.root, "v1")
    assert {path.stat().st_mode & 0o7777 for path in (place, *place.parents[:2])} == {0o2775}
    assert repository.verify().findings == ()
