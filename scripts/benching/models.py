"""Reading and loading models, beside TensorFlow's own ways."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benching.clock import PROGRAM, SAMPLES, Row, beside, call, modelrepo, rows, seconds

#: Written by hand, since TensorFlow would take minutes. Among very many nodes stand the two of a saver: the scan
#: follows its file name back, and so looks nodes up by their names.
BIG = """
import sys
from modelrepo.savedmodel.worker import _Protos
model = _Protos().saved_model.SavedModel()
meta = model.meta_graphs.add()
meta.meta_info_def.tags.append("serve")
graph = meta.graph_def

def add(nodes, op, name, *inputs):
    node = nodes.add()
    node.name, node.op = name, op
    node.input.extend(inputs)
    node.attr["T"].type = 1
    return node

def fill(nodes, count):
    for number in range(0, count, 4):
        layer, before = f"layer_{number}/dense", f"layer_{number - 4}/dense/add"
        add(nodes, "Const", f"{layer}/axis").attr["value"].tensor.int_val.append(number)
        add(nodes, "Identity", f"{layer}/resource", before)
        add(nodes, "AddV2", f"{layer}/add", f"{layer}/resource", f"{layer}/axis", f"^{layer}/axis")
        add(nodes, "Identity", f"{layer}/ReadVariableOp/resource", f"{layer}/BiasAdd/ReadVariableOp/resource")

if sys.argv[2] == "one constant":
    node = graph.node.add()
    node.name, node.op = "weights", "Const"
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = 1
    node.attr["value"].tensor.tensor_content = bytes(range(250)) * 800_000
elif sys.argv[2] == "two million nodes":
    fill(graph.node, 2_000_000)
else:
    for number in range(20_000):
        function = graph.library.function.add()
        function.signature.name = f"layer_{number}"
        fill(function.node_def, 100)
add(graph.node, "Placeholder", "saver_filename")
add(graph.node, "RestoreV2", "restore", "saver_filename")
open(sys.argv[1] + "/saved_model.pb", "wb").write(model.SerializeToString())
"""


#: A classifier of 1 MB, as Keras saves it, optimizer included.
CLASSIFIER = """
import sys, keras
keras.utils.set_random_seed(1)
layers = [keras.Input((784,), name="image"), keras.layers.Dense(100, "relu"), keras.layers.Dense(10, "softmax")]
model = keras.Sequential(layers)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(keras.random.normal((32, 784)), keras.random.randint((32,), 0, 10), verbose=0)
model.save(sys.argv[1])
"""
_EXPORTED = "import sys, keras; keras.saving.load_model(sys.argv[1]).export(sys.argv[2], verbose=False)"


def readings(runs: int) -> Iterator[Row]:
    """`inspect` of a small model, beside TensorFlow's own tool."""
    tool, model = Path(sys.executable).with_name("saved_model_cli"), SAMPLES / "classifier_v1"
    found = rows(
        ["inspect of 35 kB", "saved_model_cli show --all"],
        runs,
        {
            "inspect of 35 kB": lambda _: call([PROGRAM, "inspect", model]),
            "saved_model_cli show --all": lambda _: call([tool, "show", "--all", "--dir", model]),
        },
    )
    yield beside(*found.values())


def loads(place: Path, runs: int) -> Iterator[Row]:
    """A push with the load, beside the larger of a push without it and a bare Python that loads the model."""
    model = SAMPLES / "classifier_v1"
    bare = (
        "import tensorflow as tf; v1 = tf.compat.v1\n"
        f"with tf.Graph().as_default(), v1.Session() as s: v1.saved_model.loader.load(s, ['serve'], {str(model)!r})"
    )

    def push(name: str, number: int, *more: str) -> None:
        call(modelrepo(place / f"{name}{number}", "push", str(model), "--init", *more))

    names = ["push with the load", "push --no-load", "a bare Python that loads it"]
    found = rows(
        names,
        runs,
        {
            names[0]: lambda number: push("loaded", number),
            names[1]: lambda number: push("unloaded", number, "--no-load"),
            names[2]: lambda _: call([sys.executable, "-c", bare]),
        },
    )
    yield beside(found[names[0]], max(found[names[1]], found[names[2]], key=lambda row: row.median))


def keras_pushes(place: Path, runs: int) -> Iterator[Row]:
    """A push of a Keras file, load and comparison of the answers included, beside Python that loads and exports it."""
    file = place / "classifier.keras"
    call([sys.executable, "-c", CLASSIFIER, file])
    names = ["push of a .keras file of 1 MB", "a bare Python that loads and exports it"]
    found = rows(
        names,
        runs,
        {
            names[0]: lambda number: call(modelrepo(place / f"keras{number}", "push", str(file), "--init")),
            names[1]: lambda number: call([sys.executable, "-c", _EXPORTED, file, place / f"exported{number}"]),
        },
    )
    yield beside(*found.values())


def big_graphs(place: Path) -> Iterator[Row]:
    """Peak memory of the child that reads about 200 MB of `saved_model.pb`: one constant, or very many nodes."""
    from modelrepo.savedmodel.runner import Inspector, default_memory

    for name in ("one constant", "two million nodes", "two million nodes in functions"):
        model = place / name
        model.mkdir()
        call([sys.executable, "-c", BIG, model, name])
        size = (model / "saved_model.pb").stat().st_size
        with Inspector(memory=default_memory(size)) as inspector:
            took = seconds(lambda inspector=inspector, model=model: inspector.read(model))  # type: ignore[misc]
            status = Path(f"/proc/{inspector._child.pid}/status").read_text()  # noqa: SLF001
        told = f"reading {size / 1e6:.0f} MB, {name}"
        yield Row(told, [took])
        yield Row(f"{told}: peak memory", [int(status.partition("VmHWM:")[2].split()[0]) / 1024], unit="MiB")
