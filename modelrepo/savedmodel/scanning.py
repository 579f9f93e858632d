"""The scan: what a SavedModel could do to the host that runs it, found in its graphs before anything runs them.

It walks every meta graph, its function library, and every constant and attribute whose bytes are a graph or functions
themselves, in turn. What it finds it says, as plain data, by the rules of `ops.toml`; it never says that nothing is
there to find. Works on TensorFlow's protocol buffers, which the worker hands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from modelrepo.savedmodel.budget import Budget, UnfinishedError
from modelrepo.savedmodel.graphs import Graph, Origin, Surroundings
from modelrepo.savedmodel.nodes import Body, base, data_inputs
from modelrepo.savedmodel.rules import Rule, Rules
from modelrepo.savedmodel.texts import DT_STRING, attribute_texts, leads_out, tensor_texts

#: Graphs in constants of graphs in constants …, so deep.
MAX_DEPTH = 16
#: About a minute.
MAX_STEPS = 50_000_000
#: A report stays readable. What would be more is a finding itself.
MAX_FINDINGS = 1000
#: A graph with one node whose op has one letter.
_SMALLEST_GRAPH = 5
#: Before a node's op stands its field's number, in one byte or, written long, in several that begin with the other.
_OP_TAGS = (b"\x12", b"\x92")
_NESTED_VALUES = 100
_NAME_LIMIT = 200
_INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op")
_ASSETS_COLLECTION = "saved_model_assets"


class Scan:
    """One scan of one SavedModel.

    Args:
        rules: What is looked for.
        graph_types: TensorFlow's message types GraphDef, FunctionDefLibrary and FunctionDef, in this order.
        asset_type: TensorFlow's message type AssetFileDef.
        steps: How many steps it may take.
    """

    def __init__(
        self, rules: Rules, graph_types: tuple[Any, Any, Any], asset_type: Any, steps: int = MAX_STEPS
    ) -> None:
        self._rules = rules
        self._types = graph_types
        self._asset_type = asset_type
        self._budget = Budget(steps)
        self.findings: list[dict[str, Any]] = []

    def run(self, model: Any, files: Sequence[str]) -> list[dict[str, Any]]:
        """Scan it: all that was found, in the order of the file.

        Args:
            model: The SavedModel's message.
            files: The files in its directory that could be the model: only one of them was read.
        """
        if len(files) > 1:
            reason = f"it is there several times, and programs differ in which they run: {', '.join(files)}"
            self._report(None, "refused", "ambiguous", reason)
        try:
            for meta in model.meta_graphs:
                where = f"meta graph {_name(','.join(meta.meta_info_def.tags) or '(no tags)')}"
                assets = [*meta.asset_file_def, *self._older_assets(meta)]
                self._assets(assets, where)
                around = _surroundings(meta, assets)
                graph = Graph(meta.graph_def.node, meta.graph_def.library.function, self._budget, around)
                self._graph(graph, (where,), frozenset(graph.functions))
        except (UnfinishedError, RecursionError):
            self._report(None, "refused", "unfinished", "it was not scanned to the end: it is too large or too deep")
        return self.findings

    def _report(self, op: str | None, severity: str, rule: str, reason: str, **where: str) -> None:
        if len(self.findings) >= MAX_FINDINGS and rule != "unfinished":
            raise UnfinishedError
        place = {"node": _name(where.get("node", "")), "within": where.get("within", "")}
        found = {"op": None if op is None else _name(op), "severity": severity, "rule": rule, "reason": reason, **place}
        if found not in self.findings[-1:]:
            self.findings.append(found)

    def _older_assets(self, meta: Any) -> Iterator[Any]:
        """Assets as TensorFlow 1 wrote them; what is unreadable there is unreadable to loaders too."""
        if _ASSETS_COLLECTION in meta.collection_def:
            for value in meta.collection_def[_ASSETS_COLLECTION].any_list.value:
                yield self._asset_type.FromString(value.value)

    def _assets(self, assets: Iterable[Any], where: str) -> None:
        for asset in assets:
            if leads_out(asset.filename) or not asset.filename:
                reason = f"an asset's path leads out of the model: {_name(asset.filename)!a}"
                self._report(None, "refused", "asset-path", reason, within=where, node=base(asset.tensor_info.name))

    def _graph(self, graph: Graph, path: tuple[str, ...], functions: frozenset[str | None]) -> None:
        """Scan a graph, its functions, and the graphs in its constants."""
        if len(path) > 2 * MAX_DEPTH:
            raise UnfinishedError
        self._recursion(graph, path)
        for body in graph.bodies:
            here = path if body.name is None else (*path, f"function {_name(body.name)}")
            within = " > ".join(here)
            for node in body.nodes:
                self._budget.spend()
                op = node.op
                rule = self._rules.by_op.get(op)
                if rule is not None:
                    self._judge(rule, graph, body, node, within)
                elif op not in self._rules.known and op not in functions:
                    reason = f"TensorFlow {self._rules.tensorflow} knows no such op"
                    self._report(op, "refused", "custom", reason, within=within, node=node.name)
                for data in _carried(node.attr, self._budget):
                    self._bytes(data, (*here, f"constant {_name(node.name)}"), functions)

    def _judge(self, rule: Rule, graph: Graph, body: Body, node: Any, within: str) -> None:
        reason = rule.reason
        if rule.attribute is not None:
            value = node.attr.get(rule.attribute)
            texts = [text for text in attribute_texts(value) if text]
            bad = [text for text in texts if text.startswith(rule.prefixes)]
            if value is not None and value.WhichOneof("value") == "placeholder":
                bad = [b"what each call says"]
            if not bad:
                return
            reason += f": {rule.attribute} is {bad[0][:_NAME_LIMIT].decode(errors='replace')!a}"
        elif rule.inputs:
            inputs = data_inputs(node)
            wrong = set[Origin]()
            for index in rule.inputs:
                found = graph.origins(body, inputs[index]) if index < len(inputs) else {Origin("computed")}
                wrong.update(origin for origin in found if not _is_own(origin, rule))
            if not wrong:
                return
            reason += f": {_said(min(wrong))}"
        self._report(node.op, rule.severity, rule.name, reason, within=within, node=node.name)

    def _bytes(self, data: bytes, path: tuple[str, ...], functions: frozenset[str | None]) -> None:
        """Scan bytes that are a graph or functions; a loader would read all of them."""
        self._budget.spend(1 + len(data) // 4096)
        for kind in self._types:
            try:
                message = kind.FromString(data)
            except Exception:  # noqa: BLE001, S112 - protobuf's DecodeError: it is something else
                continue
            nodes, library = _parts(message)
            graph = Graph(nodes, library, self._budget)
            known = self._rules.is_op
            if any(known(node.op) for body in graph.bodies for node in body.nodes):
                self._graph(graph, path, functions | frozenset(graph.functions))

    def _recursion(self, graph: Graph, path: tuple[str, ...]) -> None:
        """Report a function that calls itself, also through others."""
        own = {name: name for name in graph.functions}  # each name once, and not for every call
        calls = {
            name: [own[each] for each, _ in graph.called(body) if each in own] for name, body in graph.functions.items()
        }
        done: set[str | None] = set()
        for start, called in calls.items():
            open_ = [(start, iter(called))] if start not in done else []
            on_the_way = {start}
            while open_:
                name, rest = open_[-1]
                follows = next((each for each in rest if each not in done), None)
                if follows is None:
                    open_.pop()
                    on_the_way.discard(name)
                    done.add(name)
                elif follows in on_the_way:
                    within = " > ".join((*path, f"function {_name(str(name))}"))
                    self._report(
                        None, "refused", "recursion", f"a function calls itself: {_name(follows)!a}", within=within
                    )
                else:
                    on_the_way.add(follows)
                    open_.append((follows, iter(calls[follows])))


def _parts(message: Any) -> tuple[Any, Any]:
    """The nodes and functions of a GraphDef, a FunctionDefLibrary or a FunctionDef."""
    match message.DESCRIPTOR.name:
        case "GraphDef":
            return message.node, message.library.function
        case "FunctionDefLibrary":
            return (), message.function
        case _:
            return (), (message,)


def _carried(attributes: Any, budget: Budget, depth: int = 0) -> Iterator[bytes]:
    """All bytes in a node's attributes that could be a graph."""
    if depth > _NESTED_VALUES:
        raise UnfinishedError
    for value in attributes.values():
        budget.spend()
        kind = value.WhichOneof("value")
        if kind in {"s", "tensor", "list", "func"}:
            every = value.list if kind == "list" else None
            yield from _long(every.s if every is not None else [value.s] if kind == "s" else (), budget)
            for tensor in every.tensor if every is not None else [value.tensor] if kind == "tensor" else ():
                yield from _in_tensor(tensor, budget)
            for function in every.func if every is not None else [value.func] if kind == "func" else ():
                yield from _carried(function.attr, budget, depth + 1)


