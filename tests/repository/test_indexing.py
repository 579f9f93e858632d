"""The index at work: whoever has it answers as who has none, and nobody fails for it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import IntegrityError
from modelrepo.fs import durable, known

Look = Callable[[Path], dict[str, tuple[Any, ...]]]


def answers(repository: Repository) -> list[Any]:
    """What the commands that use the index say."""
    return [
        repository.status().replaced(free=0),
        repository.list(),
        repository.list(removed=True),
        repository.channels(),
        *(repository.path(ref) for ref in ("latest", "latest~1", "newest", "v1")),
        *(repository.show(version.version) for version in repository.list()),
        repository.promote("v2", dry_run=True),
        repository.rollback(dry_run=True),
    ]


@pytest.fixture
def lived(filled: Repository) -> Repository:
    """A repository with a past of every kind that the index holds."""
    for version in ("v1", "v2", "v3", "v1"):
        filled.promote(version)
    filled.rollback()
    filled.promote("v1", channel="canary")
    filled.pin("v1", reason="audit")
    filled.pin("v2")
    filled.unpin("v2")
    filled.annotate("v2", labels={"stage": "test"}, message="said")
    filled.annotate("v2", metrics={"auc": 0.5})
    filled.push(filled.root.parent / "exports" / "one", load=False)
    filled.push(filled.root.parent / "exports" / "one", load=False, allow_duplicate=True)
    filled.remove(["v4"])
    return filled


def test_answers_are_the_same_with_an_index_and_without(lived: Repository, layout: Layout) -> None:
    assert known.read(layout.journal, layout.index).is_indexed, "every writing command leaves it up to date"
    with_index = answers(lived)
    layout.index.unlink()
    assert answers(lived) == with_index
    assert not layout.index.exists(), "readers never write it"


def test_readers_leave_it_as_it_is(lived: Repository, layout: Layout, look: Look) -> None:
    layout.index.unlink()
    layout.index.write_bytes(b"torn")
    layout.index.chmod(0o444)
    before = look(lived.root)
    answers(lived)
    assert look(lived.root) == before


@pytest.mark.parametrize(
    "command",
    [
        lambda repository: repository.promote("v2"),
        lambda repository: repository.promote("latest"),
        lambda repository: repository.rollback(),
        lambda repository: repository.unpin("v1"),
        lambda repository: repository.annotate("v1", labels={"a": "b"}),
        lambda repository: repository.channel_remove("canary"),
        lambda repository: repository.remove(["v2"]),
        lambda repository: repository.cleanup(),
        lambda repository: repository.verify(repair=True),
    ],
)
def test_every_writing_command_makes_it_again(
    lived: Repository, layout: Layout, command: Callable[[Repository], Any]
) -> None:
    layout.index.unlink()
    command(lived)
    assert known.read(layout.journal, layout.index).is_indexed
    assert lived.verify().ok
    assert {path.name for path in layout.staging.iterdir()} == set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_what_was_done_is_done_where_it_cannot_be_written(
    lived: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = durable.write_new

    def fail(path: Path, *arguments: Any, synced: bool = True, **options: Any) -> None:
        if not synced:
            raise OSError(number, os.strerror(number), str(path))
        real(path, *arguments, **options)

    monkeypatch.setattr(durable, "write_new", fail)
    before = layout.index.read_bytes()
    assert lived.promote("v2").changed
    assert lived.verify().ok
    assert layout.index.read_bytes() == before
    assert lived.path("latest").version == Version(2)
    assert lived.rollback().to == Version(3)


def test_a_directory_in_its_place_stops_nothing(lived: Repository, layout: Layout) -> None:
    layout.index.unlink()
    layout.index.mkdir()
    assert lived.promote("v2").changed
    assert str(lived.path("latest").version) == "v2"


def test_a_damaged_journal_is_found_although_the_index_is_whole(lived: Repository, layout: Layout) -> None:
    data = layout.journal.read_bytes()
    layout.journal.write_bytes(data.replace(b'"action":"push"', b'"action":"pusH"', 1))
    with pytest.raises(IntegrityError) as caught:
        lived.promote("v2")
    assert caught.value.kind == "journal-damaged"
    assert [problem.kind for problem in lived.status().problems if not problem.note] == ["journal-damaged"]


def test_cleanup_and_remove_believe_no_index(filled: Repository, layout: Layout, ageless: dict[str, Any]) -> None:
    """One that is whole and right by every sign, and does not know that a version is pinned."""
    filled.promote("v3")
    shutil.copytree(filled.root, filled.root.parent / "other", symlinks=True)
    filled.pin("v1")
    pinned = known.read(layout.journal, None)
    unpinned = known.read(filled.root.parent / "other" / ".modelrepo" / "journal.jsonl", None)
    forged = known.Known(pinned.parsed, unpinned.state, pinned.stamp, pinned.crc)
    known.save(forged, layout.index, layout.staging / "tmp-forged")
    assert filled.status().pinned == (), "the forgery is believed by who may"
    with pytest.raises(Exception, match="v1 cannot be removed"):
        filled.remove(["v1"])
    known.save(forged, layout.index, layout.staging / "tmp-forged")
    assert [str(version) for version in filled.cleanup(**ageless).removed] == ["v2"]


def test_its_mode_is_looked_after(lived: Repository, layout: Layout) -> None:
    layout.index.chmod(0o666)
    assert [(problem.kind, problem.path) for problem in lived.verify().findings] == [("mode", ".modelrepo/index")]
    assert lived.verify(repair=True).ok
    assert layout.index.stat().st_mode & 0o777 == 0o444


def test_a_digest_that_is_not_the_journals_is_the_indexs_fault(filled: Repository, layout: Layout) -> None:
    """No manifest is called damaged for it."""
    filled.pin("v1")
    right = known.read(layout.journal, None)
    right.state.manifests.put(Version(2), "sha256:" + "0" * 64)
    known.save(right, layout.index, layout.staging / "tmp-forged")
    for act in (filled.promote, filled.show):
        with pytest.raises(IntegrityError) as caught:
            act("v2")
        assert (caught.value.kind, "delete .modelrepo/index" in str(caught.value.hint)) == ("index-damaged", True)
    assert [row.problem is None for row in filled.list()] == [True, False, True]
    assert filled.verify().ok, "it reads the journal"
    layout.index.unlink()
    assert filled.promote("v2").changed
