"""A conversion as the parent sees it: what shall be made, and what the child says that it has made."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modelrepo.core.documents import Document
from modelrepo.savedmodel.runner import Inspector

Target = Literal["tflite", "tfjs"]
Quantize = Literal["none", "dynamic", "float16", "int8"]
#: What each of them can be.
QUANTIZES: dict[Target, tuple[Quantize, ...]] = {
    "tflite": ("none", "dynamic", "float16", "int8"),
    "tfjs": ("none", "float16"),
}
#: How far an answer may be off, relative to the largest (docs/convert.md says why).
TOLERANCES: dict[Quantize, float] = {"none": 1e-4, "float16": 5e-3, "dynamic": 5e-2, "int8": 1e-1}


class Wishes(NamedTuple):
    """What a conversion shall be.

    Attributes:
        to: For what.
        quantize: With which numbers.
        signature: Which signature; None for `serving_default`, or the only one.
        batch: The size of the batches that it takes; None for what the signature says.
        tolerance: How far an answer may be off, relative to the largest of its output.
        seed: What requests are made up from.
    """

    to: Target
    quantize: Quantize = "none"
    signature: str | None = None
    batch: int | None = None
    tolerance: float = TOLERANCES["none"]
    seed: int = 0


class Requests(NamedTuple):
    """Bytes of files of requests, or None.

    Attributes:
        given: What answers are compared by.
        golden: The version's own: likewise where none are given.
        calibration: What says how large the numbers inside get.
    """

    given: bytes | None = None
    golden: bytes | None = None
    calibration: bytes | None = None


class Made(Document):
    """What the child has made.

    Attributes:
        signature: Of which signature.
        loader: How the version was loaded: as TensorFlow Serving does, or by `tf.saved_model.load`, where only that
            fills the variables that the signature reads.
        tools: What made and ran it, and their versions.
        source: Which requests it was compared by: `given`, `golden` or `generated`.
        requests: How many.
        differences: How far each output is off at most, relative to the largest value of the version's.
    """

    signature: str
    loader: Literal["session", "objects"]
    tools: dict[str, str]
    source: Literal["given", "golden", "generated"]
    requests: int
    differences: dict[str, float]


def convert(
    inspector: Inspector,
    path: Path,
    tags: Collection[str],
    wishes: Wishes,
    requests: Requests,
    *,
    objects: bool,
) -> tuple[Path, Made]:
    """Convert a signature of a version that was read; what comes out stays until the inspector ends.

    Args:
        inspector: The process that read it.
        path: Where the version is.
        tags: Which meta graph.
        wishes: What shall be made.
        requests: What it is compared by.
        objects: Whether its variables are filled by `tf.saved_model.load` alone.

    Returns:
        The directory that holds it, and what was made.

    Raises:
        ModelError: It cannot be converted, or answers otherwise.
        RequestError: Requests do not fit.
        NotFoundError: There is no such signature.
    """
    directory = inspector.scratch / "converted"
    request: dict[str, Any] = {
        "do": "convert",
        "path": str(path),
        "tags": list(tags),
        "wishes": wishes._asdict(),
        "objects": objects,
        "directory": str(directory),
        **{name: None if data is None else inspector.hand(data) for name, data in requests._asdict().items()},
    }
    return directory, inspector.ask(request, "converting the model", Made)
