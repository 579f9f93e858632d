"""What a change of a contract means for callers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from modelrepo.core.signatures import Comparison, Shape, Signature, Tensor, both_take, compare, describe, format_shape
from modelrepo.core.values import as_json
from modelrepo.errors import RequestError

PREDICT = "tensorflow/serving/predict"


def tensor(dtype: str = "float32", shape: Shape = None, **fields: Any) -> Tensor:
    return Tensor(name=fields.pop("name", "x:0"), dtype=dtype, shape=shape, **fields)


def contract(
    inputs: Mapping[str, Tensor] | None = None, outputs: Mapping[str, Tensor] | None = None, method: str = PREDICT
) -> dict[str, Signature]:
    signature = Signature(
        method_name=method,
        inputs=dict(inputs if inputs is not None else {"x": tensor(shape=[None, 3])}),
        outputs=dict(outputs if outputs is not None else {"y": tensor(shape=[None, 1])}),
    )
    return {"serving_default": signature}


def kinds(comparison: Comparison) -> tuple[list[str], list[str]]:
    return [change.kind for change in comparison.breaking], [change.kind for change in comparison.compatible]


BREAKING = [
    ("signature-removed", contract(), {}),
    ("method-changed", contract(), contract(method="tensorflow/serving/classify")),
    ("input-removed", contract({"x": tensor(), "z": tensor()}), contract({"x": tensor()})),
    ("input-added", contract({"x": tensor()}), contract({"x": tensor(), "z": tensor()})),
    ("input-dtype", contract({"x": tensor("float32")}), contract({"x": tensor("float64")})),
    ("input-dtype", contract({"x": tensor()}), contract({"x": tensor(encoding="sparse")})),
    ("input-shape", contract({"x": tensor(shape=[None, 3])}), contract({"x": tensor(shape=[32, 3])})),
    ("input-shape", contract({"x": tensor(shape=[None, 3])}), contract({"x": tensor(shape=[None, 4])})),
    ("input-shape", contract({"x": tensor(shape=[None, 3])}), contract({"x": tensor(shape=[None])})),
    ("input-shape", contract({"x": tensor(shape=None)}), contract({"x": tensor(shape=[None])})),
    ("input-shape", contract({"x": tensor(shape=[])}), contract({"x": tensor(shape=[None])})),
    ("input-optional", contract({"x": tensor(optional=True)}), contract({"x": tensor()})),
    ("output-removed", contract(outputs={"y": tensor(), "z": tensor()}), contract(outputs={"y": tensor()})),
    ("output-dtype", contract(outputs={"y": tensor("int64")}), contract(outputs={"y": tensor("int32")})),
    ("output-dtype", contract(outputs={"y": tensor()}), contract(outputs={"y": tensor(encoding="composite")})),
    ("output-shape", contract(outputs={"y": tensor(shape=[32])}), contract(outputs={"y": tensor(shape=[None])})),
    ("output-shape", contract(outputs={"y": tensor(shape=[1])}), contract(outputs={"y": tensor(shape=[2])})),
    ("output-shape", contract(outputs={"y": tensor(shape=[1])}), contract(outputs={"y": tensor(shape=None)})),
    ("output-shape", contract(outputs={"y": tensor(shape=[1])}), contract(outputs={"y": tensor(shape=[1, 1])})),
]
COMPATIBLE = [
    ("signature-added", {}, contract()),
    ("input-added", contract({"x": tensor()}), contract({"x": tensor(), "z": tensor(optional=True)})),
    ("input-shape", contract({"x": tensor(shape=[32, 3])}), contract({"x": tensor(shape=[None, 3])})),
    ("input-shape", contract({"x": tensor(shape=[32, 3])}), contract({"x": tensor(shape=None)})),
    ("input-optional", contract({"x": tensor()}), contract({"x": tensor(optional=True)})),
    ("output-added", contract(outputs={"y": tensor()}), contract(outputs={"y": tensor(), "z": tensor()})),
    ("output-shape", contract(outputs={"y": tensor(shape=[None])}), contract(outputs={"y": tensor(shape=[32])})),
    ("output-shape", contract(outputs={"y": tensor(shape=None)}), contract(outputs={"y": tensor(shape=[1])})),
]


@pytest.mark.parametrize(("kind", "before", "after"), BREAKING)
def test_what_can_make_an_old_caller_fail_is_breaking(
    kind: str, before: dict[str, Signature], after: dict[str, Signature]
) -> None:
    assert kinds(compare(before, after)) == ([kind], [])


@pytest.mark.parametrize(("kind", "before", "after"), COMPATIBLE)
def test_what_an_old_caller_does_not_notice_is_compatible(
    kind: str, before: dict[str, Signature], after: dict[str, Signature]
) -> None:
    assert kinds(compare(before, after)) == ([], [kind])


def test_the_name_of_a_tensor_in_the_graph_is_nobodys_contract() -> None:
    assert kinds(compare(contract({"x": tensor(name="a:0")}), contract({"x": tensor(name="b:0")}))) == ([], [])


def test_a_renamed_input_breaks_twice() -> None:
    """TensorFlow Serving refuses the missing one and the extra one."""
    before, after = contract({"image": tensor(shape=[None, 784])}), contract({"pixels": tensor(shape=[None, 784])})
    changes = compare(before, after).breaking
    assert [(change.kind, change.key, change.before, change.after) for change in changes] == [
        ("input-removed", "image", "float32[?,784]", None),
        ("input-added", "pixels", None, "float32[?,784]"),
    ]
    assert changes[0].text == "signature `serving_default`: input `image` is not taken any more"
    assert changes[1].text == "signature `serving_default`: input `pixels` is new and must be given"


def test_a_change_names_both_sides_in_words_and_as_from_and_to() -> None:
    before, after = contract({"x": tensor(shape=[None, 3])}), contract({"x": tensor(shape=[None, 4])})
    change = compare(before, after).breaking[0]
    assert change.text == "signature `serving_default`: input `x` takes other or fewer shapes: [?,3] → [?,4]"
    assert change.as_json() == {
        "signature": "serving_default",
        "kind": "input-shape",
        "key": "x",
        "from": "[?,3]",
        "to": "[?,4]",
        "text": change.text,
    }


def test_all_changes_of_one_input_are_reported_together() -> None:
    before = contract({"x": tensor("float32", [None, 3], optional=True)})
    after = contract({"x": tensor("int32", [None, 4])})
    assert kinds(compare(before, after)) == (["input-dtype", "input-shape", "input-optional"], [])


def test_a_tensor_is_written_for_people() -> None:
    assert describe(tensor("float32", [None, 784])) == "float32[?,784]"
    assert describe(tensor("string", None, optional=True)) == "string[...]?"
    assert format_shape([]) == "[]"


SHAPES: st.SearchStrategy[Shape] = st.none() | st.lists(st.none() | st.integers(0, 3), max_size=3)
TENSORS = st.builds(
    Tensor,
    name=st.sampled_from(["a:0", "b:0"]),
    dtype=st.sampled_from(["float32", "int64", "string"]),
    shape=SHAPES,
    optional=st.booleans(),
    encoding=st.sampled_from(["dense", "sparse"]),
)
KEYED = st.dictionaries(st.sampled_from("xyz"), TENSORS, max_size=3)
SIGNATURES = st.builds(Signature, method_name=st.sampled_from([PREDICT, "other"]), inputs=KEYED, outputs=KEYED)
CONTRACTS = st.dictionaries(st.sampled_from(["serving_default", "batch"]), SIGNATURES, max_size=2)


def nameless(signatures: Mapping[str, Signature]) -> dict[str, Any]:
    """A contract without what callers do not see."""

    def seen(tensor: Tensor) -> Tensor:
        return replace(tensor, name="")

    return {
        name: replace(
            signature,
            inputs={key: seen(found) for key, found in signature.inputs.items()},
            outputs={key: replace(seen(found), optional=False) for key, found in signature.outputs.items()},
        )
        for name, signature in signatures.items()
    }


@given(CONTRACTS)
def test_a_contract_equals_itself(signatures: dict[str, Signature]) -> None:
    assert kinds(compare(signatures, signatures)) == ([], [])


@given(CONTRACTS, CONTRACTS)
def test_nothing_is_reported_only_where_callers_see_no_difference(
    before: dict[str, Signature], after: dict[str, Signature]
) -> None:
    comparison = compare(before, after)
    nothing = not comparison.breaking and not comparison.compatible
    assert nothing == (nameless(before) == nameless(after))


@given(CONTRACTS, CONTRACTS)
def test_there_and_back_report_as_many_changes(before: dict[str, Signature], after: dict[str, Signature]) -> None:
    there, back = compare(before, after), compare(after, before)
    assert len(there.breaking) + len(there.compatible) == len(back.breaking) + len(back.compatible)


def widened(shape: Shape, data: st.DataObject) -> Shape:
    """A shape that more concrete shapes fit."""
    if shape is None or data.draw(st.booleans()):
        return None
    return [None if data.draw(st.booleans()) else size for size in shape]


@given(st.lists(st.integers(0, 3), max_size=3), st.data())
def test_widening_an_input_is_compatible_and_the_way_back_breaks(shape: list[int], data: st.DataObject) -> None:
    narrow = widened(list(shape), data)
    wide = widened(narrow, data)
    before, after = contract({"x": tensor(shape=narrow)}), contract({"x": tensor(shape=wide)})
    changed = ["input-shape"] if narrow != wide else []
    assert kinds(compare(before, after)) == ([], changed)
    assert kinds(compare(after, before)) == (changed, [])


@given(st.lists(st.integers(0, 3), max_size=3), st.data())
def test_widening_an_output_breaks_and_the_way_back_is_compatible(shape: list[int], data: st.DataObject) -> None:
    narrow = widened(list(shape), data)
    wide = widened(narrow, data)
    before, after = contract(outputs={"y": tensor(shape=narrow)}), contract(outputs={"y": tensor(shape=wide)})
    changed = ["output-shape"] if narrow != wide else []
    assert kinds(compare(before, after)) == (changed, [])
    assert kinds(compare(after, before)) == ([], changed)


@given(CONTRACTS, CONTRACTS, CONTRACTS)
def test_two_steps_that_break_nothing_break_nothing_together(
    one: dict[str, Signature], two: dict[str, Signature], three: dict[str, Signature]
) -> None:
    if not compare(one, two).breaking and not compare(two, three).breaking:
        # An output that was added and changed on the way was never in the first contract.
        assert not compare(one, three).breaking


@given(CONTRACTS)
def test_a_contract_is_read_from_the_json_that_it_writes(signatures: dict[str, Signature]) -> None:
    for signature in signatures.values():
        assert TypeAdapter(Signature).validate_json(json.dumps(as_json(signature))) == signature


@given(CONTRACTS, CONTRACTS)
def test_adding_to_a_contract_is_compatible_and_taking_away_breaks(
    some: dict[str, Signature], more: dict[str, Signature]
) -> None:
    """Whole signatures, and outputs of signatures that were there."""
    grown = {
        name: replace(signature, outputs={**more[name].outputs, **signature.outputs}) if name in more else signature
        for name, signature in some.items()
    }
    grown |= {name: signature for name, signature in more.items() if name not in some}
    there, back = compare(some, grown), compare(grown, some)
    assert there.breaking == ()
    assert back.compatible == ()
    assert len(there.compatible) == len(back.breaking)
    assert (there.compatible == ()) == (grown == some)


@given(CONTRACTS, CONTRACTS)
def test_every_difference_is_told_once_as_breaking_or_as_compatible(
    before: dict[str, Signature], after: dict[str, Signature]
) -> None:
    """What is told names every signature, input and output that callers see differ, and none that they do not."""

    def sides(signatures: Mapping[str, Signature]) -> dict[tuple[str, str, str], Any]:
        seen: dict[tuple[str, str, str], Any] = {}
        for name, signature in nameless(signatures).items():
            if name in before and name in after:
                seen[name, "method", ""] = signature.method_name
                seen |= {(name, "input", key): tensor for key, tensor in signature.inputs.items()}
                seen |= {(name, "output", key): tensor for key, tensor in signature.outputs.items()}
            else:
                seen[name, "signature", ""] = True
        return seen

    comparison = compare(before, after)
    changes = (*comparison.breaking, *comparison.compatible)
    told = {(change.signature, change.kind.split("-")[0], change.key or "") for change in changes}
    old, new = sides(before), sides(after)
    assert told == {place for place in old.keys() | new.keys() if old.get(place) != new.get(place)}
    assert len({(change.signature, change.kind, change.key) for change in changes}) == len(changes)


# What callers of either may give


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ([], [], []),
        ([None, 3], [None, 3], [None, 3]),
        ([None, 3], [2, None], [2, 3]),
        (None, [2], [2]),
        ([2], None, [2]),
        (None, None, None),
    ],
)
def test_an_input_of_both_has_the_shape_that_both_mean(one: Any, two: Any, both: Any) -> None:
    before, after = (
        Signature(method_name="m", inputs={"x": Tensor(name="x:0", dtype="int64", shape=shape)}, outputs={})
        for shape in (one, two)
    )
    assert both_take(before, after)["x"].shape == both


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (Tensor(name="x:0", dtype="int64", shape=[2]), Tensor(name="x:0", dtype="int64", shape=[3])),
        (Tensor(name="x:0", dtype="int64", shape=[]), Tensor(name="x:0", dtype="int64", shape=[None])),
        (Tensor(name="x:0", dtype="int64", shape=[2]), Tensor(name="x:0", dtype="int32", shape=[2])),
        (Tensor(name="x:0", dtype="int64", shape=[2]), None),
        (None, Tensor(name="x:0", dtype="int64", shape=[2])),
    ],
)
def test_what_one_takes_otherwise_or_not_at_all_fits_no_request_of_both(one: Tensor | None, two: Tensor | None) -> None:
    before, after = (
        Signature(method_name="m", inputs={} if each is None else {"x": each}, outputs={}) for each in (one, two)
    )
    with pytest.raises(RequestError) as caught:
        both_take(before, after)
    assert caught.value.kind == "requests-malformed"


def test_what_both_may_miss_is_left_out() -> None:
    optional = Tensor(name="x:0", dtype="int64", shape=[2], optional=True)
    both = Signature(method_name="m", inputs={"x": optional}, outputs={})
    assert both_take(both, both) == {}
    assert both_take(both, Signature(method_name="m", inputs={}, outputs={})) == {}
