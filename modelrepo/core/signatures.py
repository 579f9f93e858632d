"""A SavedModel's callable contract, and what a change of it means for callers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from modelrepo.core.values import Value
from modelrepo.errors import RequestError

Shape = list[int | None] | None


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output of a signature.

    Attributes:
        name: The tensor's name in the graph, such as `serving_default_image:0`; of a sparse tensor, its values.
        dtype: TensorFlow's name for it: `float32`, `string`, …
        shape: One entry per dimension, None where its size is open; None where the rank itself is open.
        optional: Whether a caller may leave it out (the signature has a default for it).
        encoding: How the tensor is passed. Only `dense` is served by TensorFlow Serving's Predict.
    """

    name: str
    dtype: str
    shape: Shape
    optional: bool = False
    encoding: Literal["dense", "sparse", "composite"] = "dense"
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class Signature:
    """One named way to call a model.

    Attributes:
        method_name: What TensorFlow Serving looks at, mostly `tensorflow/serving/predict`.
        inputs: Keys and tensors.
        outputs: Keys and tensors.
    """

    method_name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


class Change(Value, renamed={"before": "from", "after": "to"}):
    """One difference between two contracts.

    Attributes:
        signature: Which one.
        kind: A short stable word, such as `input-removed`.
        key: Which input or output, None where the whole signature is meant.
        before: What was there (`from` in JSON).
        after: What is there now (`to` in JSON).
        text: The same in words.
    """

    signature: str
    kind: str
    key: str | None
    before: str | None
    after: str | None
    text: str


class Comparison(Value):
    """What changes for callers.

    Attributes:
        breaking: What fails or gives other answers to a caller of the old contract.
        compatible: What an old caller does not notice.
    """

    breaking: tuple[Change, ...]
    compatible: tuple[Change, ...]


def format_shape(shape: Shape) -> str:
    """Write a shape for people.

    >>> format_shape([None, 784]), format_shape([]), format_shape(None)
    ('[?,784]', '[]', '[...]')
    """
    if shape is None:
        return "[...]"
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def describe(tensor: Tensor) -> str:
    """Write a tensor for people: `float32[?,784]`."""
    return f"{tensor.dtype}{format_shape(tensor.shape)}{'?' if tensor.optional else ''}"


def compare(before: Mapping[str, Signature], after: Mapping[str, Signature]) -> Comparison:
    """Compare two contracts from a caller's point of view.

    A caller of `before` sends the inputs of `before` and reads its outputs. Breaking is what can make that fail: a
    signature, input or output that is gone, another dtype, an input that takes fewer shapes, an output that promises
    less about its shape, a new input without a default. TensorFlow Serving refuses a missing input without a default
    and every extra one (tensorflow/serving, `servables/tensorflow/predict_util.cc`).
    """
    breaking: list[Change] = []
    compatible: list[Change] = []
    for is_breaking, change in _changes(before, after):
        (breaking if is_breaking else compatible).append(change)
    return Comparison(breaking=tuple(breaking), compatible=tuple(compatible))


def both_take(before: Signature, after: Signature) -> dict[str, Tensor]:
    """The inputs that a caller of either may give: of each the shapes that both take. What both may miss is left out.

    Raises:
        RequestError: There are none: an input that one takes the other does not, or takes as another type or shape.
    """
    found: dict[str, Tensor] = {}
    for key in sorted(before.inputs.keys() | after.inputs.keys()):
        one, two = before.inputs.get(key), after.inputs.get(key)
        if (one is None or one.optional) and (two is None or two.optional):
            continue
        if one is None or two is None or _typed(one) != _typed(two) or not _overlap(one.shape, two.shape):
            raise RequestError(
                f"no request fits both models: they take input `{key}` differently",
                kind="requests-malformed",
                expected="nothing of that name" if one is None else describe(one),
                got="nothing of that name" if two is None else describe(two),
            )
        found[key] = Tensor(name=one.name, dtype=one.dtype, shape=_shared(one.shape, two.shape), encoding=one.encoding)
    return found


