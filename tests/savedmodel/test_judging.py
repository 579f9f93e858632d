"""The figures of a comparison, from answers as the models' processes leave them. No model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelrepo.savedmodel import answering, judging
from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.packing import pack, unpack
from modelrepo.savedmodel.parsing import FailedError

Answers = list[dict[str, Any]]
Judge = Callable[..., dict[str, Any]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Lets two lists of answers be compared; returns what is said, its outputs by key."""

    def call(before: Answers, after: Answers, labels: Any = None, tolerance: float = 1e-5) -> dict[str, Any]:
        for side, answers in (("before", before), ("after", after)):
            (tmp_path / side).mkdir(exist_ok=True)
            for number, outputs in enumerate(answers):
                answering.answers(tmp_path / side, number).write_bytes(pack(outputs))
        if labels is not None:
            (tmp_path / "labels").write_bytes(labels if isinstance(labels, bytes) else json.dumps(labels).encode())
        said = judging.judge(
            {
                "before": str(tmp_path / "before"),
                "after": str(tmp_path / "after"),
                "signatures": ["s"] * len(before),
                "tolerance": tolerance,
                "labels": None if labels is None else str(tmp_path / "labels"),
            }
        )
        json.dumps(said, allow_nan=False)
        return {**said, "outputs": {each["output"]: each for each in said["outputs"]}}

    return call


def floats(*values: Any) -> Any:
    return np.array(values, np.float32)


def texts(*values: bytes) -> Any:
    array: Any = np.empty(len(values), object)
    array[:] = values
    return array


def test_what_is_packed_comes_back_texts_and_single_values_too() -> None:
    given = {
        "a/b": floats([1, 2]),
        "text": texts(b"", b"a\0", b"\xff"),
        "one": np.array(7, np.int64),
        "none": np.zeros((0, 2), np.float64),
        "wave": np.array([1 + 2j], np.complex64),
        "truth": np.array([True, False]),
    }
    back = unpack(pack(given))
    assert {key: dtype for key, (dtype, _) in back.items()} == {
        "a/b": "float32", "text": "string", "one": "int64", "none": "float64", "wave": "complex64", "truth": "bool",
    }  # fmt: skip
    for key, (_, array) in back.items():
        assert (array.dtype, array.shape, array.tolist()) == (given[key].dtype, given[key].shape, given[key].tolist())


def test_the_largest_difference_its_place_and_the_mean_are_over_all_requests(judge: Judge) -> None:
    one = [{"y": floats([1, 2], [3, 4])}, {"y": floats([0, 0])}]
    two = [{"y": floats([1, 2], [3, 4.5])}, {"y": floats([-2, 0])}]
    y = judge(one, two)["outputs"]["y"]
    assert (y["largest"], y["largest_at"]) == (2.0, {"request": 2, "index": [0, 0]})
    assert (y["mean"], y["changed"], y["values"], y["rows"]) == (2.5 / 6, 2 / 6, 6, 3)
    assert y["differences"] == [
        {"exponent": None, "values": 4}, {"exponent": -1, "values": 1}, {"exponent": 0, "values": 1},
    ]  # fmt: skip


def test_a_row_agrees_where_its_largest_score_stands_at_the_same_place(judge: Judge) -> None:
    one = [{"y": floats([0.2, 0.8], [0.6, 0.4], [0.5, 0.5])}]
    two = [{"y": floats([0.3, 0.7], [0.4, 0.6], [0.9, 0.1])}]
    y = judge(one, two)["outputs"]["y"]
    assert (y["top1_changed"], y["agreement"], y["changed"]) == (1 / 3, 2 / 3, 1.0)
    assert y["examples"] == [{"request": 1, "row": 1, "before": 0, "after": 1, "label": None}]


def test_scores_of_more_dimensions_have_a_row_each_place(judge: Judge) -> None:
    before: Any = np.zeros((2, 3, 4), np.float32)
    after: Any = np.zeros((2, 3, 4), np.float32)
    after[1, 2, 3] = 1
    y = judge([{"y": before}], [{"y": after}])["outputs"]["y"]
    assert (y["rows"], y["agreement"], y["examples"][0]["row"]) == (6, 5 / 6, 5)


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        (floats(1, 2, 3, 4), floats(1, 2, 3, 5), 4),
        (floats([1], [2], [3], [4]), floats([1], [2], [3], [5]), 4),
        (np.array([[1, 2], [3, 4], [5, 6], [7, 8]]), np.array([[1, 2], [3, 4], [5, 6], [8, 7]]), 4),
        (texts(b"a", b"b", b"c", b"d"), texts(b"a", b"b", b"c", b"e"), 4),
        (np.array([True, True, False, True]), np.array([True, True, False, False]), 4),
    ],
)
def test_without_scores_a_row_agrees_where_no_value_differs_and_there_is_no_top_1(
    judge: Judge, before: Any, after: Any, rows: int
) -> None:
    y = judge([{"y": before}], [{"y": after}])["outputs"]["y"]
    assert (y["rows"], y["agreement"], y["top1_changed"]) == (rows, 0.75, None)
    assert (y["largest"] is None) is (before.dtype.kind in "Ob")


