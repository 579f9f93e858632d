"""`Repository`: the library's face never prints, never exits, and lets no bare system error out."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.errors import ModelRepoError, NotFoundError, RequestError, StorageError, SystemRefusedError
from modelrepo.fs import look


def test_making_one_touches_nothing(tmp_path: Path) -> None:
    Repository(tmp_path / "nothing")
    assert os.listdir(tmp_path) == []


def test_the_root_is_absolute_and_without_links(filled: Repository, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "alias").symlink_to(filled.root)
    monkeypatch.chdir(tmp_path)
    assert Repository("alias").root == filled.root
    assert Repository("alias").path("v1").path == str(filled.root / "v1")
    assert repr(Repository("alias")) == f"Repository({str(filled.root)!r})"


def test_versions_are_taken_as_values_and_as_text(filled: Repository) -> None:
    assert filled.promote(Version(2)).to == Version(2)
    assert filled.path(Version(2)) == filled.path("v2") == filled.path("2")
    assert filled.rollback(to=Version(2)).changed is False
    assert filled.verify([Version(1), "v2"]).versions == (Version(1), Version(2))


def test_a_path_is_a_path_also_without_a_slash(
    filled: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a ref or a path may stand, a text without a slash is a ref."""
    monkeypatch.chdir(tmp_path / "exports")
    assert filled.inspect(Path("one")).path == str(tmp_path / "exports" / "one")
    assert filled.inspect(Version(1)).version == Version(1)
    assert filled.diff(Version(1), Path("one")).after.version is None
    with pytest.raises((NotFoundError, RequestError)):
        filled.inspect("one")


def test_nothing_is_printed(filled: Repository, capfd: pytest.CaptureFixture[str], ageless: dict[str, Any]) -> None:
    filled.promote("v1")
    filled.push(filled.root.parent / "exports" / "two", load=False)
    filled.status()
    filled.verify(repair=True)
    filled.cleanup(**ageless)
    with pytest.raises(ModelRepoError):
        filled.promote("v9")
    assert capfd.readouterr() == ("", "")


def test_no_bare_system_error_gets_out(filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelrepo.repository import snapshot

    for number, kind in (
        (5, StorageError),
        (13, SystemRefusedError),
        (30, SystemRefusedError),
        (24, SystemRefusedError),
    ):

        def broken(*_: Any, number: int = number) -> Any:
            raise OSError(number, os.strerror(number), str(layout.root))

        with monkeypatch.context() as patch:
            patch.setattr(snapshot, "read_tree", broken)
            for call in (filled.list, filled.status, filled.history, filled.verify, lambda: filled.path("v1")):
                with pytest.raises(kind) as caught:
                    call()
                assert isinstance(caught.value.__cause__, OSError)
    assert look.read_tree(layout).versions


def test_results_are_frozen(filled: Repository) -> None:
    with pytest.raises(AttributeError, match="cannot be set"):
        filled.path("v1").path = "/elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    "arguments",
    [{"keep_last": -1}, {"keep_rollback": 0}],
)
def test_numbers_out_of_bounds_are_the_callers_fault(filled: Repository, arguments: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        filled.cleanup(**arguments)


def test_reasons_are_checked_like_messages(filled: Repository) -> None:
    for text in ("a\x1b[31m", "x" * 4097, "\udcff"):
        for call in (
            lambda text=text: filled.promote("v1", reason=text),
            lambda text=text: filled.pin("v1", reason=text),
            lambda text=text: filled.rollback(reason=text),
        ):
            with pytest.raises(RequestError):
                call()
    assert len(filled.history()) == 3


def test_the_claimed_actor_is_recorded_beside_the_real_one(filled: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELREPO_ACTOR", "ci@example")
    filled.promote("v1")
    monkeypatch.setenv("MODELREPO_ACTOR", "evil\x1b[31m")
    filled.promote("v2")
    second, first = filled.history(limit=2)
    assert first.actor.claims == {"MODELREPO_ACTOR": "ci@example"}
    assert first.actor.uid == os.geteuid()
    assert second.actor.claims == {}


def test_cleanup_takes_timedeltas(filled: Repository) -> None:
    result = filled.cleanup(keep_last=0, min_age=timedelta(days=1), dry_run=True)
    assert {kept.reasons for kept in result.kept} == {("min-age",)}
