"""The figures of a comparison: what two models have answered to the same requests, output by output.

In a child of its own that has loaded no model. What a class is, and when rows agree, `docs/compare.md` says.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from modelrepo.savedmodel import answering, closeness, labels, parsing
from modelrepo.savedmodel.packing import unpack

#: How many rows whose class has changed are named.
_EXAMPLES = 10
_NUMBERS = "iufc"
#: The class of a row that holds a NaN, or an integer that no label can be: no label is this.
_NONE = -(2**63)


class _Output:
    """What is known of one output so far."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._dtypes: tuple[str, str] | None = None
        self._values = self._changed = self._apart = self._compared = 0
        self._total = 0.0
        self._largest: float | None = None
        self._where: dict[str, Any] | None = None
        self._not_finite = [0, 0]
        self._rows = self._agreeing = self._classed = self._moved = 0
        self._unlike = 0
        self._shapes: tuple[str, str] | None = None
        self._decades: Counter[int | None] = Counter()
        self._examples: list[dict[str, Any]] = []
        self._classes: tuple[list[Any], list[Any]] = ([], [])

    def add(self, number: int, one: tuple[str, Any], two: tuple[str, Any]) -> None:
        """Take in the answers to one request."""
        (dtype, before), (other, after) = one, two
        self._dtypes = self._dtypes or (dtype, other)
        scored = _has_top(before) and _has_top(after)
        rows = len(_rows(before, scored=scored))
        offset, self._rows = self._rows, self._rows + rows
        for side, array in enumerate((before, after)):
            self._classes[side].append(_classes(array))
            if array.dtype.kind in "fc":
                self._not_finite[side] += int(np.sum(~np.isfinite(array)))
        if before.shape != after.shape or _kind(before) != _kind(after):
            self._unlike += 1
            self._shapes = self._shapes or (f"{dtype}{list(before.shape)}", f"{other}{list(after.shape)}")
            return
        self._values += before.size
        within = self._numbers(number, before, after) if _kind(before) == "number" else before == after
        within = np.asarray(within, bool)
        self._changed += int(np.sum(~within))
        if not scored:
            self._agreeing += int(np.sum(np.all(_rows(within, scored=False), axis=1)))
            return
        first, second = _top(before), _top(after)
        moved = np.flatnonzero(first != second)
        self._classed += rows
        self._moved += len(moved)
        self._agreeing += rows - len(moved)
        for row in moved[: _EXAMPLES - len(self._examples)].tolist():
            classes = {side: _said(top[row]) for side, top in (("before", first), ("after", second))}
            self._examples.append({"request": number, "row": row, **classes, "label": None, "place": offset + row})

    def _numbers(self, number: int, before: Any, after: Any) -> Any:
        """Count the differences; return which values are the same within the tolerance."""
        near = closeness.near(before, after, self._tolerance, self._tolerance)
        size = closeness.apart(before, after)
        known = np.isfinite(size)
        self._apart += int(np.sum(~known))
        sizes = size[known]
        self._compared += sizes.size
        self._total += float(np.sum(sizes))
        if sizes.size and (self._largest is None or float(sizes.max()) > self._largest):
            index = int(np.argmax(np.where(known, size, -1.0)))
            self._largest = float(sizes.max())
            place = [int(each) for each in np.unravel_index(index, before.shape)]
            self._where = {"request": number, "index": place} if self._largest else None
        apart = sizes[sizes > 0]
        self._decades[None] += sizes.size - apart.size
        for decade, count in zip(*np.unique(np.floor(np.log10(apart)).astype(int), return_counts=True), strict=True):
            self._decades[int(decade)] += int(count)
        return near

    def accuracy(self, right: Any) -> dict[str, float | None] | None:
        """The share of right classes on both sides, and the labels of the examples; None where nothing fits."""
        shares = [_share_right(each, right) for each in self._classes]
        if shares == [None, None]:
            return None
        for each in self._examples:
            each["label"] = _said(right[each["place"]]) if each["place"] < len(right) else None
        return {"before": shares[0], "after": shares[1]}

    def rows_for(self, right: Any) -> set[int]:
        """How many rows have a class such as the labels are."""
        found = (_joined(each, right) for each in self._classes)
        return {len(each) for each in found if each is not None}

    def said(self) -> dict[str, Any]:
        """All of it."""
        dtypes = self._dtypes or ("unknown", "unknown")
        number = self._compared > 0
        mean = self._total / self._compared if number else math.inf
        return {
            "dtype": {"before": dtypes[0], "after": dtypes[1]},
            "values": self._values,
            "largest": self._largest,
            "largest_at": self._where,
            "mean": mean if math.isfinite(mean) else None,
            "changed": self._changed / self._values if self._values else None,
            "non_finite": {"before": self._not_finite[0], "after": self._not_finite[1]},
            "incomparable": self._apart,
            "rows": self._rows,
            "top1_changed": self._moved / self._classed if self._classed else None,
            "agreement": self._agreeing / self._rows if self._rows else None,
            "accuracy": None,
            "differences": [
                {"exponent": decade, "values": self._decades[decade]}
                for decade in sorted(self._decades, key=lambda each: -math.inf if each is None else each)
                if self._decades[decade]
            ],
            "examples": [{name: each[name] for name in each if name != "place"} for each in self._examples],
            "unlike": None
            if self._shapes is None
            else {"requests": self._unlike, "before": self._shapes[0], "after": self._shapes[1]},
        }


