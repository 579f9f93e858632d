"""`export` gives a plain copy that is whole or absent, and a push of it knows where it came from."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.errors import (
    IntegrityError,
    NotFoundError,
    RefusedError,
    RequestError,
    SourceError,
    SystemRefusedError,
    UnconfirmedError,
)
from modelrepo.fs import copying, durable, look

Models = Callable[[str], Path]


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    """A place for the copy."""
    return tmp_path / "export"


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def beside(goal: Path) -> list[str]:
    return sorted(name for name in os.listdir(goal.parent) if name.startswith("."))


@pytest.mark.parametrize("there", ["an empty directory", "nothing"])
def test_the_copy_is_the_version_with_its_manifest_and_any_tool_can_check_it(
    filled: Repository, goal: Path, there: str
) -> None:
    if there != "nothing":
        goal.mkdir()
    result = filled.export("v2", goal)
    shown = filled.show("v2")
    assert (result.version, result.path) == (Version(2), str(goal))
    assert (result.files, result.size) == (len(shown.files), shown.size)
    assert files(goal) == files(filled.root / "v2")
    command = (
        r"find . -type f ! -path ./manifest.json -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -- | sha256sum"
    )
    printed = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True, cwd=goal).stdout
    assert f"sha256:{printed.split()[0]}" == shown.digest
    assert beside(goal) == []


def test_its_modes_are_those_of_any_new_file(filled: Repository, goal: Path) -> None:
    before = os.umask(0o027)
    try:
        filled.export("v1", goal)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in goal.rglob("*") if path.is_file()} == {0o640}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (goal, *goal.rglob("*")) if path.is_dir()} == {0o750}


def test_empty_directories_come_along(repository: Repository, model: Models, goal: Path) -> None:
    source = model("one")
    (source / "assets" / "none").mkdir(parents=True)
    repository.push(source, load=False)
    repository.export("v1", goal)
    assert (goal / "assets" / "none").is_dir()


@pytest.mark.parametrize("what", ["directory", "file", "link to a directory that holds something"])
def test_what_is_there_is_not_overwritten(filled: Repository, goal: Path, what: str) -> None:
    if what == "file":
        goal.write_text("mine")
    else:
        place = goal if what == "directory" else goal.with_name("elsewhere")
        place.mkdir()
        (place / "mine").write_text("mine")
        if what != "directory":
            goal.symlink_to(place)
    before = files(goal.parent)
    with pytest.raises(RefusedError) as caught:
        filled.export("v1", goal)
    assert caught.value.kind == "not-empty"
    assert files(goal.parent) == before
    assert beside(goal) == []


def test_what_comes_while_it_copies_is_not_overwritten_either(
    filled: Repository, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = copying.sync_directories

    def sync(*arguments: Any) -> None:
        goal.mkdir()
        (goal / "mine").write_text("mine")
        real(*arguments)

    monkeypatch.setattr(copying, "sync_directories", sync)
    with pytest.raises(RefusedError):
        filled.export("v1", goal)
    assert files(goal) == {"mine": b"mine"}
    assert beside(goal) == []


def test_the_goal_lies_outside_the_repository_in_a_directory_that_is_there(filled: Repository, goal: Path) -> None:
    for place in (filled.root / "copy", filled.root / "v1" / "copy", filled.root):
        with pytest.raises(RefusedError) as caught:
            filled.export("v1", place)
        assert caught.value.kind == "inside-repository"
    with pytest.raises(NotFoundError) as missing:
        filled.export("v1", goal / "deeper" / "copy")
    assert missing.value.kind == "directory-missing"
    with pytest.raises(RequestError):
        filled.export("v1", "")


@pytest.mark.parametrize("damage", ["bytes", "missing", "replaced by a link", "manifest"])
def test_a_damaged_version_is_not_exported(filled: Repository, goal: Path, damage: str) -> None:
    name = "manifest.json" if damage == "manifest" else "saved_model.pb"
    file = filled.root / "v1" / name
    data = file.read_bytes()
    file.unlink()
    if damage in {"bytes", "manifest"}:
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage != "missing":
        (filled.root.parent / "moved").write_bytes(data)
        file.symlink_to(filled.root.parent / "moved")
    with pytest.raises(IntegrityError):
        filled.export("v1", goal)
    assert not goal.exists()
    assert beside(goal) == []


def test_a_file_that_was_not_pushed_is_not_exported(filled: Repository, goal: Path) -> None:
    (filled.root / "v1" / "extra.txt").write_text("not pushed")
    filled.export("v1", goal)
    assert not (goal / "extra.txt").exists()


def test_without_room_nothing_is_begun(filled: Repository, goal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "room", lambda _path: (4096, 1000))
    with pytest.raises(SystemRefusedError) as caught:
        filled.export("v1", goal)
    assert caught.value.kind == "no-space"
    assert caught.value.hint == "free some room there, or name another place"
    assert not goal.exists()


def test_the_version_is_leased_while_it_is_copied(
    filled: Repository, goal: Path, ageless: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.promote("v3")
    real = copying.copy
    kept: list[tuple[str, ...]] = []

    def copy(*arguments: Any, **options: Any) -> Any:
        kept.extend(kept.reasons for kept in filled.cleanup(**ageless).kept if kept.version == Version(1))
        return real(*arguments, **options)

    monkeypatch.setattr(copying, "copy", copy)
    filled.export("v1", goal)
    assert "leased" in kept[0]


def test_a_last_sync_that_fails_is_said(
    filled: Repository, goal: Path, sync_fails: Callable[[Path, int], None]
) -> None:
    sync_fails(goal.parent, 1)
    with pytest.raises(UnconfirmedError) as caught:
        filled.export("v1", goal)
    assert caught.value.partial.path == str(goal)
    assert files(goal) == files(filled.root / "v1")


def test_a_copy_that_is_in_place_is_said_to_be_there_although_nothing_can_be_opened_any_more(
    filled: Repository, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the rename there are no descriptors left: neither for the sync, nor to look for what was left over."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    real = durable.replace_empty_directory

    def replace(old: Path, new: Path) -> None:
        real(old, new)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))

    monkeypatch.setattr(durable, "replace_empty_directory", replace)
    try:
        with pytest.raises(UnconfirmedError, match="is there, but"):
            filled.export("v1", goal)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert files(goal) == files(filled.root / "v1")


# Taking an export in


@pytest.fixture
def elsewhere(tmp_path: Path) -> Repository:
    """A repository on what could be another host."""
    other = Repository(tmp_path / "elsewhere")
    other.init()
    return other


def test_a_push_of_an_export_records_where_it_came_from(
    repository: Repository, elsewhere: Repository, model: Models, goal: Path
) -> None:
    source = model("one")
    repository.push(source, load=False, message="first", labels={"team": "ads"}, metrics={"auc": 0.5})
    repository.export("v1", goal)
    pushed = elsewhere.push(goal, load=False, number=7, labels={"host": "b"})
    there, here = repository.show("v1"), elsewhere.show("v7")
    assert (pushed.version, here.digest) == (Version(7), there.digest)
    assert here.source.path == str(goal)
    origin = here.source.exported
    assert origin is not None
    assert (origin.version, origin.manifest_digest, origin.path) == (Version(1), there.manifest_digest, str(source))
    assert (origin.created_at, origin.created_by, origin.host) == (
        there.created_at, there.created_by, there.source.host,
    )  # fmt: skip
    assert (here.message, here.labels, here.metrics) == ("first", {"host": "b", "team": "ads"}, {"auc": 0.5})
    assert files(elsewhere.root / "v7").keys() == files(repository.root / "v1").keys()
    assert elsewhere.verify().findings == ()
    assert elsewhere.promote(there.digest[:20]).to == Version(7)


def test_a_version_can_be_pushed_straight_from_another_repository(filled: Repository, elsewhere: Repository) -> None:
    elsewhere.push(filled.root / "v2", load=False)
    exported = elsewhere.show("v1").source.exported
    assert exported is not None
    assert exported.version == Version(2)


@pytest.mark.parametrize("change", ["other bytes", "missing", "new"])
def test_an_export_that_changed_on_its_way_is_refused(
    filled: Repository, elsewhere: Repository, goal: Path, change: str
) -> None:
    filled.export("v1", goal)
    note = goal / "assets.extra" / "note.txt"
    if change == "missing":
        note.unlink()
    else:
        (note if change == "other bytes" else goal / "new.txt").write_text("eno")
    with pytest.raises(IntegrityError) as caught:
        elsewhere.push(goal, load=False)
    assert caught.value.kind == "export-damaged"
    path = "new.txt" if change == "new" else "assets.extra/note.txt"
    assert caught.value.items[0].startswith(path)
    assert change.rsplit(maxsplit=1)[-1] in caught.value.items[0]
    assert elsewhere.list() == ()
    assert os.listdir(elsewhere.root / ".modelrepo" / "staging") == []


def test_a_manifest_that_is_not_modelrepos_is_refused_and_one_of_a_newer_format_said(
    filled: Repository, elsewhere: Repository, goal: Path
) -> None:
    filled.export("v1", goal)
    raw = (goal / "manifest.json").read_bytes()
    (goal / "manifest.json").write_text('{"version": "1.0"}')
    with pytest.raises(SourceError, match=r"manifest\.json is no manifest of modelrepo's"):
        elsewhere.push(goal, load=False)
    (goal / "manifest.json").write_text(json.dumps({**json.loads(raw), "format": 99}))
    with pytest.raises(IntegrityError) as caught:
        elsewhere.push(goal, load=False)
    assert caught.value.kind == "newer-format"
    assert elsewhere.list() == ()


def test_without_its_manifest_it_is_a_model_like_any_other(
    filled: Repository, elsewhere: Repository, goal: Path
) -> None:
    filled.export("v1", goal)
    (goal / "manifest.json").unlink()
    elsewhere.push(goal, load=False)
    assert elsewhere.show("v1").source.exported is None


# Numbers that hosts agree on


def test_a_wanted_number_is_taken_and_the_next_one_follows_it(repository: Repository, model: Models) -> None:
    assert repository.push(model("one"), load=False, number=1_700_000_000).version == Version(1_700_000_000)
    assert repository.push(model("two"), load=False).version == Version(1_700_000_001)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_number_that_is_not_above_all_others_is_refused_before_anything_is_copied(
    filled: Repository, model: Models, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.remove(["v2"])
    if number == 2:
        monkeypatch.setattr(copying, "copy", lambda *_: pytest.fail("it was copied"))
    with pytest.raises(RefusedError) as caught:
        filled.push(model("four"), load=False, number=number)
    assert caught.value.kind == "number-spent"
    assert len(filled.list()) == 2


def test_a_foreign_name_spends_its_number_too(filled: Repository, model: Models) -> None:
    (filled.root / "v9").mkdir()
    with pytest.raises(RefusedError):
        filled.push(model("four"), load=False, number=9)
    assert filled.push(model("five"), load=False, number=10).version == Version(10)


def test_pushing_the_same_content_under_its_number_again_is_a_push_again(filled: Repository, tmp_path: Path) -> None:
    again = filled.push(tmp_path / "exports" / "two", load=False, number=2)
    assert (again.version, again.created) == (Version(2), False)


def test_content_that_another_number_has_is_refused_unless_that_is_allowed(filled: Repository, tmp_path: Path) -> None:
    source = tmp_path / "exports" / "two"
    with pytest.raises(RefusedError) as caught:
        filled.push(source, load=False, number=7)
    assert caught.value.kind == "content-elsewhere"
    assert filled.push(source, load=False, number=7, allow_duplicate=True).version == Version(7)


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**70])
def test_what_cannot_be_a_number_is_refused(filled: Repository, model: Models, number: int) -> None:
    with pytest.raises(RequestError):
        filled.push(model("four"), load=False, number=number)


def test_a_manifest_may_not_say_what_no_push_could(filled: Repository, elsewhere: Repository, goal: Path) -> None:
    filled.export("v1", goal)
    fields = json.loads((goal / "manifest.json").read_bytes())
    for wrong in ({"message": "x" * 5000}, {"message": "\x1b[2J"}, {"message": "\ud800"}, {"labels": {"a=b": "c"}}):
        (goal / "manifest.json").write_text(json.dumps({**fields, **wrong}))
        with pytest.raises(SourceError):
            elsewhere.push(goal, load=False)
    assert elsewhere.list() == ()


def test_nothing_is_exported_into_another_repository(filled: Repository, elsewhere: Repository) -> None:
    for place in (elsewhere.root / "v1", elsewhere.root / ".modelrepo" / "trash" / "x"):
        with pytest.raises(RefusedError) as caught:
            filled.export("v1", place)
        assert caught.value.kind == "inside-repository"


def test_what_a_killed_export_left_goes_with_the_next_one_unless_somebody_holds_it(
    filled: Repository, goal: Path, flock: Callable[..., subprocess.Popen[str]]
) -> None:
    for name in (".modelrepo-export-dead", ".modelrepo-export-held"):
        (goal.parent / name).mkdir()
        (goal.parent / name / "saved_model.pb").touch()
    flock(goal.parent / ".modelrepo-export-held")
    filled.export("v1", goal)
    assert beside(goal) == [".modelrepo-export-held"]


def test_an_empty_mount_point_is_told_from_what_holds_something(filled: Repository, goal: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    goal.mkdir()
    call = f"exec {sys.executable} -m modelrepo -r {filled.root} export v1 {goal}"
    words = ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {goal} && {call}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    if "mount:" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.returncode == 4
    assert "is a mount point" in done.stderr
    assert beside(goal) == []
