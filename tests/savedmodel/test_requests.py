"""Files of requests: JSON and archives say the same, and what is neither is refused in words."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrepo.savedmodel import requests
from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.requests import parse_golden, parse_inputs


def archive(**arrays: Any) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def document(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def kind_of(parse: Callable[[bytes], Any], data: bytes) -> str | None:
    """What kind of refusal it is, as the parent reads it; None where the data is read."""
    try:
        parse(data)
    except Refusal as refusal:
        return str(json.loads(json.dumps(refusal.answer()))["kind"])
    return None


ONE = {"inputs": {"x": [1]}, "outputs": {"y": [2]}}


def test_what_does_not_stand_there_has_its_default() -> None:
    golden = parse_golden(document(requests=[ONE, {**ONE, "signature": "other"}]))
    assert (golden.absolute, golden.relative) == (1e-5, 1e-5)
    assert [request.signature for request in golden.requests] == ["serving_default", "other"]
    golden = parse_golden(document(requests=[ONE], signature="named", tolerance={"relative": 0}))
    assert (golden.absolute, golden.relative, golden.requests[0].signature) == (1e-5, 0, "named")


def test_an_archive_says_the_same_as_json() -> None:
    golden = parse_golden(
        archive(
            **{f"{number}/{side}": np.array([number]) for number in (10, 9) for side in ("inputs/a/b", "outputs/y")},
            signature="named",
            absolute=0.5,
        )
    )
    assert [request.inputs["a/b"].tolist() for request in golden.requests] == [[9], [10]]
    assert (golden.absolute, golden.relative, golden.requests[0].signature) == (0.5, 1e-5, "named")
    single = parse_golden(archive(**{"inputs/x": np.zeros(2), "outputs/y": np.zeros(1)}))
    assert len(single.requests) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"x": np.zeros(1)},
        {"inputs/x": np.zeros(1)},
        {"1/x": np.zeros(1)},
        {"inputs/": np.zeros(1), "outputs/y": np.zeros(1)},
        {"inputs/x": np.zeros(1), "outputs/y": np.zeros(1), "absolute": np.zeros(2)},
        {"inputs/x": np.zeros(1), "outputs/y": np.zeros(1), "relative": -1},
        {"inputs/x": np.zeros(1), "outputs/y": np.zeros(1), "signature": 3},
    ],
)
def test_an_archive_of_something_else_is_refused(arrays: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        parse_golden(archive(**arrays))
    assert caught.value.kind == "requests-malformed"


def test_an_archive_that_would_unpack_to_too_much_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(**{"inputs/x": np.zeros(10**6), "outputs/y": np.zeros(1)})
    assert len(data) < 10**5
    monkeypatch.setattr(requests, "_MOST_UNPACKED", 10**6)
    with pytest.raises(Refusal, match="too large"):
        parse_golden(data)


def test_an_archive_that_lies_about_its_arrays_is_refused() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive_:
        archive_.writestr("inputs/x.npy", b"\x93NUMPY\x01\x00 rubbish")
        archive_.writestr("outputs/y.npy", b"none")
    with pytest.raises(Refusal):
        parse_golden(data.getvalue())


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (document(inputs={"x": [1]}), ["x"]),
        (document(x=[1]), ["x"]),
        (document(inputs=[1]), ["inputs"]),
        (document(inputs={"b64": "AA=="}), ["inputs"]),
        (document(inputs={"x": 1}, y=2), ["inputs", "y"]),
        (archive(x=np.zeros(1)), ["x"]),
        (archive(**{"inputs/x": np.zeros(1), "outputs/y": np.zeros(1)}), ["x"]),
    ],
)
def test_inputs_stand_bare_or_under_their_word(data: bytes, keys: list[str]) -> None:
    assert sorted(parse_inputs(data).inputs) == keys


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda data: b"PK\x03\x04" + data))
def test_whatever_bytes_are_refused_in_words_or_read(data: bytes) -> None:
    for parse in (parse_golden, parse_inputs):
        assert kind_of(parse, data) in {None, "requests-malformed"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "outputs", "requests", "signature", "tolerance", "absolute", "x"]),
            inner,
            max_size=3,
        )
    ),
)


@given(JSON)
def test_whatever_json_is_refused_in_words_or_read(value: Any) -> None:
    for parse in (parse_golden, parse_inputs):
        assert kind_of(parse, json.dumps(value).encode()) in {None, "requests-malformed"}