def judge(request: dict[str, Any]) -> dict[str, Any]:
    """Compare the answers of two models.

    Args:
        request: The directories `before` and `after` of the answers, the `signatures` that the requests called, the
            `tolerance`, and the file of `labels`, or None.

    Raises:
        Refusal: The labels do not fit.
        FailedError: Answers are missing or damaged.
    """
    found: dict[tuple[str, str], _Output] = {}
    missing: dict[tuple[str, str], str] = {}
    for number, signature in enumerate(request["signatures"]):
        one, two = (_answer(request[side], number) for side in ("before", "after"))
        for key in sorted({*one, *two}):
            if key in one and key in two:
                output = found.setdefault((signature, key), _Output(request["tolerance"]))
                output.add(number + 1, one[key], two[key])
            else:
                missing[signature, key] = "to" if key in one else "from"
    shares: dict[tuple[str, str], Any] = {}
    if request["labels"] is not None:
        shares = _accuracies(found, read_labels(request["labels"]))
    return {
        "outputs": [
            {**output.said(), "signature": name, "output": key, "accuracy": shares.get((name, key))}
            for (name, key), output in sorted(found.items())
        ],
        "missing": [
            {"signature": name, "output": key, "missing_in": side} for (name, key), side in sorted(missing.items())
        ],
    }


def read_labels(path: str) -> dict[str | None, Any]:
    """Read a file of labels.

    Raises:
        Refusal: It holds something else.
    """
    return labels.parse(Path(path).read_bytes())


def _answer(directory: str, number: int) -> dict[str, tuple[str, Any]]:
    """What a model's process left there; it may be anything."""
    try:
        return unpack(answering.answers(directory, number).read_bytes())
    except MemoryError:
        raise
    except Exception as error:
        if parsing.is_of_system(error) and not isinstance(error, FileNotFoundError):
            raise
        raise parsing.FailedError("model-rubbish", f"the answer to request {number + 1} cannot be read") from error


def _accuracies(found: dict[tuple[str, str], _Output], right: dict[str | None, Any]) -> dict[tuple[str, str], Any]:
    """The accuracies of the outputs that labels are meant for: by name, or having such classes, one for each label."""
    if len({signature for signature, _ in found}) > 1:
        raise labels.unfit("labels need requests that all call one signature", "one signature")
    known = {key for _, key in found}
    unknown = {name for name in right if name is not None} - known
    if unknown:
        raise labels.unfit(f"the labels name an output that there is not: `{min(unknown)}`", ", ".join(sorted(known)))
    shares: dict[tuple[str, str], Any] = {}
    unfit: list[str] = []
    for (signature, key), output in found.items():
        given = right.get(key, right.get(None))
        rows = set[int]() if given is None else output.rows_for(given)
        if given is not None and len(given) in rows:
            shares[signature, key] = output.accuracy(given)
        elif rows or key in right:
            counts = " and ".join(map(str, sorted(rows)))
            unfit.append(f"output `{key}` has {f'{counts} rows' if rows else 'no classes such as they are'}")
            if key in right:
                _unfit(unfit, right)
    if not shares:
        _unfit(unfit or ["no output tells such classes"], right)
    return shares


def _unfit(why: list[str], right: dict[str | None, Any]) -> NoReturn:
    raise labels.unfit(
        f"the labels do not fit: {'; '.join(why)}",
        "one label for each row of an output that tells classes",
        _counted(right),
    )


def _counted(right: dict[str | None, Any]) -> str:
    return ", ".join(f"{len(each)} labels" + ("" if name is None else f" for `{name}`") for name, each in right.items())


def _kind(array: Any) -> str:
    return "number" if array.dtype.kind in _NUMBERS else str(array.dtype.kind)


def _has_top(array: Any) -> bool:
    """Whether its last dimension holds scores: a single one chooses nothing."""
    return bool(array.dtype.kind == "f" and array.ndim > 1 and array.shape[-1] > 1)


def _top(array: Any) -> Any:
    """The place of the largest score of each row, the first of equal ones."""
    scores = array.reshape(-1, array.shape[-1])
    return np.where(np.isnan(scores).any(axis=1), _NONE, np.argmax(scores, axis=1))


def _rows(array: Any, *, scored: bool) -> Any:
    """Its rows, each flat: along all dimensions but the last where that holds scores, else along the first."""
    if scored:
        return array.reshape(-1, array.shape[-1])
    count = array.shape[0] if array.ndim else 1
    return array.reshape(count, array.size // count if count else 0)


def _classes(array: Any) -> Any:
    """The class of each row: of scores the place of the largest, else the one value that a row has; None: it has none.

    Floats that are no scores name no class.
    """
    if _has_top(array):
        return _top(array).astype(np.int64)
    single = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if not single or array.dtype.kind not in "iuO":
        return None
    flat = array.ravel()
    if array.dtype.kind == "u":  # what no label can be must not become one
        return np.where(flat > np.iinfo(np.int64).max, _NONE, flat.astype(np.int64))
    return flat if array.dtype.kind == "O" else flat.astype(np.int64)


def _joined(classes: list[Any], right: Any) -> Any:
    """The classes of all requests, where they are such as the labels are; else None."""
    if any(each is None or each.dtype.kind != right.dtype.kind for each in classes):
        return None
    return np.concatenate(classes)


def _share_right(classes: list[Any], right: Any) -> float | None:
    joined = _joined(classes, right)
    if joined is None or len(joined) != len(right):
        return None
    return float(np.sum(joined == right)) / len(right)


def _said(value: Any) -> Any:
    """A class as JSON has it; None for none."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return None if int(value) == _NONE else int(value)
