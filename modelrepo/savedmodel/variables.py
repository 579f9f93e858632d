"""Which variables a model's signatures use: which are there for training alone, and which nobody fills.

In the inspector's child; reads the graph alone. A variable stands in the graph as a node of its own, and signatures
lead to those that they use, through functions, too, which get variables as inputs. What the checkpoint fills, the op
that restores it leads to; and what is filled otherwise, those that run when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelrepo.savedmodel import pieces
from modelrepo.savedmodel.nodes import base, functions_of, shared_name

_ByName = pieces.Names | dict[str, Any]

_VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
#: How the ops of optimizers begin.
_OPTIMIZERS = ("ResourceApply", "ResourceSparseApply", "Apply", "SparseApply")
#: Larger graphs are frozen models, as a rule, without variables; this keeps their reading within its memory.
_MOST_NODES = 500_000
#: Bytes of an element, by TensorFlow's number for its type; of all others 4.
_BYTES = {2: 8, 4: 1, 5: 2, 6: 1, 8: 8, 9: 8, 10: 1, 14: 2, 17: 2, 18: 16, 19: 2, 23: 8}


def used(meta: Any, signatures: Mapping[str, Any], starts: Iterable[str]) -> dict[str, Any]:
    """What a meta graph's signatures use.

    Args:
        meta: The meta graph.
        signatures: Those that callers see.
        starts: What runs when it is loaded.

    Returns:
        `training`: the fields of `Training`; `unfilled`: signatures that read variables which nothing fills, such as
            those of a compiled Keras 3 model behind `tf.saved_model.save`, which name other variables than the
            checkpoint does (TensorFlow 2.21, Keras 3.15). Both None where nobody can say: without signatures, or in a
            graph that is too large.
    """
    if not signatures or len(meta.graph_def.node) > _MOST_NODES:
        return {"training": None, "unfilled": None}
    nodes = meta.graph_def.node
    by_name = pieces.by_name(nodes)
    handles = {node.name: shared_name(node) for node in nodes if node.op in _VARIABLES}
    same = _same(nodes, by_name, handles)
    trainers = _trainers(meta.graph_def.library.function)
    restored = _held(_reached(by_name, [meta.saver_def.restore_op_name]), handles)
    filled = restored | _held(_reached(by_name, starts), handles)
    needed: set[bytes] = set()
    training, unfilled = list[str](), list[str]()
    for name, signature in signatures.items():
        reached = _reached(by_name, (info.name for info in signature.outputs.values()))
        if any(_trains(by_name[each], trainers) for each in reached):
            training.append(name)
            continue
        read = _held(reached, handles)
        needed |= read
        if not read <= filled:
            unfilled.append(name)
    idle = {variable for variable in restored if variable not in needed and same.get(variable) not in needed}
    sizes = {handles[name]: _size(by_name[name]) for name in handles}
    only = {"signatures": training, "variables": len(idle), "size": sum(sizes[variable] for variable in idle)}
    return {"training": only, "unfilled": unfilled}


def _held(nodes: set[str], handles: Mapping[str, bytes]) -> set[bytes]:
    """The variables among some nodes."""
    return {handles[name] for name in nodes & handles.keys()}


def _same(nodes: Iterable[Any], by_name: _ByName, handles: Mapping[str, bytes]) -> dict[bytes, bytes]:
    """Variables that begin as a copy of another: Keras 3 wraps each in one more."""
    found = {}
    for node in nodes:
        if node.op == "AssignVariableOp" and len(node.input) > 1:
            copy, value = base(node.input[0]), by_name.get(base(node.input[1]))
            source = base(value.input[0]) if value is not None and value.op == "ReadVariableOp" else ""
            if copy in handles and source in handles:
                found[handles[copy]] = handles[source]
    return found


def _size(node: Any) -> int:
    count = 1
    for size in node.attr["shape"].shape.dim:
        count *= max(size.size, 0)
    return count * _BYTES.get(node.attr["dtype"].type, 4)


def _reached(by_name: _ByName, goals: Iterable[str]) -> set[str]:
    """The nodes that run where these are asked for."""
    todo = [name for name in map(base, goals) if name in by_name]
    reached = set(todo)
    while todo:
        for reference in by_name[todo.pop()].input:
            before = base(reference.removeprefix("^"))
            if before not in reached and before in by_name:
                reached.add(before)
                todo.append(before)
    return reached


def _trains(node: Any, trainers: set[str]) -> bool:
    return node.op.startswith(_OPTIMIZERS) or any(name in trainers for name in (node.op, *functions_of(node.attr)))


def _trainers(functions: Any) -> set[str]:
    """The functions in which an optimizer's op stands, or which call such a one."""
    calls: dict[str, set[str]] = {}
    found: set[str] = set()
    for function in functions:
        name = function.signature.name
        calls[name] = {each for node in function.node_def for each in (node.op, *functions_of(node.attr))}
        if any(each.startswith(_OPTIMIZERS) for each in calls[name]):
            found.add(name)
    grown = True
    while grown:
        more = {name for name, called in calls.items() if name not in found and not found.isdisjoint(called)}
        found |= more
        grown = bool(more)
    return found
