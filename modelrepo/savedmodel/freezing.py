"""A version is loaded and asked, and one of its signatures becomes a graph of its own: the first step of a conversion.

Converters read a SavedModel's variables in their own way, and may lose them without a word: with TensorFlow 2.21 a
Keras 3 model that `tf.saved_model.save` wrote becomes a file that answers NaN. So the version is loaded here as
TensorFlow Serving loads it, its functions are inlined, its variables become constants, and nothing is left to lose.

Used in the inspector's child, which hands in TensorFlow and what of it has no public name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.running import Runner

#: Shapes become known one after the other; so often nothing new is found any more.
_ROUNDS = 4
#: What makes a graph smaller without changing what it answers.
_SIMPLER = ("constfold", "dependency", "pruning")
#: What keeps functions from being inlined.
_KEPT_APART = ("_XlaMustCompile", "_noinline")
#: Where these ops take the shape of what a loop collects: a first dimension that is open is the batch.
_LISTS = {"TensorListReserve": 0, "TensorListStack": 1}


class Kit(NamedTuple):
    """What the worker hands in.

    Attributes:
        tensorflow: The module.
        constants: TensorFlow's module that makes constants of variables.
        grappler: TensorFlow's module that optimizes graphs.
        to_dict: Protocol buffers' way to write a message as JSON has it.
    """

    tensorflow: Any
    constants: Any
    grappler: Any
    to_dict: Any


class Frozen(NamedTuple):
    """One signature without variables.

    Attributes:
        graph: A GraphDef.
        signature: The SignatureDef that names its inputs and outputs.
    """

    graph: Any
    signature: Any


class Loaded(Runner):
    """A loaded version, which can be asked, and one of whose signatures can be frozen.

    Args:
        kit: TensorFlow.
        session: What it was loaded into.
        graph: Its MetaGraphDef.
        objects: Its signatures as `tf.saved_model.load` gives them, where only that fills their variables.
    """

    def __init__(self, kit: Kit, session: Any, graph: Any, objects: Any = None) -> None:
        super().__init__(kit.tensorflow, session, graph)
        self._kit = kit
        self._objects = objects

    def signature(self, name: str) -> Any:
        """A signature as TensorFlow tells it."""
        return self._signatures[name]

    def arrays(self, name: str, inputs: Mapping[str, Any], where: str) -> dict[str, Any]:
        """A request as arrays by key, defaults filled in.

        Raises:
            Refusal: It does not fit.
        """
        feeds = self.feeds(name, inputs, f"{where}: ")
        return {key: feeds[info.name] for key, info in self._signatures[name].inputs.items()}

    def answer(self, name: str, arrays: Mapping[str, Any], where: str) -> dict[str, Any]:
        """What the version answers.

        Raises:
            Refusal: It fails.
        """
        feeds = {info.name: arrays[key] for key, info in self._signatures[name].inputs.items()}
        return self.call(name, feeds, None, where)

    def fix_batch(self, name: str, size: int) -> None:
        """Let a signature take batches of this size alone: its first dimensions, where they are open."""
        signature = self._signatures[name]
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            if info.tensor_shape.dim and info.tensor_shape.dim[0].size < 0:
                info.tensor_shape.dim[0].size = size

    def frozen(self, name: str, batch: int | None, *, lowered: bool) -> Frozen:
        """One signature, its functions inlined and its variables constants.

        Args:
            name: Which one.
            batch: The size of its batches, if that was fixed.
            lowered: Whether loops and branches become nodes of the graph itself, not functions.

        Raises:
            Refusal: It cannot be: it changes a variable, say.
        """
        try:
            make = self._of_session if self._objects is None else self._of_objects
            frozen = make(name, lowered=lowered)
            return self._simple(frozen, batch, lowered=lowered)
        except MemoryError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:500]}"
            message = f"the variables of signature `{name}` cannot be made constants: {text}"
            raise Refusal("convert-failed", message) from error

    def _of_session(self, name: str, *, lowered: bool) -> Frozen:
        v1, signature = self._kit.tensorflow.compat.v1, self._signatures[name]
        nodes = _nodes(signature)
        graph = self._session.graph.as_graph_def()
        _cut(v1, graph, signature)
        graph = v1.graph_util.extract_sub_graph(graph, nodes)
        if not lowered:
            graph = self._kit.constants.disable_lower_using_switch_merge(graph)
        graph = self._optimized(_inlinable(graph), nodes, ("function",))
        freeze = self._kit.constants.convert_variables_to_constants_from_session_graph
        try:
            return Frozen(freeze(self._session, graph, nodes), signature)
        except ValueError:  # something changes a variable: a layer for training, say, whose seed no answer depends on
            return Frozen(freeze(self._session, self._without_order(graph, nodes), nodes), signature)

    def _of_objects(self, name: str, *, lowered: bool) -> Frozen:
        function = self._objects.signatures[name]
        frozen = self._kit.constants.convert_variables_to_constants_v2(function, lower_control_flow=lowered)
        signature = type(self._signatures[name])()
        signature.CopyFrom(self._signatures[name])
        for key, tensor in zip(function.structured_input_signature[1], frozen.inputs, strict=True):
            signature.inputs[key].name = tensor.name
        for key, tensor in zip(sorted(function.structured_outputs), frozen.outputs, strict=True):
            signature.outputs[key].name = tensor.name
        return Frozen(frozen.graph.as_graph_def(), signature)

    def _simple(self, frozen: Frozen, batch: int | None, *, lowered: bool) -> Frozen:
        """The same, with all that is known before the first request worked out."""
        graph, nodes = frozen.graph, _nodes(frozen.signature)
        sizes = {_node(info.name): info.tensor_shape for info in frozen.signature.inputs.values()}
        for node in graph.node:
            if node.op == "Placeholder" and node.name in sizes:
                node.attr["shape"].shape.CopyFrom(sizes[node.name])
        if batch is not None:
            self._fix_lists(graph, batch)
        graph = _without_old_shapes(graph)
        for _ in range(_ROUNDS):
            known = self._fold_shapes(graph)
            graph = _without_old_shapes(self._optimized(graph, nodes, _SIMPLER))
            if not known:
                break
        return frozen._replace(graph=self._without_order(graph, nodes) if lowered else graph)

    def _without_order(self, graph: Any, nodes: list[str]) -> Any:
        """A graph without edges that only say what comes first: without variables, nothing depends on that."""
        for node in graph.node:
            inputs = [name for name in node.input if not name.startswith("^")]
            del node.input[:]
            node.input.extend(inputs)
        return self._kit.tensorflow.compat.v1.graph_util.extract_sub_graph(graph, nodes)

    def _optimized(self, graph: Any, nodes: Iterable[str], passes: Iterable[str]) -> Any:
        """A graph behind some of TensorFlow's own optimizations."""
        v1 = self._kit.tensorflow.compat.v1
        graph = _without_old_shapes(graph)
        with self._kit.tensorflow.Graph().as_default() as place:
            v1.import_graph_def(graph, name="")
            meta = v1.train.export_meta_graph(graph_def=graph, graph=place)
        meta.collection_def["train_op"].node_list.value.extend(nodes)  # what it looks at for what shall stay
        config = v1.ConfigProto()
        config.graph_options.rewrite_options.min_graph_nodes = -1
        config.graph_options.rewrite_options.optimizers.extend(passes)
        return self._kit.grappler.OptimizeGraph(config, meta)

    def _fold_shapes(self, graph: Any) -> bool:
        """Make constants of shapes that are known; tell whether there were any.

        The optimizer takes the shapes of all inputs for open, whatever they say.
        """
        tensorflow = self._kit.tensorflow
        with tensorflow.Graph().as_default() as place:
            tensorflow.compat.v1.import_graph_def(graph, name="")
            known = {
                op.name: np.array(op.inputs[0].shape.as_list(), op.outputs[0].dtype.as_numpy_dtype)
                for op in place.get_operations()
                if op.type == "Shape" and op.inputs[0].shape.is_fully_defined()
            }
        for node in graph.node:
            if node.name in known:
                node.CopyFrom(self._constant(node.name, known[node.name]))
        return bool(known)

    def _fix_lists(self, graph: Any, batch: int) -> None:
        """Say the batch's size where a recurrent layer collects its steps: Keras leaves it open there."""
        values = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
        make_array = self._kit.tensorflow.make_ndarray
        for node in list(graph.node):
            position = _LISTS.get(node.op)
            if position is None or _node(node.input[position]) not in values:
                continue
            shape = make_array(values[_node(node.input[position])]).copy()
            if shape.ndim == 1 and shape.size and shape[0] == -1 and not (shape[1:] == -1).any():
                shape[0] = batch
                fixed = self._constant(f"{node.name}/shape_of_batch", shape)
                graph.node.append(fixed)
                node.input[position] = fixed.name

    def _constant(self, name: str, value: Any) -> Any:
        tensor = self._kit.tensorflow.make_tensor_proto(value)
        node = self._kit.tensorflow.compat.v1.NodeDef(name=name, op="Const")
        node.attr["dtype"].type = tensor.dtype
        node.attr["value"].tensor.CopyFrom(tensor)
        return node


