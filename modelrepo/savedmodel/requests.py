"""Example requests and their answers, as files: JSON or `.npz`. Used in the inspector's child alone.

Whatever is wrong with a file is a `Refusal` that says where. What the values mean is known to `arrays`.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from modelrepo.savedmodel.arrays import TEXT, Refusal, is_b64, malformed

#: What a signature is called that nobody named.
DEFAULT = "serving_default"
ABSOLUTE = RELATIVE = 1e-5
_MOST_UNPACKED = 256 * 1024 * 1024
_ZIP = b"PK\x03\x04"
#: How an array of one of several requests is called.
_NUMBERED = re.compile(r"(\d+/)?inputs/.")


@dataclass(frozen=True)
class Request:
    """One call of a signature.

    Attributes:
        inputs: Values by key: as JSON has them, or arrays.
        outputs: The right answers, likewise; empty where only the answers are wanted.
        signature: Which signature; None where nobody said.
    """

    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    signature: str | None = None


@dataclass(frozen=True)
class Golden:
    """Requests with their answers, and how far an answer may be off: `absolute + relative * |right answer|`."""

    requests: tuple[Request, ...]
    absolute: float = ABSOLUTE
    relative: float = RELATIVE


def parse_golden(data: bytes) -> Golden:
    """Read requests and their answers.

    Raises:
        Refusal: It is something else.
    """
    return _golden_arrays(parse_archive(data)) if data.startswith(_ZIP) else _golden_document(parse_json(data))


def parse_requests(data: bytes) -> tuple[Request, ...]:
    """Read requests, with answers or without: a file as `parse_golden` reads, or one as `parse_inputs` does.

    Raises:
        Refusal: It is something else.
    """
    if data.startswith(_ZIP):
        arrays = parse_archive(data)
        several = any(_NUMBERED.match(name) for name in arrays)
        return _golden_arrays(arrays, answered=False).requests if several else (Request(arrays),)
    document = parse_json(data)
    entries = document.get("requests") if isinstance(document, dict) else None
    # An input may be called `requests`; of bytes its values are objects, too.
    if isinstance(entries, list) and all(isinstance(each, dict) and each.keys() != {"b64"} for each in entries):
        return _golden_document(document, answered=False).requests
    return (parse_inputs(data),)


def parse_inputs(data: bytes) -> Request:
    """Read the inputs of one call: `{"inputs": {…}}`, a bare object of inputs, or an archive of arrays.

    Raises:
        Refusal: It is something else.
    """
    if data.startswith(_ZIP):
        arrays = parse_archive(data)
        named = {name.removeprefix("inputs/"): array for name, array in arrays.items() if name.startswith("inputs/")}
        return Request(named or arrays)
    document = parse_json(data)
    if not isinstance(document, dict):
        raise malformed("the document is not an object", "an object of inputs", _kind(document))
    inputs = document.get("inputs")
    if set(document) == {"inputs"} and isinstance(inputs, dict) and not is_b64(inputs):
        return Request(inputs)
    return Request(document)


def check(request: dict[str, Any]) -> dict[str, Any]:
    """Answer the parent whether a file holds requests and answers, and how many."""
    return {"requests": len(parse_golden(Path(request["path"]).read_bytes()).requests)}


@dataclass(frozen=True)
class Trial:
    """What to run, read before the model is loaded: what the model then does to the files changes nothing."""

    golden: Golden | None
    answers: Golden | None
    smoke: bool
    inputs: Request | None
    signature: str | None

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Trial:
        """Read what the parent wants."""
        golden, answers, inputs = request.get("golden"), request.get("answers"), request.get("inputs")
        return cls(
            parse_golden(Path(golden).read_bytes()) if golden else None,
            parse_golden(Path(answers).read_bytes()) if answers else None,
            bool(request.get("smoke")),
            parse_inputs(Path(inputs).read_bytes()) if inputs else None,
            request.get("signature"),
        )


def parse_json(data: bytes) -> Any:
    """Read a document.

    Raises:
        Refusal: It is none, or a key stands twice in an object.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, absurd numbers, absurd nesting
        raise malformed(f"the file is neither JSON nor an .npz archive: {str(error)[:TEXT]}") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return fields


