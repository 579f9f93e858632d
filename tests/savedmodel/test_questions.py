"""The requests of a comparison: those of a file with or without answers, and those that are made up from a seed."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest

from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.questions import ROWS, MadeUp, make_up
from modelrepo.savedmodel.requests import parse_requests

INPUTS: dict[str, tuple[str, list[int | None] | None]] = {
    "image": ("float32", [None, 4]),
    "id": ("int64", [None]),
    "byte": ("uint8", [None, 2]),
    "words": ("string", [None, 1]),
    "truth": ("bool", []),
    "any": ("float64", None),
    "half": ("bfloat16", [3]),
    "wave": ("complex64", [None]),
}


def digest(requests: Any) -> str:
    """Of all values, in order."""
    found = hashlib.sha256()
    for request in requests:
        for key in sorted(request.inputs):
            array = request.inputs[key]
            found.update(repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes())
    return found.hexdigest()


def test_the_same_seed_gives_the_same_values_for_ever() -> None:
    one, two = (make_up(MadeUp("s", INPUTS, 3, 7)) for _ in range(2))
    assert digest(one) == digest(two)
    assert digest(one) != digest(make_up(MadeUp("s", INPUTS, 3, 8)))
    # What a comparison has said once, it says again: with the next release, too, and on another machine.
    assert one[0].inputs["id"].tolist() == make_up(MadeUp("s", {"id": INPUTS["id"]}, 1, 7))[0].inputs["id"].tolist()
    small: dict[str, tuple[str, list[int | None] | None]]
    small = {"id": ("int64", [None]), "words": ("string", [2]), "x": ("float32", [2])}
    few = make_up(MadeUp("s", small, 1, 0))[0].inputs
    assert few["id"].tolist() == [5, 6, 4, 7, 0, 9, 0, 9]
    assert few["words"].tolist() == [b"the of", b"in dog"]
    assert few["x"].tolist() == pytest.approx([1.4928046, 1.7958375])


def test_types_shapes_and_bounds_are_those_that_were_declared() -> None:
    requests = make_up(MadeUp("s", INPUTS, 5, 0))
    assert len(requests) == 5
    for request in requests:
        assert request.signature == "s"
        got = {key: (array.dtype.name, array.shape) for key, array in request.inputs.items()}
        assert got == {
            "image": ("float32", (ROWS, 4)),
            "id": ("int64", (ROWS,)),
            "byte": ("uint8", (ROWS, 2)),
            "words": ("object", (ROWS, 1)),
            "truth": ("bool", ()),
            "any": ("float64", (ROWS,)),
            "half": ("float32", (3,)),
            "wave": ("complex64", (ROWS,)),
        }
        assert set(request.inputs["id"].tolist()) <= set(range(10))
        assert all(isinstance(text, bytes) and text for text in request.inputs["words"].ravel())
    assert max(int(request.inputs["byte"].max()) for request in requests) > 9
    assert len({request.inputs["image"].tobytes() for request in requests}) == 5


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (MadeUp("s", {"x": ("resource", [])}, 1, 0), "nobody can make up input `x`"),
        (MadeUp("s", {"x": ("float32", [None, 10_000, 10_000])}, 1, 0), "too large"),
        (MadeUp("s", {"x": ("float32", [None, 1000])}, 10_000_000, 0), "too large"),
    ],
)
def test_what_nobody_can_make_up_is_said(wanted: MadeUp, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        make_up(wanted)


def archive(**arrays: Any) -> bytes:
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


X: Any = np.zeros((1, 3), np.float32)


@pytest.mark.parametrize(
    ("data", "signatures"),
    [
        ({"x": [[1, 2, 3]]}, [None]),
        ({"inputs": {"x": [[1, 2, 3]]}}, [None]),
        ({"requests": [{"inputs": {"x": 1}}, {"inputs": {"x": 2}, "signature": "t"}]}, [None, "t"]),
        ({"signature": "s", "requests": [{"inputs": {"x": 1}, "outputs": {"y": 1}}]}, ["s"]),
        ({"requests": [[1, 2]]}, [None]),  # an input of that name
        (archive(x=X), [None]),
        (archive(**{"inputs/x": X}), [None]),
        (archive(**{"0/inputs/x": X, "1/inputs/x": X, "1/outputs/y": X, "signature": "s"}), ["s", "s"]),
    ],
)
def test_a_file_holds_one_call_or_several_requests_with_or_without_answers(data: Any, signatures: list[Any]) -> None:
    given = data if isinstance(data, bytes) else json.dumps(data).encode()
    assert [request.signature for request in parse_requests(given)] == signatures


@pytest.mark.parametrize(
    "data",
    [
        {"requests": [{"inputs": [1]}]},
        {"requests": [{"inputs": {"x": 1}, "extra": 1}]},
        {"requests": [{"inputs": {"x": 1}}], "extra": 1},
        {"signature": 1, "requests": [{"inputs": {"x": 1}}]},
        [1],
    ],
)
def test_what_is_neither_is_refused(data: Any) -> None:
    with pytest.raises(Refusal) as caught:
        parse_requests(json.dumps(data).encode())
    assert caught.value.kind == "requests-malformed"
