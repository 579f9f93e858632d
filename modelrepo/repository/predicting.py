"""`predict`: one call of one signature of a version, in the inspector's child."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelrepo.core.layout import Layout
from modelrepo.core.refs import Ref
from modelrepo.errors import RequestError
from modelrepo.repository import admitting, golden, inspecting, leasing
from modelrepo.repository import snapshot as reading
from modelrepo.repository.inspecting import Limits
from modelrepo.repository.results import Prediction
from modelrepo.savedmodel.runner import Inspector, default_memory
from modelrepo.savedmodel.trial import Trial


def predict(layout: Layout, ref: Ref, data: bytes, signature: str | None, limits: Limits) -> Prediction:
    """Load a version, leased meanwhile, and call it: never one that the scan refuses.

    Args:
        layout: Where.
        ref: Which version.
        data: The bytes of a file of inputs: JSON or `.npz`.
        signature: Which signature; None for `serving_default`, or the only one.
        limits: How long it may take, how much memory, and which ops are let in besides those that its push let in.

    Raises:
        NotFoundError: There is no such version, or it has no such signature.
        RequestError: The inputs are none, or do not fit the signature.
        ModelError: The scan refuses it, or TensorFlow could not load or run it.
    """
    with leasing.lease(layout, ref) as lease:
        manifest = reading.take(layout).manifest(lease.version)
        memory = limits.memory if limits.memory is not None else default_memory(manifest.size)
        with Inspector(memory=memory, seconds=limits.seconds) as inspector:
            report = inspecting.read(inspector, lease.path, lease.version)
            trial = Trial(inputs=data, signature=signature)
            loaded = admitting.load(inspector, lease.path, report, limits.allow.union(manifest.allowed_ops), trial)
    return Prediction(version=lease.version, signature=loaded.signature or "", outputs=loaded.outputs or {})


def inputs(given: Path | bytes | Mapping[str, Any]) -> bytes:
    """The bytes of a file of inputs: a file's, those themselves, or those of inputs by key.

    Raises:
        RequestError: They cannot be read, are too many, or cannot be written as JSON.
    """
    if isinstance(given, Path):
        return golden.read_requests(given)
    if isinstance(given, bytes):
        return golden.bounded(given, "the input")
    try:
        return golden.bounded(json.dumps({"inputs": dict(given)}).encode(), "the input")
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(
            f"the inputs cannot be written as JSON: {error}",
            kind="requests-malformed",
            expected="numbers, texts, truths and lists of them; arrays as `array.tolist()`",
        ) from None
