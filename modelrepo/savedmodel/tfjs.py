"""TensorFlow.js: a frozen signature becomes a graph model, which Node runs. In the inspector's child alone.

The format is the one that `tf.loadGraphModel` reads: `model.json` with the graph, the signature and a list of weights,
and the weights' bytes in pieces. It is written here, because the package `tensorflowjs` (4.22) would put an older
TensorFlow in the place of the one installed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelrepo.fs import durable
from modelrepo.savedmodel.arrays import Refusal, malformed
from modelrepo.savedmodel.freezing import Frozen, Kit

FILE = "model.json"
#: What runs it, and the version that was tried.
PACKAGE, _VERSION = "@tensorflow/tfjs", "4.22.0"
_SHARD = 4 * 1024 * 1024
_SCRIPT = Path(__file__).with_name("tfjs_run.cjs")
_TEXT = 500
_UNKNOWN = re.compile(r"Unknown op '([^']+)'|not supported: ([A-Za-z0-9]+)|kernel '([^']+)' not registered")
#: Where a constant's values are written in its node.
_VALUES = (
    "tensor_content", "half_val", "float_val", "double_val", "int_val", "string_val", "scomplex_val", "int64_val",
    "bool_val", "dcomplex_val", "resource_handle_val", "variant_val", "uint32_val", "uint64_val",
)  # fmt: skip
_KINDS = {"float32": np.float32, "int32": np.int32, "bool": np.bool_}


class Browser:
    """What runs a TensorFlow.js model where there is no browser: Node, with TensorFlow.js's JavaScript backend.

    Args:
        scratch: A directory for what Node shall read.

    Raises:
        Refusal: Node or the package is missing.
    """

    lowered = True

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._asked = 0
        self._program = _program("node")
        self.tools: dict[str, str] = dict(self._ask(None, [])["versions"])

    def convert(
        self, kit: Kit, frozen: Frozen, name: str, quantize: str, calibration: Sequence[Any], directory: Path
    ) -> None:
        """Write a graph model.

        Args:
            kit: TensorFlow.
            frozen: The signature.
            name: Its name.
            quantize: `none`, or `float16` for weights of half the size.
            calibration: Not used.
            directory: An empty one.

        Raises:
            Refusal: It holds something that TensorFlow.js has no type for.
        """
        del calibration
        weights, pieces = [], []
        _rewrite(kit, frozen.graph)
        for node in frozen.graph.node:
            node.ClearField("experimental_debug_info")
            node.ClearField("experimental_type")
            if node.op == "Const":
                spec, data = _weight(node.name, kit.tensorflow.make_ndarray(node.attr["value"].tensor), quantize)
                weights.append(spec)
                pieces.append(data)
                for field in _VALUES:
                    node.attr["value"].tensor.ClearField(field)
        data = b"".join(pieces)
        shards = [data[at : at + _SHARD] for at in range(0, len(data), _SHARD)] or [b""]
        names = [f"group1-shard{number}of{len(shards)}.bin" for number in range(1, len(shards) + 1)]
        for path, shard in zip(names, shards, strict=True):
            durable.write_new(directory / path, shard, None)
        model = {
            "format": "graph-model",
            "generatedBy": kit.tensorflow.__version__,
            "convertedBy": "modelrepo",
            "signature": kit.to_dict(frozen.signature),
            "userDefinedMetadata": {"signatureName": name},
            "modelTopology": kit.to_dict(frozen.graph),
            "weightsManifest": [{"paths": names, "weights": weights}],
        }
        durable.write_new(directory / FILE, json.dumps(model, sort_keys=True).encode(), None)

    def answers(self, name: str, requests: Sequence[Mapping[str, Any]], directory: Path) -> list[dict[str, Any]]:
        """Run a model on requests.

        Raises:
            Refusal: It fails.
        """
        del name
        asked = [{key: _to_json(key, array) for key, array in each.items()} for each in requests]
        answers: list[dict[str, Any]] = self._ask(directory / FILE, asked)["answers"]
        return [{key: _from_json(told) for key, told in answer.items()} for answer in answers]

    def _ask(self, model: Path | None, requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        self._asked += 1
        asked = self._scratch / f"asked-{self._asked}.json"
        text = json.dumps({"model": None if model is None else str(model), "requests": list(requests)})
        durable.write_new(asked, text.encode(), None)
        with subprocess.Popen(
            [self._program, str(_SCRIPT), str(asked)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as node:
            if node.stdout is None:
                raise AssertionError
            told = node.stdout.read()  # its input stays open: when it ends, so does Node
        try:
            answer: dict[str, Any] = json.loads(told)
        except ValueError:
            how = f"exit status {node.returncode}" if node.returncode >= 0 else f"signal {-node.returncode}"
            raise Refusal("convert-run", f"Node ended without an answer ({how})") from None
        text = str(answer.get("error", ""))
        if answer.get("kind") == "missing":
            raise Refusal(
                "converter-missing",
                f"{PACKAGE}, which runs what comes out, is not installed for Node: {text[:_TEXT]}",
                f"`npm install --prefix DIR {PACKAGE}@{_VERSION}`, and NODE_PATH=DIR/node_modules",
            )
        if "error" in answer:
            unknown = sorted({next(filter(None, found)) for found in _UNKNOWN.findall(text)})
            if unknown:
                message = f"TensorFlow.js has no kernel for what the signature does: {', '.join(unknown)}"
                raise Refusal("convert-unsupported", message)
            raise Refusal("convert-run", f"TensorFlow.js cannot run what came out: {text[:_TEXT]}")
        return answer


def _rewrite(kit: Kit, graph: Any) -> None:
    """Write what TensorFlow.js has no kernel for in other words: `Erfc(x)`, of GELU, is `1 - Erf(x)`."""
    for node in [node for node in graph.node if node.op == "Erfc"]:
        inner, one = graph.node.add(), graph.node.add()
        inner.CopyFrom(node)
        inner.op, inner.name = "Erf", f"{node.name}/erf"
        tensor = kit.tensorflow.make_tensor_proto(1, kit.tensorflow.dtypes.as_dtype(node.attr["T"].type))
        one.op, one.name = "Const", f"{node.name}/one"
        one.attr["dtype"].type = tensor.dtype
        one.attr["value"].tensor.CopyFrom(tensor)
        node.op = "Sub"
        node.input[:] = [one.name, inner.name]


def _program(name: str) -> str:
    """Where a program is."""
    for place in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(place or os.curdir, name)
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise Refusal(
        "converter-missing",
        f"Node, which runs what comes out, is not installed here: no `{name}`",
        "Node 18 or newer in PATH",
    )


def _weight(name: str, array: Any, quantize: str) -> tuple[dict[str, Any], bytes]:
    """What the list of weights says of a constant, and its bytes."""
    spec: dict[str, Any] = {"name": name, "shape": list(array.shape)}
    kind = array.dtype.kind
    if kind == "O":
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.ravel().tolist()]
        return {**spec, "dtype": "string"}, b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    if kind == "b":
        return {**spec, "dtype": "bool"}, array.astype(np.uint8).tobytes()
    if kind in "iu":
        limits = np.iinfo(np.int32)  # it has no longer integers; the largest of those mean "to the end"
        return {**spec, "dtype": "int32"}, np.clip(array, limits.min, limits.max).astype("<i4").tobytes()
    if kind == "c":
        return {**spec, "dtype": "complex64"}, array.astype("<c8").tobytes()
    if quantize == "float16" and array.size > 1:  # a single one is a setting, which may be too small
        spec["quantization"] = {"original_dtype": "float32", "dtype": "float16"}
        return {**spec, "dtype": "float32"}, array.astype("<f2").tobytes()
    return {**spec, "dtype": "float32"}, array.astype("<f4").tobytes()


def _to_json(key: str, array: Any) -> dict[str, Any]:
    kind = {"b": "bool", "i": "int32", "u": "int32"}.get(array.dtype.kind, "float32")
    values = array.astype(_KINDS[kind])
    if kind == "int32" and not bool((values == array).all()):
        raise malformed(f"input `{key}` holds an integer that TensorFlow.js has no type for", "32 bits", array.dtype)
    return {"dtype": kind, "shape": list(array.shape), "data": base64.b64encode(values.tobytes()).decode()}


def _from_json(told: Mapping[str, Any]) -> Any:
    kind = _KINDS.get(told["dtype"])
    if kind is None:
        raise Refusal("convert-unsupported", f"TensorFlow.js answers with {told['dtype']}", "float32, int32 or bool")
    return np.frombuffer(base64.b64decode(told["data"]), kind).reshape(told["shape"])
