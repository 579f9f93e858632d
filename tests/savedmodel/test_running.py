"""Signatures of real models are run: golden requests, trials with zeros, single calls. One child for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelrepo.errors import ModelError, ModelRepoError, NotFoundError, RequestError
from modelrepo.savedmodel.report import SERVE, Loaded
from modelrepo.savedmodel.runner import LOAD_MEMORY, Inspector
from modelrepo.savedmodel.trial import Trial

pytestmark = pytest.mark.tensorflow

#: Makes models with a signature per behaviour; signatures that break a trial with zeros stand in models of their own.
MAKE = """
import sys
from pathlib import Path
import numpy
import tensorflow as tf
v1 = tf.compat.v1
top = Path(sys.argv[1])
info = v1.saved_model.utils.build_tensor_info


def save(name, signatures):
    with tf.Graph().as_default(), v1.Session() as session:
        made = {}
        for key, (inputs, outputs, defaults) in signatures().items():
            given = {name: info(tensor) for name, tensor in inputs.items()}
            definition = v1.saved_model.build_signature_def(
                given, {name: info(tensor) for name, tensor in outputs.items()}, "tensorflow/serving/predict")
            for name_, value in defaults.items():
                definition.defaults[name_].CopyFrom(tf.make_tensor_proto(value))
            made[key] = definition
        builder = v1.saved_model.Builder(str(top / name))
        builder.add_meta_graph_and_variables(session, ["serve"], made)
        builder.save()


def many():
    text = v1.placeholder(tf.string, [], name="text")
    number = v1.placeholder(tf.int64, [None], name="number")
    factor = v1.placeholder(tf.int64, [], name="factor")
    anything = v1.placeholder(tf.float32, None, name="anything")
    sparse = v1.sparse_placeholder(tf.int64, [None, 7], name="sparse")
    half = v1.placeholder(tf.bfloat16, [2], name="half")
    wave = v1.placeholder(tf.complex64, [1], name="wave")
    truth = v1.placeholder(tf.bool, [None], name="truth")
    return {
        "text": ({"text": text}, {"same": tf.identity(text), "raw": tf.constant([b"\\xff", b"ok", b"z\\0"])}, {}),
        "number": ({"number": number, "factor": factor}, {"product": number * factor}, {"factor": numpy.int64(3)}),
        "anything": ({"anything": anything}, {"shape": tf.shape(anything), "log": tf.math.log(anything + 1)}, {}),
        "sparse": ({"sparse": sparse}, {"values": tf.identity(sparse.values)}, {}),
        "kinds": ({"half": half, "wave": wave, "truth": truth},
                  {"half": half * 2, "wave": wave * 1j, "truth": tf.logical_not(truth), "none": tf.zeros([0, 2])}, {}),
    }


def nan():
    x = v1.placeholder(tf.float32, [None, 2], name="x")
    return {"serving_default": ({"x": x}, {"y": tf.math.log(x - 1)}, {})}


def fails():
    x = v1.placeholder(tf.int32, [None], name="x")
    return {"only": ({"x": x}, {"y": tf.gather(tf.constant([1, 2]), x - 1)}, {})}


