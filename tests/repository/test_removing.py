"""`remove` deletes what is named, now; never what a channel, link, pin, lease or process needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError, NotFoundError, RefusedError, RequestError, UnconfirmedError
from modelrepo.fs import deletion, durable
from modelrepo.repository import deleting

Look = Callable[[Path], dict[str, tuple[object, ...]]]


def test_young_versions_go_at_once_and_their_manifests_stay(filled: Repository) -> None:
    size = filled.show("v2").size
    result = filled.remove(["v2", "v3"], reason="wrong data")
    assert result.removed == (Version(2), Version(3))
    assert result.freed == size + filled.show("v3").size
    assert [str(row.version) for row in filled.list()] == ["v1"]
    assert [(str(row.version), row.removed_at is not None) for row in filled.list(removed=True)] == [
        ("v3", True), ("v2", True),
    ]  # fmt: skip
    assert [(entry.action, str(entry.version), entry.reason) for entry in filled.history(limit=2)] == [
        ("remove", "v3", "wrong data"), ("remove", "v2", "wrong data"),
    ]  # fmt: skip
    assert filled.show("v2").path is None
    assert os.listdir(filled.root / ".modelrepo" / "trash") == []
    assert filled.verify().findings == ()


def test_a_rollback_target_may_go_and_leaves_the_stack(filled: Repository) -> None:
    for ref in ("v1", "v2", "v3"):
        filled.promote(ref)
    filled.remove(["v2"])
    assert filled.rollback().to == Version(1)


def test_a_number_that_was_removed_is_not_used_again(filled: Repository, model: Callable[[str], Path]) -> None:
    filled.remove(["v3"])
    assert filled.push(model("four"), load=False).version == Version(4)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda repository: repository.promote("v2"), "channel:latest, serving:latest"),
        (lambda repository: repository.pin("v2"), "pinned"),
        (lambda repository: (repository.root / "Golden").symlink_to("v2"), "link:Golden"),
    ],
)
def test_what_something_needs_is_refused_by_name_and_nothing_goes(
    filled: Repository, look: Look, prepare: Callable[[Repository], object], reason: str
) -> None:
    prepare(filled)
    before = {name: facts for name, facts in look(filled.root).items() if name.startswith("v")}
    with pytest.raises(RefusedError) as caught:
        filled.remove(["v2", "v3"])
    assert caught.value.kind == "version-needed"
    assert caught.value.items[0].startswith(f"v2: {reason}")
    assert {name: facts for name, facts in look(filled.root).items() if name.startswith("v")} == before
    assert not [entry for entry in filled.history() if entry.action == "remove"]


def test_a_leased_version_is_refused(filled: Repository, flock: Callable[..., subprocess.Popen[str]]) -> None:
    holder = flock(filled.root / "v2")
    with pytest.raises(RefusedError) as caught:
        filled.remove(["v2"])
    assert caught.value.items[0].startswith("v2: in-use, leased; ")
    assert f"process {holder.pid} (" in caught.value.items[0]


def test_a_version_that_a_process_reads_is_refused(
    filled: Repository, other: Callable[..., subprocess.Popen[str]]
) -> None:
    reader = other("exec 9< saved_model.pb; cd /; echo ready; read line", cwd=filled.root / "v2")
    with pytest.raises(RefusedError) as caught:
        filled.remove(["v2"])
    assert caught.value.items[0].startswith(f"v2: in-use; process {reader.pid} (")


def test_the_last_version_is_refused(filled: Repository) -> None:
    with pytest.raises(RefusedError) as caught:
        filled.remove(["v1", "v2", "v3"])
    assert caught.value.kind == "last-version"
    assert len(filled.list()) == 3
    filled.remove(["v1", "v2"])
    with pytest.raises(RefusedError):
        filled.remove(["newest"])


def test_one_that_is_not_there_stops_all(filled: Repository) -> None:
    with pytest.raises(NotFoundError):
        filled.remove(["v1", "v9"])
    assert len(filled.list()) == 3
    with pytest.raises(RequestError):
        filled.remove([])


def test_in_an_inconsistent_repository_nothing_goes(filled: Repository) -> None:
    filled.promote("v3")
    (filled.root / "latest").unlink()
    with pytest.raises(IntegrityError):
        filled.remove(["v1"])
    assert len(filled.list()) == 3


def test_a_damaged_version_can_be_removed(filled: Repository) -> None:
    manifest = filled.root / "v2" / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_text("{}")
    assert filled.remove(["v2"]).removed == (Version(2),)
    assert filled.verify().findings == ()


def test_bytes_that_cannot_be_deleted_are_said_and_the_next_cleanup_takes_them(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, **_: object) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(deletion, "delete_tree", fail)
    with pytest.raises(UnconfirmedError) as caught:
        filled.remove(["v2"])
    assert (caught.value.partial.removed, caught.value.partial.freed) == ((Version(2),), 0)
    monkeypatch.undo()
    assert len(os.listdir(layout.trash)) == 1
    filled.cleanup()
    assert os.listdir(layout.trash) == []


@pytest.mark.parametrize("how", ["has deleted it", "deletes it", "leases it"])
def test_bytes_that_another_deletes_are_no_trouble_and_those_that_somebody_leases_are_said(
    filled: Repository,
    layout: Layout,
    flock: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """A cleanup sweeps the trash behind the commit; a shell that stood in the version locks it there."""
    real, size = deleting.empty_trash, filled.show("v2").size

    def meanwhile(*words: Any) -> list[str]:
        monkeypatch.undo()
        if how == "has deleted it":
            assert filled.cleanup().leftovers == 1
        else:
            (name,) = os.listdir(layout.trash)
            flock(layout.trash / name, exclusive=how == "deletes it")
        return real(*words)

    monkeypatch.setattr(deleting, "empty_trash", meanwhile)
    if how == "leases it":
        with pytest.raises(UnconfirmedError, match="are left; the next cleanup"):
            filled.remove(["v2"])
    else:
        assert filled.remove(["v2"]).freed == size
    assert len(os.listdir(layout.trash)) == (how != "has deleted it")


def test_an_unsynced_removal_is_said_and_the_next_writer_records_it(
    filled: Repository, layout: Layout, sync_fails: Callable[[Path, int], None]
) -> None:
    sync_fails(layout.root, 2)  # the first is recovery's
    with pytest.raises(UnconfirmedError) as caught:
        filled.remove(["v1", "v2"], reason="why")
    assert caught.value.partial.removed == (Version(1),)
    assert [str(row.version) for row in filled.list()] == ["v3", "v2"]
    filled.pin("v3")
    entry = filled.history(limit=2)[1]
    assert (entry.action, str(entry.version), entry.reason) == ("remove", "v1", "why")
    assert filled.verify().ok


def test_a_version_that_somebody_deleted_by_hand_is_recorded_as_removed(filled: Repository) -> None:
    shutil.rmtree(filled.root / "v2")
    assert [problem.kind for problem in filled.verify().findings] == ["version-lost"]
    assert "modelrepo remove v2" in filled.verify().findings[0].detail
    with pytest.raises(IntegrityError) as caught:
        filled.show("v2")
    assert "modelrepo remove v2" in (caught.value.hint or "")
    result = filled.remove(["v2"], reason="rm -rf")
    assert (result.removed, result.freed) == ((Version(2),), 0)
    assert filled.verify().findings == ()
    assert [(entry.action, entry.reason) for entry in filled.history(limit=1)] == [("remove", "rm -rf")]
    assert [row.problem is None for row in filled.list(removed=True)] == [False]
    assert filled.remove(["v3"]).removed == (Version(3),)


def test_a_lost_version_and_one_that_is_there_go_together(filled: Repository) -> None:
    shutil.rmtree(filled.root / "v2")
    assert filled.remove(["v3", "v2"]).removed == (Version(2), Version(3))
    assert [str(row.version) for row in filled.list()] == ["v1"]


def test_what_is_needed_while_others_are_being_removed_stays(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody moves latest by hand to the last of them when the first is gone."""
    real = durable.rename_new

    def rename(old: Path, new: Path) -> None:
        real(old, new)
        if old == layout.version(Version(1)):
            (filled.root / "latest").symlink_to("v2")

    monkeypatch.setattr(durable, "rename_new", rename)
    with pytest.raises(RefusedError) as caught:
        filled.remove(["v1", "v2"])
    assert caught.value.partial.removed == (Version(1),)
    assert filled.path("latest").version == Version(2)
    monkeypatch.undo()
    filled.cleanup()
    assert filled.verify().ok
