"""Values of requests and answers: JSON to arrays and back. Used in the inspector's child alone.

Numbers that JSON has no words for are the strings `NaN`, `Infinity` and `-Infinity`; bytes that are no UTF-8 are
`{"b64": …}`, as in TensorFlow Serving's REST interface; a complex number is `{"real": …, "imag": …}`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterable
from typing import Any

#: How many values one answer may have as JSON.
MOST_VALUES = 4 * 1024 * 1024
#: How much of what somebody gave a message repeats.
TEXT = 200
_MOST_LEVELS = 32
_WORDS: dict[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Refusal(Exception):  # noqa: N818 - an answer, not an accident
    """What is wrong with a request, or with the answer to it.

    Args:
        kind: A short stable word.
        message: What, and where.
        expected: What should have been there.
        got: What was there.
    """

    def __init__(self, kind: str, message: str, expected: object = None, got: object = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)[:TEXT]

    def answer(self) -> dict[str, Any]:
        """The same as one line for the parent."""
        return {"error": str(self), "kind": self.kind, "expected": self.expected, "got": self.got}


def malformed(message: str, expected: object = None, got: object = None) -> Refusal:
    """The refusal of a file or value that is not as it should be."""
    return Refusal("requests-malformed", message, expected, got)


def to_array(value: Any, dtype: Any, where: str) -> Any:
    """A value as an array.

    Args:
        value: What JSON had, or an array of another type that holds the same values.
        dtype: The numpy type that it shall have; strings are objects.
        where: What it is, for messages.

    Raises:
        Refusal: It does not fit.
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        return _cast(value, dtype, where)
    shape, level = list[int](), value
    while isinstance(level, list):
        shape.append(len(level))
        if len(shape) > _MOST_LEVELS:
            raise malformed(f"{where} is nested too deep", f"at most {_MOST_LEVELS} levels")
        if not level:
            break
        level = level[0]
    flat = [value]
    for size in shape:
        if not all(isinstance(item, list) and len(item) == size for item in flat):
            raise malformed(f"{where} is not a regular array", "lists of the same length at each level")
        flat = [leaf for item in flat for leaf in item]
    array = np.empty(len(flat), dtype)
    for index, leaf in enumerate(flat):
        try:
            array[index] = _leaf(leaf, dtype)
        except (ValueError, OverflowError):
            raise malformed(f"{where} holds a wrong value", dtype_name(dtype), json.dumps(leaf)) from None
    return array.reshape(shape)


def _leaf(value: Any, dtype: Any) -> Any:
    """One value; `ValueError` where the type has none such."""
    kind = dtype.kind
    if kind == "O":
        return _string(value)
    if isinstance(value, bool) is not (kind == "b"):
        raise ValueError
    if kind in "iu" and not (isinstance(value, int) and _fits(value, dtype)):
        raise ValueError
    return value if kind in "biu" else _number(value, is_complex=kind == "c")


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not is_b64(value):
        raise ValueError
    try:
        return base64.b64decode(value["b64"], validate=True)
    except binascii.Error:
        raise ValueError from None


def _number(value: Any, *, is_complex: bool) -> float | complex:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if is_complex and isinstance(value, dict) and set(value) == {"real", "imag"}:
        return complex(*(_number(value[part], is_complex=False).real for part in ("real", "imag")))
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    raise ValueError


def _fits(value: int, dtype: Any) -> bool:
    import numpy as np

    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max)


def is_b64(value: Any) -> bool:
    """Whether a value of JSON is bytes."""
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _cast(array: Any, dtype: Any, where: str) -> Any:
    """An array of another type, where no value is lost but digits of a fraction."""
    import numpy as np

    if array.dtype == dtype:
        return array
    if dtype.kind == "O" and array.dtype.kind in "SU":
        try:
            result: Any = texts(array.ravel())
        except ValueError:
            raise malformed(f"{where} holds a wrong value", "texts that UTF-8 can hold") from None
        return result.reshape(array.shape)
    if dtype.kind in "biufcV" and array.dtype.kind in "biufc" and np.can_cast(array.dtype, dtype, "same_kind"):
        with np.errstate(over="ignore"):
            result = array.astype(dtype)
        if dtype.kind not in "iu" or bool((result == array).all()):
            return result
    raise malformed(f"{where} has another type", dtype_name(dtype), array.dtype)


def texts(flat: Any) -> Any:
    """An array or a list of texts as an array of bytes, as TensorFlow has them.

    Raises:
        ValueError: One is no text that UTF-8 can hold: half a character, or none that there is.
    """
    import numpy as np

    values = flat if isinstance(flat, list) else flat.tolist()
    result: Any = np.empty(len(values), object)
    result[:] = [text.encode() if isinstance(text, str) else text for text in values]
    return result


def dtype_name(dtype: Any) -> str:
    """TensorFlow's name of a numpy type."""
    return "string" if dtype.kind == "O" else str(dtype.name)


def to_json(array: Any, where: str) -> Any:
    """An array as JSON has it.

    Raises:
        Refusal: It has too many values.
    """
    if array.size > MOST_VALUES:
        raise Refusal(
            "outputs-too-large", f"{where} is too large for JSON", f"at most {MOST_VALUES} values", array.size
        )
    import numpy as np

    words = np.empty(array.size, object)
    words[:] = [_word(value) for value in _plain(array.ravel())]
    return words.reshape(array.shape).tolist()


def _plain(flat: Any) -> Iterable[Any]:
    """Its values; of a short float the shortest number that means it."""
    if flat.dtype.kind == "V" or (flat.dtype.kind == "f" and flat.dtype.itemsize < 8):
        return [float(text) for text in flat.astype("float32").astype(str).tolist()]
    values: list[Any] = flat.tolist()
    return values


def _word(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, complex):
        return {"real": _word(value.real), "imag": _word(value.imag)}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value
