"""Models that are broken or hostile, pushed by the real program: a clear error, its exit code, nothing left behind."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelrepo.savedmodel import worker

PROTOS = worker._Protos()
FLOAT = 1


@pytest.fixture
def push(run: Callable[..., Any], root: Path) -> Callable[..., Any]:
    """Push by the program; whatever it says, it left no version and nothing in staging, and the repository works."""

    def call(place: Path, *words: str, code: int, kind: str | tuple[str, ...]) -> Any:
        before = sorted(os.listdir(root))
        done = run("--repo", root, "push", place, "--json", *words)
        assert done.code == code, done.err
        assert done.json["error"]["kind"] in ((kind,) if isinstance(kind, str) else kind)
        assert done.json["error"]["message"].isprintable()
        assert "Traceback" not in done.err
        assert "/staging/" not in str(done.json), "the copy is gone by now"
        assert sorted(os.listdir(root)) == before
        assert os.listdir(root / ".modelrepo" / "staging") == []
        assert run("--repo", root, "verify", "--quick").code == 0
        return done

    return call


@pytest.fixture
def copy(samples: Path, tmp_path: Path) -> Path:
    """A model to be spoiled."""
    return Path(shutil.copytree(samples / "tf1_linear", tmp_path / "model"))


def nested(levels: int) -> bytes:
    """A model whose one node has an attribute that is a function with an attribute that is …, so often."""

    def field(number: int, data: bytes) -> bytes:
        length, size = b"", len(data)
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + data

    value = field(2, b"text")
    for _ in range(levels):
        value = field(10, field(2, field(1, b"k") + field(2, value)))
    node = field(2, b"NoOp") + field(5, field(1, b"k") + field(2, value))
    return field(2, field(2, field(1, node)))


BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "model-empty"),
    "truncated": (lambda data: data[: len(data) // 2], "model-unparsable"),
    "random": (lambda _: random.Random(7).randbytes(5000), "model-unparsable"),  # noqa: S311
    "zeros": (lambda data: bytes(len(data)), "model-unparsable"),
    "nested ten thousand deep": (lambda _: nested(10_000), "model-unparsable"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_model_are_a_source_error(push: Callable[..., Any], copy: Path, name: str) -> None:
    spoil, kind = BYTES[name]
    file = copy / "saved_model.pb"
    file.write_bytes(spoil(file.read_bytes()))
    push(copy, "--no-load", code=2, kind=kind)


def test_a_model_of_more_than_two_gib_is_a_source_error(run: Callable[..., Any], copy: Path) -> None:
    """Not pushed: the copy would fill the disk of whoever runs this."""
    os.truncate(copy / "saved_model.pb", 2**31)
    done = run("inspect", copy, "--json")
    assert (done.code, done.json["error"]["kind"]) == (2, "model-unparsable")
    assert "2 GiB" in done.json["error"]["message"]


def test_flipped_bits_give_a_version_or_a_clear_error(run: Callable[..., Any], root: Path, copy: Path) -> None:
    file = copy / "saved_model.pb"
    data, chance = bytearray(file.read_bytes()), random.Random(11)  # noqa: S311
    for _ in range(6):
        for _ in range(3):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        done = run("--repo", root, "push", copy, "--json", "--no-load")
        assert done.code in {0, 2, 6}, done.err
        assert "Traceback" not in done.err
        assert ("error" in done.json) == (done.code != 0)


def test_a_chunked_model_is_named_as_such_with_what_to_do(push: Callable[..., Any], copy: Path) -> None:
    """No release of TensorFlow writes, or loads, one: docs/decisions/0008."""
    (copy / "saved_model.pb").rename(copy / "saved_model.cpb")
    done = push(copy, code=2, kind="model-chunked")
    assert (done.json["error"]["expected"], done.json["error"]["got"]) == (
        "saved_model.pb or saved_model.pbtxt",
        "saved_model.cpb",
    )
    assert "experimental_image_format" in done.json["error"]["hint"]


def edit(place: Path, change: Callable[[Any], None]) -> None:
    """Change a model's graph."""
    file = place / "saved_model.pb"
    model = PROTOS.saved_model.SavedModel.FromString(file.read_bytes())
    change(model.meta_graphs[0])
    file.write_bytes(model.SerializeToString())


def node(meta: Any, op: str, name: str, *inputs: str) -> Any:
    made = meta.graph_def.node.add()
    made.op, made.name = op, name
    made.input.extend(inputs)
    return made


def calls_itself(meta: Any) -> None:
    function = meta.graph_def.library.function.add()
    function.signature.name = "again"
    call = function.node_def.add()
    call.name, call.op = "call", "PartitionedCall"
    call.attr["f"].func.name = "again"


