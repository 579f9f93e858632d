"""The only way to a load, and to a conversion, which loads: what the scan refuses goes no further."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from modelrepo.core import findings
from modelrepo.errors import ModelError
from modelrepo.savedmodel.runner import Inspector
from modelrepo.savedmodel.trial import NOTHING, Trial

if TYPE_CHECKING:
    from modelrepo.savedmodel import conversion
    from modelrepo.savedmodel.report import Loaded, Report

_NAMED = 20


def load(inspector: Inspector, place: Path, report: Report, allow: Collection[str], trial: Trial = NOTHING) -> Loaded:
    """Load a model that was read, and run what shall be run: never one that the scan refuses.

    Args:
        inspector: The process that read it.
        place: Where it is.
        report: What was read there.
        allow: Ops that are let in.
        trial: What to run then.

    Raises:
        ModelError: The scan refuses it; or see `Inspector.load`.
        RequestError: What shall be run does not fit it.
        NotFoundError: It has no such signature.
    """
    require_admitted(report, allow)
    return inspector.load(place, report.served.tags, trial)


def convert(
    inspector: Inspector,
    place: Path,
    report: Report,
    allow: Collection[str],
    wishes: conversion.Wishes,
    requests: conversion.Requests,
    *,
    objects: bool,
) -> tuple[Path, conversion.Made]:
    """Convert a signature of a model that was read: never of one that the scan refuses. See `conversion.convert`."""
    from modelrepo.savedmodel import conversion

    require_admitted(report, allow)
    return conversion.convert(inspector, place, report.served.tags, wishes, requests, objects=objects)


def require_admitted(report: Report, allow: Collection[str]) -> None:
    """Make sure that the scan keeps a model out for nothing but what is allowed.

    Raises:
        ModelError: It does: what, where, and why.
    """
    bad = findings.refused(report.findings, allow)
    if not bad:
        return
    ops = sorted({each.op for each in bad if each.op is not None})
    lasting = any(each.op is None for each in bad)
    more = (f"and {len(bad) - _NAMED} more",) if len(bad) > _NAMED else ()
    raise ModelError(
        f"the scan refuses the model: {len(bad)} finding{'s' if len(bad) > 1 else ''}",
        kind="model-refused",
        expected=f"nothing that the rules for TensorFlow {report.scanned_by} refuse",
        got=", ".join([*ops, *(["what no option lets in"] if lasting else [])]),
        hint="export it without these"
        + (
            ""
            if lasting
            else f"; {' '.join(f'--allow-op {op}' for op in ops[:_NAMED])} lets them in, and a push records it"
        ),
        items=(*(each.text for each in bad[:_NAMED]), *more),
    )
