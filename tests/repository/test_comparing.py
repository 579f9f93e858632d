"""`compare`: two models answer the same requests, each in a process of its own, and nothing is stored."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from modelrepo import Repository, Version
from modelrepo.errors import (
    IntegrityError,
    ModelError,
    ModelRepoError,
    NotFoundError,
    RefusedError,
    RequestError,
    SourceError,
)
from modelrepo.repository import comparing, questioning
from modelrepo.repository.results import CompareResult
from modelrepo.repository.results import comparing as results
from modelrepo.savedmodel.report import Answering, Loaded, Looked, Round
from modelrepo.savedmodel.runner import LOAD_MEMORY, Inspector

Look = Callable[[Path], dict[str, tuple[Any, ...]]]

#: Makes models of behaviours that the samples do not have, in one process.
MAKE = """
import sys
from pathlib import Path
import tensorflow as tf
v1 = tf.compat.v1
top = Path(sys.argv[1])


def save(name, make):
    with tf.Graph().as_default(), v1.Session() as session:
        info = v1.saved_model.utils.build_tensor_info
        made = {}
        for signature, (inputs, outputs) in make().items():
            made[signature] = v1.saved_model.build_signature_def(
                {key: info(each) for key, each in inputs.items()}, {key: info(each) for key, each in outputs.items()},
                "tensorflow/serving/predict")
        builder = v1.saved_model.Builder(str(top / name))
        builder.add_meta_graph_and_variables(session, ["serve"], made)
        builder.save()


def kinds(more):
    def make():
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        given = {
            "log": tf.math.log(x - more), "id": tf.argmax(x, axis=1), "name": tf.strings.as_string(x[:, 0] > more),
            "half": tf.cast(x * (1 + more), tf.bfloat16), "sparse": tf.sparse.from_dense(x),
            "quantized": tf.bitcast(tf.cast(x, tf.int32), tf.qint32), "first": x[0, 0],
            "eighth": tf.cast(x, tf.dtypes.experimental.float8_e5m2),
            ("old" if more == 0 else "new<script>"): x, "wide": tf.tile(x, [1, 1 + int(more > 0)]),
        }
        return {"serving_default": ({"x": x}, given)}
    return make


def chance():
    x = v1.placeholder(tf.float32, [None, 3], name="x")
    return {"serving_default": ({"x": x}, {"y": x + tf.random.uniform([1, 3])})}


def picky():
    x = v1.placeholder(tf.int64, [None], name="x")
    return {"only": ({"x": x}, {"y": tf.gather(tf.constant([1.0, 2.0]), x)})}


def fixed():
    x = v1.placeholder(tf.float32, [2, 3], name="x")
    return {"serving_default": ({"x": x}, {"y": x * 2})}


def other():
    return {"other": fixed()["serving_default"]}


for name, make in {
    "other": other, "zero": kinds(0.0), "half": kinds(0.5), "chance": chance, "picky": picky, "fixed": fixed,
}.items():
    save(name, make)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        [sys.executable, "-c", MAKE, str(place)], check=True, env=environment, capture_output=True, timeout=300
    )
    return place


@pytest.fixture
def classifiers(repository: Repository, samples: Path) -> Repository:
    """v1 and v2 with the same contract, v3 with another one; none was loaded."""
    for name in ("classifier_v1", "classifier_v2", "renamed_input"):
        repository.push(samples / name, load=False)
    return repository


def plain(result: CompareResult) -> dict[str, Any]:
    """All but what is measured."""
    return result.model_dump(mode="json", by_alias=True, exclude={"measured"})


def images(rows: int) -> bytes:
    return json.dumps({"image": [[(row * column % 7) / 7 for column in range(784)] for row in range(rows)]}).encode()


