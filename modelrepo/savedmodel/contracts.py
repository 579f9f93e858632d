"""A SavedModel's signatures, as its protocol buffers have them. Used in the inspector's child alone."""

from __future__ import annotations

from typing import Any

#: Names of TensorFlow's data types that are not the lower-case rest of the enumeration's name.
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}


def said(signature: Any, types: Any) -> dict[str, Any]:
    """What a SignatureDef says, as fields of `core.signatures.Signature`.

    Args:
        signature: The message.
        types: The module `types_pb2`.
    """
    defaults = getattr(signature, "defaults", {})
    return {
        "method_name": signature.method_name,
        "inputs": {
            key: {**_tensor(info, types), "optional": key in defaults} for key, info in sorted(signature.inputs.items())
        },
        "outputs": {key: _tensor(info, types) for key, info in sorted(signature.outputs.items())},
    }


def _tensor(info: Any, types: Any) -> dict[str, Any]:
    encoding = info.WhichOneof("encoding")
    if encoding == "composite_tensor":
        # Its own type and shape say nothing; the first component holds the values (a ragged tensor's flat ones).
        parts = list(info.composite_tensor.components)
        dtype = _dtype(parts[0].dtype, types) if parts else "unknown"
        return {"name": ",".join(part.name for part in parts), "dtype": dtype, "shape": None, "encoding": "composite"}
    sparse = encoding == "coo_sparse"
    shape = info.tensor_shape
    return {
        "name": info.coo_sparse.values_tensor_name if sparse else info.name,
        "dtype": _dtype(info.dtype, types),
        "shape": None if shape.unknown_rank else [None if size.size < 0 else size.size for size in shape.dim],
        "encoding": "sparse" if sparse else "dense",
    }


def _dtype(number: int, types: Any) -> str:
    try:
        name: str = types.DataType.Name(number)
    except ValueError:
        return f"unknown_{number}"
    base: str = name.removesuffix("_REF")
    return _DTYPES.get(base, base.removeprefix("DT_").lower()) + ("_ref" if base != name else "")
