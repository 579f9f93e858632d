"""The inspector against real TensorFlow: real models, and models that crash, hang, eat memory or lie."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelrepo.core.signatures import Shape, Signature, Tensor
from modelrepo.errors import ModelError, ModelRepoError, SourceError
from modelrepo.savedmodel.report import SERVE, Report
from modelrepo.savedmodel.runner import LOAD_MEMORY, Inspector, default_memory

SAMPLES = ("classifier_v1", "classifier_v2", "renamed_input", "tf1_linear", "vocabulary")
PREDICT = "tensorflow/serving/predict"
MEMORY = LOAD_MEMORY
#: The system call that says with flag 1 which Landlock there is.
LANDLOCK_CREATE_RULESET = 444

#: Makes models that are real programs: each does something when it is loaded.
MAKE = """
import sys
from pathlib import Path
import tensorflow as tf
v1 = tf.compat.v1
top = Path(sys.argv[1])


def save(name, act=None, signature=None):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        y = tf.add(x, v1.Variable([0.5], name="bias", use_resource=False), name="y")
        session.run(v1.global_variables_initializer())
        with tf.control_dependencies([act(x)] if act else []):
            main_op = tf.no_op()
        made = signature() if signature else v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(top / name))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": made}, main_op=main_op)
        builder.save()


def loop(_):
    return tf.while_loop(lambda i: i >= 0, lambda i: i * 0, [tf.constant(0)])[0].op


def odd_signature():
    info = v1.saved_model.utils.build_tensor_info
    sparse = v1.sparse_placeholder(tf.int64, [None, 7], name="sparse")
    ragged = v1.ragged.placeholder(tf.string, 1, name="ragged")
    reference = v1.Variable([[1.0]], name="reference", use_resource=False)
    v1.get_default_session().run(reference.initializer)
    anything = v1.placeholder(tf.bfloat16, None, name="anything")
    scalar = v1.placeholder(tf.bool, [], name="scalar")
    inputs = {"sparse": info(sparse), "ragged": info(ragged), "anything": info(anything), "scalar": info(scalar)}
    return v1.saved_model.build_signature_def(inputs, {"reference": info(reference)}, "any/method")