def test_a_function_that_calls_itself_is_refused_by_the_scan(push: Callable[..., Any], copy: Path) -> None:
    edit(copy, calls_itself)
    push(copy, "--no-load", code=6, kind="model-refused")


def cycle(meta: Any) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        node(meta, "Identity", name, other).attr["T"].type = FLOAT


def negative_shape(meta: Any) -> None:
    made = node(meta, "Placeholder", "negative")
    made.attr["dtype"].type = FLOAT
    made.attr["shape"].shape.dim.add().size = -7


def no_value(meta: Any) -> None:
    node(meta, "Const", "nothing").attr["dtype"].type = FLOAT


def unknown_type(meta: Any) -> None:
    node(meta, "Placeholder", "odd").attr["dtype"].type = 4711


def wrong_attribute(meta: Any) -> None:
    node(meta, "Placeholder", "wrong").attr["dtype"].s = b"float"


def missing_input(meta: Any) -> None:
    node(meta, "Identity", "lost", "nobody").attr["T"].type = FLOAT


def control_characters(meta: Any) -> None:
    node(meta, "Identity", "\x1b[31mred\n\x07", "nobody").attr["T"].type = FLOAT


GRAPHS = [cycle, negative_shape, no_value, unknown_type, wrong_attribute, missing_input, control_characters]


@pytest.mark.tensorflow
@pytest.mark.parametrize("change", GRAPHS, ids=[change.__name__ for change in GRAPHS])
def test_a_graph_that_tensorflow_cannot_build_is_not_loaded(
    push: Callable[..., Any], copy: Path, change: Callable[[Any], None]
) -> None:
    edit(copy, change)
    push(copy, code=6, kind="model-unloadable")


def missing(place: Path, _: Path) -> None:
    shutil.rmtree(place / "variables")


def truncated(place: Path, _: Path) -> None:
    file = place / "variables" / "variables.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-3])


def foreign(place: Path, samples: Path) -> None:
    shutil.rmtree(place / "variables")
    shutil.copytree(samples / "classifier_v1" / "variables", place / "variables")


def lying_index(place: Path, _: Path) -> None:
    """Its checksums are right for what it says, and wrong for the bytes beside it."""
    file = place / "variables" / "variables.data-00000-of-00001"
    file.write_bytes(bytes(each ^ 255 for each in file.read_bytes()))


def garbled_index(place: Path, _: Path) -> None:
    file = place / "variables" / "variables.index"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 255
    file.write_bytes(data)


VARIABLES = [missing, truncated, foreign, lying_index, garbled_index]


@pytest.mark.tensorflow
@pytest.mark.parametrize("spoil", VARIABLES, ids=[spoil.__name__ for spoil in VARIABLES])
def test_variables_that_are_not_the_models_own_cannot_be_restored(
    push: Callable[..., Any], copy: Path, samples: Path, spoil: Callable[[Path, Path], None]
) -> None:
    spoil(copy, samples)
    done = push(copy, code=6, kind="model-unloadable")
    if spoil is missing:
        assert str(copy) in done.json["error"]["message"], "the source, where somebody can look"


def endless(meta: Any) -> None:
    """An initialiser that counts for ever."""
    library = meta.graph_def.library
    for name, result in (("go_on", "BOOL"), ("round", "INT")):
        function = library.function.add()
        function.signature.name = name
        given, given_back = function.signature.input_arg.add(), function.signature.output_arg.add()
        given.name, given.type = "i", 3
        given_back.name, given_back.type = "o", 10 if result == "BOOL" else 3
        made = function.node_def.add()
        if result == "BOOL":
            made.name, made.op = "made", "Const"
            made.attr["dtype"].type = 10
            made.attr["value"].tensor.dtype = 10
            made.attr["value"].tensor.bool_val.append(True)
            made.attr["value"].tensor.tensor_shape.SetInParent()
            function.ret["o"] = "made:output:0"
        else:
            made.name, made.op = "made", "Identity"
            made.input.append("i")
            made.attr["T"].type = 3
            function.ret["o"] = "made:output:0"
    start = node(meta, "Const", "start")
    start.attr["dtype"].type = 3
    start.attr["value"].tensor.dtype = 3
    start.attr["value"].tensor.int_val.append(0)
    start.attr["value"].tensor.tensor_shape.SetInParent()
    loop = node(meta, "While", "loop", "start")
    loop.attr["T"].list.type.append(3)
    loop.attr["cond"].func.name, loop.attr["body"].func.name = "go_on", "round"
    meta.collection_def["saved_model_main_op"].node_list.value[:] = ["loop"]


@pytest.mark.tensorflow
def test_an_initialiser_that_never_ends_is_stopped(push: Callable[..., Any], copy: Path) -> None:
    edit(copy, endless)
    done = push(copy, "--load-timeout", "12s", code=6, kind="model-timeout")
    assert "--load-timeout" in done.json["error"]["hint"]