def test_a_single_value_is_one_row(judge: Judge) -> None:
    y = judge([{"y": np.array(1.0)}], [{"y": np.array(1.0)}])["outputs"]["y"]
    assert (y["rows"], y["agreement"], y["largest"], y["largest_at"]) == (1, 1.0, 0.0, None)
    text: Any = np.empty((), object)
    text[()] = b"a"
    assert judge([{"y": text}], [{"y": text}])["outputs"]["y"]["agreement"] == 1.0


def test_no_rows_agree_with_nothing(judge: Judge) -> None:
    y = judge([{"y": np.zeros((0, 3), np.float32)}], [{"y": np.zeros((0, 3), np.float32)}])["outputs"]["y"]
    assert (y["rows"], y["agreement"], y["changed"], y["mean"], y["largest"]) == (0, None, None, None, None)


def test_a_float_may_differ_by_the_tolerance_and_an_integer_by_nothing(judge: Judge) -> None:
    one, two = [{"y": floats(100, 1), "n": np.array([100])}], [{"y": floats(101, 1.15), "n": np.array([101])}]
    outputs = judge(one, two, tolerance=0.01)["outputs"]
    assert (outputs["y"]["changed"], outputs["n"]["changed"]) == (0.5, 1.0)
    outputs = judge(one, two, tolerance=0.1)["outputs"]
    assert (outputs["y"]["changed"], outputs["n"]["changed"]) == (0.0, 1.0)
    assert outputs["n"]["largest"] == 1.0


def test_large_integers_are_compared_as_such(judge: Judge) -> None:
    one, two = np.array([2**62]), np.array([2**62 + 1])
    assert judge([{"n": one}], [{"n": two}])["outputs"]["n"]["changed"] == 1.0


def test_nan_and_infinity_are_counted_and_spoil_no_figure(judge: Judge) -> None:
    inf, nan = np.inf, np.nan
    one = [{"y": floats(nan, inf, -inf, inf, nan, 1, inf)}]
    two = [{"y": floats(nan, inf, inf, 1, 1, 1.5, nan)}]
    y = judge(one, two)["outputs"]["y"]
    assert (y["largest"], y["mean"], y["incomparable"]) == (0.5, 0.5 / 3, 4)
    assert y["non_finite"] == {"before": 6, "after": 4}
    assert (y["changed"], y["agreement"]) == (5 / 7, 2 / 7)


def test_a_row_with_a_nan_has_no_class(judge: Judge) -> None:
    one = [{"y": floats([np.nan, 1], [np.nan, 1], [0, 1])}]
    two = [{"y": floats([1, np.nan], [0, 1], [0, 1])}]
    y = judge(one, two, [1, 1, 1])["outputs"]["y"]
    assert (y["agreement"], y["top1_changed"]) == (2 / 3, 1 / 3)
    assert y["accuracy"] == {"before": 1 / 3, "after": 2 / 3}
    assert y["examples"] == [{"request": 1, "row": 1, "before": None, "after": 1, "label": 1}]


def test_the_difference_of_huge_values_is_no_infinity(judge: Judge) -> None:
    y = judge([{"y": np.array([1.7e308])}], [{"y": np.array([-1.7e308])}])["outputs"]["y"]
    assert (y["largest"], y["incomparable"], y["agreement"]) == (None, 1, 0.0)


def test_other_types_are_compared_as_numbers_and_named(judge: Judge) -> None:
    y = judge([{"y": floats([1, 2])}], [{"y": np.array([[1.0, 2.5]])}])["outputs"]["y"]
    assert (y["dtype"], y["largest"]) == ({"before": "float32", "after": "float64"}, 0.5)


def test_an_output_that_one_lacks_is_named(judge: Judge) -> None:
    said = judge([{"y": floats(1), "old": floats(1)}], [{"y": floats(1), "new": floats(1)}])
    assert list(said["outputs"]) == ["y"]
    assert said["missing"] == [
        {"signature": "s", "output": "new", "missing_in": "from"},
        {"signature": "s", "output": "old", "missing_in": "to"},
    ]


@pytest.mark.parametrize("other", [floats([1, 2, 3], [1, 2, 3]), texts(b"a", b"b").reshape(2, 1)])
def test_other_shapes_and_kinds_are_named_and_their_rows_do_not_agree(judge: Judge, other: Any) -> None:
    same = {"y": floats([1, 2], [1, 2])}
    y = judge([same, same], [same, {"y": other}])["outputs"]["y"]
    assert (y["rows"], y["agreement"], y["values"], y["largest"]) == (4, 0.5, 4, 0.0)
    assert y["unlike"]["requests"] == 1
    assert y["unlike"]["before"] == "float32[2, 2]"
    assert y["unlike"]["after"].endswith(str(list(other.shape)))


