"""Nodes and functions of TensorFlow's graphs, as far as the scan reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modelrepo.savedmodel.budget import UnfinishedError
from modelrepo.savedmodel.pieces import Names, by_name
from modelrepo.savedmodel.texts import attribute_texts

_NESTED_FUNCTIONS = 100


def base(reference: str) -> str:
    """The node or parameter that an input names: `name`, `name:0` or `name:out:0`."""
    return reference.partition(":")[0]


def data_inputs(node: Any) -> list[str]:
    """A node's inputs, without what it only waits for."""
    return [reference for reference in node.input if not reference.startswith("^")]


def shared_name(node: Any) -> bytes:
    """The name under which a variable is known in the whole process."""
    return next((text for text in attribute_texts(node.attr.get("shared_name")) if text), node.name.encode())


def functions_of(attributes: Any, depth: int = 0) -> Iterator[str]:
    """The functions that a node's attributes name."""
    if depth > _NESTED_FUNCTIONS:
        raise UnfinishedError
    for value in attributes.values():
        kind = value.WhichOneof("value")
        named = [value.func] if kind == "func" else value.list.func if kind == "list" else ()
        for function in named:
            yield function.name
            yield from functions_of(function.attr, depth + 1)


@dataclass(eq=False, slots=True)
class Body:
    """A graph's nodes, or a function's.

    Attributes:
        name: The function's name; None for the graph itself.
        nodes: Its nodes.
        parameters: A function's parameters, in their order.
        results: A function's results, in their order.
        plain: Whether each parameter is one tensor.
    """

    name: str | None
    nodes: Any
    parameters: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    plain: bool = True
    _by_name: Names | dict[str, Any] | None = None

    def node(self, name: str) -> Any:
        """A node by its name; None where there is none."""
        if self._by_name is None:
            self._by_name = by_name(self.nodes)
        return self._by_name.get(name)


def function_body(function: Any) -> Body:
    """A function as a body."""
    signature = function.signature
    return Body(
        signature.name,
        function.node_def,
        tuple(each.name for each in signature.input_arg),
        tuple(function.ret.get(each.name, "") for each in signature.output_arg),
        not any(each.number_attr or each.type_list_attr for each in signature.input_arg),
    )
