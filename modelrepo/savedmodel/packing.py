"""Answers as bytes: arrays by key, texts among them, without anything that would have to be unpickled.

Used in the inspector's children alone: those that load a model write them, the one that judges reads them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelrepo.savedmodel.arrays import dtype_name

_HEAD = "head"


def pack(outputs: Mapping[str, Any]) -> bytes:
    """Write arrays; strings are objects that hold bytes."""
    head = []
    arrays: dict[str, Any] = {}
    for number, (key, array) in enumerate(sorted(outputs.items())):
        head.append({"key": key, "dtype": dtype_name(array.dtype), "shape": list(array.shape)})
        if array.dtype.kind == "O":
            texts = [bytes(text) for text in array.ravel().tolist()]
            arrays[f"{number}.sizes"] = np.array([len(text) for text in texts], np.int64)
            arrays[f"{number}.bytes"] = np.frombuffer(b"".join(texts), np.uint8)
        else:  # numpy's format knows no bfloat16, nor other short types that TensorFlow adds: float32 has their values
            arrays[f"{number}"] = array if array.dtype.isbuiltin == 1 else array.astype(np.float32)
    data = io.BytesIO()
    np.savez(data, **{_HEAD: np.frombuffer(json.dumps(head).encode(), np.uint8)}, **arrays)
    return data.getvalue()


def unpack(data: bytes) -> dict[str, tuple[str, Any]]:
    """Read what `pack` wrote: of each key TensorFlow's name of the type, and the array."""
    found: dict[str, tuple[str, Any]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        for number, each in enumerate(json.loads(archive[_HEAD].tobytes())):
            if f"{number}" in archive.files:
                array = archive[f"{number}"]
            else:
                ends = np.cumsum(archive[f"{number}.sizes"]).tolist()
                joined = archive[f"{number}.bytes"].tobytes()
                array = np.empty(len(ends), object)
                array[:] = [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            found[str(each["key"])] = (str(each["dtype"]), array.reshape(each["shape"]))
    return found