def _in_tensor(tensor: Any, budget: Budget, depth: int = 0) -> Iterator[bytes]:
    if depth > _NESTED_VALUES:
        raise UnfinishedError
    if tensor.dtype == DT_STRING:
        yield from _long(tensor_texts(tensor), budget)
    else:
        yield from _long([*tensor.string_val, tensor.tensor_content], budget)
    for variant in tensor.variant_val:
        yield from _long([variant.metadata], budget)
        for inner in variant.tensors:
            yield from _in_tensor(inner, budget, depth + 1)


def _long(texts: Iterable[bytes], budget: Budget) -> Iterator[bytes]:
    for text in texts:
        budget.spend()
        if len(text) >= _SMALLEST_GRAPH and any(tag in text for tag in _OP_TAGS):
            yield text


def _is_own(origin: Origin, rule: Rule) -> bool:
    if origin.kind == "tail":
        return bool(rule.own & {"saver", "asset"})
    return origin.kind in rule.own or (origin.kind == "empty" and "constant" in rule.own)


def _said(origin: Origin) -> str:
    """Where a name comes from, in words."""
    match origin.kind:
        case "caller":
            return "a caller gives the name"
        case "computed":
            return "the name is put together while it runs"
        case "saver" | "asset" | "empty":
            return f"the name is {'empty' if origin.kind == 'empty' else f'that of the {origin.kind}'}"
        case _:
            return f"the name is the constant '{_name(origin.text)}'"


