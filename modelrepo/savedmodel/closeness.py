"""How far answers are from those that are right. Used in the inspector's child alone.

Of two values (`apart`, `near`) golden requests, comparisons and conversions all mean the same: NaN is the same as NaN,
an infinity as the same infinity, and either is infinitely far from anything else.

Of a converted model the difference of an output is one number: the largest difference of two values, relative to the
largest value that the version gives there, over all requests. Integers and truths are equal or not: of them it is the
share that differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Answer = Mapping[str, Any]


def apart(right: Any, got: Any) -> Any:
    """By how much numbers differ, each from each: 0 where they are the same, never NaN.

    Args:
        right: Integers, floats or complex numbers.
        got: Likewise, of the same shape.
    """
    one, two = _wide(right, got)
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(two - one)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    return np.where(same, 0.0, np.where(np.isnan(size), math.inf, size))


def near(right: Any, got: Any, absolute: float, relative: float) -> Any:
    """Which numbers differ by no more than `absolute + relative * |right|`; integers, by nothing."""
    if right.dtype.kind in "iu" and got.dtype.kind in "iu":
        return right == got
    one, two = _wide(right, got)
    size = apart(right, got)
    with np.errstate(invalid="ignore", over="ignore"):
        within = size <= absolute + relative * np.abs(one)
    # An infinite value would allow every finite one, and a limit without end an infinity.
    return (size == 0) | (within & np.isfinite(one) & np.isfinite(two))


def differences(rights: Sequence[Answer], gots: Sequence[Answer]) -> dict[str, float]:
    """The difference of each output; infinite where an output is missing, or has another shape.

    Args:
        rights: What the version answers to each request.
        gots: What the converted model answers.
    """
    return {
        key: _difference([right[key] for right in rights], [got.get(key) for got in gots]) for key in sorted(rights[0])
    }


def is_telling(answer: Answer) -> bool:
    """Whether an answer has a finite number in each of its outputs, so that comparing it says something."""
    return all(
        array.dtype.kind not in "fcV" or bool(np.isfinite(_wide(array)[0]).any())
        for array in answer.values()
        if array.size
    )


def is_finite(answer: Answer) -> bool:
    """Whether an answer has nothing but finite numbers."""
    return all(array.dtype.kind not in "fcV" or bool(np.isfinite(_wide(array)[0]).all()) for array in answer.values())


def _wide(*arrays: Any) -> list[Any]:
    """Arrays of one type that holds the values of all; float64 has those of the short types that TensorFlow adds."""
    kind = np.complex128 if any(array.dtype.kind == "c" for array in arrays) else np.float64
    return [array.astype(kind) for array in arrays]


def _difference(rights: Sequence[Any], gots: Sequence[Any]) -> float:
    if any(got is None or got.shape != right.shape for right, got in zip(rights, gots, strict=True)):
        return math.inf
    right = np.concatenate([array.ravel() for array in rights])
    got = np.concatenate([array.ravel() for array in gots])
    if not right.size:
        return 0.0
    if right.dtype.kind not in "fcV":
        return float(np.mean(right != got))
    with np.errstate(over="ignore"):
        got = got.astype(right.dtype)  # the version's own answers have no more digits
    (one,) = _wide(right)
    largest = float(np.max(np.abs(one), where=np.isfinite(one), initial=0.0))
    return float(np.max(apart(right, got))) / (largest or 1.0)
