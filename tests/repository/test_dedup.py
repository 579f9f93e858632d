"""What is stored already is not written again, and nobody pays for it later."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from modelrepo import Repository
from modelrepo.core.refs import Version
from modelrepo.errors import IntegrityError
from modelrepo.fs import reuse

WEIGHTS = os.urandom(reuse.SMALLEST * 3)
NOW = {"keep_last": 0, "min_age": timedelta(0), "grace": timedelta(0)}

Made = Callable[[str], Path]


@pytest.fixture
def linking(tmp_path: Path) -> Repository:
    """A repository whose versions share files."""
    repository = Repository(tmp_path / "linking")
    repository.init(dedup="hardlink")
    return repository


@pytest.fixture
def large(model: Made) -> Made:
    """Real SavedModels that differ in a small asset, and have a large one in common."""

    def make(text: str, weights: bytes = WEIGHTS) -> Path:
        place = model(text)
        (place / "assets.extra" / "weights").write_bytes(weights)
        return place

    return make


def weights(repository: Repository, number: int) -> Path:
    return repository.root / f"v{number}" / "assets.extra" / "weights"


def push(repository: Repository, *places: Path) -> None:
    for place in places:
        repository.push(place, load=False)


def test_versions_share_what_they_have_in_common(linking: Repository, large: Made) -> None:
    push(linking, large("one"), large("two"))
    assert weights(linking, 1).samefile(weights(linking, 2))
    assert not (linking.root / "v1" / "manifest.json").samefile(linking.root / "v2" / "manifest.json")
    assert linking.verify().ok


def test_by_default_nothing_has_two_names(repository: Repository, large: Made) -> None:
    push(repository, large("one"), large("two"))
    assert not weights(repository, 1).samefile(weights(repository, 2))


def test_a_file_that_moved_inside_the_model_is_shared_all_the_same(linking: Repository, large: Made) -> None:
    one, two = large("one"), large("two")
    (two / "assets.extra" / "weights").rename(two / "assets.extra" / "renamed")
    push(linking, one, two)
    assert weights(linking, 1).samefile(linking.root / "v2" / "assets.extra" / "renamed")


def test_retrained_weights_of_one_size_are_stored(linking: Repository, large: Made) -> None:
    push(linking, large("one"))
    other = large("two")
    (other / "assets.extra" / "weights").write_bytes(bytes(reversed(WEIGHTS)))
    push(linking, other)
    assert not weights(linking, 1).samefile(weights(linking, 2))
    assert linking.verify().ok


def test_a_rotten_file_is_not_spread(linking: Repository, large: Made) -> None:
    push(linking, large("one"))
    weights(linking, 1).chmod(0o644)
    weights(linking, 1).write_bytes(bytes(len(WEIGHTS)))
    weights(linking, 1).chmod(0o444)
    push(linking, large("two"))
    assert weights(linking, 2).read_bytes() == WEIGHTS
    assert [problem.path for problem in linking.verify().findings] == ["v1/assets.extra/weights"]


def test_an_adopted_file_is_not_shared(tmp_path: Path, large: Made) -> None:
    root = tmp_path / "byhand"
    shutil.copytree(large("one"), root / "v1")
    for path in (root / "v1").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    repository = Repository(root)
    repository.init(adopt=True, dedup="hardlink")
    push(repository, large("two"))
    assert not weights(repository, 1).samefile(weights(repository, 2))


def test_a_damaged_manifest_shares_nothing_and_stops_nothing(linking: Repository, large: Made) -> None:
    push(linking, large("one"))
    manifest = linking.root / "v1" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    push(linking, large("two"))
    assert not weights(linking, 1).samefile(weights(linking, 2))


def test_a_version_that_goes_takes_nothing_from_the_others(linking: Repository, large: Made) -> None:
    push(linking, large("one"), large("two"), large("three"))
    linking.promote("v3")
    sizes = [row.size for row in linking.list() if row.version.number < 3]
    frees = linking.cleanup(dry_run=True, **NOW)  # type: ignore[arg-type]
    gone = linking.cleanup(**NOW)  # type: ignore[arg-type]
    assert gone.removed == (Version(1), Version(2))
    assert gone.freed == frees.freed == sum(sizes) - 2 * len(WEIGHTS)  # v3 holds what all three share
    assert weights(linking, 3).read_bytes() == WEIGHTS
    assert linking.verify().ok


def test_what_goes_together_frees_what_it_shares(linking: Repository, large: Made, model: Made) -> None:
    push(linking, large("one"), large("two"), model("three"))
    linking.promote("v3")
    sizes = {row.version.number: row.size for row in linking.list()}
    frees = linking.cleanup(dry_run=True, **NOW)  # type: ignore[arg-type]
    assert frees.freed == sizes[1] + sizes[2] - len(WEIGHTS)
    assert linking.cleanup(**NOW).freed == frees.freed  # type: ignore[arg-type]


def test_remove_says_what_it_really_freed(linking: Repository, large: Made) -> None:
    push(linking, large("one"), large("two"), large("three"))
    sizes = {row.version.number: row.size for row in linking.list()}
    assert linking.remove(["v1"]).freed == sizes[1] - len(WEIGHTS)
    push(linking, large("four"))
    assert linking.remove(["v2", "v3"]).freed == sizes[2] + sizes[3] - 2 * len(WEIGHTS)


def test_list_tells_what_nobody_else_shares(linking: Repository, large: Made, repository: Repository) -> None:
    push(linking, large("one"))
    assert [row.unshared == row.size for row in linking.list()] == [True]
    push(linking, large("two"))
    assert [row.size - (row.unshared or 0) for row in linking.list()] == [len(WEIGHTS)] * 2
    push(repository, large("three"))
    assert [row.unshared == row.size for row in repository.list()] == [True]


def test_status_tells_what_a_cleanup_would_free(linking: Repository, large: Made) -> None:
    push(linking, large("one"), large("two"))
    linking.promote("v2")
    assert linking.status().frees == 0
    config = linking.root / ".modelrepo" / "config.toml"
    text = config.read_text().replace('"24h"', '"0s"').replace("keep_last = 5", "keep_last = 0")
    config.write_text(text)
    sizes = {row.version.number: row.size for row in linking.list()}
    assert linking.status().frees == sizes[1] - len(WEIGHTS)


@pytest.mark.tensorflow
def test_a_load_is_not_disturbed_by_a_cleanup_of_what_is_shared(
    linking: Repository, large: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting another name changes the ctime of a file that is being loaded."""
    from modelrepo.repository import admitting

    push(linking, large("one"), large("two"))
    load = admitting.load

    def meanwhile(*arguments: object) -> object:
        linking.remove(["v1"])
        return load(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(admitting, "load", meanwhile)
    assert linking.push(large("three")).load == "passed"
    assert weights(linking, 2).samefile(weights(linking, 3))


def test_init_says_where_it_stays_as_it_is(linking: Repository, repository: Repository) -> None:
    assert linking.init(dedup="hardlink").warnings == ()
    assert 'dedup = "hardlink", and stays so' in linking.init(dedup="off").warnings[0]
    assert 'dedup = "reflink", and stays so' in repository.init(dedup="hardlink").warnings[0]


def test_an_unknown_way_is_an_error_that_says_which_there_are(linking: Repository) -> None:
    config = linking.root / ".modelrepo" / "config.toml"
    config.write_text(config.read_text().replace('"hardlink"', '"softlink"', 1))
    with pytest.raises(IntegrityError, match=r"storage\.dedup: it is none of reflink, hardlink, off"):
        linking.status()
