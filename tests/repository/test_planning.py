"""There is one place that asks who holds a version, for cleanup's plan and for who wants to delete one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.repository import planning, snapshot

Other = Callable[..., subprocess.Popen[str]]
V1, V2 = Version(1), Version(2)


def test_a_version_that_nobody_holds_has_no_reasons_and_no_names(filled: Repository, layout: Layout) -> None:
    filled.pin("v1")
    assert planning.holders(snapshot.take(layout), V1) == ((), ())


def test_who_leases_and_who_uses_a_version_are_both_said(
    filled: Repository, layout: Layout, flock: Other, other: Other
) -> None:
    leaser = flock(filled.root / "v1")
    user = other(f"cd {filled.root}/v1/variables; echo ready; exec sleep 60")
    why, who = planning.holders(snapshot.take(layout), V1)
    assert sorted(why) == ["in-use", "leased"]
    assert {name.split()[1] for name in who} == {str(leaser.pid), str(user.pid)}
    assert planning.holders(snapshot.take(layout), V2) == ((), ())


def test_a_version_that_went_meanwhile_is_nobodys(filled: Repository, layout: Layout) -> None:
    before = snapshot.take(layout)
    (filled.root / "v1").rename(filled.root / "elsewhere")
    assert planning.holders(before, V1) == ((), ())
