"""What a meta graph offers, in words that need no TensorFlow: signatures, ops, tags. In the inspector's child alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modelrepo.savedmodel import contracts, scanning, variables

_INIT_OP = "__saved_model_init_op"


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
        "signatures": {name: contracts.said(signature, types) for name, signature in signatures.items()},
        **variables.used(graph, signatures, scanning.init_names(graph)),
        "ops": dict(sorted(ops.items())),
        "tensorflow_version": graph.meta_info_def.tensorflow_version or None,
    }
