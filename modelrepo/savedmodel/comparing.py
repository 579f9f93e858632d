"""The steps of a comparison that a child takes besides loading: a look at what was given, rounds, the judgement.

Two children load a model each and answer; a third, which loads none, judges the answers: no model judges itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _look(request: dict[str, Any]) -> dict[str, Any]:
    """Look at the requests and labels before anything is loaded."""
    from modelrepo.savedmodel import judging, questions

    asked = questions.of(request)
    if request["labels"] is not None:
        judging.read_labels(request["labels"])
    return {"requests": 0 if asked is None else len(asked.requests)}


def _ready(_: dict[str, Any]) -> dict[str, Any]:
    """Whatever was asked before is done."""
    return {}


def _round(request: dict[str, Any]) -> dict[str, Any]:
    from modelrepo.savedmodel import answering

    return answering.round_of(request)


def _judge(request: dict[str, Any]) -> dict[str, Any]:
    from modelrepo.savedmodel import judging

    return judging.judge(request)


STEPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "look": _look,
    "ready": _ready,
    "round": _round,
    "judge": _judge,
}
