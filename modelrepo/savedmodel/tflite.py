"""TensorFlow Lite: a frozen signature becomes one file, which LiteRT's interpreter runs. In the child alone."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelrepo.fs import durable
from modelrepo.savedmodel import freezing
from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.freezing import Frozen, Kit

FILE = "model.tflite"
_PACKAGE = "ai-edge-litert"
_TEXT = 500
#: How the converter names an op that it cannot translate.
_OP = re.compile(r"'?tf\.([A-Za-z0-9_]+)'? op|Flex([A-Z][A-Za-z0-9]+)|\btf\.([A-Z][A-Za-z0-9]+)\(")


class Lite:
    """The converter of TensorFlow, and the interpreter that runs what comes out on phones.

    Raises:
        Refusal: The interpreter is not installed.
    """

    #: It keeps loops as they are.
    lowered = False

    def __init__(self) -> None:
        try:
            self._interpreter = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise Refusal(
                "converter-missing",
                f"{_PACKAGE}, whose interpreter runs what comes out, is not installed here: {error}",
                f"{_PACKAGE}, which `pip install 'modelrepo[tflite]'` brings",
            ) from None
        self.tools = {_PACKAGE: importlib.metadata.version(_PACKAGE)}

    def convert(
        self,
        kit: Kit,
        frozen: Frozen,
        name: str,
        quantize: str,
        calibration: Sequence[Mapping[str, Any]],
        directory: Path,
    ) -> None:
        """Write a file.

        Args:
            kit: TensorFlow.
            frozen: The signature.
            name: Its name.
            quantize: `none`, `dynamic`, `float16` or `int8`.
            calibration: Of `int8`, requests that say how large the numbers inside get.
            directory: An empty one.

        Raises:
            Refusal: The converter cannot.
        """
        lite = kit.tensorflow.lite
        model = str(directory.with_name("frozen"))
        freezing.save(kit, frozen, name, model)
        converter = lite.TFLiteConverter.from_saved_model(model, signature_keys=[name])
        if quantize != "none":
            converter.optimizations = [lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [kit.tensorflow.float16]
        if quantize == "int8":

            def examples() -> Iterator[dict[str, Any]]:
                for each in calibration:
                    yield dict(each)

            converter.representative_dataset = examples
        try:
            data = bytes(converter.convert())
        except MemoryError:
            raise
        except Exception as error:
            text = str(error)
            ops = sorted({next(filter(None, found)) for found in _OP.findall(text)})
            if ops:
                message = f"TensorFlow Lite has no kernel for what signature `{name}` does: {', '.join(ops)}"
                raise Refusal("convert-unsupported", message) from error
            message = f"the converter failed: {type(error).__name__}: {text[:_TEXT]}"
            raise Refusal("convert-failed", message) from error
        durable.write_new(directory / FILE, data, None)

    def answers(self, name: str, requests: Sequence[Mapping[str, Any]], directory: Path) -> list[dict[str, Any]]:
        """Run a file's signature on requests.

        Raises:
            Refusal: It fails.
        """
        try:
            run = self._interpreter.Interpreter(model_path=str(directory / FILE)).get_signature_runner(name)
            return [{key: array.copy() for key, array in run(**request).items()} for request in requests]
        except MemoryError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:_TEXT]}"
            raise Refusal("convert-run", f"LiteRT cannot run what came out: {text}") from error
