"""The requests that both models of a comparison get: those of a file, or such as are made up from a seed.

Both sides of the inspector use it: the parent says what is wanted, each child reads or makes the same requests.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelrepo.savedmodel.arrays import malformed
from modelrepo.savedmodel.requests import Request, parse_requests

#: How many rows a made-up request has: the size of every open dimension.
ROWS = 8
#: Integers that are made up lie below this, so that they are likely to be ids that a model knows; bytes below 256.
_INTEGERS = 10
_WORDS = ("a", "the", "of", "and", "to", "in", "is", "not", "red", "cat", "dog", "one", "two", "good", "bad", "new")
_MOST_WORDS = 4
#: How many values all made-up requests may have together.
_MOST_VALUES = 64 * 1024 * 1024
_FLOATS = {"float16", "float32", "float64", "bfloat16"}


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Requests that nobody gave.

    Attributes:
        signature: Which signature they call.
        inputs: Type and shape of each, by key; what is open in both models is None.
        requests: How many.
        seed: From 0 to 2**32 - 1; the same gives the same values.
    """

    signature: str
    inputs: dict[str, tuple[str, list[int | None] | None]]
    requests: int
    seed: int


@dataclass(frozen=True, slots=True)
class Questions:
    """What both models shall answer.

    Attributes:
        file: The bytes of a file of requests; None where they are made up.
        made_up: How; None where they are not.
        signature: Which signature requests call that name none.
        outputs: Which outputs are compared; none for all.
    """

    file: bytes | None = None
    made_up: MadeUp | None = None
    signature: str | None = None
    outputs: tuple[str, ...] = ()

    def fields(self) -> dict[str, object]:
        """The same for the child; bytes have yet to become a file."""
        made_up = None if self.made_up is None else asdict(self.made_up)
        return {"file": self.file, "made_up": made_up, "signature": self.signature, "outputs": list(self.outputs)}


@dataclass(frozen=True)
class Asked:
    """The same in a child: the requests themselves."""

    requests: tuple[Request, ...]
    signature: str | None
    outputs: tuple[str, ...]


def of(fields: Mapping[str, Any] | None) -> Asked | None:
    """Read or make the requests that the parent wants; None where it wants none.

    Raises:
        Refusal: The file holds something else, or nobody can make up such inputs.
    """
    if fields is None:
        return None
    if fields["made_up"] is not None:
        requests = make_up(MadeUp(**fields["made_up"]))
    else:
        requests = parse_requests(Path(fields["file"]).read_bytes())
    return Asked(requests, fields["signature"], tuple(fields["outputs"]))


def make_up(wanted: MadeUp) -> tuple[Request, ...]:
    """Make requests up: normal floats, small integers, short texts. The same everywhere and always for one seed.

    numpy promises that for `RandomState`, whose streams are frozen. Each input has a stream of its own, so that its
    values do not depend on what else a signature takes.

    Raises:
        Refusal: An input has a type that nobody can make up, or they are too many values.
    """
    import math

    shapes = {key: _sizes(shape) for key, (_, shape) in wanted.inputs.items()}
    values = wanted.requests * sum(math.prod(shape) for shape in shapes.values())
    if values > _MOST_VALUES:
        raise malformed("the requests to be made up are too large", f"at most {_MOST_VALUES} values", values)
    found = []
    for number in range(wanted.requests):
        inputs = {
            key: _values([wanted.seed, number, zlib.crc32(key.encode())], dtype, shapes[key], key)
            for key, (dtype, _) in sorted(wanted.inputs.items())
        }
        found.append(Request(inputs, signature=wanted.signature))
    return tuple(found)


def _sizes(shape: list[int | None] | None) -> list[int]:
    return [ROWS] if shape is None else [ROWS if size is None else size for size in shape]


def _values(seed: list[int], dtype: str, shape: list[int], key: str) -> Any:
    import numpy as np

    random = np.random.RandomState(seed)
    if dtype in _FLOATS:
        return random.standard_normal(shape).astype("float32" if dtype == "bfloat16" else dtype)
    if dtype in {"complex64", "complex128"}:
        return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(dtype)
    if dtype == "bool":
        return random.randint(0, 2, shape).astype(dtype)
    if dtype == "string":
        counts = random.randint(1, _MOST_WORDS + 1, shape)
        texts: Any = np.empty(shape, object)
        for place in np.ndindex(*shape):
            words = (_WORDS[index] for index in random.randint(0, len(_WORDS), counts[place]))
            texts[place] = " ".join(words).encode()
        return texts
    if dtype in {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}:
        return random.randint(0, 256 if dtype == "uint8" else _INTEGERS, shape).astype(dtype)
    raise malformed(f"nobody can make up input `{key}`: {dtype}", "a file of requests")
