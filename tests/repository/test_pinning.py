"""`pin` and `unpin`: the record is the change."""

from __future__ import annotations

import pytest

from modelrepo import Repository
from modelrepo.errors import NotFoundError


def test_a_pin_is_recorded_with_its_reason_and_seen(filled: Repository) -> None:
    result = filled.pin("v2", reason="audit 2026")
    assert (str(result.version), result.pinned, result.changed) == ("v2", True, True)
    assert [str(version) for version in filled.status().pinned] == ["v2"]
    entry = filled.history(limit=1)[0]
    assert (entry.action, str(entry.version), entry.reason) == ("pin", "v2", "audit 2026")
    assert filled.show("v2").pinned
    assert [row.pinned for row in filled.list()] == [False, True, False]


def test_pinning_again_changes_and_records_nothing(filled: Repository) -> None:
    filled.pin("v2", reason="audit")
    before = filled.history()
    assert filled.pin("v2").changed is False
    assert filled.pin("v2", reason="audit").changed is False
    assert filled.history() == before


def test_pinning_again_for_another_reason_records_it(filled: Repository) -> None:
    filled.pin("v2", reason="audit")
    assert filled.pin("v2", reason="court").changed
    assert filled.history(limit=1)[0].reason == "court"


def test_unpin_undoes_it_and_is_recorded_once(filled: Repository) -> None:
    filled.pin("v2")
    assert filled.unpin("v2").changed
    assert filled.status().pinned == ()
    assert filled.history(limit=1)[0].action == "unpin"
    before = filled.history()
    assert filled.unpin("v2").changed is False
    assert filled.history() == before


def test_only_what_is_there_can_be_pinned(filled: Repository) -> None:
    for ref in ("v9", "canary", "sha256:" + "0" * 8):
        with pytest.raises(NotFoundError):
            filled.pin(ref)


def test_a_pin_through_a_channel_stays_with_the_version(filled: Repository) -> None:
    filled.promote("v1")
    filled.pin("latest")
    filled.promote("v2")
    assert [str(version) for version in filled.status().pinned] == ["v1"]
