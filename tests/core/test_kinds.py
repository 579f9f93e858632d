"""Single fields of what every command reads."""

from __future__ import annotations

from typing import Any

import pytest

from modelrepo.core import kinds

WRONG: list[tuple[kinds.Kind, Any]] = [
    (kinds.text, 1),
    (kinds.text, None),
    (kinds.text, ["a"]),
    (kinds.truth, 1),
    (kinds.truth, "true"),
    (kinds.number, True),
    (kinds.number, float("nan")),
    (kinds.number, float("inf")),
    (kinds.number, "1"),
    (kinds.number, 10**400),
    (kinds.whole(1, 3), 0),
    (kinds.whole(1, 3), 4),
    (kinds.whole(1), 0),
    (kinds.whole(1, 3), True),
    (kinds.whole(1, 3), 2.0),
    (kinds.one_of("a", "b"), "c"),
    (kinds.one_of("a", "b"), ["a"]),
    (kinds.texts, "a"),
    (kinds.texts, ["a", 1]),
    (kinds.each(kinds.text), {"a": 1}),
    (kinds.each(kinds.text), ["a"]),
]


@pytest.mark.parametrize(("kind", "value"), WRONG)
def test_what_is_of_another_kind_is_a_value_error(kind: kinds.Kind, value: object) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        kind(value)


def test_what_is_of_the_kind_is_taken_as_it_is() -> None:
    assert kinds.text("") == ""
    assert kinds.truth(False) is False
    assert kinds.number(3) == 3.0
    assert [kinds.whole(1, 3)(number) for number in (1, 3)] == [1, 3]
    assert kinds.whole(0)(10**30) == 10**30
    assert kinds.one_of("a", "b")("b") == "b"
    assert kinds.texts(["a", ""]) == ("a", "")
    assert kinds.each(kinds.text)({"a": "b"}) == {"a": "b"}


@pytest.mark.parametrize("fields", [None, [], "a", 1])
def test_what_has_no_fields_is_a_value_error(fields: object) -> None:
    with pytest.raises(ValueError, match="it has no keys"):
        kinds.read({}, fields)


def test_a_wrong_field_is_named_with_where_it_stands() -> None:
    known = {"size": kinds.whole(0, 9)}
    for fields, problem in (
        ({"sise": 1}, "part.sise: unknown key"),
        ({"size": "1"}, "part.size: it is no whole number from 0 to 9"),
        ({"size": None}, "part.size: it is missing"),
        ({}, "part.size: it is missing"),
    ):
        with pytest.raises(ValueError, match=f"^{problem}$"):
            kinds.read(known, fields, ("size",), "part.")
