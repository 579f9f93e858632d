"""A version becomes a model for phones that answers as it does, or nothing at all: real models, real converters."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelrepo import Repository
from modelrepo.errors import IntegrityError, ModelError, NotFoundError, RefusedError, RequestError
from modelrepo.fs import locks

pytestmark = pytest.mark.tensorflow

FLOAT, HALF, WEIGHTS, INTEGERS = 1e-4, 5e-3, 5e-2, 1e-1


def archive(**arrays: Any) -> bytes:
    """A file of requests."""
    file = io.BytesIO()
    np.savez(file, **{name.replace("__", "/"): array for name, array in arrays.items()})
    return file.getvalue()


def lite(path: Path, signature: str, **inputs: Any) -> dict[str, Any]:
    """What LiteRT answers, asked by this test itself."""
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(model_path=str(path))
    answer: dict[str, Any] = interpreter.get_signature_runner(signature)(**inputs)
    return answer


def off(one: Any, two: Any) -> float:
    one, two = np.asarray(one, float), np.asarray(two, float)
    assert one.shape == two.shape
    return float(np.max(np.abs(one - two)) / np.max(np.abs(one)))


@pytest.mark.parametrize("name", ["dense", "pictures", "several", "attention", "ranked", "middle"])
def test_what_comes_out_answers_as_the_version_does(
    models: Repository, named: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    done = models.convert(named(name), "tflite", output=tmp_path / "model.tflite")
    assert max(done.compared.differences.values()) <= FLOAT
    assert (done.compared.source, done.compared.seed, done.loader) == ("generated", 0, "session")
    assert done.compared.requests > 0
    assert set(done.compared.differences) == set(models.show(named(name)).signatures["serving_default"].outputs)  # type: ignore[index]
    assert (done.path, done.kept) == (str(tmp_path / "model.tflite"), None)
    assert (tmp_path / "model.tflite").stat().st_size == done.size == done.files[0].size
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_another_program_gets_the_same_answers_by_the_same_names(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    version = named("several")
    models.convert(version, "tflite", output=tmp_path / "model.tflite")
    given = {"price": np.array([[1, 2, 3, 4], [0, 1, 0, 1]], "float32"), "kind": np.array([[1, 4, 0], [2, 2, 2]])}
    right = models.predict(version, {key: array.tolist() for key, array in given.items()}).outputs
    got = lite(tmp_path / "model.tflite", "serving_default", **given)
    assert right.keys() == got.keys()
    assert all(off(right[key], got[key]) <= FLOAT for key in right)


@pytest.mark.parametrize("name", ["saved", "compiled"])
def test_a_keras_model_whose_variables_tensorflow_serving_leaves_unfilled_is_converted_right(
    models: Repository, named: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    """Converted as it lies there, it answers from memory that nobody filled: TensorFlow's own converter shows it."""
    done = models.convert(named(name), "tflite", output=tmp_path / "model.tflite")
    assert done.loader == "objects"
    assert max(done.compared.differences.values()) <= FLOAT
    assert len(done.warnings) == 1
    assert "TensorFlow Serving cannot answer it" in done.warnings[0]
    got = lite(tmp_path / "model.tflite", "serving_default", inputs=np.ones((3, 16), "float32"))["output_0"]
    assert got.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    script = (
        "import sys, tensorflow as tf\n"
        "data = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1]).convert()\n"
        "open(sys.argv[2], 'wb').write(data)\n"
    )
    direct = str(tmp_path / "direct.tflite")
    words = [sys.executable, "-W", "ignore", "-c", script, models.path(named(name)).path, direct]
    subprocess.run(words, check=True, timeout=300, capture_output=True)
    broken = lite(tmp_path / "direct.tflite", "serving_default", inputs=np.ones((3, 16), "float32"))["output_0"]
    assert not np.allclose(broken, got, atol=1e-3)


@pytest.mark.parametrize(("quantize", "most", "smaller"), [("float16", HALF, 0.7), ("dynamic", WEIGHTS, 0.7)])
def test_smaller_numbers_make_a_smaller_file_within_their_tolerance(
    models: Repository, named: Callable[[str], str], quantize: Any, most: float, smaller: float
) -> None:
    plain = models.convert(named("dense"), "tflite", keep=True)
    done = models.convert(named("dense"), "tflite", keep=True, quantize=quantize)
    assert done.size < smaller * plain.size
    assert 0 < max(done.compared.differences.values()) <= most
    assert (done.compared.tolerance, done.quantize) == (most, quantize)


def test_eight_bits_are_calibrated_with_typical_requests(models: Repository, named: Callable[[str], str]) -> None:
    rng = np.random.default_rng(3)
    images = [rng.normal(size=(1, 16)).astype("float32") for _ in range(40)]
    typical = archive(**{f"{number}__inputs__image": image for number, image in enumerate(images)})
    done = models.convert(named("dense"), "tflite", keep=True, quantize="int8", calibration=typical)
    assert 0 < max(done.compared.differences.values()) <= INTEGERS
    assert done.calibration is not None
    assert done.size < models.convert(named("dense"), "tflite", keep=True).size