def _golden_document(document: Any, *, answered: bool = True) -> Golden:
    """What a document of requests says; without answers, a signature that nobody named stays open."""
    _require_keys("the document", document, {"signature", "requests", "tolerance"})
    entries = document.get("requests")
    if not isinstance(entries, list) or not entries:
        raise malformed("the document holds no requests", "an array `requests` with at least one entry")
    shared = _signature("the document", document, DEFAULT if answered else None)
    requests = tuple(_request(number, entry, shared, answered=answered) for number, entry in enumerate(entries, 1))
    tolerance: Any = document.get("tolerance", {})
    _require_keys("`tolerance`", tolerance, {"absolute", "relative"})
    return Golden(requests, _allowed(tolerance, "absolute", ABSOLUTE), _allowed(tolerance, "relative", RELATIVE))


def _request(number: int, entry: Any, signature: str | None, *, answered: bool) -> Request:
    where = f"request {number}"
    _require_keys(where, entry, {"signature", "inputs", "outputs"})
    inputs, outputs = entry.get("inputs"), entry.get("outputs")
    if not isinstance(inputs, dict):
        raise malformed(f"{where} has no inputs", "an object `inputs`", _kind(inputs))
    if answered and (not isinstance(outputs, dict) or not outputs):
        raise malformed(f"{where} has no answers", "an object `outputs` with at least one key", _kind(outputs))
    named = _signature(where, entry, signature) if "signature" in entry else signature
    return Request(inputs, outputs if isinstance(outputs, dict) else {}, named)


def _signature(where: str, document: dict[str, Any], default: str | None) -> str | None:
    signature = document.get("signature", default)
    if not isinstance(signature, str) and (signature is not None or "signature" in document):
        raise malformed(f"the `signature` of {where} is no text", "a signature's name", _kind(signature))
    return signature


def _allowed(tolerance: dict[str, Any], key: str, default: float) -> float:
    value = tolerance.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise malformed(f"the {key} tolerance is wrong", "a finite number, not negative", value)
    return float(value)


def _require_keys(where: str, document: Any, known: set[str]) -> None:
    """Refuse what is no object, or has other keys than these."""
    if not isinstance(document, dict):
        raise malformed(f"{where} is not an object", f"an object of {_listed(known)}", _kind(document))
    unknown = document.keys() - known
    if unknown:
        raise malformed(f"{where} has unknown keys", _listed(known), _listed(unknown))


def parse_archive(data: bytes) -> dict[str, Any]:
    """The arrays of an archive; nothing in it is ever unpickled.

    Raises:
        Refusal: It is none, too large, or holds something else.
    """
    try:
        import numpy as np

        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MOST_UNPACKED:
            _refuse_size(unpacked)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {str(name): archive[name] for name in archive.files}
    except (Refusal, MemoryError):
        raise
    except ImportError:
        raise malformed("an .npz archive cannot be read without numpy, which comes with TensorFlow", "JSON") from None
    except Exception as error:  # noqa: BLE001 - zipfile's, zlib's and numpy's errors have no common base
        raise malformed(f"the .npz archive cannot be read: {str(error)[:TEXT]}", "arrays of plain values") from None
    for name, array in arrays.items():
        if isinstance(array, bytes):  # numpy hands out other files of an archive as they are
            raise malformed("the archive holds something else", "arrays", name)
    return arrays


def _refuse_size(unpacked: int) -> NoReturn:
    raise malformed("the archive is too large", f"at most {_MOST_UNPACKED} bytes unpacked", unpacked)


def _golden_arrays(arrays: dict[str, Any], *, answered: bool = True) -> Golden:
    """`inputs/KEY` and `outputs/KEY`, with `N/` before them where there are several requests."""
    settings: dict[str, Any] = {
        name: arrays.pop(name) for name in ("signature", "absolute", "relative") if name in arrays
    }
    if any(array.ndim for array in settings.values()):
        raise malformed("`signature`, `absolute` and `relative` are single values, not arrays")
    plain: dict[str, Any] = {name: array.item() for name, array in settings.items()}
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for name, array in arrays.items():
        number, _, rest = name.partition("/") if name.partition("/")[0].isdecimal() else ("1", "", name)
        side, _, key = rest.partition("/")
        if side not in {"inputs", "outputs"} or not key or len(number) > len("1000000"):
            raise malformed("the archive holds something else", "inputs/KEY, outputs/KEY, or N/ before them", name)
        found.setdefault(int(number), {"inputs": {}, "outputs": {}})[side][key] = array
    if not found:
        raise malformed("the archive holds no requests", "arrays inputs/KEY and outputs/KEY")
    signature = _signature("the archive", plain, DEFAULT if answered else None)
    entries = sorted(found.items())
    requests = tuple(_request(number, entry, signature, answered=answered) for number, entry in entries)
    return Golden(requests, _allowed(plain, "absolute", ABSOLUTE), _allowed(plain, "relative", RELATIVE))


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