# Without loading: what is refused before


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"generate": 0}, "number-malformed"),
        ({"runs": 0}, "number-malformed"),
        ({"seed": -1}, "number-malformed"),
        ({"seed": 2**32}, "number-malformed"),
        ({"tolerance": -1.0}, "number-malformed"),
        ({"tolerance": float("nan")}, "number-malformed"),
        ({"requests": b"{}", "generate": 1}, "options-exclude"),
        ({"requests": b"[1]"}, "requests-malformed"),
        ({"requests": b"nothing"}, "requests-malformed"),
        ({"requests": "nothing.json"}, "requests-missing"),
        ({"labels": "nothing.json"}, "labels-missing"),
        ({"labels": b"nothing"}, "labels-malformed"),
        ({"labels": rb'["\ud800"]'}, "labels-malformed"),
        ({"load_timeout": timedelta(0)}, "duration-malformed"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_before_anything_is_loaded(
    classifiers: Repository, options: dict[str, Any], kind: str
) -> None:
    with pytest.raises(RequestError) as caught:
        classifiers.compare("v1", "v2", **options)
    assert caught.value.kind == kind


def test_a_failure_without_a_model_is_no_models_and_says_what_was_read() -> None:
    with Inspector(memory=LOAD_MEMORY) as judge, pytest.raises(ModelRepoError) as caught:
        judge.step("look", "reading the requests and labels", Looked)
    assert not isinstance(caught.value, ModelError)
    assert caught.value.kind == "unexpected"
    assert caught.value.message.startswith("reading the requests and labels failed: KeyError")
    assert "export the model" not in (caught.value.hint or "")


def test_models_that_are_not_there_or_take_other_inputs_are_said(classifiers: Repository, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        classifiers.compare("v1", "v9")
    with pytest.raises(SourceError):
        classifiers.compare("v1", str(tmp_path))
    with pytest.raises(NotFoundError) as missing:
        classifiers.compare("v1", "v2", signature="other")
    assert (missing.value.kind, "v1 has no" in missing.value.message) == ("signature-missing", True)
    with pytest.raises(RequestError) as caught:
        classifiers.compare("v1", "v3")
    assert (caught.value.expected, caught.value.got) == ("v1: float32[?,784]", "v3: nothing of that name")
    classifiers.remove(["v2"])
    with pytest.raises(NotFoundError):
        classifiers.compare("v1", "v2")


def test_where_the_page_cannot_stand_nothing_is_loaded(classifiers: Repository, tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine")
    (tmp_path / "link.html").symlink_to("nowhere")
    for name in ("there.html", "link.html", "ranker", "ranker/page.html", "ranker/v1/page.html"):
        with pytest.raises(RefusedError):
            classifiers.compare("v1", "v2", html=tmp_path / name)
    with pytest.raises(NotFoundError):
        classifiers.compare("v1", "v2", html=tmp_path / "nothing" / "page.html")
    assert (tmp_path / "there.html").read_text() == "mine"


def test_what_the_scan_refuses_is_not_loaded(filled: Repository, edit: Callable[[Path, bytes], None]) -> None:
    edit(filled.root / "v2" / "saved_model.pb", b"rubbish")
    with pytest.raises(IntegrityError, match="v2"):
        filled.compare("v1", "v2")


class Waiting:
    """Stands for the process of a model: takes down when it is asked, and says how long that took."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name = name
        self.asked = asked

    def step(self, _name: str, _doing: str, answer: type[Round]) -> Round:
        self.asked.append(self.name)
        return answer(seconds=(float(len(self.asked)),), memory=len(self.asked))


def test_the_two_are_timed_in_turn_and_each_is_first_in_every_other_round() -> None:
    asked: list[str] = []
    sitters: Any = [comparing._Sitter(Waiting(name, asked), None, None) for name in "ab"]  # type: ignore[arg-type]
    side = questioning.Side(results.Model(path="/m", version=None, size=1), Path("/m"), None)
    times, peaks = comparing._rounds([side, side], sitters, 3, 1)
    assert asked == ["a", "b", "b", "a", "a", "b"]
    assert (times, peaks) == (([1.0, 4.0, 5.0], [2.0, 3.0, 6.0]), [5, 6])
    with pytest.raises(ModelError) as caught:
        comparing._rounds([side, side], sitters, 1, 2)
    assert caught.value.kind == "model-rubbish"
    assert caught.value.message == "/m: the process that runs the model answered rubbish"


#: Answers what it is told to, whatever it is asked.
PARROT = "import json, sys; next(sys.stdin); [print(json.dumps({'ok': %s}), flush=True) for _ in sys.stdin]"


@contextlib.contextmanager
def parrot(answer: str) -> Iterator[Inspector]:
    """An inspector whose child answers a text of Python."""
    with Inspector(memory=LOAD_MEMORY, seconds=20) as inspector:
        own = inspector._child
        pipe = subprocess.PIPE
        words = [sys.executable, "-c", PARROT % answer]
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
            inspector._child = process
            inspector._send({})
            try:
                yield inspector
            finally:
                inspector._child = own
                process.kill()


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "{'seconds': [], 'memory': 1}",
        "{'seconds': [float('nan')], 'memory': 1}",
        "{'seconds': [float('inf')], 'memory': 1}",
        "{'seconds': [-1], 'memory': 1}",
        "{'seconds': [1e300], 'memory': 1}",
        "{'seconds': [1, 1], 'memory': 1}",
        "{'seconds': [1], 'memory': float('inf')}",
        "{'seconds': [1], 'memory': 10**400}",
        "{'seconds': [1], 'memory': -1}",
        "{'seconds': [1], 'memory': 1, 'more': 1}",
    ],
)
def test_a_round_that_says_something_else_is_rubbish(answer: str) -> None:
    side = questioning.Side(results.Model(path="/m", version=None, size=1), Path("/m"), None)
    with parrot(answer) as inspector:
        sitter: Any = comparing._Sitter(inspector, None, None)  # type: ignore[arg-type]
        with pytest.raises(ModelError) as caught:
            comparing._rounds([side, side], [sitter, sitter], 1, 1)
    assert caught.value.kind == "model-rubbish"
    assert caught.value.message.startswith("/m: ")


@pytest.mark.parametrize("memory", [-1, 2**63, float("inf")])
def test_what_a_load_says_of_time_and_memory_can_be_measured(memory: float) -> None:
    with pytest.raises(ValidationError):
        Answering.model_validate({"signatures": ["s"], "left_out": [], "unsteady": [], "memory": memory})
    with pytest.raises(ValidationError):
        Loaded.model_validate({"tensorflow_version": "2", "seconds": float(memory) * 1e9, "cage": []})


# With TensorFlow


@pytest.mark.tensorflow
def test_generated_requests_give_the_same_figures_again_and_others_from_another_seed(
    classifiers: Repository, look: Look, tmp_path: Path
) -> None:
    before = look(classifiers.root)
    first, second = (classifiers.compare("v1", "v2", generate=3, seed=5, runs=2) for _ in range(2))
    assert plain(first) == plain(second)
    assert look(classifiers.root) == before
    assert plain(classifiers.compare("v1", "v2", generate=3, seed=6, runs=1))["outputs"] != plain(first)["outputs"]
    requests = first.requests
    assert (requests.source, requests.seed, requests.requests, requests.digest) == ("generated", 5, 3, None)
    assert requests.signatures == ("serving_default",)
    (output,) = first.outputs
    assert (output.output, output.rows, output.values) == ("probabilities", 24, 240)
    assert output.largest is not None
    assert output.largest > 0.1
    assert output.agreement == first.agreement == 1 - (output.top1_changed or 0)
    for (model, of), name in zip(first.models, ("v1", "v2"), strict=True):
        assert (model.name, of.latency.calls, len(of.latency.quantiles)) == (name, 6, 21)
        assert 0 < of.latency.least <= of.latency.median <= of.latency.p95 <= of.latency.most
        assert 50_000_000 < of.memory.before <= of.memory.peak
        assert "memory" in of.cage
    assert [path for path in tmp_path.iterdir() if path != classifiers.root] == []


@pytest.mark.tensorflow
def test_a_model_agrees_with_itself_wherever_it_lies(classifiers: Repository, samples: Path) -> None:
    result = classifiers.compare("v1", str(samples / "classifier_v1"), signature="predict_batch", runs=1)
    assert (result.agreement, result.warnings, result.missing) == (1.0, (), ())
    assert (result.before.version, result.after.version) == (Version(1), None)
    assert {(each.output, each.largest, each.largest_at) for each in result.outputs} == {
        ("label", 0.0, None),
        ("probabilities", 0.0, None),
    }
    assert result.outputs[1].rows == 16 * 32  # its batch is fixed


@pytest.mark.tensorflow
def test_a_file_and_labels_give_accuracies_and_the_largest_difference_is_what_predict_says(
    classifiers: Repository,
) -> None:
    data = images(6)
    said = [classifiers.predict(ref, data).outputs["probabilities"] for ref in ("v1", "v2")]
    classes = [[row.index(max(row)) for row in each] for each in said]
    result = classifiers.compare("v1", "v2", requests=data, labels=json.dumps(classes[1]).encode(), runs=1)
    (output,) = result.outputs
    assert result.requests.source == "file"
    assert re.fullmatch("sha256:[0-9a-f]{64}", result.requests.digest or "")
    same = sum(one == two for one, two in zip(*classes, strict=True))
    assert output.accuracy is not None
    assert (output.accuracy.before, output.accuracy.after, output.agreement) == (same / 6, 1.0, same / 6)
    largest = max(abs(a - b) for one, two in zip(*said, strict=True) for a, b in zip(one, two, strict=True))
    assert output.largest == pytest.approx(largest, abs=1e-6)
    with pytest.raises(RequestError) as caught:
        classifiers.compare("v1", "v2", requests=data, labels=b"[1]", runs=1)
    assert (caught.value.kind, caught.value.got) == ("labels-malformed", "1 labels")


@pytest.mark.tensorflow
def test_labels_and_signatures_that_do_not_fit_are_said_before_anything_is_timed(
    classifiers: Repository, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(*_: object) -> None:
        pytest.fail("a model was timed")

    monkeypatch.setattr(comparing, "_rounds", timed)
    with pytest.raises(RequestError) as labels:
        classifiers.compare("v1", "v2", requests=images(6), labels=b"[1]")
    assert labels.value.kind == "labels-malformed"
    with pytest.raises(RequestError, match="calls `other` of one model and `serving_default` of the other"):
        classifiers.compare(str(made / "other"), str(made / "fixed"), requests=b'{"x": [[1, 2, 3], [4, 5, 6]]}')


@pytest.mark.tensorflow
def test_another_count_of_signatures_than_of_requests_is_rubbish(
    classifiers: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = comparing._load

    def chatty(*given: Any) -> Any:
        one, two = load(*given)
        more = two.answering.model_copy(update={"signatures": (*two.answering.signatures, "more")})
        return [one, dataclasses.replace(two, answering=more)]

    monkeypatch.setattr(comparing, "_load", chatty)
    with pytest.raises(ModelError) as caught:
        classifiers.compare("v1", "v2", generate=1, runs=1)
    assert (caught.value.kind, caught.value.message[:4]) == ("model-rubbish", "v2: ")


@pytest.mark.tensorflow
@pytest.mark.parametrize("carrier", ["v1", "v2"])
def test_golden_requests_of_either_are_what_both_are_asked(
    repository: Repository, samples: Path, tmp_path: Path, carrier: str
) -> None:
    golden = tmp_path / "golden.json"
    entry = {"inputs": {"x": [[1, 2, 3], [0, 0, 0]]}, "outputs": {"y": [[4.75], [0.25]]}}
    golden.write_text(json.dumps({"requests": [entry, entry]}))
    for name in ("v1", "v2"):
        repository.push(
            samples / "tf1_linear", load=False, allow_duplicate=True, golden=golden if name == carrier else None
        )
    result = repository.compare("v1", "v2", runs=1)
    assert (result.requests.source, str(result.requests.version), result.requests.requests) == ("golden", carrier, 2)
    (output,) = result.outputs
    assert (output.rows, output.agreement, output.top1_changed) == (4, 1.0, None)
    assert repository.compare("v1", "v2", generate=1, runs=1).requests.source == "generated"


@pytest.mark.tensorflow
def test_what_does_not_fit_names_the_model_and_the_input(classifiers: Repository, look: Look) -> None:
    before = look(classifiers.root)
    for data, words in (
        (b'{"image": [[1, 2]]}', r"^v1: the request: input `image` of signature `serving_default` has a wrong shape"),
        (b'{"pixels": [[1, 2]]}', r"^v1: .* no input `image` is given; there is no input `pixels`"),
        (b'{"image": [["a"]]}', r"^v1: .* holds a wrong value"),
    ):
        with pytest.raises(RequestError) as caught:
            classifiers.compare("v1", "v2", requests=data)
        assert re.search(words, caught.value.message)
        assert caught.value.kind == "requests-malformed"
    with pytest.raises(RequestError, match=r"no output `nothing`"):
        classifiers.compare("v1", "v2", outputs=["nothing"])
    with pytest.raises(RequestError) as other:
        classifiers.compare("v1", "v3", requests=images(1))
    assert other.value.message.startswith("v3: ")
    with pytest.raises(NotFoundError):
        classifiers.compare("v1", "v2", requests=images(1), signature="nothing")
    assert look(classifiers.root) == before


@pytest.mark.tensorflow
def test_all_kinds_of_outputs_are_compared_or_named(repository: Repository, made: Path) -> None:
    data = b'{"x": [[0, 1, 2], [1, 0.5, 0.25]]}'
    result = repository.compare(str(made / "zero"), str(made / "half"), requests=data, runs=1)
    found = {each.output: each for each in result.outputs}
    assert sorted(found) == ["eighth", "first", "half", "id", "log", "name", "wide"]
    log = found["log"]
    assert (log.non_finite.before, log.non_finite.after, log.incomparable) == (1, 3, 3)
    assert log.largest is not None
    assert (found["half"].dtype.before, found["half"].largest) == ("bfloat16", 1.0)
    assert (found["id"].agreement, found["id"].top1_changed, found["name"].changed) == (1.0, None, 0.0)
    assert (found["eighth"].dtype.before, found["eighth"].agreement) == ("float8_e5m2", 1.0)
    assert (found["first"].rows, found["first"].agreement) == (1, 1.0)
    unlike = found["wide"].unlike
    assert unlike is not None
    assert (unlike.before, unlike.after, found["wide"].agreement) == ("float32[2, 3]", "float32[2, 6]", 0.0)
    assert {(each.output, each.missing_in) for each in result.missing} == {("old", "to"), ("new<script>", "from")}
    assert result.agreement == 0.0
    assert [warning.split()[1] for warning in result.warnings] == ["`quantized`", "`sparse`"]
    only = repository.compare(str(made / "zero"), str(made / "half"), requests=data, runs=1, outputs=["id", "name"])
    assert (only.agreement, [each.output for each in only.outputs], only.missing) == (1.0, ["id", "name"], ())
    least = repository.compare(str(made / "zero"), str(made / "half"), requests=data, runs=1, outputs=["id", "log"])
    assert least.agreement == log.agreement == 0.0  # the smallest, not an average


@pytest.mark.tensorflow
def test_a_model_that_rolls_dice_is_named(repository: Repository, made: Path) -> None:
    result = repository.compare(str(made / "chance"), str(made / "fixed"), runs=1, generate=1)
    assert len(result.warnings) == 1
    assert "chance answers one request differently from call to call: output `y`" in result.warnings[0]
    assert result.outputs[0].rows == 2  # what is open in one and fixed in the other is as that fixes it


@pytest.mark.tensorflow
def test_a_model_that_fails_says_so_and_that_requests_can_be_given(repository: Repository, made: Path) -> None:
    with pytest.raises(ModelError) as caught:
        repository.compare(str(made / "picky"), str(made / "picky"), runs=1)
    assert (caught.value.kind, "--input" in (caught.value.hint or "")) == ("model-run", True)
    assert repository.compare(str(made / "picky"), str(made / "picky"), requests=b'{"x": [0, 1]}', runs=1).agreement


@pytest.mark.tensorflow
def test_versions_are_held_while_they_are_compared_and_time_is_bounded(classifiers: Repository) -> None:
    with contextlib.ExitStack() as stack:
        questioning.model(classifiers._layout, "v1", stack)
        with pytest.raises(RefusedError):
            classifiers.remove(["v1"])
    with pytest.raises(ModelError) as caught:
        classifiers.compare("v1", "v2", load_timeout=timedelta(milliseconds=10))
    assert caught.value.kind == "model-timeout"
