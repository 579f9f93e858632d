"""`channel remove` takes the link and the view away and leaves the version; `channel list` says where all lead."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import NotFoundError, RefusedError, RequestError, UnconfirmedError
from modelrepo.fs import durable


@pytest.fixture
def canary(filled: Repository) -> Repository:
    """latest went from v1 to v2, canary from v2 to v3."""
    for ref, channel in (("v1", "latest"), ("v2", "latest"), ("v2", "canary"), ("v3", "canary")):
        filled.promote(ref, channel=channel)
    return filled


def test_a_removed_channel_leaves_its_version_and_the_other_channels(canary: Repository) -> None:
    result = canary.channel_remove("canary", reason="the trial is over")
    assert (result.channel, result.removed, result.origin) == ("canary", True, Version(3))
    assert not os.path.lexists(canary.root / "canary")
    assert os.listdir(canary.root / "serving") == ["latest"]
    assert [str(row.version) for row in canary.list()] == ["v3", "v2", "v1"]
    assert canary.status().channels == {"latest": Version(2)}
    entry = canary.history(limit=1)[0]
    assert (entry.action, entry.channel, entry.origin, entry.to, entry.reason) == (
        "channel-remove", "canary", Version(3), None, "the trial is over",
    )  # fmt: skip
    assert canary.verify().findings == ()
    assert os.listdir(canary.root / ".modelrepo" / "staging") == []


def test_its_history_stays_and_a_new_channel_of_its_name_has_none(canary: Repository) -> None:
    canary.channel_remove("canary")
    assert [entry.action for entry in canary.history(channel="canary")] == ["channel-remove", "promote", "promote"]
    canary.promote("v1", channel="canary")
    assert {row.channel: row.stack for row in canary.channels()}["canary"] == (Version(1),)
    with pytest.raises(RefusedError):
        canary.rollback(channel="canary")
    assert os.listdir(canary.root / "serving" / "canary") == ["1"]


def test_what_it_named_has_grace(canary: Repository, ageless: dict[str, Any]) -> None:
    canary.channel_remove("canary")
    kept = {str(kept.version): kept.reasons for kept in canary.cleanup(**{**ageless, "grace": None}, dry_run=True).kept}
    assert kept["v3"] == ("grace",)


def test_latest_is_never_removed(canary: Repository) -> None:
    before = canary.history()
    with pytest.raises(RefusedError, match="latest is never removed"):
        canary.channel_remove("latest")
    assert canary.history() == before


def test_a_channel_that_is_not_there_is_not_found_and_a_malformed_one_refused(canary: Repository) -> None:
    with pytest.raises(NotFoundError, match="no channel blue"):
        canary.channel_remove("blue")
    with pytest.raises(RequestError):
        canary.channel_remove("serving")
    canary.channel_remove("canary")
    with pytest.raises(NotFoundError):
        canary.channel_remove("canary")


def test_a_channel_whose_link_somebody_deleted_can_be_removed_and_cleanup_goes_on(
    canary: Repository, ageless: dict[str, Any]
) -> None:
    (canary.root / "canary").unlink()
    canary.channel_remove("canary")
    assert canary.verify().findings == ()
    assert [str(version) for version in canary.cleanup(**ageless).removed] == ["v3"]


def test_a_channel_that_dangles_can_be_removed(canary: Repository) -> None:
    durable.move_link(canary.root / "canary", "v77", canary.root / ".modelrepo" / "staging" / "x")
    assert canary.channel_remove("canary").origin == Version(77)
    assert canary.status().channels == {"latest": Version(2)}


def test_a_directory_of_that_name_is_left_alone(canary: Repository) -> None:
    (canary.root / "blue").mkdir()
    with pytest.raises(RefusedError, match="not a link"):
        canary.channel_remove("blue")
    assert (canary.root / "blue").is_dir()


def test_what_is_not_modelrepos_in_its_view_stops_it_before_anything_changes(canary: Repository) -> None:
    (canary.root / "serving" / "canary" / "notes.txt").write_text("mine")
    before = canary.history()
    with pytest.raises(RefusedError, match="holds what is not modelrepo's") as caught:
        canary.channel_remove("canary")
    assert caught.value.got == "notes.txt"
    assert os.readlink(canary.root / "canary") == "v3"
    assert canary.history() == before


def test_a_view_that_cannot_go_is_said_and_the_next_writer_takes_it(
    canary: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.rename_new

    def fail(old: Path, new: Path) -> None:
        if old == layout.view("canary"):
            raise OSError(5, "Input/output error", str(old))
        real(old, new)

    monkeypatch.setattr(durable, "rename_new", fail)
    with pytest.raises(UnconfirmedError) as caught:
        canary.channel_remove("canary")
    assert (caught.value.durable, caught.value.view, caught.value.recorded) == (True, False, False)
    monkeypatch.undo()
    canary.pin("v1")
    assert os.listdir(canary.root / "serving") == ["latest"]
    assert [entry.action for entry in canary.history(limit=2)] == ["pin", "channel-remove"]
    assert canary.verify().findings == ()


def test_an_unsynced_removal_is_said_and_the_next_writer_records_it(
    canary: Repository, layout: Layout, sync_fails: Callable[[Path, int], None]
) -> None:
    sync_fails(layout.root, 2)  # the first is recovery's
    with pytest.raises(UnconfirmedError) as caught:
        canary.channel_remove("canary")
    assert (caught.value.durable, caught.value.recorded) == (False, False)
    assert canary.status().channels == {"latest": Version(2)}
    canary.pin("v1")
    assert canary.history(limit=2)[1].action == "channel-remove"
    assert canary.verify().findings == ()


def test_the_list_says_targets_stacks_and_where_rollbacks_lead(canary: Repository) -> None:
    canary.promote("v1")
    rows = {row.channel: row for row in canary.channels()}
    assert (rows["latest"].target, rows["latest"].rollback_to) == (Version(1), Version(2))
    assert rows["latest"].stack == (Version(1), Version(2), Version(1))
    assert rows["canary"].base_path == str(canary.root / "serving" / "canary")
    (canary.root / "canary").unlink()
    row = next(row for row in canary.channels() if row.channel == "canary")
    assert row.target is None