def test_a_recurrent_model_needs_the_size_of_its_batches(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        models.convert(named("recurrent"), "tflite", output=tmp_path / "model.tflite")
    assert caught.value.kind == "convert-unsupported"
    assert "TensorListReserve" in caught.value.message
    assert "--batch-size" in str(caught.value.hint)
    assert os.listdir(tmp_path) == []
    done = models.convert(named("recurrent"), "tflite", output=tmp_path / "model.tflite", batch_size=1)
    assert max(done.compared.differences.values()) <= FLOAT
    assert done.batch_size == 1
    words = np.array([[3, 1, 4, 1, 5]], "int32")
    right = models.predict(named("recurrent"), {"words": words.tolist()}).outputs
    assert off(right["output_0"], lite(tmp_path / "model.tflite", "serving_default", words=words)["output_0"]) <= FLOAT


def test_another_signature_is_converted_by_its_name(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    done = models.convert(named("spoken"), "tflite", output=tmp_path / "model.tflite", signature="other")
    assert (done.signature, list(done.compared.differences)) == ("other", ["z"])
    assert lite(tmp_path / "model.tflite", "other", x=np.zeros((1, 4), "float32"))["z"].tolist() == [[0, 0, 0]]


def test_it_is_compared_by_the_requests_that_are_given_then_golden_ones_then_made_up_ones(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(models.path(named("dense")).path, source)
    (source / "manifest.json").unlink()
    repository = Repository(tmp_path / "own")
    repository.init()
    image = np.linspace(0, 1, 16, dtype="float32").reshape(1, 16)
    right = models.predict(named("dense"), {"image": image.tolist()}).outputs["output_0"]
    golden = archive(inputs__image=image, outputs__output_0=np.array(right, "float32"))
    version = repository.push(source, golden=golden_file(tmp_path, golden)).version
    assert repository.convert(version, "tflite", keep=True).compared.source == "golden"
    assert repository.convert(version, "tflite", keep=True).compared.requests == 1
    given = json.dumps({"requests": [{"inputs": {"image": image.tolist()}}] * 3}).encode()
    compared = repository.convert(version, "tflite", keep=True, inputs=given).compared
    assert (compared.source, compared.requests, compared.seed) == ("given", 3, None)
    assert repository.convert(version, "tflite", keep=True, batch_size=5).compared.source == "generated"


def golden_file(place: Path, data: bytes) -> Path:
    path = place / "golden.npz"
    path.write_bytes(data)
    return path


def test_the_same_seed_gives_the_same_figures_and_the_same_bytes(
    models: Repository, named: Callable[[str], str]
) -> None:
    done = [models.convert(named("attention"), "tflite", keep=True, seed=seed) for seed in (7, 7, 8)]
    assert done[0].compared == done[1].compared
    assert done[0].compared.differences != done[2].compared.differences
    assert {each.digest for each in done} == {done[0].digest}
    assert [each.created for each in done] == [True, False, False]


def test_what_is_kept_is_shown_checked_and_no_part_of_the_version(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    version = named("ranked")
    digest = models.show(version).digest
    done = models.convert(version, "tflite", keep=True, output=tmp_path / "model.tflite")
    shown = models.show(version)
    assert [each.path for each in shown.derived] == [done.kept]
    record = shown.derived[0].record
    assert record is not None
    assert (record.to, record.signature, record.quantize, record.version_digest) == (
        "tflite", "serving_default", "none", digest,
    )  # fmt: skip
    assert record.tools.keys() == {"tensorflow", "ai-edge-litert"}
    assert shown.digest == digest
    assert Path(str(done.kept), "model.tflite").read_bytes() == (tmp_path / "model.tflite").read_bytes()
    assert models.verify([version]).ok


def refused(models: Repository, tmp_path: Path, *words: Any, **options: Any) -> Any:
    """The error of a conversion, which has stored nothing."""
    before = sorted(str(path) for path in (models.root / ".modelrepo").rglob("*"))
    with pytest.raises((ModelError, RequestError, NotFoundError, RefusedError)) as caught:
        models.convert(*words, **{"output": tmp_path / "out", "keep": True, **options})
    assert sorted(str(path) for path in (models.root / ".modelrepo").rglob("*")) == before
    assert not (tmp_path / "out").exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    return caught.value


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("spoken", "convert-unsupported", "no converter takes its input `said`: string"),
        ("never", "convert-uncompared", "the answers are not finite"),
        ("counting", "convert-", ""),
        ("special", "convert-unsupported", "TensorFlow Lite has no kernel for .*: Igamma"),
        ("chance", "convert-mismatch", "answers otherwise than the version: output `y`"),
        ("picky", "convert-uncompared", "the version answers no made-up request"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_nothing_is_stored(
    models: Repository, named: Callable[[str], str], tmp_path: Path, name: str, kind: str, says: str
) -> None:
    error = refused(models, tmp_path, named(name), "tflite")
    assert isinstance(error, ModelError)
    assert error.kind.startswith(kind)
    assert re.search(says, error.message), error.message
    assert error.hint


def test_a_version_that_takes_few_requests_is_compared_by_those_that_are_given(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    given = archive(x=np.ones((2, 11), "float32"))
    done = models.convert(named("picky"), "tflite", output=tmp_path / "model.tflite", inputs=given)
    assert done.compared.differences == {"y": 0.0}


def test_a_difference_outside_the_tolerance_is_told_with_its_size(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    error = refused(models, tmp_path, named("dense"), "tflite", quantize="dynamic", tolerance=1e-6)
    assert (error.kind, error.expected) == ("convert-mismatch", "at most 1e-06")
    assert 1e-6 < float(error.got) < WEIGHTS


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (b'{"image": [[1, 2, 3]]}', "has a wrong shape"),
        (b'{"picture": [[1]]}', "no input `image` is given"),
        (b'{"requests": [{"signature": "other", "inputs": {"image": [[1]]}}]}', "there is no request for signature"),
        (b'{"image": [["a"]]}', "holds a wrong value"),
        (b"nothing", "neither JSON nor an .npz archive"),
        (b"PK\x03\x04rubbish", "cannot be read"),
        (b'{"requests": [{"outputs": {}}]}', "request 1 has no inputs"),
    ],
)
def test_requests_that_do_not_fit_are_told_and_nothing_is_stored(
    models: Repository, named: Callable[[str], str], tmp_path: Path, inputs: bytes, says: str
) -> None:
    error = refused(models, tmp_path, named("dense"), "tflite", inputs=inputs)
    assert isinstance(error, RequestError)
    assert error.kind == "requests-malformed"
    assert says in error.message


@pytest.mark.parametrize(
    ("options", "family", "kind"),
    [
        ({"output": None, "keep": False}, RequestError, "usage"),
        ({"quantize": "int8"}, RequestError, "options-exclude"),
        ({"calibration": b"{}"}, RequestError, "options-exclude"),
        ({"quantize": "int4"}, RequestError, "usage"),
        ({"tolerance": -1.0}, RequestError, "number-malformed"),
        ({"tolerance": float("nan")}, RequestError, "number-malformed"),
        ({"batch_size": 0}, RequestError, "number-malformed"),
        ({"seed": -1}, RequestError, "number-malformed"),
        ({"signature": "none"}, NotFoundError, "signature-missing"),
        ({"inputs": "/nowhere"}, RequestError, "requests-missing"),
        ({"output": "/nowhere/model"}, NotFoundError, "directory-missing"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_loaded(
    models: Repository, named: Callable[[str], str], tmp_path: Path, options: Any, family: Any, kind: str
) -> None:
    error = refused(models, tmp_path, named("dense"), "tflite", **options)
    assert type(error) is family
    assert error.kind == kind


def test_a_damaged_version_is_not_converted(models: Repository, named: Callable[[str], str], tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(models.root, own, symlinks=True)
    file = own / named("dense") / "variables" / "variables.data-00000-of-00001"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[::-1])
    file.chmod(0o444)
    with pytest.raises(IntegrityError, match=r"is damaged: .*variables\.data") as caught:
        Repository(own).convert(named("dense"), "tflite", output=tmp_path / "model.tflite")
    assert caught.value.kind == "version-damaged"
    assert os.listdir(tmp_path) == ["own"]


def test_nothing_is_overwritten_and_nothing_written_into_a_repository(
    models: Repository, named: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "there").write_text("mine")
    for output, kind in ((tmp_path / "there", "not-empty"), (models.root / "model.tflite", "inside-repository")):
        with pytest.raises(RefusedError) as caught:
            models.convert(named("dense"), "tflite", output=output)
        assert caught.value.kind == kind
    assert (tmp_path / "there").read_text() == "mine"


def test_the_version_is_leased_meanwhile(models: Repository, named: Callable[[str], str], tmp_path: Path) -> None:
    version = named("attention")
    words = [sys.executable, "-m", "modelrepo", "-r", models.root, "convert", version, "--to", "tflite"]
    with subprocess.Popen([*map(str, words), "--output", str(tmp_path / "model")]) as running:
        leased = False
        while running.poll() is None and not leased:
            hold = locks.take(models.root / version, exclusive=True)
            leased = hold is None
            if hold is not None:
                hold.close()
            time.sleep(0.05)
        assert running.wait() == 0
    assert leased
