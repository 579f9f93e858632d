"""How answers are laid out where nobody's terminal folds them."""

from __future__ import annotations

import pytest

from modelrepo.cli.answers import table


@pytest.mark.parametrize(
    ("cell", "columns"),
    [("ab", 2), ("日本", 4), ("e\u0301", 1), ("café", 4)],
    ids=["ascii", "wide", "combining", "latin"],
)
def test_in_a_pipe_columns_stand_below_each_other_by_what_a_character_takes(cell: str, columns: int) -> None:
    head, first, second = table(
        ("N", "NAME", "SIZE"), [("v1", cell, "9"), ("v10", "longer", "1,000")], right=(2,)
    ).split("\n")
    assert head == "N    NAME     SIZE"
    assert first == f"v1   {cell}{' ' * (6 - columns)}      9"
    assert second == "v10  longer  1,000"