def _name(text: str) -> str:
    return text if len(text) <= _NAME_LIMIT else text[:_NAME_LIMIT] + "…"


def _surroundings(meta: Any, assets: Iterable[Any]) -> Surroundings:
    """What a meta graph says about its graph."""
    signatures = {name: signature for name, signature in meta.signature_def.items() if name != _INIT_SIGNATURE}
    starts = {base(name) for name in init_names(meta)}
    return Surroundings(
        saver=base(meta.saver_def.filename_tensor_name),
        assets=frozenset(base(asset.tensor_info.name) for asset in assets),
        given=_nodes(info for signature in signatures.values() for info in signature.inputs.values()),
        answers=_nodes(info for signature in signatures.values() for info in signature.outputs.values()),
        starts=frozenset(starts),
        restores=frozenset({base(meta.saver_def.restore_op_name)}),
        bound=_bound(meta.object_graph_def),
    )


def init_names(meta: Any) -> Iterator[str]:
    """What runs when a meta graph is loaded."""
    if _INIT_SIGNATURE in meta.signature_def:
        yield from (info.name for info in meta.signature_def[_INIT_SIGNATURE].outputs.values())
    for key in _INIT_COLLECTIONS:
        if key in meta.collection_def:
            yield from meta.collection_def[key].node_list.value


def _nodes(infos: Iterable[Any]) -> frozenset[str]:
    """The nodes that tensors of a signature belong to."""
    names = set()
    for info in infos:
        names.add(base(info.name))
        sparse = info.coo_sparse
        names.update(
            base(name)
            for name in (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
        )
        names.update(base(part.name) for part in info.composite_tensor.components)
    return frozenset(names - {""})


def _bound(objects: Any) -> dict[str, tuple[str | None, ...]]:
    """What Python binds the last parameters of functions to."""

    def one(index: int) -> str | None:
        node = objects.nodes[index] if 0 <= index < len(objects.nodes) else None
        kind = node.WhichOneof("kind") if node is not None else None
        return None if kind == "asset" else node.constant.operation if node is not None and kind == "constant" else ""

    return {
        name: tuple(one(index) for index in function.bound_inputs)
        for name, function in objects.concrete_functions.items()
    }
