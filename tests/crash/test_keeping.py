"""What is made of a version is there whole or not at all, wherever the one who keeps it dies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from modelrepo import Repository

from .commands import build
from .kept import keep
from .steps import Child

_LEAST = 20


def check(root: Path) -> None:
    """What must hold behind a death, and what the next one who keeps it, and a cleanup, find."""
    for place in (root / ".modelrepo" / "derived").glob("v2/*"):
        assert sorted(os.listdir(place)) == ["model.tflite", "record.json"]
    result = Repository(root).verify()
    assert result.ok, result.findings
    assert keep(root, "v2")[0].is_dir()
    Repository(root).cleanup()
    assert os.listdir(root / ".modelrepo" / "staging") == os.listdir(root / ".modelrepo" / "trash") == []
    result = Repository(root).verify()
    assert result.findings == (), result.findings


def test_killed_at_any_step_it_is_whole_or_absent_and_the_next_goes_on(tmp_path: Path) -> None:
    template = tmp_path / "template"
    build(template)
    whole = tmp_path / "whole"
    shutil.copytree(template, whole, symlinks=True)
    steps = Child(lambda: keep(whole / "ranker", "v2"), whole / "ranker").steps()
    assert len(steps) > _LEAST
    for number in range(1, len(steps) + 1):
        place = tmp_path / str(number)
        shutil.copytree(template, place, symlinks=True)
        root = place / "ranker"
        assert Child(lambda: keep(root, "v2"), root, number, fate="die").outcome().code is None  # noqa: B023
        check(root)
        shutil.rmtree(place)


def test_where_the_disk_fails_at_any_step_the_error_says_so_and_nothing_is_half_there(tmp_path: Path) -> None:
    template = tmp_path / "template"
    build(template)
    whole = tmp_path / "whole"
    shutil.copytree(template, whole, symlinks=True)
    steps = Child(lambda: keep(whole / "ranker", "v2"), whole / "ranker").steps()
    for number in range(1, len(steps) + 1):
        place = tmp_path / str(number)
        shutil.copytree(template, place, symlinks=True)
        root = place / "ranker"
        Child(lambda: _kept(root), root, number, fate="fail").outcome()  # noqa: B023
        check(root)
        shutil.rmtree(place)


def _kept(root: Path) -> None:
    """Keep it within the library's border."""
    from modelrepo.repository.border import border

    with border("keep it"):
        keep(root, "v2")
