"""A SavedModel of very many nodes, of which few are parsed at a time.

Parsed, a small node takes six times its bytes. Here the nodes are cut out of the file's bytes and parsed each time that
they are asked for, while the rest, without them, is one message as always. What the two give together is what protocol
buffers would have made of the whole: a wire that is in any way unusual is left to them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

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

_Inside = Mapping[int, Callable[[int, int], "list[bytes | memoryview]"]]


class Pieces(Sequence[Any]):
    """The nodes of a graph or a function, in order; what is asked for is parsed anew each time.

    Args:
        data: The file's bytes.
        kind: TensorFlow's message type NodeDef.
    """

    __slots__ = ("_data", "_ends", "_kind", "_starts")

    def __init__(self, data: bytes, kind: Any) -> None:
        self._data = data
        self._kind = kind
        self._starts = array("I")
        self._ends = array("I")

    def add(self, start: int, end: int) -> None:
        """One more node, by where it stands."""
        self._starts.append(start)
        self._ends.append(end)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self._kind.FromString(self._data[self._starts[index] : self._ends[index]])

    def __iter__(self) -> Iterator[Any]:
        data, parsed = self._data, self._kind.FromString
        for start, end in zip(self._starts, self._ends, strict=True):
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


class _UnusualError(Exception):
    """Bytes that are no message, or one as nobody writes it."""


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
        if len(found) < _MANY:
            return None
        found.try_nodes()
        model = kind.FromString(b"".join(rest))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - protobuf's DecodeError, or an end in the midst of a field
        return None
    return Joined(model, meta_graphs=list(map(_joined, model.meta_graphs, found.nodes, found.functions)))


def _joined(meta: Any, nodes: Pieces, functions: list[Pieces]) -> Joined:
    """A meta graph and what was cut out of it."""
    library = meta.graph_def.library
    joined = [Joined(head, node_def=body) for head, body in zip(library.function, functions, strict=True)]
    graph = Joined(meta.graph_def, node=nodes, library=Joined(library, function=joined))
    return Joined(meta, graph_def=graph)


class _Found:
    """What is cut out of a SavedModel's bytes.

    Attributes:
        nodes: For each meta graph those of the graph itself.
        functions: For each meta graph those of each function.
    """

    def __init__(self, data: bytes, kind: Any) -> None:
        self._data = data
        self._view = memoryview(data)
        self._kind = kind
        self._node = type(kind().meta_graphs.add().graph_def.node.add())
        self._tries: list[tuple[tuple[int, ...], int, int]] = []
        self.nodes: list[Pieces] = []
        self.functions: list[list[Pieces]] = []

    def __len__(self) -> int:
        return sum(map(len, self.nodes)) + sum(len(body) for bodies in self.functions for body in bodies)

    def model(self) -> list[bytes | memoryview]:
        """Look through all of it; what is left, piece by piece."""
        return self._left(0, len(self._data), {_META_GRAPHS: self._meta})

    def _meta(self, at: int, end: int) -> list[bytes | memoryview]:
        self.nodes.append(Pieces(self._data, self._node))
        self.functions.append([])
        return self._left(at, end, {_GRAPH_DEF: self._graph})

    def _graph(self, at: int, end: int) -> list[bytes | memoryview]:
        return self._left(at, end, {_LIBRARY: self._library}, _NODE, self.nodes[-1], _IN_GRAPH)

    def _library(self, at: int, end: int) -> list[bytes | memoryview]:
        return self._left(at, end, {_FUNCTION: self._function})

    def _function(self, at: int, end: int) -> list[bytes | memoryview]:
        body = Pieces(self._data, self._node)
        self.functions[-1].append(body)
        return self._left(at, end, {}, _NODE_DEF, body, _IN_FUNCTION)

    def _left(
        self,
        at: int,
        end: int,
        inside: _Inside,
        cut: int | None = None,
        into: Pieces | None = None,
        path: tuple[int, ...] = (),
    ) -> list[bytes | memoryview]:
        """What is left of a message: all but its nodes.

        Args:
            at: Where it begins.
            end: Where it ends.
            inside: Its fields in which nodes may stand, and what looks through each.
            cut: Its field that holds nodes.
            into: Where these are kept.
            path: The fields that lead to the message.
        """
        left: list[bytes | memoryview] = []
        done = tried = last = at
        for number, begin, content, stop in _fields(self._data, at, end):
            if into is not None and number == cut:
                into.add(content, stop)
                if begin > last or stop - tried > _TRIED:
                    self._tries.append((path, tried, last))
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
                left += [_head(number, sum(map(len, inner))), *inner]
            done = stop
        if into is not None:
            self._tries.append((path, tried, last))
        if end > done:
            left.append(self._view[done:end])
        return left

    def try_nodes(self) -> None:
        """Parse each node once, as deep as it stands."""
        for path, begin, end in self._tries:
            wire: list[bytes | memoryview] = [self._view[begin:end]]
            size = end - begin
            for number in reversed(path):
                wire.insert(0, _head(number, size))
                size += len(wire[0])
            self._kind.FromString(b"".join(wire))


def _head(number: int, size: int) -> bytes:
    """What stands before a field with content."""
    head = bytearray([number << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    head.append(size)
    return bytes(head)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """A message's fields with content, each with its number, and where it, its content and its end are.

    Raises:
        _UnusualError: It ends elsewhere, or holds what nobody writes.
        IndexError: The bytes end before.
    """
    while at < end:
        begin = at
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _short(data, begin)
        match tag & 7:
            case 2:
                size = data[at]
                at += 1
                if size > 127:
                    size, at = _short(data, at - 1)
                stop = at + size
                if stop > end:
                    raise _UnusualError
                yield tag >> 3, begin, at, stop
                at = stop
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case _:  # groups
                raise _UnusualError
    if at != end:
        raise _UnusualError


def _short(data: bytes, at: int) -> tuple[int, int]:
    """A number of 32 bits in as few bytes as it needs, and where it ends."""
    number, end = _varint(data, at)
    if number > _LOW or not data[end - 1]:
        raise _UnusualError
    return number, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise _UnusualError
