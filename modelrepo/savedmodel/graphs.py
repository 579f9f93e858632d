"""Where a text in a graph comes from: from the saver, an asset, a constant, a caller, or from elsewhere.

Works on TensorFlow's protocol buffers, which the worker hands in; imports nothing of TensorFlow. Values are followed
backwards through ops that pass them on, and from a function's parameters to every place that calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modelrepo.savedmodel.budget import Budget
from modelrepo.savedmodel.nodes import Body, base, data_inputs, function_body, functions_of, shared_name
from modelrepo.savedmodel.texts import attribute_texts, constant_texts, leads_out

_SHOWN = 200


class Origin(NamedTuple):
    """Where a text comes from.

    Attributes:
        kind: `saver`, `asset`, `constant`, `empty`, `tail` (a harmless constant behind another text), `caller` or
            `computed`.
        text: The constant, for people.
    """

    kind: str
    text: str = ""


#: Ops that call a function with their inputs, and at which input its parameters begin.
_CALLS = {
    "PartitionedCall": 0, "StatefulPartitionedCall": 0, "TPUPartitionedCall": 0, "While": 0, "StatelessWhile": 0,
    "If": 1, "StatelessIf": 1, "Case": 1, "StatelessCase": 1,
}  # fmt: skip
#: Ops that pass texts on, and from which of their inputs.
_PASS = {
    **dict.fromkeys(("Pack", "StringJoin", "Merge", "RefMerge", "IdentityN"), slice(None)),
    **dict.fromkeys(("Select", "SelectV2"), slice(1, 3)),
    "ConcatV2": slice(0, -1),
    "Concat": slice(1, None),
    "Fill": slice(1, 2),
    **dict.fromkeys(
        (
            "Identity", "ShardedFilename", "ExpandDims", "Reshape", "Squeeze", "Switch", "RefSwitch", "Enter",
            "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration", "StopGradient", "PreventGradient",
            "Snapshot", "EnsureShape", "GuaranteeConst", "Tile", "Gather", "GatherV2", "StridedSlice", "Slice",
            "Unpack", "BroadcastTo", "PlaceholderWithDefault",
        ),
        slice(0, 1),
    ),
}  # fmt: skip
_LOOPS = {"While", "StatelessWhile"}
#: Ops that name a variable, wherever they stand.
_VARIABLES = {"VarHandleOp", "_VarHandlesOp", "_XlaAotOnlyVarHandleOp"}


def _shown(text: bytes) -> str:
    return ascii(text[:_SHOWN].decode(errors="replace"))[1:-1]


def _tail(text: bytes) -> Origin:
    """What a text says behind a file name: it may lead on, but not back, nor half back."""
    climbs = {b".", b".."} & set(text.split(b"/"))
    return Origin("constant" if climbs else "tail", _shown(text))


@dataclass(frozen=True)
class Surroundings:
    """What a meta graph says about its graph; nothing of it holds for a graph in a constant.

    Attributes:
        saver: The node that holds the file name while the saver runs.
        assets: The nodes that hold the places of assets while the model is loaded.
        given: The nodes that callers fill in.
        answers: The nodes that callers ask for.
        starts: The nodes that run when the model is loaded.
        restores: The nodes that run when its variables are restored.
        bound: Of functions that only Python calls: the nodes that their last parameters are bound to, `None` for an
            asset, an empty name for what is no text.
    """

    saver: str = ""
    assets: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    answers: frozenset[str] = frozenset()
    starts: frozenset[str] = frozenset()
    restores: frozenset[str] = frozenset()
    bound: dict[str, tuple[str | None, ...]] = field(default_factory=dict)


class Graph:
    """A graph, its functions, and what is known of where it stands."""

    def __init__(
        self, nodes: Any, functions: Iterable[Any], budget: Budget, surroundings: Surroundings | None = None
    ) -> None:
        self.main = Body(None, nodes)
        self._bodies = [self.main, *map(function_body, functions)]  # a name may stand twice
        self.functions = {body.name: body for body in self._bodies[1:]}
        self._budget = budget
        self._outermost = surroundings is not None
        self._around = surroundings or Surroundings()
        # Nodes are kept by their places: in a large graph each would be a message of its own.
        self._sites: dict[str, list[tuple[Body, int]]] | None = None
        self._users: dict[str, list[int]] | None = None
        self._shared: Counter[bytes] = Counter()
        self._reached: dict[frozenset[str], set[str]] = {}

    @property
    def bodies(self) -> Iterator[Body]:
        """The graph itself, then its functions."""
        return iter(self._bodies)

    def called(self, body: Body) -> Iterator[tuple[str, int]]:
        """The functions that a body's nodes name, each with the node's place."""
        for place, node in enumerate(body.nodes):
            self._budget.spend()
            if node.op in self.functions:
                yield node.op, place
            for name in functions_of(node.attr):
                yield name, place

    def origins(self, body: Body, reference: str) -> set[Origin]:
        """Where the text of a tensor comes from: every place."""
        found: set[Origin] = set()
        start = (body, base(reference), False)
        seen = {start}
        todo = [start]
        while todo:
            self._budget.spend()
            place = todo.pop()
            for step in self._back(*place):
                if isinstance(step, Origin):
                    found.add(step)
                elif step not in seen:
                    seen.add(step)
                    todo.append(step)
        return found

    def _back(self, body: Body, name: str, tail: bool) -> Iterator[Origin | tuple[Body, str, bool]]:  # noqa: FBT001
        """One step back."""
        if name in body.parameters:
            yield from self._arguments(body, body.parameters.index(name), tail)
            return
        node = body.node(name)
        if node is None or node.op in self.functions:  # a function goes before an op of its name
            yield Origin("computed")
        elif body is self.main and (kind := self._filled(node)):
            yield Origin(kind)
        elif node.op == "Const":
            yield from self._constant(node, tail)
        elif node.op == "Placeholder":
            yield Origin("caller")
        elif node.op == "ReadVariableOp" and body is self.main:
            yield from self._assigned(base(next(iter(data_inputs(node)), "")), tail)
        elif node.op in _PASS:
            yield from self._passed(body, node, tail)
        else:
            yield Origin("computed")

    def _passed(self, body: Body, node: Any, tail: bool) -> Iterator[Origin | tuple[Body, str, bool]]:  # noqa: FBT001
        """What an op passes on."""
        joins = node.op == "StringJoin"
        if node.op == "PlaceholderWithDefault":
            yield Origin("caller")
        for text in attribute_texts(node.attr.get("separator")) if joins else ():
            yield _tail(text)
        for index, each in enumerate(data_inputs(node)[_PASS[node.op]]):
            yield body, base(each), tail or (joins and index > 0)

    def _constant(self, node: Any, tail: bool) -> Iterator[Origin]:  # noqa: FBT001
        texts = constant_texts(node)
        if texts is None:
            yield Origin("computed")
            return
        for text in set(texts):
            yield _tail(text) if tail else Origin("constant" if text else "empty", _shown(text))

    def _assigned(self, handle: str, tail: bool) -> Iterator[Origin | tuple[Body, str, bool]]:  # noqa: FBT001
        """What a variable of the graph itself may hold, where nothing but plain assignments can change it.

        Exports keep the places of assets in such variables.
        """
        if self._users is None:
            self._users = self._variables()
        variable = self.main.node(handle)
        users = [self.main.nodes[place] for place in self._users.get(handle, [])]
        self._budget.spend(len(users))
        known = {"ReadVariableOp", "VarIsInitializedOp", "AssignVariableOp", "DestroyResourceOp"}
        if (
            variable is None
            or variable.op != "VarHandleOp"
            or self._shared[shared_name(variable)] > 1
            or any(user.op not in known for user in users)
        ):
            yield Origin("computed")
            return
        for user in users:
            inputs = data_inputs(user)
            if user.op == "AssignVariableOp" and len(inputs) > 1:
                yield self.main, base(inputs[1]), tail

    def _variables(self) -> dict[str, list[int]]:
        """By the names of variables, the places of the graph's own nodes that take them."""
        users: dict[str, list[int]] = {}
        for body in self.bodies:
            for node in body.nodes:
                self._budget.spend()
                if node.op in _VARIABLES:
                    self._shared[shared_name(node)] += 1
                    users.setdefault(node.name, [])
        for place, node in enumerate(self.main.nodes):
            for name in map(base, data_inputs(node)):
                if name in users:
                    users[name].append(place)
        return users

    def _filled(self, node: Any) -> str | None:
        """Whether the loader fills a node of the graph itself in, whenever that is asked for."""
        around = self._around
        fillable = {"Placeholder", "PlaceholderWithDefault", "Const"}
        if not self._outermost or node.op not in fillable or node.name in around.given:
            return None
        if node.name in around.assets:
            return None if any(self._default(node)) and self._runs(node.name, around.answers) else "asset"
        goals = around.answers | around.starts
        if node.op == "PlaceholderWithDefault" and node.name != around.saver:
            goals |= around.restores  # another meta graph's saver: here nobody runs it
        if node.name == around.saver or node.op == "PlaceholderWithDefault":
            # Its default counts where it is run without the loader: older savers name a file beside the server.
            default = self._default(node)
            escapes = any(leads_out(text.decode(errors="replace")) for text in default)
            return None if escapes or (default and self._runs(node.name, goals)) else "saver"
        return None

    def _default(self, node: Any) -> list[bytes]:
        """What a node holds that nobody fills in."""
        seen = set[str]()
        while node is not None and node.op in {"PlaceholderWithDefault", "Identity"} and node.name not in seen:
            seen.add(node.name)
            node = self.main.node(base(next(iter(data_inputs(node)), "")))
        if node is None or node.op not in {"Const", "Placeholder"}:
            return [b"/"]  # nobody knows
        return [] if node.op == "Placeholder" else constant_texts(node) or [b"/"]

    def _runs(self, name: str, goals: frozenset[str]) -> bool:
        """Whether a node of the graph itself is run where these are asked for."""
        if goals not in self._reached:
            reached = set(goals)
            todo = list(goals)
            while todo:
                node = self.main.node(todo.pop())
                for reference in node.input if node is not None else ():
                    self._budget.spend()
                    before = base(reference.removeprefix("^"))
                    if before not in reached:
                        reached.add(before)
                        todo.append(before)
            self._reached[goals] = reached
        return name in self._reached[goals]

    def _arguments(self, body: Body, index: int, tail: bool) -> Iterator[Origin | tuple[Body, str, bool]]:  # noqa: FBT001
        """What a function's parameter may be."""
        if self._sites is None:
            self._sites = {}
            for caller in self.bodies:
                for name, place in self.called(caller):
                    if name in self.functions:
                        self._sites.setdefault(name, []).append((caller, place))
        sites = self._sites.get(str(body.name), [])
        for caller, place in sites:
            self._budget.spend()
            node = caller.nodes[place]
            begin = 0 if node.op == body.name else None if node.op in self.functions else _CALLS.get(node.op)
            inputs = data_inputs(node)
            if begin is None or not body.plain or begin + index >= len(inputs):
                yield Origin("computed")
                continue
            yield caller, base(inputs[begin + index]), tail
            if node.op in _LOOPS:  # what one round gives is what the next one takes
                for looped in set(functions_of(node.attr)):
                    inside = self.functions.get(looped)
                    if inside is not None and index < len(inside.results):
                        yield inside, base(inside.results[index]), tail
        yield from self._from_python(body, index, tail, called=bool(sites))

    def _from_python(
        self,
        body: Body,
        index: int,
        tail: bool,  # noqa: FBT001
        *,
        called: bool,
    ) -> Iterator[Origin | tuple[Body, str, bool]]:
        """What a parameter is where Python calls the function: bound, or given by the caller."""
        bound = self._around.bound.get(str(body.name))
        if bound is None:
            return
        from_end = index - len(body.parameters) + len(bound)
        if from_end < 0:
            if not called:  # else only by those that the graph calls it for
                yield Origin("caller")
            return
        name = bound[from_end]
        yield Origin("asset") if name is None else (self.main, name, tail)
