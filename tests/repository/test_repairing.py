"""`verify --repair` mends what needs no guess, and nothing else."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError, RefusedError
from modelrepo.repository.results import VerifyResult
from modelrepo.repository.writing import writing

Edit = Callable[[Path, bytes], None]


def found(result: VerifyResult) -> dict[tuple[str, str], bool]:
    return {(problem.kind, problem.path): problem.repaired for problem in result.findings}


def test_a_whole_repository_stays_as_it_is(filled: Repository, layout: Layout) -> None:
    filled.promote("v1")
    journal = layout.journal.read_bytes()
    assert filled.verify(repair=True).findings == ()
    assert layout.journal.read_bytes() == journal


def test_modes_are_mended(filled: Repository) -> None:
    version = filled.root / "v2"
    for name in ("saved_model.pb", "manifest.json"):
        (version / name).chmod(0o666)
    (version / "variables").chmod(0o777)
    result = filled.verify(repair=True)
    assert result.ok
    assert found(result) == {
        ("mode", "v2/saved_model.pb"): True,
        ("mode", "v2/manifest.json"): True,
        ("mode", "v2/variables"): True,
    }
    assert stat.S_IMODE((version / "saved_model.pb").stat().st_mode) == 0o444
    assert stat.S_IMODE((version / "manifest.json").stat().st_mode) == 0o444
    assert stat.S_IMODE((version / "variables").stat().st_mode) == 0o755
    assert filled.verify().findings == ()


def test_what_was_not_pushed_keeps_its_mode(filled: Repository) -> None:
    (filled.root / "v2" / "mine").touch()
    (filled.root / "v2" / "mine").chmod(0o666)
    assert filled.verify(repair=True).ok is False
    assert stat.S_IMODE((filled.root / "v2" / "mine").stat().st_mode) == 0o666


def test_absolute_links_become_relative_and_lead_to_the_same(filled: Repository) -> None:
    filled.promote("v2")
    (filled.root / "latest").unlink()
    (filled.root / "latest").symlink_to(f"{filled.root}/v2/")
    before = len(filled.history())
    result = filled.verify(repair=True)
    assert found(result) == {("link-form", "latest"): True}
    assert os.readlink(filled.root / "latest") == "v2"
    assert len(filled.history()) == before


def test_views_unrecorded_moves_torn_ends_and_open_intents_are_mended(filled: Repository, layout: Layout) -> None:
    filled.promote("v1")
    with writing(layout, None) as writer:
        writer.record("intent", "promote", channel="canary", to=Version(3))
    (filled.root / "latest").unlink()
    (filled.root / "latest").symlink_to("v2")
    (layout.view("latest") / "1").unlink()
    with layout.journal.open("ab") as file:
        file.write(b"\0" * 100)
    result = filled.verify(repair=True)
    assert result.ok
    assert found(result) == {
        ("unrecorded", "latest"): True,
        ("view", "serving/latest"): True,
        ("journal-torn", ".modelrepo/journal.jsonl"): True,
        ("unfinished", ".modelrepo/journal.jsonl"): True,
    }
    assert os.readlink(layout.view("latest") / "2") == "../../v2"
    assert filled.verify().findings == ()


def test_dead_staging_goes_and_live_staging_stays(filled: Repository, layout: Layout) -> None:
    import fcntl

    for name in ("push-dead", "push-live"):
        (layout.staging / name).mkdir()
    holder = os.open(layout.staging / "push-live", os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_SH)
        result = filled.verify(repair=True)
    finally:
        os.close(holder)
    assert result.ok
    assert os.listdir(layout.staging) == ["push-live"]
    assert [problem.kind for problem in result.findings if problem.repaired] == ["leftover"]


def test_model_bytes_and_what_a_link_names_are_never_touched(
    filled: Repository, layout: Layout, edit: Edit, look: Callable[[Path], dict[str, tuple[Any, ...]]]
) -> None:
    filled.promote("v1")
    edit(filled.root / "v1" / "saved_model.pb", b"x")
    (filled.root / "v2" / "saved_model.pb").unlink()
    (filled.root / "v2" / "extra").touch(0o444)
    edit(filled.root / "v3" / "manifest.json", b"{}")
    (filled.root / "latest").unlink()
    (filled.root / "latest").symlink_to("v9")
    (layout.view("latest") / "7").symlink_to("../../elsewhere")
    (filled.root / "mine").touch()

    def public() -> dict[str, tuple[Any, ...]]:
        return {name: facts for name, facts in look(filled.root).items() if not name.startswith((".modelrepo", "."))}

    before = public()
    result = filled.verify(repair=True)
    assert result.ok is False
    assert not any(found(result).values())
    assert {kind for kind, _ in found(result)} == {
        "file-size",
        "file-missing",
        "file-extra",
        "manifest-damaged",
        "channel-dangling",
        "foreign",
    }
    assert public() == before


# A journal that is damaged inside


@pytest.fixture
def lived(filled: Repository, ageless: dict[str, Any]) -> Repository:
    """v1 was deleted, v2 and v3 were promoted, v2 is pinned, canary leads to v2."""
    filled.pin("v2", reason="audit")
    filled.promote("v2")
    filled.promote("v3")
    filled.promote("v2", channel="canary")
    filled.cleanup(**ageless)
    return filled


def flip(data: bytes) -> bytes:
    middle = bytearray(data)
    middle[len(data) // 2] ^= 0x01
    return bytes(middle)


def drop(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines[:3] + lines[4:])


def rubbish(_: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" * 100


@pytest.mark.parametrize("harm", [flip, drop, rubbish])
def test_a_damaged_journal_is_set_aside_whole_and_a_new_one_carries_on(
    lived: Repository, layout: Layout, model: Callable[[str], Path], harm: Callable[[bytes], bytes]
) -> None:
    import hashlib

    damaged = harm(layout.journal.read_bytes())
    layout.journal.write_bytes(damaged)
    with pytest.raises(IntegrityError):
        lived.pin("v3")
    digests = {str(row.version): row.digest for row in lived.list()}
    result = lived.verify(repair=True)
    assert result.ok
    assert ("journal-damaged", ".modelrepo/journal.jsonl") in found(result)
    (aside,) = layout.state.glob("journal-*.damaged")
    assert aside.read_bytes() == damaged
    first = json.loads(layout.journal.read_bytes().splitlines()[0])
    assert first["phase"] == "start"
    assert first["previous"] == f"sha256:{hashlib.sha256(damaged).hexdigest()}"
    assert first["highest"] >= 3
    assert {str(row.version): row.digest for row in lived.list()} == digests
    assert lived.status().channels == {"canary": Version(2), "latest": Version(3)}
    if harm is not rubbish:
        assert lived.status().pinned == (Version(2),)
    assert str(lived.push(model("new"), load=False).version) == "v4"
    with pytest.raises(RefusedError):
        lived.rollback()
    assert lived.verify().findings == ()


@pytest.mark.parametrize("harm", [flip, drop])
def test_a_damaged_journal_keeps_readable_pins_with_their_reasons_and_removed_versions(
    lived: Repository, layout: Layout, harm: Callable[[bytes], bytes]
) -> None:
    layout.journal.write_bytes(harm(layout.journal.read_bytes()))
    assert "nothing to roll back to" in lived.verify(repair=True).findings[0].detail
    assert ("audit", "v2") in [(entry.reason, str(entry.version)) for entry in lived.history() if entry.action == "pin"]
    assert lived.show("v1").removed_at is not None


def test_a_missing_journal_is_started_anew_knowing_all_numbers(
    lived: Repository, layout: Layout, model: Callable[[str], Path], ageless: dict[str, Any]
) -> None:
    (lived.root / "v9").mkdir()
    layout.journal.unlink()
    with pytest.raises(IntegrityError, match="is gone"):
        lived.verify()
    assert ("journal-missing", ".modelrepo/journal.jsonl") in found(lived.verify(repair=True))
    assert not list(layout.state.glob("journal-*.damaged"))
    assert str(lived.push(model("new"), load=False).version) == "v10"
    assert [str(version) for version in lived.cleanup(**ageless).removed] == ["v10"]


def test_numbers_of_lost_and_removed_versions_stay_spent(
    lived: Repository, layout: Layout, model: Callable[[str], Path]
) -> None:
    """Only the kept manifest still knows v8."""
    (layout.removed / "v8.json").write_text("{}")
    layout.journal.write_bytes(b"rubbish\n{}\n")
    lived.verify(repair=True)
    assert str(lived.push(model("new"), load=False).version) == "v9"


def test_a_version_of_another_number_is_not_taken_for_ours(lived: Repository, layout: Layout) -> None:
    import shutil

    shutil.copytree(lived.root / "v3", lived.root / "v7")
    layout.journal.write_bytes(b"")
    lived.verify(repair=True)
    assert [str(row.version) for row in lived.list()] == ["v3", "v2"]
    assert [problem.path for problem in lived.status().problems] == ["v7"]


def test_two_repairs_keep_both_old_journals(lived: Repository, layout: Layout) -> None:
    for byte in (b"a", b"b"):
        layout.journal.write_bytes(byte * 100 + b"\n{}\n")
        lived.verify(repair=True)
    assert len(list(layout.state.glob("journal-*.damaged"))) == 2
    assert lived.verify().ok


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_is_no_file_at_the_journals_place_is_not_guessed_about(
    lived: Repository, layout: Layout, kind: str
) -> None:
    layout.journal.unlink()
    if kind == "directory":
        layout.journal.mkdir()
    elif kind == "link":
        layout.journal.symlink_to("/etc/passwd")
    else:
        os.mkfifo(layout.journal)
    for repair in (False, True):
        with pytest.raises(IntegrityError):
            lived.verify(repair=repair)


def test_a_repair_waits_for_the_lock_like_every_writer(lived: Repository, layout: Layout) -> None:
    import fcntl

    from modelrepo.errors import BusyError

    layout.journal.write_bytes(b"")
    with layout.lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            Repository(lived.root, lock_timeout=0.1).verify(repair=True)
    assert layout.journal.read_bytes() == b""


def test_a_new_journal_carries_what_was_said_of_versions(filled: Repository, layout: Layout) -> None:
    filled.annotate("v1", labels={"stage": "live"}, message="the first")
    filled.annotate("v1", unset=["stage"], metrics={"auc": 0.5})
    filled.pin("v3")
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    layout.journal.write_bytes(b"".join([*lines[:-1], b"x" * 20 + b"\n", lines[-1]]))
    filled.verify(repair=True)
    shown = filled.show("v1")
    assert (shown.labels, shown.metrics, shown.message) == ({}, {"auc": 0.5}, "the first")
    assert filled.verify().ok


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_nobody_may_read_stops_no_repair(filled: Repository) -> None:
    (filled.root / "v2" / "shut").mkdir(mode=0)
    (filled.root / "v3" / "saved_model.pb").chmod(0o666)
    found = filled.verify(repair=True).findings
    assert {(problem.kind, problem.path) for problem in found} >= {("mode", "v3/saved_model.pb"), ("unreadable", "v2")}
