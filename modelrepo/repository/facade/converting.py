"""The method that makes something else of a version."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Literal

from modelrepo.core.refs import Version
from modelrepo.errors import RequestError
from modelrepo.repository import results
from modelrepo.repository.border import LOAD_TIMEOUT, border, memory, ops, parsed, place, require, seconds
from modelrepo.repository.facade.rooted import Rooted

Place = str | os.PathLike[str]


class Converting(Rooted):
    """`convert`."""

    def convert(
        self,
        ref: str | Version,
        to: Literal["tflite", "tfjs"],
        *,
        output: Place | None = None,
        keep: bool = False,
        signature: str | None = None,
        batch_size: int | None = None,
        quantize: Literal["none", "dynamic", "float16", "int8"] = "none",
        calibration: Place | bytes | None = None,
        inputs: Place | bytes | None = None,
        tolerance: float | None = None,
        seed: int = 0,
        load_timeout: timedelta = LOAD_TIMEOUT,
        load_memory: int | None = None,
        allow_ops: Collection[str] = (),
    ) -> results.Conversion:
        """Make a model for phones or browsers of one signature, in a child process, and compare its answers.

        Others see what comes out whole, at its goal or in the repository, or not at all; it is never there where its
        answers were not compared, or were too far from the version's.

        Args:
            ref: Which version; it is leased meanwhile.
            to: `tflite`, one file for LiteRT; or `tfjs`, a directory for `tf.loadGraphModel` of TensorFlow.js.
            output: Where it goes, outside any repository; nothing may be there, of `tfjs` an empty directory may.
            keep: Let the repository keep it beside the version; the same content is kept once.
            signature: Which signature; None for `serving_default`, or the only one.
            batch_size: The size of the batches that it shall take; None for what the signature says.
            quantize: With which numbers: `float16` and `dynamic` (weights of 8 bits) make it smaller, `int8` also
                quicker; TensorFlow.js knows `none` and `float16`.
            calibration: Of `int8`, typical requests (docs/convert.md): a file's path, or its bytes.
            inputs: Requests to compare by, likewise; None for the version's golden ones, else made-up ones.
            tolerance: How far an output may be off, relative to its largest value; None for what suits `quantize`.
            seed: What requests are made up from.
            load_timeout: How long all of it may take.
            load_memory: Bytes of memory it may take (Linux).
            allow_ops: Ops that do not keep it from being loaded, besides those that its push let in.

        Returns:
            What was made, by what, and how far its answers are off.

        Raises:
            NotFoundError: There is no such version or signature.
            RequestError: What is asked for does not go together, or requests do not fit.
            RefusedError: Something is at the goal, or it lies in a repository.
            ModelError: What converts or runs it is missing; the version was refused, or cannot be converted; or what
                came out answers otherwise. Nothing was stored.
        """
        from modelrepo.repository import converting, inspecting
        from modelrepo.savedmodel.conversion import QUANTIZES, TOLERANCES, Requests, Wishes

        with border("convert the version", outside=not keep):
            if to not in QUANTIZES or quantize not in TOLERANCES:
                known = f"one of {', '.join(QUANTIZES)}; quantize one of {', '.join(TOLERANCES)}"
                raise RequestError(f"nothing converts to {to}, {quantize}", kind="usage", expected=known)
            require("batch_size", batch_size, 1)
            require("seed", seed, 0)
            allowed = TOLERANCES[quantize] if tolerance is None else tolerance
            if not 0 <= allowed < math.inf:
                message, expected = "the tolerance is wrong", "a finite number, not negative"
                raise RequestError(message, kind="number-malformed", expected=expected, got=allowed)
            requests = Requests(_bytes(inputs, "the requests"), None, _bytes(calibration, "the calibration"))
            goal = converting.Goal(None if output is None else Path(place(output, "the goal")), keep)
            wishes = Wishes(to, quantize, signature, batch_size, allowed, seed)
            limits = inspecting.Limits(seconds(load_timeout), memory(load_memory), ops(allow_ops))
            return converting.convert(self._layout, parsed(ref), wishes, requests, goal, limits, self._timeout)


def _bytes(given: Place | bytes | None, what: str) -> bytes | None:
    """The bytes of a file of requests."""
    from modelrepo.repository import golden

    if given is None:
        return None
    return golden.bounded(given, what) if isinstance(given, bytes) else golden.read_requests(Path(place(given, what)))
