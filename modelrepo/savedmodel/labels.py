"""Right classes, as a file: JSON, `.npy` or `.npz`. Used in the inspector's child that judges a comparison."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from modelrepo.savedmodel.arrays import TEXT, Refusal, texts
from modelrepo.savedmodel.requests import parse_archive, parse_json

_ARRAY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
#: Names of an array that is meant for every output.
_ANY = {"labels", "arr_0"}
#: Of a label, with either sign: what lies below stands for no class (`judging`).
_LARGEST = 2**63 - 1
_EXPECTED = "whole numbers or texts: one for each row"


def unfit(message: str, expected: object = None, got: object = None) -> Refusal:
    """The refusal of labels that are none, or fit no output."""
    return Refusal("labels-malformed", message, expected, got)


def parse(data: bytes) -> dict[str | None, Any]:
    """Read labels: of each output that has some of its own an array of int64 or of bytes; under None those for all.

    Raises:
        Refusal: It is something else.
    """
    if data.startswith(_ARRAY):
        try:
            found: dict[str | None, Any] = {None: np.load(io.BytesIO(data), allow_pickle=False)}
        except Exception as error:  # noqa: BLE001 - numpy's errors have no common base
            raise unfit(f"the labels cannot be read: {str(error)[:TEXT]}", "an array of plain values") from None
    elif data.startswith(_ZIP):
        found = {str(name): array for name, array in _asked(parse_archive, data).items()}
    else:
        document = _asked(parse_json, data)
        found = dict(document) if isinstance(document, dict) else {None: document}
        found = {name: _array(value) for name, value in found.items()}
    if len(found) == 1 and next(iter(found)) in _ANY:
        found = {None: next(iter(found.values()))}
    if not found:
        raise unfit("the file holds no labels", _EXPECTED)
    return {name: _plain(array) for name, array in found.items()}


def _asked(parse: Callable[[bytes], Any], data: bytes) -> Any:
    """Read a file as requests are read, and say that it is labels which are wrong."""
    try:
        return parse(data)
    except Refusal as refusal:
        raise unfit(f"the labels cannot be read: {refusal}", _EXPECTED, refusal.got) from None


def _array(value: Any) -> Any:
    """Nested lists, flat: a list per request may stand there, which need not be of one length."""
    flat, rest = list[Any](), [value]
    while rest:
        each = rest.pop()
        if isinstance(each, list):
            rest.extend(reversed(each))
        else:
            flat.append(each)
    if not isinstance(value, list) or not flat:
        raise unfit("the labels are no list", _EXPECTED, json.dumps(value))
    if all(isinstance(each, str) for each in flat):
        return _texts(flat)
    wrong = [each for each in flat if isinstance(each, bool) or not isinstance(each, int) or abs(each) > _LARGEST]
    if wrong:
        raise unfit("the labels hold something else", _EXPECTED, json.dumps(wrong[0]))
    return np.array(flat, np.int64)


def _plain(array: Any) -> Any:
    flat = array.ravel()
    if flat.dtype.kind in "iu":
        wrong = flat[(flat > _LARGEST) | (flat < -_LARGEST)]
        if wrong.size:
            raise unfit("the labels hold something else", _EXPECTED, wrong[0])
        return flat.astype(np.int64)
    if flat.dtype.kind in "SU":
        return _texts(flat)
    if flat.dtype.kind == "O":
        return flat
    raise unfit("the labels have another type", "integers or texts", array.dtype)


def _texts(flat: Any) -> Any:
    try:
        return texts(flat)
    except ValueError as error:
        raise unfit("the labels hold a text that UTF-8 cannot hold", _EXPECTED, str(error)) from None
