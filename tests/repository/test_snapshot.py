"""One stable look: readers see the state before or after a change, never a mixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo import Repository, Version
from modelrepo.core.layout import Layout
from modelrepo.core.refs import parse_ref
from modelrepo.repository import opening, snapshot


def test_a_look_during_a_move_is_taken_again(
    filled: Repository, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link moves between the two looks at the tree: the answer is of one moment."""
    filled.promote("v1")
    real = opening.open_known
    looks: list[int] = []

    def read(layout: Layout, **options: Any) -> Any:
        known = real(layout, **options)
        looks.append(1)
        filled.promote("v2")
        return known

    monkeypatch.setattr("modelrepo.repository.snapshot.open_known", read)
    taken = snapshot.take(layout)
    assert len(looks) == 1, "what came behind the first look is followed"
    assert taken.channels == {"latest": Version(2)}
    assert taken.stack("latest") == (Version(1), Version(2))


def test_a_version_deleted_between_the_looks_is_gone_from_both(
    filled: Repository, layout: Layout, ageless: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = opening.open_known

    def read(layout: Layout, **options: Any) -> Any:
        known = real(layout, **options)
        monkeypatch.setattr("modelrepo.repository.snapshot.open_known", real)
        filled.cleanup(**ageless)
        return known

    monkeypatch.setattr("modelrepo.repository.snapshot.open_known", read)
    taken = snapshot.take(layout)
    assert taken.present == frozenset()
    assert set(taken.state.removed) == {Version(1), Version(2), Version(3)}


def test_an_open_intent_counts_where_the_tree_agrees(
    filled: Repository, layout: Layout, sync_fails: Callable[[Path, int], None]
) -> None:
    from modelrepo.errors import UnconfirmedError

    filled.promote("v1")
    sync_fails(filled.root, 2)
    with pytest.raises(UnconfirmedError):
        filled.promote("v2")
    taken = snapshot.take(layout)
    assert taken.raw.open is not None
    assert taken.state.open is None
    assert taken.state.stacks == {"latest": (Version(1), Version(2))}
    assert taken.raw.stacks == {"latest": (Version(1),)}
    assert taken.resolve(parse_ref("latest~1")) == Version(1)
