"""The requests that a converted model is compared by: given, golden, or made up. In the inspector's child alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from modelrepo.savedmodel import closeness
from modelrepo.savedmodel.arrays import Refusal, malformed
from modelrepo.savedmodel.freezing import Kit, Loaded
from modelrepo.savedmodel.requests import DEFAULT, Request

#: What a dimension that is open could be, in this order: a small image takes most models further than a tiny one.
_SIZES = (32, 8, 64, 224)
#: The size of a made-up batch, and how many are made up.
_BATCH, _MANY = 2, 4
_BYTE_VALUES = 256


class Examples(NamedTuple):
    """Requests, and what the version answers.

    Attributes:
        source: `given`, `golden` or `generated`.
        inputs: Arrays by key.
        answers: Likewise.
    """

    source: str
    inputs: list[dict[str, Any]]
    answers: list[dict[str, Any]]


def of(
    kit: Kit,
    model: Loaded,
    name: str,
    given: Sequence[Request] | None,
    golden: Sequence[Request] | None,
    seed: int,
) -> Examples:
    """The requests of one signature, answered by the version.

    Args:
        kit: TensorFlow.
        model: The version.
        name: The signature.
        given: What somebody wants it to be compared by; None for nothing.
        golden: The version's golden requests; those that do not fit are left out.
        seed: What numbers are made up from where there are no requests.

    Raises:
        Refusal: They do not fit, the version fails, or gives nothing that can be compared.
    """
    found = Examples("generated", [], [])
    if given is not None:
        found = Examples("given", *_given(model, name, given))
    elif golden is not None:
        found = Examples("golden", *_golden(model, name, golden))
    if not found.inputs:
        found = Examples("generated", *_generated(kit, model, name, seed))
    if not any(map(closeness.is_telling, found.answers)):
        raise Refusal(
            "convert-uncompared",
            f"the version answers nothing but NaN or infinity in an output of signature `{name}`",
            "a finite number in each output, to compare with",
        )
    return found


def arrays(model: Loaded, name: str, given: Sequence[Request], what: str) -> list[dict[str, Any]]:
    """Requests of one signature as arrays by key.

    Raises:
        Refusal: They do not fit, or there are none.
    """
    fitting = [
        model.arrays(name, request.inputs, f"{what} {number}")
        for number, request in enumerate(given, 1)
        if (request.signature or name) == name
    ]
    if not fitting:
        raise malformed(f"there is no {what} for signature `{name}`", f"a request without `signature`, or with {name}")
    return fitting


def _given(model: Loaded, name: str, given: Sequence[Request]) -> tuple[list[Any], list[Any]]:
    inputs = arrays(model, name, given, "request")
    return inputs, [model.answer(name, each, f"request {number}") for number, each in enumerate(inputs, 1)]


def _golden(model: Loaded, name: str, golden: Sequence[Request]) -> tuple[list[Any], list[Any]]:
    inputs, answers = [], []
    for number, request in enumerate(golden, 1):
        if (request.signature or DEFAULT) != name:
            continue
        try:
            inputs.append(model.arrays(name, request.inputs, f"golden request {number}"))
        except Refusal:  # of another size than the batch that was fixed
            continue
        answers.append(model.answer(name, inputs[-1], f"golden request {number}"))
    return inputs, answers


def _generated(kit: Kit, model: Loaded, name: str, seed: int) -> tuple[list[Any], list[Any]]:
    """Made-up requests of the first size that the version answers with finite numbers."""
    failed: Refusal | None = None
    for size in _SIZES:
        try:
            pairs = [
                (each, model.answer(name, each, "a made-up request")) for each in _made_up(kit, model, name, size, seed)
            ]
        except Refusal as refusal:  # it takes not every size
            failed = refusal
            continue
        finite = [pair for pair in pairs if closeness.is_finite(pair[1])]
        if finite:
            return [inputs for inputs, _ in finite], [answer for _, answer in finite]
        failed = Refusal("convert-uncompared", "the answers are not finite")
    raise Refusal(
        "convert-uncompared",
        f"the version answers no made-up request: {failed}",
        "requests that it answers: --input FILE",
    )


def _made_up(kit: Kit, model: Loaded, name: str, size: int, seed: int) -> Iterator[dict[str, Any]]:
    for number in range(_MANY):
        rng = np.random.default_rng([seed, number])
        yield {
            key: _example(rng, info, np.dtype(kit.tensorflow.dtypes.as_dtype(info.dtype).as_numpy_dtype), size, number)
            for key, info in sorted(model.signature(name).inputs.items())
        }


def _example(rng: Any, info: Any, dtype: Any, size: int, number: int) -> Any:
    """Values of one input: numbers from 0 to 1 and normal ones in turn, zeros and ones, pixels."""
    dims = [size] if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
    shape = [(size if index else _BATCH) if length < 0 else length for index, length in enumerate(dims)]
    if dtype.kind in "fcV":
        return (rng.normal(size=shape) if number % 2 else rng.random(shape)).astype(dtype)
    return rng.integers(0, _BYTE_VALUES if dtype == np.uint8 else 2, shape).astype(dtype)
