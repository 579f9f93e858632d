"""How constants and requests are written for TensorFlow.js."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from modelrepo.savedmodel import tfjs
from modelrepo.savedmodel.arrays import Refusal


@pytest.mark.parametrize(
    ("array", "dtype", "size"),
    [
        (np.zeros((2, 3), "float32"), "float32", 24),
        (np.zeros(2, "float64"), "float32", 8),
        (np.zeros(2, "float16"), "float32", 8),
        (np.zeros(2, "int64"), "int32", 8),
        (np.zeros(2, "uint8"), "int32", 8),
        (np.zeros(3, "bool"), "bool", 3),
        (np.zeros(1, "complex64"), "complex64", 8),
        (np.array([b"ab", b""], object), "string", 10),
        (np.float32(1), "float32", 4),
    ],
)
def test_a_constant_is_written_in_a_type_that_there_is(array: Any, dtype: str, size: int) -> None:
    spec, data = tfjs._weight("w", np.asarray(array), "none")
    assert (spec["dtype"], spec["shape"], len(data)) == (dtype, list(np.shape(array)), size)


def test_an_integer_that_means_to_the_end_still_does() -> None:
    _, data = tfjs._weight("end", np.array([2**63 - 1, -(2**63), 5]), "none")
    assert np.frombuffer(data, "<i4").tolist() == [2**31 - 1, -(2**31), 5]


def test_of_sixteen_bits_are_weights_and_not_settings() -> None:
    spec, data = tfjs._weight("w", np.ones(4, "float32"), "float16")
    assert (spec["quantization"], len(data)) == ({"original_dtype": "float32", "dtype": "float16"}, 8)
    spec, data = tfjs._weight("epsilon", np.array(1e-8, "float32"), "float16")
    assert "quantization" not in spec
    assert np.frombuffer(data, "<f4")[0] == np.float32(1e-8)


def test_a_request_comes_back_as_it_went() -> None:
    for array in (np.array([[1, -2]], "int64"), np.array([True, False]), np.array(0.5, "float32")):
        assert (tfjs._from_json(tfjs._to_json("x", array)) == array).all()
    told = tfjs._to_json("x", np.array([1.5], "float64"))
    assert (told["dtype"], base64.b64decode(told["data"])) == ("float32", np.float32(1.5).tobytes())


def test_an_integer_that_there_is_no_type_for_is_refused() -> None:
    with pytest.raises(Refusal, match=r"input `x` holds an integer that TensorFlow\.js has no type for") as caught:
        tfjs._to_json("x", np.array([2**40]))
    assert caught.value.kind == "requests-malformed"
    with pytest.raises(Refusal) as caught:
        tfjs._from_json({"dtype": "complex64", "shape": [], "data": ""})
    assert caught.value.kind == "convert-unsupported"