def _overlap(one: Shape, two: Shape) -> bool:
    """Whether some shape is meant by both."""
    if one is None or two is None:
        return True
    return len(one) == len(two) and all(a is None or b in {None, a} for a, b in zip(one, two, strict=True))


def _shared(one: Shape, two: Shape) -> Shape:
    """What both mean, where they overlap."""
    if one is None or two is None:
        return one if two is None else two
    return [b if a is None else a for a, b in zip(one, two, strict=True)]


def _changes(before: Mapping[str, Signature], after: Mapping[str, Signature]) -> Iterator[tuple[bool, Change]]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if new is None:
            yield True, _change(name, "signature-removed", None, name, None, "is gone")
        elif old is None:
            yield False, _change(name, "signature-added", None, None, name, "is new")
        else:
            if old.method_name != new.method_name:
                yield (
                    True,
                    _change(name, "method-changed", None, old.method_name, new.method_name, "has another method"),
                )
            yield from _inputs(name, old.inputs, new.inputs)
            yield from _outputs(name, old.outputs, new.outputs)


def _inputs(name: str, old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> Iterator[tuple[bool, Change]]:
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if now is None and was is not None:
            yield True, _change(name, "input-removed", key, describe(was), None, "is not taken any more")
        elif was is None and now is not None:
            text = "is new and has a default" if now.optional else "is new and must be given"
            yield not now.optional, _change(name, "input-added", key, None, describe(now), text)
        elif was is not None and now is not None:
            if was.dtype != now.dtype or was.encoding != now.encoding:
                yield True, _change(name, "input-dtype", key, _typed(was), _typed(now), "has another type")
            if was.shape != now.shape:
                takes_all = _covers(now.shape, was.shape)
                text = "takes more shapes" if takes_all else "takes other or fewer shapes"
                before, after = format_shape(was.shape), format_shape(now.shape)
                yield not takes_all, _change(name, "input-shape", key, before, after, text)
            if was.optional != now.optional:
                text = "may be left out now" if now.optional else "must be given now"
                yield was.optional, _change(name, "input-optional", key, describe(was), describe(now), text)


def _outputs(name: str, old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> Iterator[tuple[bool, Change]]:
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if now is None and was is not None:
            yield True, _change(name, "output-removed", key, describe(was), None, "is not given any more")
        elif was is None and now is not None:
            yield False, _change(name, "output-added", key, None, describe(now), "is new")
        elif was is not None and now is not None:
            if was.dtype != now.dtype or was.encoding != now.encoding:
                yield True, _change(name, "output-dtype", key, _typed(was), _typed(now), "has another type")
            if was.shape != now.shape:
                holds = _covers(was.shape, now.shape)
                text = "promises more about its shape" if holds else "no longer has the promised shape"
                before, after = format_shape(was.shape), format_shape(now.shape)
                yield not holds, _change(name, "output-shape", key, before, after, text)


def _typed(tensor: Tensor) -> str:
    return tensor.dtype if tensor.encoding == "dense" else f"{tensor.encoding} {tensor.dtype}"


def _covers(wide: Shape, narrow: Shape) -> bool:
    """Whether every concrete shape that fits `narrow` fits `wide`."""
    if wide is None:
        return True
    if narrow is None or len(wide) != len(narrow):
        return False
    return all(outer is None or outer == inner for outer, inner in zip(wide, narrow, strict=True))


def _change(signature: str, kind: str, key: str | None, before: str | None, after: str | None, words: str) -> Change:
    side = f"{kind.split('-', maxsplit=1)[0]} `{key}` " if key is not None else ""
    if before is not None and after is not None:
        words = f"{words}: {before} → {after}"
    text = f"signature `{signature}`: {side}{words}"
    return Change(signature=signature, kind=kind, key=key, before=before, after=after, text=text)
