"""`verify` finds every kind of harm, names it, and changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import NotFoundError, RequestError
from modelrepo.fs.files import file_digest
from modelrepo.repository import leasing
from modelrepo.repository.writing import writing

Edit = Callable[[Path, bytes], None]


def kinds(repository: Repository, **options: Any) -> list[tuple[str, str]]:
    return [(problem.kind, problem.path) for problem in repository.verify(**options).findings]


def test_a_whole_repository_is_ok(filled: Repository) -> None:
    filled.promote("v1")
    result = filled.verify()
    assert (result.ok, [str(version) for version in result.versions], result.findings) == (True, ["v1", "v2", "v3"], ())


def test_only_the_named_versions_are_read(filled: Repository, edit: Edit) -> None:
    edit(filled.root / "v2" / "saved_model.pb", b"x")
    filled.promote("v1")
    assert filled.verify(["v1", "latest", "newest"]).ok
    assert [str(version) for version in filled.verify(["latest", "v3"]).versions] == ["v1", "v3"]
    assert filled.verify(["v2"]).ok is False
    with pytest.raises(NotFoundError):
        filled.verify(["v9"])
    with pytest.raises(RequestError):
        filled.verify(["v09"])


def link_instead(version: Path) -> None:
    version.rename(version.parent.parent / "moved")
    version.symlink_to("../moved")


HARMS: dict[str, tuple[Callable[[Path, Edit], Any], str, str]] = {
    "a byte": (lambda v, edit: edit(v / "assets.extra/note.txt", b"twO"), "file-digest", "v2/assets.extra/note.txt"),
    "a longer file": (lambda v, edit: edit(v / "saved_model.pb", b"x"), "file-size", "v2/saved_model.pb"),
    "no file": (lambda v, _: (v / "saved_model.pb").unlink(), "file-missing", "v2/saved_model.pb"),
    "another file": (lambda v, _: (v / "variables" / "more").touch(0o444), "file-extra", "v2/variables/more"),
    "a link": (lambda v, _: (v / "more").symlink_to("saved_model.pb"), "file-extra", "v2/more"),
    "a pipe": (lambda v, _: os.mkfifo(v / "more"), "file-extra", "v2/more"),
    "a directory's mode": (lambda v, _: (v / "variables").chmod(0o777), "mode", "v2/variables"),
    "a file's mode": (lambda v, _: (v / "saved_model.pb").chmod(0o644), "mode", "v2/saved_model.pb"),
    "the manifest's mode": (lambda v, _: (v / "manifest.json").chmod(0o666), "mode", "v2/manifest.json"),
    "the version's own mode": (lambda v, _: v.chmod(0o777), "mode", "v2"),
    "no manifest": (lambda v, _: (v / "manifest.json").unlink(), "manifest-missing", "v2/manifest.json"),
    "an edited manifest": (
        lambda v, edit: edit(
            v / "manifest.json", (v / "manifest.json").read_bytes().replace(b'"labels": {}', b'"labels":{}')
        ),
        "manifest-damaged",
        "v2/manifest.json",
    ),
    "another version's manifest": (
        lambda v, edit: edit(v / "manifest.json", (v.parent / "v1" / "manifest.json").read_bytes()),
        "manifest-damaged",
        "v2/manifest.json",
    ),
    "no version": (lambda v, _: shutil.rmtree(v), "version-lost", "v2"),
    "a link for a version": (
        lambda v, _: link_instead(v),
        "version-lost",
        "v2",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_every_harm_to_a_version_is_found_and_named(filled: Repository, edit: Edit, harm: str) -> None:
    do, kind, path = HARMS[harm]
    do(filled.root / "v2", edit)
    result = filled.verify()
    assert result.ok is False
    assert (kind, path) in [(problem.kind, problem.path) for problem in result.findings if not problem.note]


def test_a_file_that_became_a_link_to_the_same_bytes_is_found(filled: Repository, tmp_path: Path) -> None:
    note = filled.root / "v2" / "assets.extra" / "note.txt"
    note.rename(tmp_path / "note.txt")
    note.symlink_to(tmp_path / "note.txt")
    assert kinds(filled) == [("file-replaced", "v2/assets.extra/note.txt")]


def test_quick_reads_no_bytes_but_sizes_and_modes(filled: Repository, edit: Edit) -> None:
    edit(filled.root / "v1" / "assets.extra" / "note.txt", b"onE")
    assert filled.verify(quick=True).ok
    edit(filled.root / "v1" / "assets.extra" / "note.txt", b"o")
    assert kinds(filled, quick=True) == [("file-size", "v1/assets.extra/note.txt")]


def test_all_that_is_wrong_is_said_at_once(filled: Repository, edit: Edit) -> None:
    edit(filled.root / "v1" / "saved_model.pb", b"x")
    (filled.root / "v3" / "saved_model.pb").unlink()
    (filled.root / "v3" / "more").touch()
    assert sorted(kinds(filled)) == [
        ("file-extra", "v3/more"),
        ("file-missing", "v3/saved_model.pb"),
        ("file-size", "v1/saved_model.pb"),
        ("mode", "v3/more"),
    ]


def test_links_views_and_notes_are_named(filled: Repository, layout: Layout) -> None:
    filled.promote("v1")
    filled.promote("v2", channel="canary")
    filled.promote("v2", channel="blue")
    (filled.root / "latest").unlink()
    (filled.root / "latest").symlink_to(f"{filled.root}/v1")
    (filled.root / "canary").unlink()
    (filled.root / "canary").symlink_to("v9")
    (filled.root / "blue").unlink()
    (layout.view("latest") / "1").unlink()
    (layout.view("latest") / "7").symlink_to("../../elsewhere")
    (layout.view("latest") / "notes").touch()
    (filled.root / "Mine").touch()
    found = {(problem.kind, problem.path): problem.note for problem in filled.verify().findings}
    assert found == {
        ("link-form", "latest"): False,
        ("channel-dangling", "canary"): False,
        ("channel-missing", "blue"): False,
        ("view", "serving/latest"): False,
        ("foreign", "serving/latest/7"): False,
        ("foreign", "serving/latest/notes"): True,
        ("foreign", "Mine"): True,
    }


def test_notes_do_not_make_a_repository_unsound(filled: Repository) -> None:
    (filled.root / "Mine").touch()
    (filled.root / "v9").mkdir()
    result = filled.verify()
    assert result.ok
    assert [(problem.path, problem.note) for problem in result.findings] == [("Mine", True), ("v9", True)]


def test_an_edited_taken_out_or_moved_journal_line_is_found(filled: Repository, layout: Layout) -> None:
    whole = layout.journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for harm in (
        whole.replace(b'"root"', b'"toor"', 1).replace(b'"size":', b'"size" :', 1),
        b"".join([*lines[:3], *lines[4:]]),
        b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]),
        whole.replace(lines[2], b"{}\n"),
        whole + b"{}\n",
        b"",
        b"\0" * 100 + whole,
    ):
        layout.journal.write_bytes(harm)
        result = filled.verify()
        assert result.ok is False
        assert "journal-damaged" in {problem.kind for problem in result.findings}
        assert [str(version) for version in result.versions] == ["v1", "v2", "v3"]


def test_a_line_that_was_forged_whole_breaks_the_chain(filled: Repository, layout: Layout) -> None:
    """With the right checksum of its own: only the walk along the chain can tell."""
    from modelrepo.core.records import decode, encode

    lines = layout.journal.read_bytes().splitlines(keepends=True)
    forged = decode(lines[2]).replaced(reason="forged")
    layout.journal.write_bytes(b"".join([*lines[:2], encode(forged), *lines[3:]]))
    assert kinds(filled) == [("journal-damaged", ".modelrepo/journal.jsonl")]
    assert "line 4" in filled.verify().findings[0].detail


@pytest.mark.parametrize("tail", [b"\0" * 4096, b'{"seq":8,"time":"20', b"\0\0"])
def test_an_unfinished_end_is_told_from_damage_and_cut_by_the_next_writer(
    filled: Repository, layout: Layout, tail: bytes
) -> None:
    whole = layout.journal.read_bytes()
    layout.journal.write_bytes(whole + tail)
    assert kinds(filled) == [("journal-torn", ".modelrepo/journal.jsonl")]
    assert len(filled.history()) == 3
    filled.cleanup()
    assert layout.journal.read_bytes() == whole
    assert filled.verify().findings == ()


def test_an_open_intent_is_named_unfinished(filled: Repository, layout: Layout) -> None:
    with writing(layout, None) as writer:
        writer.record("intent", "promote", channel="latest", to=Version(1))
    assert kinds(filled) == [("unfinished", ".modelrepo/journal.jsonl")]


def test_what_is_over_a_moment_later_is_no_finding(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(layout, None) as writer:
        writer.record("intent", "promote", channel="latest", to=Version(1))
    monkeypatch.setattr("time.sleep", lambda _: filled.pin("v1"))
    assert filled.verify().findings == ()


def test_each_version_is_leased_while_it_is_read(
    filled: Repository, ageless: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = file_digest
    first = threading.Lock()
    kept: list[tuple[str, ...]] = []

    def digest(path: Path, seen: Any) -> Any:
        with first:
            if not kept:
                kept.extend(entry.reasons for entry in filled.cleanup(**ageless).kept)
        return real(path, seen)

    monkeypatch.setattr("modelrepo.repository.summing.file_digest", digest)
    assert filled.verify(["v2"]).ok
    assert kept == [("leased",)]


def test_a_version_that_cleanup_takes_meanwhile_is_no_finding(
    filled: Repository, ageless: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = leasing.hold
    cleaned: list[bool] = []

    def lease(*arguments: Any) -> Any:
        if not cleaned:
            cleaned.append(True)
            filled.cleanup(**ageless)
        return real(*arguments)

    monkeypatch.setattr(leasing, "hold", lease)
    assert filled.verify().findings == ()


def test_a_version_held_against_readers_is_said_naming_the_holder_and_the_others_are_checked(
    filled: Repository, flock: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch, edit: Edit
) -> None:
    monkeypatch.setattr(leasing, "_SECONDS", 0.2)
    holder = flock(filled.root / "v1", exclusive=True)
    edit(filled.root / "v3" / "saved_model.pb", b"x")
    result = filled.verify()
    assert result.ok is False
    assert [(problem.kind, problem.path) for problem in result.findings] == [
        ("held", "v1"),
        ("file-size", "v3/saved_model.pb"),
    ]
    assert f"process {holder.pid}" in result.findings[0].detail
