"""Whoever watches an operation is told of every byte, once."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.fs.copying import STEP

BIG = os.urandom(STEP + 12345)


class Told:
    """What somebody was told."""

    def __init__(self) -> None:
        self.of: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.of.append((done, total))

    def was_told_of(self, total: int) -> bool:
        return self.of[-1] == (total, total) and {of for _, of in self.of} == {total} and len(self.of) > 2


@pytest.fixture
def large(model: Callable[[str], Path]) -> Path:
    """A source with a file that is copied in steps."""
    place = model("one")
    (place / "assets.extra" / "weights").write_bytes(BIG)
    return place


def test_of_a_push(repository: Repository, large: Path) -> None:
    told = Told()
    size = repository.push(large, load=False, progress=told).size
    assert told.was_told_of(size)
    assert told.of == sorted(told.of)


@pytest.mark.parametrize("same", [True, False])
def test_of_a_push_that_shares_what_is_there_or_finds_in_the_end_that_it_cannot(
    tmp_path: Path,
    large: Path,
    same: bool,  # noqa: FBT001
) -> None:
    repository = Repository(tmp_path / "linking")
    repository.init(dedup="hardlink")
    repository.push(large, load=False)
    (large / "assets.extra" / "note.txt").write_text("two")
    if not same:
        (large / "assets.extra" / "weights").write_bytes(BIG[:-1] + bytes([BIG[-1] ^ 1]))
    told = Told()
    assert told.was_told_of(repository.push(large, load=False, progress=told).size)
    assert (told.of == sorted(told.of)) is same


def test_of_an_export(repository: Repository, large: Path, tmp_path: Path) -> None:
    told = Told()
    repository.push(large, load=False)
    assert told.was_told_of(repository.export("v1", tmp_path / "copy", progress=told).size) is True


def test_of_a_cleanup(filled: Repository) -> None:
    told: list[tuple[int, int]] = []
    filled.promote("v3")
    sizes = [row.size for row in filled.list() if row.version.number < 3]
    filled.cleanup(
        keep_last=0,
        min_age=timedelta(0),
        grace=timedelta(0),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(sizes[1], sum(sizes)), (sum(sizes), sum(sizes))]


@pytest.mark.parametrize("dedup", ["off", "hardlink"])
def test_of_a_verify_also_where_versions_share_files(tmp_path: Path, large: Path, dedup: str) -> None:
    repository = Repository(tmp_path / "verified")
    repository.init(dedup=dedup)  # type: ignore[arg-type]
    for text in ("one", "two"):
        (large / "assets.extra" / "note.txt").write_text(text)
        repository.push(large, load=False)
    told = Told()
    assert repository.verify(progress=told).ok
    assert told.was_told_of(sum(row.size for row in repository.list()))
    assert told.of == sorted(told.of)
