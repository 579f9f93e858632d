"""One model of a comparison, loaded and kept: it answers the requests, then is timed round by round.

In the inspector's child, imported once TensorFlow is. The answers go into the child's scratch directory, a file for
each request, because they may be larger than what goes through a pipe.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelrepo.fs import durable
from modelrepo.savedmodel import cage
from modelrepo.savedmodel.arrays import Refusal, malformed
from modelrepo.savedmodel.packing import pack
from modelrepo.savedmodel.questions import Asked
from modelrepo.savedmodel.running import Runner

#: How many bytes all answers of one model may have together.
_MOST_BYTES = 1024**3


@dataclass(frozen=True)
class _Call:
    """One request, ready to be sent."""

    signature: str
    feeds: dict[str, Any]
    keys: list[str]
    where: str


class _Kept:
    """What is timed later on, and what must stay open until then."""

    runner: Runner
    calls: Sequence[_Call] = ()
    resources: contextlib.ExitStack


def answers(directory: str | Path, number: int) -> Path:
    """Where the answer to a request lies, counted from 0."""
    return Path(directory, f"answer-{number}")


def start(runner: Runner, asked: Asked, resources: contextlib.ExitStack) -> dict[str, Any]:
    """Answer every request twice, and keep the first answers.

    Args:
        runner: The loaded model.
        asked: The requests.
        resources: What holds the model; it stays open.

    Returns:
        The signature that each request called; outputs that were left out, being no dense tensors; those that differed
        between two calls with one request.

    Raises:
        Refusal: A request does not fit the model, the model fails, or its answers are too large.
    """
    calls, left_out = list[_Call](), set[tuple[str, str]]()
    for number, request in enumerate(asked.requests, 1):
        name = runner.named(request.signature or asked.signature)
        where = f"request {number}" if len(asked.requests) > 1 else "the request"
        dense, others = runner.outputs(name)
        unknown = set(asked.outputs) - {*dense, *others}
        if unknown:
            known = ", ".join(dense)
            raise malformed(f"signature `{name}` has no output `{min(unknown)}`", known, ", ".join(asked.outputs))
        keys = [key for key in dense if not asked.outputs or key in asked.outputs]
        left_out |= {(name, key) for key in others if not asked.outputs or key in asked.outputs}
        if not keys:
            raise malformed(f"signature `{name}` has no output that can be compared", "a dense tensor")
        calls.append(_Call(name, runner.feeds(name, request.inputs, f"{where}: "), keys, where))
    unsteady = set[tuple[str, str]]()
    size = 0
    for number, call in enumerate(calls):
        first, second = (runner.call(call.signature, call.feeds, call.keys, call.where) for _ in range(2))
        unsteady |= {(call.signature, key) for key in call.keys if not _same(first[key], second[key])}
        data = pack(first)
        size += len(data)
        if size > _MOST_BYTES:
            raise Refusal("outputs-too-large", "the answers are too large", f"at most {_MOST_BYTES} bytes", size)
        durable.write_new(answers(os.environ["TMPDIR"], number), data, None, synced=False)
    _Kept.runner, _Kept.calls, _Kept.resources = runner, calls, resources
    return {
        "signatures": [call.signature for call in calls],
        "left_out": sorted(left_out),
        "unsteady": sorted(unsteady),
    }


def round_of(_: dict[str, Any]) -> dict[str, Any]:
    """Call each request once more: how long each took, in seconds, and the most memory that this process has had."""
    seconds = []
    for call in _Kept.calls:
        started = time.perf_counter()
        _Kept.runner.call(call.signature, call.feeds, call.keys, call.where)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "memory": cage.peak()}


def _same(one: Any, two: Any) -> bool:
    """Whether two answers have the same values; NaN is NaN."""
    if one.shape != two.shape:
        return False
    equal = one == two
    if one.dtype.kind in "fcV":
        equal |= (one != one) & (two != two)
    return bool(np.all(equal))