save("aborts", lambda _: tf.raw_ops.Abort(error_msg="the model aborts here", exit_without_error=False))
save("exits", lambda _: tf.raw_ops.Abort(error_msg="", exit_without_error=True))
save("loops", loop)
save("eats", lambda _: tf.reduce_sum(tf.random.uniform([tf.random.uniform([], 1, 2, tf.int32) * (3 << 28)])).op)
save("prints", lambda _: tf.print('{"ok": {"tensorflow_version": "evil", "seconds": 0}}', output_stream=sys.stdout))
save("writes", lambda _: tf.io.write_file(str(top / "written"), "by the model"))
save("fails", lambda _: v1.assert_equal(1.0, tf.random.uniform([], 2.0, 3.0), message="\\x1b[31mred\\n"))
save("odd", signature=odd_signature)
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that act when they are loaded."""
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
    """One child for all that harms nobody."""
    with Inspector(memory=MEMORY) as inspector:
        yield inspector


def tensor(name: str, dtype: str, shape: Shape) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=shape)


def contract(report: Report) -> dict[str, tuple[dict[str, tuple[str, Shape]], dict[str, tuple[str, Shape]]]]:
    """Signatures without the names of graph tensors."""
    return {
        name: (
            {key: (found.dtype, found.shape) for key, found in signature.inputs.items()},
            {key: (found.dtype, found.shape) for key, found in signature.outputs.items()},
        )
        for name, signature in report.served.signatures.items()
    }


def classifier(key: str) -> dict[str, object]:
    return {
        "predict_batch": (
            {key: ("float32", [32, 784])},
            {"label": ("int64", [32]), "probabilities": ("float32", [32, 10])},
        ),
        "serving_default": ({key: ("float32", [None, 784])}, {"probabilities": ("float32", [None, 10])}),
    }


EXPECTED = {
    "classifier_v1": classifier("image"),
    "classifier_v2": classifier("image"),
    "renamed_input": classifier("pixels"),
    "vocabulary": {"serving_default": ({"tokens": ("string", [None])}, {"ids": ("int64", [None])})},
    "tf1_linear": {"serving_default": ({"x": ("float32", [None, 3])}, {"y": ("float32", [None, 1])})},
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_report_has_exactly_the_samples_signatures(inspector: Inspector, samples: Path, name: str) -> None:
    report = inspector.read(samples / name)
    assert contract(report) == EXPECTED[name]
    assert {signature.method_name for signature in report.served.signatures.values()} == {PREDICT}
    assert [graph.tags for graph in report.meta_graphs] == [SERVE]
    assert report.served.tensorflow_version == "2.21.0"
    assert (report.fingerprint is None) == (name == "tf1_linear")


@pytest.mark.tensorflow
def test_a_signature_names_its_graph_tensors(inspector: Inspector, samples: Path) -> None:
    assert inspector.read(samples / "tf1_linear").served.signatures == {
        "serving_default": Signature(
            method_name=PREDICT,
            inputs={"x": tensor("x:0", "float32", [None, 3])},
            outputs={"y": tensor("y:0", "float32", [None, 1])},
        )
    }


@pytest.mark.tensorflow
def test_ops_are_counted_in_the_graph_and_in_its_functions(inspector: Inspector, samples: Path) -> None:
    assert inspector.read(samples / "tf1_linear").served.ops["MatMul"] == 1
    ops = inspector.read(samples / "classifier_v1").served.ops
    assert ops["MatMul"] >= 4, "two layers in each of two endpoints, which are functions"
    assert ops["StatefulPartitionedCall"] >= 2
    assert list(ops) == sorted(ops)


@pytest.mark.tensorflow
def test_a_fingerprint_is_decimal_text(inspector: Inspector, samples: Path) -> None:
    fingerprint = inspector.read(samples / "classifier_v1").fingerprint
    assert fingerprint is not None
    assert {"saved_model_checksum", "graph_def_program_hash", "checkpoint_hash", "uuid"} <= set(fingerprint)
    assert all(value.isdecimal() for value in fingerprint.values()), fingerprint


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", SAMPLES)
def test_the_session_loader_loads_every_sample(inspector: Inspector, samples: Path, name: str) -> None:
    loaded = inspector.load(samples / name, SERVE)
    assert loaded.tensorflow_version == "2.21.0"
    assert 0 < loaded.seconds < 60


@pytest.mark.tensorflow
def test_sparse_ragged_and_reference_tensors_are_told_apart(inspector: Inspector, models: Path) -> None:
    (signature,) = inspector.read(models / "odd").served.signatures.values()
    assert signature.method_name == "any/method"
    found = {key: (tensor.dtype, tensor.shape, tensor.encoding) for key, tensor in signature.inputs.items()}
    assert found["sparse"] == ("int64", [None, 7], "sparse")
    assert found["anything"] == ("bfloat16", None, "dense")
    assert found["scalar"] == ("bool", [], "dense")
    assert signature.outputs["reference"].dtype == "float32_ref"
    assert signature.inputs["sparse"].name == "sparse/values:0"
    assert found["ragged"][2] == "composite"
    assert len(signature.inputs["ragged"].name.split(",")) == 2


@pytest.mark.tensorflow
def test_a_ragged_input_has_the_type_of_its_values_and_is_no_scalar(inspector: Inspector, models: Path) -> None:
    """Else a change of its type would break callers unseen."""
    ragged = inspector.read(models / "odd").served.signatures["serving_default"].inputs["ragged"]
    assert ragged.dtype == "string"
    assert ragged.shape != []


EDIT = """
import sys
from google.protobuf import text_format
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
source, target, edit = sys.argv[1:]
model = saved_model_pb2.SavedModel.FromString(open(source, "rb").read())
exec(edit)
data = text_format.MessageToString(model).encode() if target.endswith("txt") else model.SerializeToString()
open(target, "wb").write(data)
"""
DEFAULT = (
    "model.meta_graphs[0].signature_def['serving_default'].defaults['x'].CopyFrom(tf.make_tensor_proto([[1., 2., 3.]]))"
)
SECOND = "model.meta_graphs.add().CopyFrom(model.meta_graphs[0]); model.meta_graphs[0].meta_info_def.tags.append('gpu')"
NEWER = "model.saved_model_schema_version = 99; model.meta_graphs[0].meta_info_def.tensorflow_version = ''"
ODD_TYPE = "model.meta_graphs[0].signature_def['serving_default'].inputs['x'].dtype = 4711"


@pytest.fixture
def copy(samples: Path, tmp_path: Path) -> Path:
    """A copy of the smallest sample, to be spoiled."""
    return Path(shutil.copytree(samples / "tf1_linear", tmp_path / "model"))


def edited(copy: Path, *edits: str, name: str = "saved_model.pb") -> Path:
    """Change a model's protocol buffer with TensorFlow's own."""
    source, target = copy / "saved_model.pb", copy / f"new {name}"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EDIT, source, target, "\n".join(edits)],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    source.unlink()
    target.rename(copy / name)
    return copy


@pytest.mark.tensorflow
def test_what_only_the_protocol_buffer_says_is_read(inspector: Inspector, copy: Path) -> None:
    """A default makes an input optional; `serve` alone is what serving means; an unknown type has a number."""
    report = inspector.read(edited(copy, SECOND, DEFAULT.replace("[0]", "[1]"), NEWER, ODD_TYPE))
    assert [graph.tags for graph in report.meta_graphs] == [("serve", "gpu"), ("serve",)]
    assert report.meta_graphs[0].tensorflow_version is None
    assert report.meta_graphs[0].signatures["serving_default"].inputs["x"].dtype == "unknown_4711"
    assert not report.meta_graphs[0].signatures["serving_default"].inputs["x"].optional
    assert report.served == report.meta_graphs[1]
    assert report.served.signatures["serving_default"].inputs["x"].optional
    assert not report.served.signatures["serving_default"].outputs["y"].optional


@pytest.mark.tensorflow
def test_a_text_savedmodel_is_read_and_loaded_like_a_binary_one(
    inspector: Inspector, samples: Path, copy: Path
) -> None:
    assert inspector.read(edited(copy, name="saved_model.pbtxt")) == inspector.read(samples / "tf1_linear")
    assert inspector.load(copy, SERVE).seconds > 0


def spoil(copy: Path, how: str) -> None:
    model = copy / "saved_model.pb"
    data = model.read_bytes()
    match how:
        case "truncated":
            model.write_bytes(data[: len(data) // 2])
        case "garbage":
            model.write_bytes(b"\xff" * 1000)
        case "zeros":
            model.write_bytes(bytes(len(data)))
        case "a page":
            model.write_bytes(b"<!DOCTYPE html><html><body>Not found</body></html>")
        case "a pointer of git":
            model.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
        case "a pipe":
            model.unlink()
            os.mkfifo(model)
        case "text in its place":
            model.rename(copy / "saved_model.pbtxt")
        case "garbage fingerprint":
            (copy / "fingerprint.pb").write_bytes(b"\xff" * 100)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "garbage",
        "zeros",
        "a page",
        "a pointer of git",
        "a pipe",
        "text in its place",
        "garbage fingerprint",
    ],
)
def test_what_does_not_parse_is_a_source_error_in_one_printable_line(
    inspector: Inspector, copy: Path, how: str
) -> None:
    spoil(copy, how)
    with pytest.raises(SourceError) as caught:
        inspector.read(copy)
    assert caught.value.kind == "model-unparsable"
    assert caught.value.message.isprintable()


@pytest.mark.tensorflow
def test_an_empty_model_file_is_a_source_error(inspector: Inspector, copy: Path) -> None:
    """It parses: a protocol buffer without fields has no bytes."""
    (copy / "saved_model.pb").write_bytes(b"")
    with pytest.raises(SourceError, match="no meta graph") as caught:
        inspector.read(copy)
    assert caught.value.kind == "model-empty"


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", ["variables/variables.index", "variables/variables.data-00000-of-00001"])
@pytest.mark.parametrize("how", ["missing", "empty", "cut short"])
def test_a_model_without_its_variables_cannot_be_loaded(inspector: Inspector, copy: Path, path: str, how: str) -> None:
    file = copy / path
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: 0 if how == "empty" else -3])
    inspector.read(copy)
    with pytest.raises(ModelError) as caught:
        inspector.load(copy, SERVE)
    assert caught.value.kind == "model-unloadable"
    assert caught.value.message.isprintable()


@pytest.mark.tensorflow
def test_a_missing_asset_and_a_missing_tag_are_refused(inspector: Inspector, samples: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(samples / "vocabulary", tmp_path / "model"))
    with pytest.raises(ModelError, match="tag"):
        inspector.load(model, ["serve", "tpu"])
    shutil.rmtree(model / "assets")
    with pytest.raises(ModelError, match=r"vocabulary\.txt") as caught:
        inspector.load(model, SERVE)
    assert caught.value.kind == "model-unloadable"


@pytest.mark.tensorflow
def test_an_initialiser_that_fails_is_told_in_one_printable_line(inspector: Inspector, models: Path) -> None:
    with pytest.raises(ModelError, match="red") as caught:
        inspector.load(models / "fails", SERVE)
    assert caught.value.kind == "model-unloadable"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 6000


@pytest.mark.tensorflow
def test_what_a_model_prints_is_not_taken_for_an_answer(inspector: Inspector, models: Path) -> None:
    loaded = inspector.load(models / "prints", SERVE)
    assert loaded.tensorflow_version != "evil"
    assert inspector.load(models / "prints", SERVE).tensorflow_version != "evil"
    assert inspector.read(models / "prints").served.signatures


@pytest.mark.tensorflow
def test_a_model_cannot_write_while_it_loads(inspector: Inspector, models: Path) -> None:
    """DESIGN promise 11, where the kernel has Landlock."""
    if ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, 1) < 1:
        pytest.skip("the system does not let an ordinary user take rights away")
    with pytest.raises(ModelError):
        inspector.load(models / "writes", SERVE)
    assert not (models / "written").exists()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "how"), [("aborts", "killed by SIGABRT"), ("exits", "exit status 0")], ids=["aborts", "exits"]
)
def test_a_model_that_ends_tensorflows_process_ends_nothing_else(models: Path, name: str, how: str) -> None:
    with Inspector(memory=MEMORY, seconds=60) as inspector:
        inspector.warm()
        with pytest.raises(ModelError) as caught:
            inspector.load(models / name, SERVE)
        assert (caught.value.kind, caught.value.got) == ("model-crash", how)
        assert caught.value.message.isprintable()
        with pytest.raises(ModelError):
            inspector.load(models / "prints", SERVE)


@pytest.mark.tensorflow
def test_the_message_of_a_crash_holds_what_tensorflow_said_and_not_only_frames(models: Path) -> None:
    with Inspector(memory=MEMORY, seconds=60) as inspector, pytest.raises(ModelError) as caught:
        inspector.load(models / "aborts", SERVE)
    assert "the model aborts here" in caught.value.message


@pytest.mark.tensorflow
def test_a_model_that_never_ends_is_stopped_in_time(models: Path, samples: Path) -> None:
    with Inspector(memory=MEMORY, seconds=60) as inspector:
        inspector.load(samples / "tf1_linear", SERVE)  # TensorFlow is imported
        inspector._seconds = 1.5
        started = time.monotonic()
        with pytest.raises(ModelError) as caught:
            inspector.load(models / "loops", SERVE)
        assert 1.4 <= time.monotonic() - started < 10
        assert caught.value.kind == "model-timeout"
        assert caught.value.hint == "allow more with --load-timeout"
        assert inspector._child.returncode == -signal.SIGKILL


@pytest.mark.tensorflow
def test_a_model_that_asks_for_more_memory_than_it_may_is_refused(models: Path, samples: Path) -> None:
    """It asks for 3 GiB; TensorFlow and a small model fit."""
    with Inspector(memory=3 << 29, seconds=60) as inspector:
        inspector.load(samples / "tf1_linear", SERVE)
        with pytest.raises(ModelError) as caught:
            inspector.load(models / "eats", SERVE)
    assert caught.value.kind in {"model-memory", "model-crash"}
    assert caught.value.hint is not None
    assert "--load-memory" in caught.value.hint


@pytest.mark.tensorflow
def test_a_child_that_somebody_kills_while_it_loads_is_a_model_error(models: Path) -> None:
    with Inspector(memory=MEMORY, seconds=60) as inspector:
        killer = threading.Timer(1, os.kill, (inspector._child.pid, signal.SIGKILL))
        killer.start()
        started = time.monotonic()
        with pytest.raises(ModelError) as caught:
            inspector.load(models / "loops", SERVE)
        assert time.monotonic() - started < 20
        assert (caught.value.kind, caught.value.got) == ("model-crash", "killed by SIGKILL")
        killer.join()


@pytest.mark.tensorflow
def test_the_death_of_the_parent_ends_the_child(models: Path) -> None:
    script = """
