"""The figures of a comparison as text for people, at home in 80 columns."""

from __future__ import annotations

from modelrepo.cli.answers import hanging, page, printable, table
from modelrepo.cli.describing import count
from modelrepo.core.figures import milliseconds, number, share
from modelrepo.core.units import format_size
from modelrepo.repository import results
from modelrepo.repository.results.comparing import OutputComparison


def comparison(result: results.CompareResult) -> str:
    """Answers first, then what was measured."""
    lines = hanging(f"{result.before.name} -> {result.after.name}", "")
    lines += hanging(f"asked: {result.requests.text}", "")
    parts = [page(lines)]
    if result.outputs:
        parts.append(_outputs(result))
    for note in result.notes:
        parts += hanging(note, "")
    agreement = "none: there are no rows" if result.agreement is None else share(result.agreement)
    parts += hanging(f"agreement: {agreement}", "")
    parts.append(_measured(result))
    if result.html is not None:
        parts.append(printable(f"page: {result.html}"))
    return "\n".join(parts)


def _outputs(result: results.CompareResult) -> str:
    several = len({each.signature for each in result.outputs}) > 1
    accurate = any(each.accuracy is not None for each in result.outputs)
    cells = [
        (
            f"{each.signature}: {each.output}" if several else each.output,
            str(each.rows),
            number(each.largest),
            number(each.mean),
            share(each.changed),
            share(each.top1_changed),
            share(each.agreement),
            *(_accuracy(each) if accurate else ()),
        )
        for each in result.outputs
    ]
    headings = ["OUTPUT", "ROWS", "LARGEST", "MEAN", "DIFFER", "TOP-1", "AGREE", *(["ACCURACY"] if accurate else [])]
    return table(headings, cells, right=range(1, 7), whole=range(1, len(headings)))


def _accuracy(each: OutputComparison) -> tuple[str, ...]:
    if each.accuracy is None:
        return ("",)
    return (f"{share(each.accuracy.before)} -> {share(each.accuracy.after)}",)


def _measured(result: results.CompareResult) -> str:
    cells = [
        (
            model.name,
            f"{of.load_seconds:.3g} s",
            milliseconds(of.latency.median),
            milliseconds(of.latency.p95),
            format_size(of.memory.peak),
            format_size(max(0, of.memory.peak - of.memory.before)),
        )
        for model, of in result.models
    ]
    lines = [table(("MODEL", "LOAD", "MEDIAN", "95%", "MEMORY", "FOR IT"), cells, right=range(1, 6), whole=range(1, 6))]
    calls = result.measured.before.latency.calls
    lines += hanging(
        f"{count(calls, 'call')} of each, in turn, behind two of each request that are not counted; MEMORY is the "
        "peak of its process, FOR IT what that had more than before the load",
        "",
    )
    return "\n".join(lines)
