"""A lease holds one version, wherever channels move, until it is closed or its process ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.errors import BusyError, IntegrityError, NotFoundError
from modelrepo.fs import locks
from modelrepo.repository import leasing


def test_a_leased_version_stays_readable_while_channels_move_and_cleanup_runs(
    filled: Repository, ageless: dict[str, Any]
) -> None:
    filled.promote("v1")
    with filled.lease("latest") as lease:
        assert (lease.version, lease.path) == (Version(1), filled.root / "v1")
        for ref in ("v2", "v3", "v2", "v3"):
            filled.promote(ref)
        result = filled.cleanup(**{**ageless, "keep_rollback": 1})
        assert {str(kept.version): kept.reasons for kept in result.kept}["v1"] == ("leased",)
        assert (lease.path / "saved_model.pb").read_bytes()
    assert filled.cleanup(**{**ageless, "keep_rollback": 1}).removed == (Version(1),)


def test_a_lease_ends_when_it_is_closed_and_closing_again_does_nothing(filled: Repository) -> None:
    lease = filled.lease("v1")
    assert locks.take(lease.path, exclusive=True) is None
    lease.close()
    lease.close()
    hold = locks.take(lease.path, exclusive=True)
    assert hold is not None
    hold.close()


def test_many_may_hold_one_version(filled: Repository) -> None:
    with filled.lease("v1") as first, filled.lease("v1") as second:
        assert first.path == second.path


def test_a_lease_is_not_inherited_unless_that_is_asked_for(filled: Repository) -> None:
    with filled.lease("v1") as lease:
        assert not os.get_inheritable(lease._hold.descriptor)
        lease.inherit()
        assert os.get_inheritable(lease._hold.descriptor)


def test_what_is_not_there_cannot_be_leased(filled: Repository) -> None:
    for ref in ("v9", "latest", "sha256:00000000"):
        with pytest.raises(NotFoundError):
            filled.lease(ref)
    filled.remove(["v3"])
    with pytest.raises(NotFoundError, match="was deleted"):
        filled.lease("v3")
    os.rename(filled.root / "v2", filled.root.parent / "v2")
    with pytest.raises(IntegrityError):
        filled.lease("v2")


def test_a_version_that_goes_away_between_look_and_lock_is_resolved_anew(
    filled: Repository, ageless: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel moved on and cleanup took the old target: the lease is on the new one."""
    filled.promote("v1")
    real = locks.take
    went: list[bool] = []

    def take(path: Path, *, exclusive: bool = False) -> locks.Hold | None:
        if not went and not exclusive:
            went.append(True)
            for ref in ("v2", "v3", "v2", "v3"):
                filled.promote(ref)
            assert filled.cleanup(**{**ageless, "keep_rollback": 1}).removed == (Version(1),)
        return real(path, exclusive=exclusive)

    monkeypatch.setattr(locks, "take", take)
    with filled.lease("latest") as lease:
        assert lease.version == Version(3)


def test_a_version_held_by_somebody_who_deletes_it_is_waited_for_and_then_named(
    filled: Repository, flock: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "_SECONDS", 0.2)
    holder = flock(filled.root / "v1", exclusive=True)
    with pytest.raises(BusyError) as caught:
        filled.lease("v1")
    assert f"process {holder.pid} (" in caught.value.message


def test_the_shell_form_holds_the_version_it_started_in(
    filled: Repository, other: Callable[..., subprocess.Popen[str]], ageless: dict[str, Any]
) -> None:
    """`(cd -P latest && exec flock -s . CMD)`, as the documentation says."""
    filled.promote("v1")
    child = other(
        "(cd -P latest && exec flock -s . sh -c 'echo ready; read line; cat saved_model.pb | wc -c')", cwd=filled.root
    )
    for ref in ("v2", "v3", "v2", "v3"):
        filled.promote(ref)
    assert "leased" in {str(kept.version): kept.reasons for kept in filled.cleanup(**ageless).kept}["v1"]
    size = (filled.root / "v1" / "saved_model.pb").stat().st_size
    assert child.communicate("go\n")[0].split() == [str(size)]