save("many", many)
save("nan", nan)
save("fails", fails)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models."""
    pytest.importorskip("tensorflow")
    top = tmp_path_factory.mktemp("models")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MAKE, str(top)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return top


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    """One child for all."""
    with Inspector(memory=LOAD_MEMORY) as inspector:
        yield inspector


def call(inspector: Inspector, model: Path, signature: str | None, **inputs: Any) -> Any:
    return inspector.load(model, SERVE, Trial(inputs=json.dumps(inputs).encode(), signature=signature)).outputs


def ask(inspector: Inspector, model: Path, *requests: Any, **fields: Any) -> Loaded:
    return inspector.load(model, SERVE, Trial(golden=json.dumps({"requests": requests, **fields}).encode()))


def test_text_and_bytes_come_back_whole(inspector: Inspector, made: Path) -> None:
    outputs = call(inspector, made / "many", "text", text={"b64": "AGEA"})
    assert outputs == {"same": "\0a\0", "raw": [{"b64": "/w=="}, "ok", "z\0"]}


def test_an_integer_of_64_bits_loses_nothing_and_a_default_may_be_left_out(inspector: Inspector, made: Path) -> None:
    assert call(inspector, made / "many", "number", number=[2**62, -1], factor=1) == {"product": [2**62, -1]}
    assert call(inspector, made / "many", "number", number=[1, 2]) == {"product": [3, 6]}


def test_every_kind_of_number_is_taken_and_given(inspector: Inspector, made: Path) -> None:
    outputs = call(
        inspector, made / "many", "kinds", half=[1.5, "Infinity"], wave=[{"real": 1, "imag": 2}], truth=[True]
    )
    assert outputs == {
        "half": [3, "Infinity"],
        "wave": [{"real": -2, "imag": 1}],
        "truth": [False],
        "none": [],
    }


def test_where_the_rank_is_open_any_shape_is_taken(inspector: Inspector, made: Path) -> None:
    assert call(inspector, made / "many", "anything", anything=[[[0]]])["shape"] == [1, 1, 1]
    assert call(inspector, made / "many", "anything", anything=0) == {"shape": [], "log": 0}


@pytest.mark.parametrize(
    ("signature", "inputs", "error", "words"),
    [
        ("nothing", {}, NotFoundError, "no signature `nothing`"),
        (None, {}, NotFoundError, "no signature `serving_default`"),
        ("number", {}, RequestError, "no input `number` is given"),
        ("number", {"number": [1], "x": 1}, RequestError, "there is no input `x`"),
        ("number", {"number": 1}, RequestError, "input `number` of signature `number` has a wrong shape"),
        ("number", {"number": ["a"]}, RequestError, "input `number` of signature `number` holds a wrong value"),
        ("kinds", {"half": [1], "wave": [1], "truth": []}, RequestError, "input `half`"),
        ("sparse", {"sparse": [1]}, RequestError, "no dense tensor"),
    ],
)
def test_what_does_not_fit_is_said_by_the_name_of_the_input(
    inspector: Inspector, made: Path, signature: str | None, inputs: Any, error: type[ModelRepoError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        call(inspector, made / "many", signature, **inputs)
    assert caught.value.message.isprintable()


def test_a_model_that_fails_when_it_is_called_is_told_in_one_line(inspector: Inspector, made: Path) -> None:
    with pytest.raises(ModelError, match="signature `only` failed: InvalidArgumentError") as caught:
        call(inspector, made / "fails", None, x=[7])
    assert caught.value.kind == "model-run"
    assert caught.value.message.isprintable()


def test_a_trial_with_zeros_wants_finite_outputs_of_every_signature(inspector: Inspector, made: Path) -> None:
    loaded = inspector.load(made / "many", SERVE, Trial(smoke=True))
    assert loaded.untried == ("signature `sparse` takes input `sparse`, which is no dense tensor",)
    for name, words in (("nan", "output `y` of signature `serving_default` is not finite"), ("fails", "failed")):
        with pytest.raises(ModelError, match=words) as caught:
            inspector.load(made / name, SERVE, Trial(smoke=True))
        assert caught.value.kind == "smoke-failed"


def test_an_answer_is_right_within_the_tolerance_and_nan_where_nan_is_expected(
    inspector: Inspector, made: Path
) -> None:
    def log(value: Any, **tolerance: float) -> Loaded:
        request = {"signature": "anything", "inputs": {"anything": [0, -2, -1]}, "outputs": {"log": value}}
        return ask(inspector, made / "many", request, tolerance=tolerance)

    assert log([0, "NaN", "-Infinity"]).golden == 1
    assert log([9e-6, "NaN", "-Infinity"]).golden == 1
    assert log([0.5, "NaN", "-Infinity"], absolute=0.5).golden == 1
    for wrong, got in (
        ([2e-5, "NaN", "-Infinity"], "0.0"),
        ([0, 0, "-Infinity"], "NaN"),
        ([0, "NaN", "Infinity"], "-Infinity"),
        ([0, "NaN", 1e30], "-Infinity"),
        (["Infinity", "NaN", "-Infinity"], "0.0"),
    ):
        with pytest.raises(ModelError) as caught:
            log(wrong, relative=1e9 if wrong[0] == "Infinity" else 0)
        assert (caught.value.kind, caught.value.got) == ("golden-mismatch", got)


def test_integers_and_texts_are_right_only_where_they_are_equal(inspector: Inspector, made: Path) -> None:
    def product(*right: int) -> Loaded:
        request = {"signature": "number", "inputs": {"number": [2**60, 5]}, "outputs": {"product": right}}
        return ask(inspector, made / "many", request, tolerance={"absolute": 1e9})

    assert product(3 * 2**60, 15).golden == 1
    with pytest.raises(ModelError, match=r"`product`\[1\] differs by 1; 1 of 2 values are wrong"):
        product(3 * 2**60, 16)
    with pytest.raises(ModelError) as caught:
        product(3 * 2**60 + 1, 15)
    assert (caught.value.expected, caught.value.got) == (str(3 * 2**60 + 1), str(3 * 2**60))
    with pytest.raises(ModelError, match="another shape") as caught:
        product(15)
    assert (caught.value.expected, caught.value.got) == ("[1]", "[2]")
    request = {"signature": "text", "inputs": {"text": "a"}, "outputs": {"same": "b"}}
    with pytest.raises(ModelError) as caught:
        ask(inspector, made / "many", request)
    assert (caught.value.expected, caught.value.got) == ("b", "a")


def test_an_output_that_there_is_not_is_no_wrong_answer_but_no_request(inspector: Inspector, made: Path) -> None:
    with pytest.raises(RequestError, match="names outputs that there are not"):
        ask(inspector, made / "many", {"signature": "text", "inputs": {"text": "a"}, "outputs": {"other": 1}})