@pytest.mark.parametrize("damage", [None, b"", b"rubbish", b"PK\x03\x04 rubbish"])
def test_answers_that_are_gone_or_damaged_are_the_models_rubbish(judge: Judge, tmp_path: Path, damage: Any) -> None:
    judge([{"y": floats(1)}], [{"y": floats(1)}])
    place = answering.answers(tmp_path / "before", 0)
    place.unlink() if damage is None else place.write_bytes(damage)
    sides = {side: str(tmp_path / side) for side in ("before", "after")}
    with pytest.raises(FailedError, match="request 1") as caught:
        judging.judge({**sides, "signatures": ["s"], "tolerance": 0, "labels": None})
    assert caught.value.kind == "model-rubbish"


# Labels

SCORES = [{"y": floats([0.2, 0.8], [0.6, 0.4])}, {"y": floats([0.9, 0.1])}]
OTHERS = [{"y": floats([0.7, 0.3], [0.6, 0.4])}, {"y": floats([0.9, 0.1])}]


def archive(**arrays: Any) -> bytes:
    import io

    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


def array(values: Any) -> bytes:
    import io

    data = io.BytesIO()
    np.save(data, np.array(values))
    return data.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    import io
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    "labels",
    [
        [1, 0, 1], [[1, 0], [1]], {"y": [1, 0, 1]}, {"labels": [1, 0, 1]}, array([1, 0, 1]),
        array(np.array([1, 0, 1], np.uint8)), archive(y=[1, 0, 1]), archive(arr_0=[1, 0, 1]),
    ],
)  # fmt: skip
def test_accuracy_is_the_share_of_rows_with_the_right_class(judge: Judge, labels: Any) -> None:
    y = judge(SCORES, OTHERS, labels)["outputs"]["y"]
    assert y["accuracy"] == {"before": 2 / 3, "after": 1 / 3}
    assert y["examples"] == [{"request": 1, "row": 0, "before": 1, "after": 0, "label": 1}]


def test_texts_and_whole_numbers_of_one_a_row_are_classes_too(judge: Judge) -> None:
    one = [{"name": texts(b"cat", b"dog"), "id": np.array([[3], [4]]), "score": floats(0.5, 0.6)}]
    outputs = judge(one, one, ["cat", "cow"])["outputs"]
    assert (outputs["name"]["accuracy"], outputs["id"]["accuracy"]) == ({"before": 0.5, "after": 0.5}, None)
    outputs = judge(one, one, [3, 4])["outputs"]
    assert outputs["id"]["accuracy"] == {"before": 1.0, "after": 1.0}
    assert outputs["name"]["accuracy"] is outputs["score"]["accuracy"] is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 0], "has 3 rows"),
        (["cat", "dog", "cow"], "no output tells such classes"),
        ({"z": [1]}, "an output that there is not: `z`"),
        ({"y": ["cat", "dog", "cow"]}, "no classes such as they are"),
        ([1, True, 0], "hold something else"),
        ([1.0, 2.0, 3.0], "hold something else"),
        ([], "no list"),
        (7, "no list"),
        (2**70, "no list"),
        ([2**70], "hold something else"),
        ({}, "holds no labels"),
        (b"nothing", "cannot be read"),
        (b"\x93NUMPY rubbish", "cannot be read"),
        (b"PK\x03\x04 rubbish", "cannot be read"),
        (array([0.5, 0.5, 0.5]), "another type"),
        (["\ud800"], "UTF-8"),
        ({"y": ["cat", "\udfff"]}, "UTF-8"),
        (array(["\ud800"]), "UTF-8"),
        (array(np.array([2**63, 0, 1], np.uint64)), "hold something else"),
        (archive(y=np.array([-(2**63), 0, 1])), "hold something else"),
        (zipped("notes.txt", b"hello"), "holds something else"),
    ],
)
def test_labels_that_do_not_fit_are_refused(judge: Judge, labels: Any, words: str) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        judge(SCORES, OTHERS, labels)
    assert caught.value.kind == "labels-malformed"


def test_the_largest_integers_are_labels_and_larger_ones_are_no_class(judge: Judge) -> None:
    most = 2**63 - 1
    y = judge([{"y": np.array([most, -most])}], [{"y": np.array([most, most])}], array([most, -most]))["outputs"]["y"]
    assert y["accuracy"] == {"before": 1.0, "after": 0.5}
    one = [{"y": np.array([2**64 - 1, 1], np.uint64)}]
    assert judge(one, one, [-1, 1])["outputs"]["y"]["accuracy"] == {"before": 0.5, "after": 0.5}


def test_no_label_is_unpickled(judge: Judge, tmp_path: Path) -> None:
    import io

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (tmp_path / "evil",)

    data = io.BytesIO()
    np.save(data, np.array([Evil()], object), allow_pickle=True)
    with pytest.raises(Refusal):
        judge(SCORES, OTHERS, data.getvalue())
    assert not (tmp_path / "evil").exists()
