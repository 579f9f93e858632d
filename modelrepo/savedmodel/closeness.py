"""How far the answers of a converted model are from the version's own. Used in the inspector's child alone.

The difference of an output is one number: the largest difference of two values, relative to the largest value that the
version gives there, over all requests. Integers and truths are equal or not: of them it is the share that differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Answer = Mapping[str, Any]


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
        array.dtype.kind not in "fcV" or bool(np.isfinite(_wide(array)).any())
        for array in answer.values()
        if array.size
    )


def is_finite(answer: Answer) -> bool:
    """Whether an answer has nothing but finite numbers."""
    return all(array.dtype.kind not in "fcV" or bool(np.isfinite(_wide(array)).all()) for array in answer.values())


def _wide(array: Any) -> Any:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


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
        one, two = _wide(right), _wide(got.astype(right.dtype))  # the version's own answers have no more digits
    with np.errstate(invalid="ignore"):
        size = np.abs(two - one)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    size = np.where(same, 0.0, np.where(np.isnan(size), math.inf, size))
    largest = float(np.max(np.abs(one), where=np.isfinite(one), initial=0.0))
    return float(np.max(size)) / (largest or 1.0)