import sys
from pathlib import Path
from modelrepo.savedmodel.runner import Inspector
inspector = Inspector(memory=1 << 32)
print(inspector._child.pid, flush=True)
inspector.load(Path(sys.argv[1]), ["serve"])
"""
    with subprocess.Popen([sys.executable, "-c", script, str(models / "loops")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1)
        assert Path(f"/proc/{child}").exists()
        parent.kill()
        parent.wait(5)
        deadline = time.monotonic() + 10
        while _runs(child) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_child_is_nice_limited_and_in_a_session_of_its_own(samples: Path) -> None:
    with Inspector(memory=1 << 30) as inspector:
        child = inspector._child.pid
        inspector.read(samples / "tf1_linear")
        assert os.getpriority(os.PRIO_PROCESS, child) == 10
        assert os.getsid(child) == child != os.getsid(0)
        assert resource.prlimit(child, resource.RLIMIT_DATA) == (1 << 30, 1 << 30)
        assert resource.prlimit(child, resource.RLIMIT_CORE) == (0, 0)
    assert not _runs(child)


def test_a_read_needs_no_import_of_tensorflow(samples: Path) -> None:
    with Inspector(memory=MEMORY) as inspector:
        inspector.read(samples / "classifier_v1")
        mapped = Path(f"/proc/{inspector._child.pid}/maps").read_text()
    assert "libtensorflow" not in mapped
    assert "libpython" in mapped or "python" in mapped


def test_files_in_the_working_directory_are_not_imported(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorflow", "json", "modelrepo", "google"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})")
    monkeypatch.chdir(tmp_path)
    with Inspector(memory=MEMORY) as inspector:
        inspector.read(samples / "tf1_linear")
    assert not (tmp_path / "imported").exists()


def test_where_tensorflow_is_not_installed_the_error_says_what_to_do(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's Python finds no module of that name."""
    (tmp_path / "sitecustomize.py").write_text("""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == "tensorflow" else find(name, path, target)
PathFinder.find_spec = find_spec
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for warm in (False, True):
        with Inspector(memory=MEMORY) as inspector:
            if warm:
                inspector.warm()
            with pytest.raises(ModelError, match="TensorFlow") as caught:
                inspector.read(samples / "tf1_linear")
            assert caught.value.kind == "tensorflow-missing"
            assert caught.value.hint == "install tensorflow, or push with --no-load"


@pytest.mark.parametrize(
    "answer",
    ["rubbish", "[]", "null", "{", '{"ok": {}}', '{"ok": {"meta_graphs": "many"}}', "\\x00\\xff", "{}", "9" * 5000],
)
def test_rubbish_in_place_of_an_answer_is_a_model_error(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """The child's Python is one that says something else."""
    (tmp_path / "python").write_text(f"#!/bin/sh\nread request\nprintf '%b\\n' '{answer}'\nread never\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with Inspector(memory=MEMORY) as inspector, pytest.raises(ModelError):
        inspector.read(samples / "tf1_linear")


def test_a_child_that_never_stops_talking_is_stopped_and_its_last_lines_are_kept(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nwhile :; do echo 'noise \033[31m' >&2; done\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("modelrepo.savedmodel.runner._READ_SECONDS", 1.0)
    with Inspector(memory=MEMORY) as inspector, pytest.raises(ModelError) as caught:
        inspector.read(samples / "tf1_linear")
    assert caught.value.kind == "model-timeout"
    assert "it said last: noise" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 2000


def test_a_child_that_cannot_start_is_a_model_error(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho 'no such interpreter' >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with Inspector(memory=MEMORY) as inspector, pytest.raises(ModelError, match="no such interpreter") as caught:
        inspector.read(samples / "tf1_linear")
    assert (caught.value.kind, caught.value.got) == ("model-crash", "exit status 3")


def test_after_its_end_an_inspector_still_answers_in_words(samples: Path) -> None:
    inspector = Inspector(memory=MEMORY)
    inspector.close()
    inspector.close()
    with pytest.raises(ModelRepoError):
        inspector.read(samples / "tf1_linear")


def test_the_memory_of_a_load_grows_with_the_model() -> None:
    assert default_memory(0) == 4 * 1024**3
    assert default_memory(10**9) == 4 * 1024**3 + 3 * 10**9
