"""The scan: what ordinary models hold is no finding, and what acts on the host is found wherever it hides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelrepo.savedmodel import parsing, rules, scanning, worker
from modelrepo.savedmodel.report import Report
from modelrepo.savedmodel.texts import tensor_texts

from . import mutations

SAMPLES = ("classifier_v1", "classifier_v2", "renamed_input", "tf1_linear", "vocabulary")
STRING = 7
PROTOS = worker._Protos()
RULES = rules.load()
KINDS = (PROTOS.graph.GraphDef, PROTOS.function.FunctionDefLibrary, PROTOS.function.FunctionDef)


def scan(
    model: Any, steps: int = scanning.MAX_STEPS, files: Sequence[str] = ("saved_model.pb",)
) -> list[dict[str, Any]]:
    return scanning.Scan(RULES, KINDS, PROTOS.meta_graph.AssetFileDef, steps).run(model, files)


def kinds(model: Any) -> set[tuple[str | None, str]]:
    """What was refused, and by which rule."""
    return {(found["op"], found["rule"]) for found in scan(model) if found["severity"] == "refused"}


def read(place: Path) -> Any:
    return parsing.parse(str(place), PROTOS.saved_model.SavedModel)


def sample(samples: Path, name: str) -> Any:
    return read(samples / name)


class Made:
    """A SavedModel that is put together by hand."""

    def __init__(self) -> None:
        self.model = PROTOS.saved_model.SavedModel()
        self.meta = self.model.meta_graphs.add()
        self.meta.meta_info_def.tags.append("serve")
        self.graph = self.meta.graph_def

    def node(self, op: str, *inputs: str, name: str = "", into: Any = None, **attributes: Any) -> str:
        """Add a node to the graph, or to other nodes."""
        node = (self.graph.node if into is None else into).add()
        node.name, node.op = name or f"{op.lower()}_node", op
        node.input.extend(inputs)
        for key, value in attributes.items():
            if isinstance(value, bytes):
                node.attr[key].s = value
            elif key in {"f", "body", "cond", "then_branch"}:
                node.attr[key].func.name = value
            else:
                node.attr[key].CopyFrom(value)
        return str(node.name)

    def text(self, *texts: bytes, name: str = "text", into: Any = None) -> str:
        """Add a constant."""
        return self.node("Const", name=name, into=into, value=tensor(*texts))

    def function(self, name: str, *parameters: str) -> Any:
        """Add a function; its nodes are what is given back."""
        function = self.graph.library.function.add()
        function.signature.name = name
        for parameter in parameters:
            function.signature.input_arg.add().name = parameter
        return function.node_def


def tensor(*texts: bytes, packed: bool = False) -> Any:
    value = type(PROTOS.graph.GraphDef().node.add().attr["x"])()
    value.tensor.dtype = STRING
    value.tensor.tensor_shape.dim.add().size = len(texts)
    if packed:
        value.tensor.tensor_content = b"".join(bytes([len(text)]) for text in texts) + b"".join(texts)
    else:
        value.tensor.string_val.extend(texts)
    return value


def saver(made: Made, place: str) -> None:
    """Save and restore, as every export does, with a node as the file name."""
    joined = made.node("StringJoin", place, made.text(b"/part", name="tail"), name="joined")
    made.node("SaveV2", made.node("ShardedFilename", joined, "0", "1", name="sharded"), name="save")
    made.node("RestoreV2", place, name="restore")
    made.node("MergeV2Checkpoints", made.node("Pack", "sharded", name="packed"), place, name="merge")


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_found_in_the_samples(samples: Path, name: str) -> None:
    assert scan(sample(samples, name)) == []


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of many ordinary kinds."""
    place = tmp_path_factory.mktemp("ordinary")
    script = Path(__file__).with_name("ordinary_models.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(place)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.tensorflow
def test_nothing_is_found_in_ordinary_models_of_many_kinds(ordinary: Path) -> None:
    """In one test: making them takes one TensorFlow twenty seconds."""
    places = [path.parent for path in sorted(ordinary.glob("*/saved_model.pb"))]
    assert len(places) >= 35
    assert {place.name: found for place in places if (found := scan(read(place)))} == {}


def write(made: Made) -> None:
    made.node("WriteFile", made.text(b"/etc/cron.d/x"), "contents")


def read_what_a_caller_names(made: Made) -> None:
    made.node("ReadFile", made.node("Placeholder"))


def write_in_a_function(made: Made) -> None:
    made.node("WriteFile", "name", into=made.function("helper", "name"))


def python(made: Made) -> None:
    made.node("PyFunc", token=b"pyfunc_0")


def print_to_a_file(made: Made) -> None:
    made.node("PrintV2", "x", output_stream=b"file:///root/.ssh/authorized_keys")


def save_elsewhere(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("Placeholder", name="filename")
    made.node("SaveV2", made.text(b"model"))


def save_under_a_constant(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("Placeholder", name="filename")
    made.node("SaveV2", made.node("StringJoin", made.text(b"/etc/"), "filename"))


def save_behind_the_savers_back(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("Placeholder", name="filename")
    made.node("SaveV2", made.node("StringJoin", "filename", made.text(b"/../../../etc/x")))


def save_half_back_and_half_back_again(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("Placeholder", name="filename")
    made.node("SaveV2", made.node("StringJoin", "filename", made.text(b"/."), made.text(b"./x", name="rest")))


def save_far_behind(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("Placeholder", name="filename")
    made.node("SaveV2", made.node("StringJoin", "filename", made.text(b"/a" * 5000 + b"/.." * 6000)))


def cache_behind_nothing(made: Made) -> None:
    made.node("CacheDataset", "data", made.node("StringJoin", made.text(b""), made.text(b"/tmp/x", name="rest")))


def a_graph_in_two_halves(made: Made) -> None:
    made.node("DatasetFromGraph", made.node("StringJoin", made.text(b"half"), made.text(b"half", name="rest")))


def save_behind_a_separator(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("Placeholder", name="filename")
    made.node("SaveV2", made.node("StringJoin", "filename", made.text(b"x"), separator=b"/../../"))


def save_behind_a_function_with_an_ops_name(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.text(b"/etc/x", into=made.function("Identity", "x"))
    made.node("SaveV2", made.node("Identity", made.node("Placeholder", name="filename")))


def write_in_the_first_of_two_functions_of_one_name(made: Made) -> None:
    made.node("WriteFile", into=made.function("twice"))
    made.function("twice")


def print_where_each_call_says(made: Made) -> None:
    value = tensor()
    value.placeholder = "where"
    made.node("PrintV2", "x", output_stream=value, into=made.function("say"))


def save_by_default(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("PlaceholderWithDefault", made.text(b"/etc/x"), name="filename")
    made.node("SaveV2", "filename")


def save_in_an_initialiser(made: Made) -> None:
    """Its default is harmless while the loader fills it in; here it runs without."""
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("PlaceholderWithDefault", made.text(b"model"), name="filename")
    made.meta.collection_def["saved_model_main_op"].node_list.value.append(made.node("SaveV2", "filename"))


def save_where_a_signature_says(made: Made) -> None:
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("SaveV2", made.node("Placeholder", name="filename"))
    made.meta.signature_def["serving_default"].inputs["where"].name = "filename:0"


def save_in_a_called_function(made: Made) -> None:
    made.node("SaveV2", "prefix", into=made.function("save", "prefix"))
    made.node("StatefulPartitionedCall", made.text(b"/etc/x"), f="save")


def save_in_a_loop(made: Made) -> None:
    """The first round gets the saver's name, the second what the first one gave."""
    made.meta.saver_def.filename_tensor_name = "filename:0"
    made.node("SaveV2", "prefix", into=made.function("body", "prefix"))
    function = made.graph.library.function[0]
    function.signature.output_arg.add().name = "next"
    function.ret["next"] = "evil:output:0"
    made.text(b"/etc/x", name="evil", into=function.node_def)
    made.node("While", made.node("Placeholder", name="filename"), body="body")


def whole_files(made: Made) -> None:
    made.node("WholeFileReaderV2")


def another_table(made: Made) -> None:
    made.node("InitializeTableFromTextFileV2", "table", made.text(b"/etc/passwd"))


def an_asset_that_is_read_unfilled(made: Made) -> None:
    """The loader fills assets in while it loads; a request reads the constant."""
    asset = made.meta.asset_file_def.add()
    asset.filename, asset.tensor_info.name = "words.txt", "text:0"
    made.meta.signature_def["serving_default"].outputs["y"].name = "readfile_node:0"
    made.node("ReadFile", made.text(b"/etc/passwd"))


def a_variable_of_a_name(made: Made) -> None:
    made.node("VarHandleOp", name="handle")
    made.node("AssignVariableOp", "handle", made.text(b"/etc/passwd"))
    made.node("ReadFile", made.node("ReadVariableOp", "handle"))


def custom(made: Made) -> None:
    made.node("MyOwnOp")


def cache(made: Made) -> None:
    made.node("CacheDataset", "data", made.text(b"/tmp/cache"))


def abort(made: Made) -> None:
    made.node("Abort")


def remote(made: Made) -> None:
    made.node("RpcClient", made.text(b"evil.example:1"))


def a_graph_that_is_made_up(made: Made) -> None:
    made.node("DatasetFromGraph", made.node("DecodeBase64", made.text(b"AAAA")))


def recursive(made: Made) -> None:
    made.node("PartitionedCall", f="ping", into=made.function("pong"))
    made.node("PartitionedCall", f="pong", into=made.function("ping"))


def climbing(made: Made) -> None:
    made.meta.asset_file_def.add().filename = "../../etc/passwd"


def absolute(made: Made) -> None:
    made.meta.asset_file_def.add().filename = "/etc/passwd"


def climbing_of_old(made: Made) -> None:
    asset = PROTOS.meta_graph.AssetFileDef()
    asset.filename = "a/../../../etc/passwd"
    made.meta.collection_def["saved_model_assets"].any_list.value.add().Pack(asset)


BAD: list[tuple[Callable[[Made], None], str | None, str]] = [
    (write, "WriteFile", "write-file"),
    (write_in_a_function, "WriteFile", "write-file"),
    (read_what_a_caller_names, "ReadFile", "read-file"),
    (python, "PyFunc", "code"),
    (print_to_a_file, "PrintV2", "print-to-file"),
    (save_elsewhere, "SaveV2", "checkpoint"),
    (save_under_a_constant, "SaveV2", "checkpoint"),
    (save_behind_the_savers_back, "SaveV2", "checkpoint"),
    (save_half_back_and_half_back_again, "SaveV2", "checkpoint"),
    (save_far_behind, "SaveV2", "checkpoint"),
    (cache_behind_nothing, "CacheDataset", "write-file"),
    (a_graph_in_two_halves, "DatasetFromGraph", "hidden-graph"),
    (save_behind_a_separator, "SaveV2", "checkpoint"),
    (save_behind_a_function_with_an_ops_name, "SaveV2", "checkpoint"),
    (write_in_the_first_of_two_functions_of_one_name, "WriteFile", "write-file"),
    (print_where_each_call_says, "PrintV2", "print-to-file"),
    (save_by_default, "SaveV2", "checkpoint"),
    (save_in_an_initialiser, "SaveV2", "checkpoint"),
    (save_where_a_signature_says, "SaveV2", "checkpoint"),
    (save_in_a_called_function, "SaveV2", "checkpoint"),
    (save_in_a_loop, "SaveV2", "checkpoint"),
    (whole_files, "WholeFileReaderV2", "read-file"),
    (another_table, "InitializeTableFromTextFileV2", "table-file"),
    (an_asset_that_is_read_unfilled, "ReadFile", "read-file"),
    (a_variable_of_a_name, "ReadFile", "read-file"),
    (custom, "MyOwnOp", "custom"),
    (cache, "CacheDataset", "write-file"),
    (abort, "Abort", "denial"),
    (remote, "RpcClient", "network"),
    (a_graph_that_is_made_up, "DatasetFromGraph", "hidden-graph"),
    (recursive, None, "recursion"),
    (climbing, None, "asset-path"),
    (absolute, None, "asset-path"),
    (climbing_of_old, None, "asset-path"),
]
NAMES = [make.__name__ for make, _, _ in BAD]


@pytest.mark.parametrize(("make", "op", "rule"), BAD, ids=NAMES)
def test_what_acts_on_the_host_is_refused(make: Callable[[Made], None], op: str | None, rule: str) -> None:
    made = Made()
    make(made)
    assert kinds(made.model) == {(op, rule)}


GRAPHS = [(make, op, rule) for make, op, rule in BAD if rule != "asset-path"]


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize(("make", "op", "rule"), GRAPHS, ids=[make.__name__ for make, _, _ in GRAPHS])
def test_the_same_is_refused_in_a_graph_that_a_constant_holds(
    make: Callable[[Made], None], op: str | None, rule: str, levels: int
) -> None:
    made = Made()
    make(made)
    for _ in range(levels):
        outer = Made()
        outer.node("DatasetFromGraph", outer.text(b"a word", made.graph.SerializeToString()))
        made = outer
    assert (op, rule) in kinds(made.model)


def test_a_finding_says_which_node_it_is_and_where_that_stands() -> None:
    inner, outer = Made(), Made()
    inner.node("WriteFile", "name", "text", name="w", into=inner.function("helper", "name", "text"))
    outer.text(inner.graph.SerializeToString(), name="graph", into=outer.function("serve"))
    (found,) = scan(outer.model)
    assert found["node"] == "w"
    assert found["within"] == "meta graph serve > function serve > constant graph > function helper"
    assert found["severity"] == "refused"


@pytest.mark.parametrize("kind", ["library", "function", "packed", "attribute", "list", "variant", "bytes"])
def test_functions_and_graphs_are_found_wherever_bytes_can_stand(kind: str) -> None:
    inner, outer = Made(), Made()
    inner.node("WriteFile", into=inner.function("helper"))
    graph = inner.graph.SerializeToString()
    match kind:
        case "library":
            outer.text(inner.graph.library.SerializeToString())
        case "function":
            outer.text(inner.graph.library.function[0].SerializeToString())
        case "packed":
            outer.node("Const", value=tensor(b"word", graph, packed=True))
        case "attribute":
            outer.node("NoOp", _anything=graph)
        case "list":
            outer.node("NoOp")
            outer.graph.node[0].attr["_many"].list.s.append(graph)
        case "variant":
            value = tensor()
            value.tensor.variant_val.add().metadata = graph
            outer.node("Const", value=value)
        case "bytes":
            value = tensor()
            value.tensor.dtype, value.tensor.tensor_content = 4, graph
            outer.node("Const", value=value)
    assert kinds(outer.model) == {("WriteFile", "write-file")}


def test_a_graph_whose_field_numbers_are_written_long_is_found() -> None:
    """Protocol buffers read it all the same."""
    made = Made()
    made.text(b"\x0a\x0d\x92\x80\x00\x09WriteFile")
    assert kinds(made.model) == {("WriteFile", "write-file")}


def test_every_meta_graph_is_scanned() -> None:
    made = Made()
    second = made.model.meta_graphs.add()
    second.meta_info_def.tags.extend(["serve", "gpu"])
    second.graph_def.node.add().op = "WriteFile"
    (found,) = scan(made.model)
    assert found["within"] == "meta graph serve,gpu"


def test_the_savers_own_name_is_no_finding_however_it_is_given() -> None:
    """TensorFlow 2 has a placeholder; 1 a default that nobody uses; older ones a constant."""
    for op, inputs in (("Placeholder", ()), ("PlaceholderWithDefault", ("text",)), ("Const", ())):
        made = Made()
        made.text(b"model")
        made.meta.saver_def.filename_tensor_name = "filename:0"
        made.node(op, *inputs, name="filename", **({"value": tensor(b"model")} if op == "Const" else {}))
        saver(made, "filename")
        assert scan(made.model) == [], op


def test_what_is_ordinary_where_it_belongs_is_no_finding() -> None:
    made = Made()
    asset = made.meta.asset_file_def.add()
    asset.filename, asset.tensor_info.name = "words.txt", "asset:0"
    made.node("Const", name="asset", value=tensor(b"/home/me/words.txt"))
    made.node("InitializeTableFromTextFileV2", "table", "asset")
    made.node("PrintV2", "x", output_stream=b"stderr")
    made.node("CacheDataset", "data", made.text(b""))
    made.node("Assert", "x")
    made.node("helper", name="call")
    made.node("Identity", "x", into=made.function("helper", "x"))
    assert scan(made.model) == []


def test_what_may_wait_and_what_is_compiled_is_noted_and_not_refused() -> None:
    made = Made()
    made.node("XlaCallModule")
    made.node("QueueDequeueV2")
    assert [(found["op"], found["severity"]) for found in scan(made.model)] == [
        ("XlaCallModule", "noted"),
        ("QueueDequeueV2", "noted"),
    ]


def test_a_model_that_is_there_in_two_forms_is_refused(samples: Path) -> None:
    """Programs differ in which one they run: a clean one could stand before another."""
    (found,) = scan(sample(samples, "tf1_linear"), files=("saved_model.pb", "saved_model.cpb"))
    assert (found["rule"], found["severity"], found["op"]) == ("ambiguous", "refused", None)


def test_a_scan_that_does_not_come_to_its_end_is_a_finding(samples: Path) -> None:
    (found,) = scan(sample(samples, "classifier_v1"), steps=100)
    assert (found["rule"], found["severity"]) == ("unfinished", "refused")


def test_graphs_in_graphs_end_at_a_bound() -> None:
    made = Made()
    made.node("NoOp")
    for _ in range(2 * scanning.MAX_DEPTH + 2):
        outer = Made()
        outer.text(made.graph.SerializeToString())
        made = outer
    assert kinds(made.model) == {(None, "unfinished")}


def test_more_findings_than_a_report_holds_are_one_more_finding() -> None:
    made = Made()
    for number in range(scanning.MAX_FINDINGS + 5):
        made.node("ReadFile", name=f"n{number}")
    found = scan(made.model)
    assert len(found) == scanning.MAX_FINDINGS + 1
    assert found[-1]["rule"] == "unfinished"


def test_long_chains_circles_and_deep_calls_are_walked_without_recursion() -> None:
    made = Made()
    last = made.text(b"/etc/x")
    for number in range(5000):
        last = made.node("Identity", last, name=f"i{number}")
        made.node("PartitionedCall", f=f"f{number + 1}", into=made.function(f"f{number}"))
    made.node("ReadFile", last)
    made.node("Merge", "circle", name="circle")
    made.node("WriteFile", "circle", "nobody")
    made.node("SaveV2", "circle", name="round")
    assert kinds(made.model) == {("ReadFile", "read-file"), ("WriteFile", "write-file")}


@given(texts=st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_packed_texts_are_read_as_tensorflow_writes_them(texts: list[bytes]) -> None:
    lengths = b""
    for text in texts:
        left = len(text)
        while left > 127:
            lengths += bytes([left & 127 | 128])
            left >>= 7
        lengths += bytes([left])
    value = tensor()
    value.tensor.tensor_shape.dim[0].size = len(texts)
    value.tensor.tensor_content = lengths + b"".join(texts)
    assert tensor_texts(value.tensor) == (texts if lengths + b"".join(texts) else [])


SEEDS = [(Path(__file__).parents[2] / "sample_models" / name / "saved_model.pb").read_bytes() for name in SAMPLES[2:]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_parses_is_scanned_without_a_crash(data: st.DataObject) -> None:
    """Bytes of real models changed, cut and put together; a scan answers with findings, or with none."""
    raw = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):
        where = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                raw[where] = data.draw(st.integers(0, 255))
            case 1:
                raw[where : where + data.draw(st.integers(1, 64))] = data.draw(st.binary(max_size=64))
            case _:
                other = data.draw(st.integers(0, len(raw) - 1))
                raw[where:where] = raw[other : other + 200]
    model = PROTOS.saved_model.SavedModel()
    try:
        model.ParseFromString(bytes(raw))
    except Exception:  # noqa: BLE001 - protobuf's DecodeError: nothing to scan
        return
    assert all(set(found) == {"op", "severity", "rule", "reason", "node", "within"} for found in scan(model))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.sampled_from(SEEDS), chance=st.integers(0, 2**64 - 1))
def test_a_model_changed_field_by_field_is_read_and_answered_as_the_parent_takes_it(seed: bytes, chance: int) -> None:
    """The longer run of the same is `scripts/fuzz`."""
    data = mutations.mutated(seed, PROTOS.saved_model.SavedModel, Random(chance))  # noqa: S311
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "saved_model.pb").write_bytes(data)
        try:
            answer = worker._read({"path": place})
        except parsing.FailedError as failed:
            if failed.kind not in {"model-unparsable", "model-empty"}:
                raise
            return
    Report.model_validate(json.loads(json.dumps(answer)))


def test_every_rule_is_about_ops_that_there_are() -> None:
    assert set(RULES.by_op) <= RULES.known
    assert {rule.severity for rule in RULES.by_op.values()} == {"refused", "noted"}
    assert all(rule.reason for rule in RULES.by_op.values())