class _Objects:
    """Signatures that `tf.saved_model.load` gives, called as a session is."""

    def __init__(self, tensorflow: Any, signatures: Any, definitions: Any) -> None:
        self._tensorflow = tensorflow
        self.signatures = signatures
        self._definitions = definitions

    def run(self, fetches: Mapping[str, str], feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Call the signature whose tensors are meant."""
        for name, function in self.signatures.items():
            definition = self._definitions[name]
            told = {key: info.name for key, info in definition.outputs.items()}
            if told == dict(fetches):
                constant = self._tensorflow.constant
                given = {
                    key: constant(feeds[info.name], self._tensorflow.dtypes.as_dtype(info.dtype))
                    for key, info in definition.inputs.items()
                }
                return {key: tensor.numpy() for key, tensor in function(**given).items()}
        raise Refusal("model-run", "tf.saved_model.load gives no such signature")


@contextlib.contextmanager
def loaded(kit: Kit, path: str, tags: list[str], *, objects: bool) -> Iterator[Loaded]:
    """Load a version.

    Args:
        kit: TensorFlow.
        path: Where it is.
        tags: Which meta graph.
        objects: Load it with `tf.saved_model.load`, too: the Session loader fills not all variables that are read.
    """
    v1 = kit.tensorflow.compat.v1
    options = v1.ConfigProto(allow_soft_placement=True)
    with kit.tensorflow.Graph().as_default(), v1.Session(config=options) as session:
        graph = v1.saved_model.loader.load(session, tags, path)
        if not objects:
            yield Loaded(kit, session, graph)
            return
    module = kit.tensorflow.saved_model.load(path, tags)
    found = _Objects(kit.tensorflow, module.signatures, graph.signature_def)
    yield Loaded(kit, found, graph, found)


def save(kit: Kit, frozen: Frozen, name: str, directory: str) -> None:
    """Write one frozen signature as a SavedModel of its own."""
    v1 = kit.tensorflow.compat.v1
    with kit.tensorflow.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(frozen.graph, name="")
        builder = v1.saved_model.builder.SavedModelBuilder(directory)
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map={name: frozen.signature})
        builder.save()


def _node(tensor: str) -> str:
    """The node that a tensor, or an input of another node, is of."""
    return tensor.removeprefix("^").partition(":")[0]


def _nodes(signature: Any) -> list[str]:
    """The nodes that must stay, an input that nothing reads among them."""
    infos = (*signature.inputs.values(), *signature.outputs.values())
    return list(dict.fromkeys(_node(info.name) for info in infos))


def _cut(v1: Any, graph: Any, signature: Any) -> None:
    """Let inputs be where requests come in, also where a signature means a tensor inside of the graph."""
    inputs = {_node(info.name): info for info in signature.inputs.values()}
    for node in graph.node:
        info = inputs.get(node.name)
        if info is not None and node.op != "Placeholder" and info.name.endswith(":0"):
            placeholder = v1.NodeDef(name=node.name, op="Placeholder")
            placeholder.attr["dtype"].type = info.dtype
            placeholder.attr["shape"].shape.CopyFrom(info.tensor_shape)
            node.CopyFrom(placeholder)


def _inlinable(graph: Any) -> Any:
    """A graph whose functions may all be inlined, those that were to be compiled too."""
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            for name in _KEPT_APART:
                node.attr.pop(name, None)
    for function in graph.library.function:
        for name in _KEPT_APART:
            function.attr.pop(name, None)
    return graph


def _without_old_shapes(graph: Any) -> Any:
    """A graph without notes of shapes, which would be believed where they are not right any more."""
    for node in graph.node:
        node.attr.pop("_output_shapes", None)
    for function in graph.library.function:
        for node in function.node_def:
            node.attr.pop("_output_shapes", None)
    return graph
