"""Values of requests: what JSON says becomes the right array or a refusal that says where, and comes back the same."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from modelrepo.savedmodel import arrays
from modelrepo.savedmodel.arrays import Refusal, to_array, to_json

OBJECT = np.dtype(object)
SHAPES = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
DTYPES = st.sampled_from(["bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64", "complex64"])


@given(DTYPES.flatmap(lambda dtype: npst.arrays(dtype, SHAPES)))
def test_numbers_come_back_as_they_were(array: Any) -> None:
    text = json.dumps(to_json(array, "it"), allow_nan=False)
    back = to_array(json.loads(text), array.dtype, "it")
    # An empty list does not say what would stand in it.
    assert back.shape == array.shape or array.size == 0
    if array.size:
        np.testing.assert_array_equal(back, array)


@given(st.lists(st.binary(max_size=8), max_size=5))
def test_strings_come_back_as_they_were(texts: list[bytes]) -> None:
    array: Any = np.empty(len(texts), OBJECT)
    array[:] = texts
    text = json.dumps(to_json(array, "it"))
    assert to_array(json.loads(text), OBJECT, "it").tolist() == texts


def test_a_short_float_is_written_short() -> None:
    assert to_json(np.array([0.1, np.nan, -np.inf], "float32"), "it") == [0.1, "NaN", "-Infinity"]


def test_bytes_that_are_no_utf8_are_written_as_tensorflow_serving_does() -> None:
    array = np.array([b"caf\xc3\xa9", b"\xff\x00"], OBJECT)
    assert to_json(array, "it") == ["caf\u00e9", {"b64": "/wA="}]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1, [2]], "int64"),
        ([[1], [2, 3]], "int64"),
        ([[1], 2], "int64"),
        (1.5, "int32"),
        (1.0, "int32"),
        (True, "int32"),
        (2**63, "int64"),
        (-1, "uint8"),
        (300, "int8"),
        (1, "bool"),
        ("1", "float32"),
        (True, "float32"),
        (None, "float32"),
        (10**400, "float64"),
        ({"real": 1}, "complex64"),
        (1, "object"),
        ({"b64": "?"}, "object"),
        ({"b64": 1}, "object"),
        ("\ud800", "object"),
        ([{}], "object"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_said(value: Any, dtype: str) -> None:
    with pytest.raises(Refusal, match="input `x`") as caught:
        to_array(value, np.dtype(dtype), "input `x`")
    assert caught.value.kind == "requests-malformed"


def test_lists_that_are_nested_too_deep_are_refused() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(Refusal, match="too deep"):
        to_array(value, np.dtype("int64"), "it")


@pytest.mark.parametrize(
    ("array", "dtype", "fits"),
    [
        (np.ones(2, "float64"), "float32", True),
        (np.ones(2, "int64"), "int32", True),
        (np.full(2, 2**40), "int32", False),
        (np.ones(2, "int32"), "float32", True),
        (np.ones(2, "float32"), "int64", False),
        (np.ones(2, "float32"), "bool", False),
        (np.array(["a", "\u00e9"]), "object", True),
        (np.array([b"a"]), "object", True),
        (np.ones(2), "object", False),
        (np.array(["1"]), "float32", False),
    ],
)
def test_an_array_of_another_type_is_taken_where_no_value_is_lost(array: Any, dtype: str, fits: bool) -> None:  # noqa: FBT001
    if fits:
        assert to_array(array, np.dtype(dtype), "it").dtype == np.dtype(dtype)
    else:
        with pytest.raises(Refusal):
            to_array(array, np.dtype(dtype), "it")


def test_an_answer_that_is_too_large_for_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_VALUES", 3)
    assert to_json(np.zeros(3), "it") == [0, 0, 0]
    with pytest.raises(Refusal) as caught:
        to_json(np.zeros(4), "it")
    assert caught.value.kind == "outputs-too-large"


def test_an_array_of_texts_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(Refusal, match="input `x` holds a wrong value") as caught:
        to_array(np.array(["\ud800"]), np.dtype("object"), "input `x`")
    assert caught.value.kind == "requests-malformed"
