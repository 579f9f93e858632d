"""What a meta graph offers, in words that need no TensorFlow: signatures, ops, tags. In the inspector's child alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modelrepo.savedmodel import scanning, variables

_INIT_OP = "__saved_model_init_op"
#: Names of TensorFlow's data types that are not the lower-case rest of the enumeration's name.
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}


def meta_graph(graph: Any, types: Any) -> dict[str, Any]:
    """Say what a meta graph offers.

    Args:
        graph: A MetaGraphDef.
        types: The generated module that names data types.
    """
    ops = Counter(node.op for node in graph.graph_def.node)
    for function in graph.graph_def.library.function:
        ops.update(node.op for node in function.node_def)
    signatures = {name: each for name, each in sorted(graph.signature_def.items()) if name != _INIT_OP}
    return {
        "tags": list(graph.meta_info_def.tags),
        "signatures": {name: _signature(signature, types) for name, signature in signatures.items()},
        **variables.used(graph, signatures, scanning.init_names(graph)),
        "ops": dict(sorted(ops.items())),
        "tensorflow_version": graph.meta_info_def.tensorflow_version or None,
    }


def _signature(signature: Any, types: Any) -> dict[str, Any]:
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
