"""How much a deletion would free is known, also where names share files."""

from __future__ import annotations

import os
from pathlib import Path

from modelrepo.fs.space import Space, measure


def tree(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories that share one file of 1,000 bytes; one of 10 and one of 1 besides."""
    one, two = tmp_path / "v1", tmp_path / "v2"
    for top, size in ((one, 10), (two, 1)):
        (top / "below").mkdir(parents=True)
        (top / "below" / "own").write_bytes(bytes(size))
    (one / "shared").write_bytes(bytes(1000))
    os.link(one / "shared", two / "below" / "shared")
    return one, two


def test_a_file_that_is_named_elsewhere_frees_nothing(tmp_path: Path) -> None:
    one, two = tree(tmp_path)
    assert measure([one], blocks=True).freed(Space) == 10
    assert measure([two], blocks=False).freed(Space) == 1
    assert measure([one, two], blocks=True).freed(Space) == 1011


def test_a_third_name_anywhere_keeps_it(tmp_path: Path) -> None:
    one, two = tree(tmp_path)
    os.link(one / "shared", tmp_path / "third")
    assert measure([one, two], blocks=True).freed(Space) == 11


def test_two_names_in_one_directory_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(7))
    os.link(tmp_path / "a", tmp_path / "b")
    assert measure([tmp_path], blocks=False).freed(Space) == 7


def test_the_name_that_does_not_count_counts_below(tmp_path: Path) -> None:
    one, _ = tree(tmp_path)
    (one / "manifest.json").write_bytes(bytes(100))
    (one / "below" / "manifest.json").write_bytes(bytes(5))
    assert measure([one], blocks=False, besides="manifest.json").freed(Space) == 15


def test_links_pipes_and_what_is_gone_count_as_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hosts")
    assert measure([tmp_path, tmp_path / "gone"], blocks=True).freed(Space) == 0
