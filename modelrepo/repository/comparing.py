"""`compare`: how two models answer the same requests, and what they need for it. Nothing is stored.

Both are leased where they are versions, read and scanned → requests and labels looked at → each loaded in a child
process of its own, where it answers every request twice → the answers compared in a third process, which loads no
model → timed in rounds, the two in turn: that takes longest, so whatever does not fit is said before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelrepo.core.documents import Document
from modelrepo.core.figures import quantile
from modelrepo.core.layout import Layout
from modelrepo.errors import ModelError, ModelRepoError, RequestError, UnconfirmedError, from_os
from modelrepo.repository import admitting, inspecting, reporting
from modelrepo.repository.inspecting import Limits
from modelrepo.repository.questioning import NO_FIT, Side, Wishes, model, questions
from modelrepo.repository.results import comparing as results
from modelrepo.savedmodel.questions import Questions
from modelrepo.savedmodel.report import Answering, Loaded, Looked, Ready, Report, Round
from modelrepo.savedmodel.runner import LOAD_MEMORY, Inspector, default_memory
from modelrepo.savedmodel.trial import Trial

#: Into how many parts the quantiles of a latency cut it.
_PARTS = 20


@dataclass(frozen=True, slots=True)
class _Sitter:
    """A loaded model that waits for rounds."""

    inspector: Inspector
    loaded: Loaded
    answering: Answering


class _Figures(Document):
    """What the process that judges says."""

    outputs: tuple[results.OutputComparison, ...]
    missing: tuple[results.Missing, ...]


def compare(layout: Layout, before: str, after: str, wishes: Wishes, limits: Limits) -> results.CompareResult:
    """Compare two models.

    Args:
        layout: The repository; it need not exist where both are paths.
        before: What callers know: a ref or a path.
        after: What it is compared with.
        wishes: How.
        limits: Of each model's process: time for load and answers, and for each round; memory; ops that are let in.

    Raises:
        NotFoundError: There is no such version or signature.
        SourceError: A path is no SavedModel.
        RequestError: Requests or labels are none, or do not fit.
        ModelError: The scan refuses a model, or TensorFlow could not load or run it.
        RefusedError: Something stands where the page should be written.
        UnconfirmedError: The page is there, but not known to be on the disk.
    """
    page = None if wishes.html is None else reporting.goal(wishes.html)
    with contextlib.ExitStack() as stack:
        sides = [model(layout, argument, stack) for argument in (before, after)]
        memory = limits.memory or max(default_memory(side.model.size) for side in sides)
        judge = stack.enter_context(Inspector(memory=max(memory, LOAD_MEMORY), seconds=limits.seconds))
        reports = [_read(judge, side, limits) for side in sides]
        source, asked = questions(sides, reports, wishes)
        what = "reading the requests" if wishes.labels is None else "reading the requests and labels"
        count = judge.step("look", what, Looked, **asked.fields(), labels=wishes.labels).requests
        sitters = _load(stack, sides, reports, asked, limits, memory)
        for side, sitter in zip(sides, sitters, strict=True):
            with side.named():
                _require_each(sitter.answering.signatures, count)
        figures = _judged(judge, sitters, wishes)
        times, peaks = _rounds(sides, sitters, wishes.runs, count)
    first, second = (
        _measured(sitter, seconds, peak) for sitter, seconds, peak in zip(sitters, times, peaks, strict=True)
    )
    result = results.CompareResult(
        before=sides[0].model,
        after=sides[1].model,
        requests=source.model_copy(
            update={"requests": count, "signatures": tuple(sorted(set(sitters[0].answering.signatures)))}
        ),
        tolerance=wishes.tolerance,
        agreement=_agreement(figures.outputs, figures.missing),
        outputs=figures.outputs,
        missing=figures.missing,
        runs=wishes.runs,
        measured=results.MeasuredPair(before=first, after=second),
        html=None if page is None else str(page),
        warnings=tuple(_warnings(sides, sitters)),
    )
    if page is not None:
        _write(page, result)
    return result


def _allowed(side: Side, limits: Limits) -> frozenset[str]:
    return limits.allow.union(() if side.stored is None else side.stored.manifest.allowed_ops)


def _read(inspector: Inspector, side: Side, limits: Limits) -> Report:
    """Read and scan a model: nothing of the other is run if this one is refused."""
    with side.named():
        report = inspecting.read(inspector, side.place, side.model.version)
        admitting.require_admitted(report, _allowed(side, limits))
    return report


def _load(
    stack: contextlib.ExitStack,
    sides: Sequence[Side],
    reports: Sequence[Report],
    questions: Questions,
    limits: Limits,
    memory: int,
) -> list[_Sitter]:
    """Load each model, and let it answer: TensorFlow is imported for both at once, all else happens in turn."""
    inspectors = []
    for _ in sides:
        inspectors.append(stack.enter_context(Inspector(memory=memory, seconds=limits.seconds)))
        inspectors[-1].warm()
    for inspector in inspectors:
        inspector.step("ready", "starting TensorFlow", Ready)  # else the second would start while the first loads
    sitters = []
    for side, report, inspector in zip(sides, reports, inspectors, strict=True):
        with side.named():
            try:
                trial = Trial(questions=questions)
                loaded = admitting.load(inspector, side.place, report, _allowed(side, limits), trial)
            except ModelError as error:
                if questions.made_up is not None and error.kind == "model-run":
                    error.hint = f"the request was generated; {NO_FIT}"
                raise
            if loaded.answering is None:
                raise _rubbish()
        sitters.append(_Sitter(inspector, loaded, loaded.answering))
    return sitters


def _rounds(
    sides: Sequence[Side], sitters: Sequence[_Sitter], runs: int, requests: int
) -> tuple[tuple[list[float], list[float]], list[int]]:
    """Time both in turn, each of them first in every other round: what else the machine does then meets both."""
    times, peaks = (list[float](), list[float]()), [0, 0]
    for number in range(runs):
        for index in (0, 1) if number % 2 == 0 else (1, 0):
            with sides[index].named():
                said = sitters[index].inspector.step("round", "timing the model", Round)
                _require_each(said.seconds, requests)
                times[index].extend(said.seconds)
                peaks[index] = said.memory
    return times, peaks


def _measured(sitter: _Sitter, times: list[float], peak: int) -> results.Measured:
    ordered = sorted(times)
    latency = results.Latency(
        calls=len(ordered),
        median=quantile(ordered, 0.5),
        p95=quantile(ordered, 0.95),
        least=ordered[0],
        most=ordered[-1],
        quantiles=tuple(quantile(ordered, part / _PARTS) for part in range(_PARTS + 1)),
    )
    return results.Measured(
        loaded_by=sitter.loaded.tensorflow_version,
        load_seconds=sitter.loaded.seconds,
        latency=latency,
        memory=results.Memory(peak=peak, before=sitter.answering.memory),
        cage=sitter.loaded.cage,
    )


def _judged(judge: Inspector, sitters: Sequence[_Sitter], wishes: Wishes) -> _Figures:
    first, second = sitters
    differing = set(zip(first.answering.signatures, second.answering.signatures, strict=True))
    for one, two in sorted(differing):
        if one != two:
            raise RequestError(
                f"a request that names no signature calls `{one}` of one model and `{two}` of the other",
                kind="requests-malformed",
                expected="one signature that both models have",
                hint="--signature says which",
            )
    return judge.step(
        "judge",
        "comparing the answers",
        _Figures,
        before=str(first.inspector.scratch),
        after=str(second.inspector.scratch),
        signatures=list(first.answering.signatures),
        tolerance=wishes.tolerance,
        labels=wishes.labels,
    )


def _agreement(outputs: Sequence[results.OutputComparison], missing: Sequence[results.Missing]) -> float | None:
    """The smallest of all: an average would let many outputs that agree hide one that does not."""
    if any(each.missing_in == "to" for each in missing):
        return 0.0
    return min((each.agreement for each in outputs if each.agreement is not None), default=None)


def _warnings(sides: Sequence[Side], sitters: Sequence[_Sitter]) -> Iterator[str]:
    for side, sitter in zip(sides, sitters, strict=True):
        for signature, key in sitter.answering.unsteady:
            yield (
                f"{side.model.name} answers one request differently from call to call: output `{key}` of signature "
                f"`{signature}`; its figures differ from run to run"
            )
    for signature, key in sorted({pair for sitter in sitters for pair in sitter.answering.left_out}):
        yield f"output `{key}` of signature `{signature}` is no dense tensor and was not compared"


def _write(page: Path, result: results.CompareResult) -> None:
    """Write the page; where that fails, nobody need compare again for the figures."""
    try:
        reporting.write(page, result)
    except ModelRepoError as error:
        error.partial = result if isinstance(error, UnconfirmedError) else result.model_copy(update={"html": None})
        raise
    except OSError as error:
        failed = from_os(error, f"write {page}", outside=True)
        failed.partial = result.model_copy(update={"html": None})
        raise failed from error


def _require_each(said: Sequence[object], requests: int) -> None:
    """Make sure that a model's process said something of each request."""
    if len(said) != requests:
        raise _rubbish()


def _rubbish() -> ModelError:
    return ModelError("the process that runs the model answered rubbish", kind="model-rubbish")
