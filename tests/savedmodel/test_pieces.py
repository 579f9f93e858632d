"""A model that is read piece by piece: the same report, the same refusals, and a fraction of the memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelrepo.savedmodel import parsing, pieces, wire, worker
from modelrepo.savedmodel.runner import Inspector, default_memory

from . import mutations

PROTOS = worker._Protos()
SAVED_MODEL = PROTOS.saved_model.SavedModel
SAMPLES = Path(__file__).parents[2] / "sample_models"
SEEDS = [(SAMPLES / name / "saved_model.pb").read_bytes() for name in ("renamed_input", "tf1_linear", "vocabulary")]


@contextlib.contextmanager
def piecewise() -> Iterator[None]:
    """Every model is as if it were large."""
    with mock.patch.object(parsing, "_LARGE_BYTES", 0), mock.patch.object(pieces, "_MANY", 0):
        yield


def answer(data: bytes) -> Any:
    """What the child answers for a model of these bytes: the report, or a refusal word for word."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "saved_model.pb").write_bytes(data)
        try:
            return worker._read({"path": place})
        except parsing.FailedError as failed:
            return failed.kind, str(failed)


def cut(data: bytes) -> Any:
    """A model in pieces; None where it is left to protocol buffers."""
    with mock.patch.object(pieces, "_MANY", 0):
        return pieces.parse(data, SAVED_MODEL)


def agree(data: bytes) -> Any:
    whole = answer(data)
    with piecewise():
        assert answer(data) == whole
    return whole


def field(number: int, content: bytes) -> bytes:
    """A field with content."""
    return wire.head(number, len(content)) + content


def model(*graphs: bytes) -> bytes:
    """A SavedModel of one meta graph, whose graph is put together from several."""
    return field(2, field(1, b"\x22\x05serve") + b"".join(field(2, graph) for graph in graphs))


def node(name: str, op: str = "NoOp", **more: Any) -> Any:
    made = PROTOS.graph.GraphDef().node.add()
    made.name, made.op = name, op
    made.input.extend(more.get("inputs", ()))
    return made


def graph(*names: str, functions: int = 0) -> bytes:
    made = PROTOS.graph.GraphDef()
    for name in names:
        made.node.add().CopyFrom(node(name))
        for number in range(functions):
            function = made.library.function.add()
            function.signature.name = f"{name}{number}"
            function.node_def.add().CopyFrom(node("inner", f"Own{name}"))
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_real_model_is_read_in_pieces_with_the_same_report(seed: bytes) -> None:
    found, message = cut(seed), SAVED_MODEL.FromString(seed)
    assert type(found.meta_graphs[0].graph_def.node) is pieces.Pieces
    assert agree(seed)["meta_graphs"]
    for one, other in zip(found.meta_graphs, message.meta_graphs, strict=True):
        assert list(one.graph_def.node) == list(other.graph_def.node)
        functions = zip(one.graph_def.library.function, other.graph_def.library.function, strict=True)
        for mine, theirs in functions:
            assert mine.signature == theirs.signature
            assert list(mine.node_def) == list(theirs.node_def)
            assert mine.ret == theirs.ret


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.sampled_from(SEEDS), chances=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=2), end=st.data())
def test_both_ways_of_reading_agree_about_whatever_is_changed(
    seed: bytes, chances: list[int], end: st.DataObject
) -> None:
    data = b"".join(mutations.mutated(seed, SAVED_MODEL, Random(chance)) for chance in chances)  # noqa: S311
    agree(data[: end.draw(st.integers(0, len(data)) | st.just(len(data)))])


