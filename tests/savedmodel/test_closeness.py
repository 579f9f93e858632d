"""How far values are apart, and the one number that says how far the answers of a converted model are off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelrepo.savedmodel.closeness import apart, differences, is_finite, is_telling, near

NAN, INFINITY = math.nan, math.inf


@pytest.mark.parametrize(
    ("right", "got", "size", "nearby"),
    [
        (1, 1, 0, True),
        (1, 1.5, 0.5, True),
        (1, 2.5, 1.5, False),
        (NAN, NAN, 0, True),
        (NAN, 1, INFINITY, False),
        (1, NAN, INFINITY, False),
        (INFINITY, INFINITY, 0, True),
        (INFINITY, -INFINITY, INFINITY, False),
        (INFINITY, NAN, INFINITY, False),
        (INFINITY, 1, INFINITY, False),
        (1, INFINITY, INFINITY, False),
        (1.7e308, INFINITY, INFINITY, False),  # whatever the limit is
        (1.7e308, -1.7e308, INFINITY, True),  # by the factor that is allowed
        (1 + 1j, 1 + 1.5j, 0.5, True),
        (1j, complex(NAN, 0), INFINITY, False),
    ],
)
def test_two_values_are_near_within_the_tolerance_and_nan_and_infinity_to_themselves(
    right: Any, got: Any, size: float, nearby: object
) -> None:
    one, two = np.array([right]), np.array([got])
    relative = 4.0 if abs(right) > 10 else 0.5
    assert (apart(one, two).tolist(), near(one, two, 0.25, relative).tolist()) == ([size], [nearby])


def test_integers_are_near_to_themselves_alone() -> None:
    one, two = np.array([2**62, 5]), np.array([2**62 + 1, 5])
    assert near(one, two, 10, 10).tolist() == [False, True]
    assert near(one[1:], np.array([5.25]), 0.5, 0).tolist() == [True]
    assert apart(one, np.array([2**62 - 1024, 7])).tolist() == [1024, 2]


def off(right: Any, got: Any, dtype: str = "float32") -> float:
    return differences([{"y": np.array(right, dtype)}], [{"y": np.array(got, dtype)}])["y"]


@pytest.mark.parametrize(
    ("right", "got", "expected"),
    [
        ([1, 2, -4], [1, 2, -4], 0),
        ([1, 2, -4], [1, 2.5, -4], 0.125),
        ([1e-9, 1], [0, 1], 1e-9),
        ([0, 0], [0, 0.5], 0.5),
        ([NAN, 2], [NAN, 2], 0),
        ([NAN, 2], [1, 2], INFINITY),
        ([1, 2], [NAN, 2], INFINITY),
        ([INFINITY, 2], [INFINITY, 2], 0),
        ([INFINITY, 2], [-INFINITY, 2], INFINITY),
        ([INFINITY, 2], [INFINITY, 3], 0.5),
        ([1, 2], [[1, 2]], INFINITY),
        ([], [], 0),
    ],
)
def test_floats_differ_relative_to_the_largest(right: Any, got: Any, expected: float) -> None:
    assert off(right, got) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_of_integers_and_truths_it_is_the_share_that_differs(dtype: str) -> None:
    assert off([1, 0, 1, 1], [1, 0, 0, 1], dtype) == 0.25


def test_integers_of_other_widths_are_compared_by_value() -> None:
    assert differences([{"y": np.array([5, 7])}], [{"y": np.array([5, 7], "int32")}]) == {"y": 0.0}


def test_more_digits_than_the_version_gives_are_no_difference() -> None:
    right, got = np.array([1 / 3, 2 / 3], "float16"), np.array([1 / 3, 2 / 3], "float32")
    assert differences([{"y": right}], [{"y": got}]) == {"y": 0.0}
    assert differences([{"y": got}], [{"y": right}])["y"] > 1e-5


def test_all_requests_count_together_and_each_output_by_itself() -> None:
    rights = [{"a": np.array([1.0]), "b": np.array([1.0])}, {"a": np.array([10.0]), "b": np.array([1.0])}]
    gots = [{"a": np.array([2.0]), "b": np.array([1.0])}, {"a": np.array([10.0]), "b": np.array([1.0])}]
    assert differences(rights, gots) == {"a": 0.1, "b": 0.0}


def test_an_output_that_is_missing_is_infinitely_off() -> None:
    assert differences([{"a": np.array([1.0])}], [{}]) == {"a": INFINITY}


def test_an_answer_without_a_finite_number_tells_nothing() -> None:
    assert is_telling({"y": np.array([NAN, 1.0]), "k": np.array([1])})
    assert not is_telling({"y": np.array([NAN, INFINITY])})
    assert not is_finite({"y": np.array([NAN, 1.0])})
    assert is_finite({"y": np.array([1.0]), "k": np.array([1])})
