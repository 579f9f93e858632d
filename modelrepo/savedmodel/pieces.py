"""A SavedModel of very many nodes, of which few are parsed at a time.

Parsed, a small node takes six times its bytes. Here the nodes are cut out of the file's bytes and parsed each time that
they are asked for, while the rest, without them, is one message as always. What the two give together is what protocol
buffers would have made of the whole: a wire that is in any way unusual is left to them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload

from modelrepo.savedmodel import wire

#: Fewer nodes are not worth it.
_MANY = 100_000
#: Nodes that stand behind each other are tried together, up to so many bytes.
_TRIED = 64 * 1024
#: Numbers of fields: SavedModel.meta_graphs, MetaGraphDef.graph_def, GraphDef.node and .library,
#: FunctionDefLibrary.function, FunctionDef.node_def.
_META_GRAPHS, _GRAPH_DEF, _NODE, _LIBRARY, _FUNCTION, _NODE_DEF = 2, 2, 1, 2, 1, 3
_IN_GRAPH = (_META_GRAPHS, _GRAPH_DEF)
_IN_FUNCTION = (*_IN_GRAPH, _LIBRARY, _FUNCTION)
#: A place in a file of less than 2 GiB takes as many bits, and so does what is kept of a name's hash.
_BITS = 32
_LOW = (1 << _BITS) - 1

_Part = bytes | memoryview


class _Spans:
    """Where nodes stand in a file's bytes.

    Args:
        data: The bytes.
        kind: TensorFlow's message type NodeDef.
    """

    def __init__(self, data: bytes, kind: Any) -> None:
        self.data = data
        self.kind = kind
        self.starts = array("I")
        self.ends = array("I")

    def add(self, start: int, end: int) -> None:
        """One more."""
        self.starts.append(start)
        self.ends.append(end)


class Pieces(Sequence[Any]):
    """The nodes of a graph or a function, in order; what is asked for is parsed anew each time.

    Args:
        spans: Where these and others stand.
        first: The first of these.
        end: The one behind the last.
    """

    __slots__ = ("_end", "_first", "_spans")

    def __init__(self, spans: _Spans, first: int, end: int) -> None:
        self._spans = spans
        self._first = first
        self._end = end

    def __len__(self) -> int:
        return self._end - self._first

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        places = range(self._first, self._end)
        if isinstance(index, slice):
            return [self[place - self._first] for place in places[index]]
        spans, place = self._spans, places[index]
        return spans.kind.FromString(spans.data[spans.starts[place] : spans.ends[place]])

    def __iter__(self) -> Iterator[Any]:
        spans, mine = self._spans, slice(self._first, self._end)
        data, parsed = spans.data, spans.kind.FromString
        for start, end in zip(spans.starts[mine], spans.ends[mine], strict=True):
            yield parsed(data[start:end])


class Names:
    """Nodes by their names, of the same name the last, in twelve bytes a node.

    Args:
        nodes: The nodes.
    """

    def __init__(self, nodes: Sequence[Any]) -> None:
        self._nodes = nodes
        # Each a name's hash, cut short, and where the node stands.
        self._keys = array("Q", sorted(_key(node.name) + place for place, node in enumerate(nodes)))

    def get(self, name: str) -> Any:
        """The node; None where there is none."""
        key = _key(name)
        at = bisect_right(self._keys, key + _LOW)
        while at and self._keys[at - 1] >= key:
            at -= 1
            node = self._nodes[self._keys[at] - key]
            if node.name == name:
                return node
        return None

    def __getitem__(self, name: str) -> Any:
        node = self.get(name)
        if node is None:
            raise KeyError(name)
        return node

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


def _key(name: str) -> int:
    return (hash(name) & _LOW) << _BITS


def by_name(nodes: Sequence[Any]) -> Names | dict[str, Any]:
    """Nodes by their names; of the same name the last."""
    return Names(nodes) if isinstance(nodes, Pieces) else {node.name: node for node in nodes}


class Joined:
    """A message, some of whose fields stand elsewhere."""

    def __init__(self, message: Any, **fields: Any) -> None:
        self._message = message
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


class _Functions:
    """Functions, each joined with its nodes.

    Args:
        heads: What they are without.
        spans: Where the nodes stand, one function's behind another's.
        counts: How many there are with those of each function.
    """

    def __init__(self, heads: Sequence[Any], spans: _Spans, counts: Sequence[int]) -> None:
        self._heads = heads
        self._spans = spans
        self._counts = counts

    def __iter__(self) -> Iterator[Joined]:
        first = 0
        for head, end in zip(self._heads, self._counts, strict=True):
            yield Joined(head, node_def=Pieces(self._spans, first, end))
            first = end


def parse(data: bytes, kind: Any) -> Any:
    """A SavedModel whose nodes are parsed when they are asked for.

    Args:
        data: The file's bytes.
        kind: TensorFlow's message type SavedModel.

    Returns:
        What can be read as if it were the message; None where it has to be parsed as a whole.
    """
    found = _Found(data, kind)
    try:
        rest = found.model()
        if sum(len(graph.own.starts) + len(graph.inner.starts) for graph in found.graphs) < _MANY:
            return None
        found.try_nodes()
        model = kind.FromString(b"".join(rest))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - protobuf's DecodeError, or an end in the midst of a field
        return None
    return Joined(model, meta_graphs=list(map(_joined, model.meta_graphs, found.graphs)))


class _Graph(NamedTuple):
    """What is cut out of a meta graph.

    Attributes:
        own: The nodes of the graph itself.
        inner: Those of its functions.
        counts: How many these are with those of each function.
    """

    own: _Spans
    inner: _Spans
    counts: array[int]


def _joined(meta: Any, cut: _Graph) -> Joined:
    """A meta graph with what was cut out of it."""
    library = meta.graph_def.library
    functions = _Functions(library.function, cut.inner, cut.counts)
    nodes = Pieces(cut.own, 0, len(cut.own.starts))
    return Joined(meta, graph_def=Joined(meta.graph_def, node=nodes, library=Joined(library, function=functions)))


class _Found:
    """What is cut out of a SavedModel's bytes.

    Attributes:
        graphs: Of each meta graph.
    """

    def __init__(self, data: bytes, kind: Any) -> None:
        self._data = data
        self._view = memoryview(data)
        self._kind = kind
        self._node = type(kind().meta_graphs.add().graph_def.node.add())
        self._tries: dict[tuple[int, ...], _Spans] = {path: _Spans(data, kind) for path in (_IN_GRAPH, _IN_FUNCTION)}
        self.graphs: list[_Graph] = []

    def model(self) -> list[_Part]:
        """Look through all of it; what is left, part by part."""
        return self._left(0, len(self._data), {_META_GRAPHS: self._meta})

    def _meta(self, at: int, end: int) -> list[_Part]:
        own, inner = _Spans(self._data, self._node), _Spans(self._data, self._node)
        self.graphs.append(_Graph(own, inner, array("I")))
        return self._left(at, end, {_GRAPH_DEF: self._graph})

    def _graph(self, at: int, end: int) -> list[_Part]:
        return self._left(at, end, {_LIBRARY: self._library}, _NODE, self.graphs[-1].own, _IN_GRAPH)

    def _library(self, at: int, end: int) -> list[_Part]:
        return self._left(at, end, {_FUNCTION: self._function})

    def _function(self, at: int, end: int) -> list[_Part]:
        _, inner, counts = self.graphs[-1]
        left = self._left(at, end, {}, _NODE_DEF, inner, _IN_FUNCTION)
        counts.append(len(inner.starts))
        return left

    def _left(
        self,
        at: int,
        end: int,
        inside: Mapping[int, Callable[[int, int], list[_Part]]],
        cut: int | None = None,
        into: _Spans | None = None,
        path: tuple[int, ...] = (),
    ) -> list[_Part]:
        """What is left of a message: all but its nodes.

        Args:
            at: Where it begins.
            end: Where it ends.
            inside: Its fields in which nodes may stand, and what looks through each.
            cut: Its field that holds nodes.
            into: Where these are kept.
            path: The fields that lead to the message.
        """
        left: list[_Part] = []
        done = tried = last = at
        for number, begin, content, stop in wire.fields(self._data, at, end):
            if into is not None and number == cut:
                into.add(content, stop)
                if begin > last or stop - tried > _TRIED:
                    self._tries[path].add(tried, last)
                    tried = begin
                last = stop
                inner = None
            elif number in inside:
                inner = inside[number](content, stop)
            else:
                continue
            if begin > done:
                left.append(self._view[done:begin])
            if inner is not None:
                left += [wire.head(number, sum(map(len, inner))), *inner]
            done = stop
        if into is not None:
            self._tries[path].add(tried, last)
        if end > done:
            left.append(self._view[done:end])
        return left

    def try_nodes(self) -> None:
        """Parse each node once, as deep as it stands."""
        for path, spans in self._tries.items():
            for begin, end in zip(spans.starts, spans.ends, strict=True):
                parts: list[_Part] = [self._view[begin:end]]
                size = end - begin
                for number in reversed(path):
                    parts.insert(0, wire.head(number, size))
                    size += len(parts[0])
                self._kind.FromString(b"".join(parts))
