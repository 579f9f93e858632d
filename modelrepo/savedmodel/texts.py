"""Texts in TensorFlow's protocol buffers: of constants, tensors and attributes; and what a file name says by itself."""

from __future__ import annotations

from typing import Any

#: TensorFlow's number for texts.
DT_STRING = 7


def constant_texts(node: Any) -> list[bytes] | None:
    """The texts of a constant; None where it has none."""
    value = node.attr.get("value")
    if value is None or value.WhichOneof("value") != "tensor" or value.tensor.dtype != DT_STRING:
        return None
    texts = tensor_texts(value.tensor)
    return texts or [b""]


def tensor_texts(tensor: Any) -> list[bytes]:
    """The elements of a tensor of texts, in whichever of its two fields they stand."""
    texts = list(tensor.string_val)
    content = tensor.tensor_content
    if content:
        count = 1
        for size in tensor.tensor_shape.dim:
            count = min(count * max(size.size, 0), len(content))
        texts += _packed(content, count)
    return texts


def _packed(content: bytes, count: int) -> list[bytes]:
    """Texts in TensorFlow's packed form: the lengths of all of them, then the bytes of all of them."""
    lengths: list[int] = []
    offset = 0
    for _ in range(count):
        length = shift = 0
        while offset < len(content) and shift < 64:
            byte = content[offset]
            length |= (byte & 127) << shift
            offset += 1
            shift += 7
            if byte < 128:
                break
        lengths.append(length)
    if offset + sum(lengths) != len(content):
        return [content]  # of another form: looked at as a whole
    texts = []
    for length in lengths:
        texts.append(content[offset : offset + length])
        offset += length
    return texts


def attribute_texts(value: Any) -> list[bytes]:
    """The texts of an attribute; none where it is not there."""
    kind = value.WhichOneof("value") if value is not None else None
    return [value.s] if kind == "s" else list(value.list.s) if kind == "list" else []


def leads_out(path: str) -> bool:
    """Whether a file name is absolute, names another file system or leads out of the directory that it is joined to.

    >>> [leads_out(path) for path in ("words.txt", "a/../b", "/etc/passwd", "../x", "a/../../x", "gs://bucket/x")]
    [False, False, True, True, True, True]
    """
    depth = 0
    for part in path.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return path.startswith("/") or "://" in path
