"""A signature of a version becomes a model for phones or browsers, which is run and compared before anybody gets it.

Used in the inspector's child. Files of requests are read first, and what converts and runs is looked for, so that what
is wrong with those is told before anything is loaded. The version answers; the signature is frozen (`freezing`) and
converted (`tflite`, `tfjs`); what came out answers the same requests. Too large a difference is a refusal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelrepo.fs import durable
from modelrepo.savedmodel import closeness, examples, freezing, requests
from modelrepo.savedmodel.arrays import Refusal
from modelrepo.savedmodel.freezing import Kit
from modelrepo.savedmodel.tfjs import Browser
from modelrepo.savedmodel.tflite import Lite


def convert(kit: Callable[[], tuple[Any, ...]], request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the parent's request for a conversion (`conversion.convert`).

    Args:
        kit: Imports TensorFlow, and gives the fields of a `Kit`.
        request: What the parent wants.

    Returns:
        The fields of `conversion.Made`; the files lie in the directory that the request names.

    Raises:
        Refusal: Something is missing or does not fit, the signature cannot be converted, or the answers differ.
    """
    wishes, directory = request["wishes"], Path(request["directory"])
    given, golden, calibration = (
        None if request[name] is None else requests.parse_requests(Path(request[name]).read_bytes())
        for name in ("given", "golden", "calibration")
    )
    maker = Browser(directory.parent) if wishes["to"] == "tfjs" else Lite()
    found = Kit(*kit())
    objects, batch = bool(request["objects"]), wishes["batch"]
    with freezing.loaded(found, request["path"], request["tags"], objects=objects) as model:
        name = model.named(wishes["signature"])
        if batch is not None:
            model.fix_batch(name, batch)
        measured = [] if calibration is None else examples.arrays(model, name, calibration, "calibration request")
        wanted = examples.of(found, model, name, given, golden, wishes["seed"])
        frozen = model.frozen(name, batch, lowered=maker.lowered)
    durable.make_directory(directory, None)
    maker.convert(found, frozen, name, wishes["quantize"], measured, directory)
    off = closeness.differences(wanted.answers, maker.answers(name, wanted.inputs, directory))
    _require_close(name, off, wishes["tolerance"])
    return {
        "signature": name,
        "loader": "objects" if objects else "session",
        "tools": {"tensorflow": found.tensorflow.__version__, **maker.tools},
        "source": wanted.source,
        "requests": len(wanted.inputs),
        "differences": off,
    }


def _require_close(name: str, off: Mapping[str, float], tolerance: float) -> None:
    worst = max(off, key=lambda key: off[key])
    if off[worst] <= tolerance:
        return
    how = f"by {off[worst]:.3g} of its largest value" if math.isfinite(off[worst]) else "in shape, NaN or infinity"
    wrong = sum(each > tolerance for each in off.values())
    more = f" ({wrong} of {len(off)} outputs differ)" if len(off) > 1 else ""
    raise Refusal(
        "convert-mismatch",
        f"what came out answers otherwise than the version: output `{worst}` of signature `{name}` differs {how}{more}",
        f"at most {tolerance:g}",
        f"{off[worst]:.6g}",
    )