ODD = {
    "a graph in two parts": model(graph("a", "b", functions=2), graph("c", functions=1)),
    "two meta graphs": model(graph("a")) + model(graph("b", functions=1)),
    "nothing": b"",
    "an empty meta graph": field(2, b""),
    "an empty graph": model(b""),
    "fields that nobody knows": model(graph("a") + b"\x98\x06\x05\xea\x04\x01x" + graph("b") + b"\xfd\x06\0\0\0\0"),
    "a node that is a number": model(graph("a") + b"\x08\x05" + graph("b")),
    "an older version": model(graph("a") + b"\x18\x07" + graph("b")),
    "two nodes of a name": model(graph("a", "a")),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_wire_is_read_in_pieces_as_protocol_buffers_merge_it(name: str) -> None:
    assert cut(ODD[name]) is not None
    agree(ODD[name])


WRONG = {
    "a node that is cut off": model(field(1, node("a").SerializeToString()[:-1])),
    "a node that is longer than its graph": model(b"\x0a\x50" + node("a").SerializeToString()),
    "a graph that is longer than its meta graph": field(2, b"\x12\x7f" + graph("a")),
    "a name that is no text": model(field(1, b"\x0a\x01\xff")),
    "a field with the number 0": model(graph("a") + b"\x02\x00"),
    "an end in the midst of a number": b"\x08\xff",
    "a number that does not end": b"\x08" + b"\xff" * 11 + b"\x01",
    "eight bytes of which some are missing": b"\x09abc",
    "a group that is not closed": model(graph("a") + b"\x0b"),
    "an end of a group": model(graph("a") + b"\x0c"),
    "a kind of field that there is not": model(graph("a") + b"\x0f"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_wire_is_refused_in_the_same_words(name: str) -> None:
    assert cut(WRONG[name]) is None
    kind, message = agree(WRONG[name])
    assert kind == "model-unparsable"
    assert "does not parse" in message


UNUSUAL = {
    "a group": model(graph("a") + b"\x93\x06\x94\x06"),
    "a tag in more bytes than it needs": model(b"\x8a\x00\x06" + b"\x0a\x01a\x12\x01A"),
    "a length in more bytes than it needs": model(b"\x0a\x86\x00" + b"\x0a\x01a\x12\x01A"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_nobody_writes_is_left_to_protocol_buffers(name: str) -> None:
    assert cut(UNUSUAL[name]) is None
    agree(UNUSUAL[name])


@pytest.mark.parametrize("place", ["graph", "function"])
def test_nesting_is_refused_at_the_same_depth(place: str) -> None:
    said = set()
    for depth in range(20, 60):
        made = value = node("a")
        for _ in range(depth):
            value = value.attr["f"].func
        wire = field(1, made.SerializeToString())
        if place == "function":
            wire = field(2, field(1, field(1, field(1, b"f")) + field(3, made.SerializeToString())))
        said.add(isinstance(agree(model(wire)), dict))
    assert said == {True, False}


def test_nodes_are_found_by_their_names_and_of_two_the_last() -> None:
    names = [f"node_{number}" for number in range(5000)]
    found = cut(model(graph(*names), graph("node_7", "node_3"))).meta_graphs[0].graph_def.node
    by_name = pieces.by_name(found)
    assert isinstance(by_name, pieces.Names)
    assert all(by_name[name].name == name and name in by_name for name in names)
    assert by_name.get("node_7") == by_name["node_7"] == found[5000]
    assert [each.name for each in found[-2:]] == ["node_7", "node_3"]
    assert by_name.get("node_5000") is None
    assert "" not in by_name
    with pytest.raises(KeyError, match="node_x"):
        by_name["node_x"]


def test_names_whose_hashes_agree_are_told_apart() -> None:
    with mock.patch.object(pieces, "_key", return_value=5 << 32):
        by_name = pieces.Names([node("a", "A"), node("b", "B"), node("a", "C")])
        assert [by_name[name].op for name in ("a", "b")] == ["C", "B"]
        assert "c" not in by_name


@pytest.mark.parametrize("place", ["graph", "functions"])
def test_a_graph_of_very_many_nodes_takes_little_more_than_its_bytes(place: str, tmp_path: Path) -> None:
    """Parsed at once, this one takes more than five times its bytes."""
    nodes = b"".join(
        field(1 if place == "graph" else 3, node(f"layer_{n}/dense/MatMul", "Identity", inputs=[f"layer_{n - 1}/dense"])
        .SerializeToString() + field(5, b"\x0a\x01T\x12\x02\x30\x01"))
        for n in range(300_000)
    )  # fmt: skip
    wire = nodes if place == "graph" else field(2, field(1, field(1, field(1, b"f")) + nodes))
    saver = field(1, node("name", "Placeholder").SerializeToString())
    saver += field(1, node("restore", "RestoreV2", inputs=["name"]).SerializeToString())
    (tmp_path / "saved_model.pb").write_bytes(model(wire + saver))
    size = (tmp_path / "saved_model.pb").stat().st_size
    assert size > parsing._LARGE_BYTES
    with Inspector(memory=default_memory(size)) as inspector:
        inspector.read(SAMPLES / "tf1_linear")
        before = peak(inspector)
        report = inspector.read(tmp_path)
        assert (peak(inspector) - before) * 1024 < 3 * size
    assert report.meta_graphs[0].ops == {"Identity": 300_000, "Placeholder": 1, "RestoreV2": 1}
    assert [finding.op for finding in report.findings] == ["RestoreV2"]


def peak(inspector: Inspector) -> int:
    """The most memory that the child had, in KiB."""
    try:
        status = Path(f"/proc/{inspector._child.pid}/status").read_text()
    except FileNotFoundError:
        pytest.skip("there is no /proc")
    return int(status.partition("VmHWM:")[2].split()[0])
