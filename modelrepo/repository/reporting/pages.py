"""A comparison as one HTML page: no script, nothing loaded from elsewhere, a table beside every plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from modelrepo import __version__
from modelrepo.core.figures import milliseconds, number, share
from modelrepo.core.units import format_size
from modelrepo.repository.reporting import plots
from modelrepo.repository.reporting.markup import Markup, element, joined
from modelrepo.repository.reporting.plots import Bar
from modelrepo.repository.results.comparing import CompareResult, Model, OutputComparison

#: Nothing may run or be loaded, whatever a name were to become.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: So many outputs are drawn; all stand in the table.
_DRAWN = 12
_DIGEST = 19
_READING = (
    (
        "Largest and mean are of |B - A| over all values. A value differs where that is more than the tolerance; whole "
        "numbers, texts and truths where they are not the same. The top-1 of a row is the place of its largest score."
    ),
    (
        "A row agrees where its top-1 is the same; in outputs without scores, where no value differs. The agreement is "
        "that of the output that agrees least."
    ),
    (
        "The same models, requests, seed and tolerance give the same answers and differences. Times and memory are "
        "measured, and differ from run to run and from machine to machine."
    ),
)


def page(result: CompareResult, now: datetime) -> str:
    """Write the page.

    Args:
        result: What was found.
        now: When, for the last line.
    """
    names = (result.before.name, result.after.name)
    title = f"{names[0]} → {names[1]}"
    head = joined(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("title", f"{title}: models compared"),
        element("style", Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8"))),
    )
    heading = element(
        "h1", element("span", names[0], class_="a-name"), " → ", element("span", names[1], class_="b-name")
    )
    body = joined(
        element("header", heading, element("p", _asked(result), class_="faint")),
        element("main", _tiles(result), _notes(result), _answers(result), _costs(result), _models(result), _reading()),
        element("footer", f"modelrepo {__version__}, {now:%Y-%m-%d %H:%M} UTC"),
    )
    return f'<!doctype html>\n<html lang="en">{element("head", head)}{element("body", body)}</html>\n'


def _asked(result: CompareResult) -> str:
    digest = result.requests.digest
    which = f" ({digest[:_DIGEST]})" if digest is not None else ""
    return f"Asked: {result.requests.text}{which}. Tolerance: {result.tolerance:g}, absolute and of |A|."


def _tiles(result: CompareResult) -> Markup:
    before, after = result.measured.before, result.measured.after
    # How far two ids lie apart says little: they are looked at where there is nothing else.
    floats = [each for each in result.outputs if "int" not in each.dtype.before] or result.outputs
    worst = max(floats, key=lambda each: -1.0 if each.largest is None else each.largest, default=None)
    tiles = [
        ("Agreement", share(result.agreement), "of the output that agrees least"),
        ("Largest difference", number(worst.largest if worst else None), f"output {worst.output}" if worst else ""),
        (
            "Median of a call",
            f"{milliseconds(before.latency.median)} → {milliseconds(after.latency.median)}",
            f"95% within {milliseconds(before.latency.p95)} → {milliseconds(after.latency.p95)}",
        ),
        (
            "Peak memory",
            f"{format_size(before.memory.peak)} → {format_size(after.memory.peak)}",
            "of the whole process that runs the model",
        ),
    ]
    tiles += [
        (f"Accuracy of {each.output}", f"{share(each.accuracy.before)} → {share(each.accuracy.after)}", "by the labels")
        for each in result.outputs
        if each.accuracy is not None
    ]
    made = [
        element("div", element("dt", name), element("dd", text, element("small", more)), class_="tile")
        for name, text, more in tiles
    ]
    return element("dl", *made, class_="tiles")


def _notes(result: CompareResult) -> Markup:
    notes = [*result.notes, *result.warnings]
    if not notes:
        return Markup("")
    return element("section", element("ul", *(element("li", note) for note in notes)), class_="notes")


def _answers(result: CompareResult) -> Markup:
    several = len({each.signature for each in result.outputs}) > 1

    def name(each: OutputComparison) -> str:
        return f"{each.signature}: {each.output}" if several else each.output

    rows = [
        (
            name(each),
            each.dtype.before if each.dtype.before == each.dtype.after else f"{each.dtype.before} → {each.dtype.after}",
            str(each.rows),
            number(each.largest),
            number(each.mean),
            share(each.changed),
            share(each.top1_changed),
            share(each.agreement),
            "-" if each.accuracy is None else f"{share(each.accuracy.before)} → {share(each.accuracy.after)}",
        )
        for each in result.outputs
    ]
    headings = ("Output", "Type", "Rows", "Largest", "Mean", "Differ", "Top-1 changed", "Agree", "Accuracy")
    parts = [element("h2", "Answers"), _table("Differences between the answers", headings, rows, range(2, 9))]
    drawn = result.outputs[:_DRAWN]
    figures = []
    if drawn:
        agreeing = [Bar(name(each), share(each.agreement), each.agreement or 0, "n") for each in drawn]
        figures.append(_figure("Rows that agree", plots.bars("agree", "Rows that agree, by output", agreeing, 1)))
    right = [
        Bar(f"{name(each)}, {model.name}", share(value), value or 0, series)
        for each in drawn
        if each.accuracy is not None
        for series, model, value in (
            ("a", result.before, each.accuracy.before),
            ("b", result.after, each.accuracy.after),
        )
    ]
    if right:
        figures.append(_figure("Rows with the right class", plots.bars("right", "Accuracy, by output", right, 1)))
    figures += [
        _figure(
            f"{name(each)}: how far values differ",
            plots.decades(f"far-{index}", f"Differences of {name(each)}", each.differences),
        )
        for index, each in enumerate(drawn)
        if each.largest
    ]
    parts.append(element("div", *figures, class_="plots"))
    if len(result.outputs) > len(drawn):
        parts.append(element("p", f"Drawn are the first {_DRAWN} outputs.", class_="faint"))
    parts += [_examples(name(each), each) for each in result.outputs if each.examples]
    return element("section", *parts)


def _examples(name: str, each: OutputComparison) -> Markup:
    rows = [
        (str(row.request), str(row.row), *map(_class, (row.before, row.after)), _class(row.label))
        for row in each.examples
    ]
    headings = ("Request", "Row", "Class of A", "Class of B", "Right class")
    return element(
        "details",
        element("summary", f"{name}: the first rows whose class has changed"),
        _table("Requests are counted from 1, rows from 0", headings, rows, range(5)),
    )


def _class(value: int | str | None) -> str:
    return "-" if value is None else str(value)


def _costs(result: CompareResult) -> Markup:
    most = max(of.memory.peak for _, of in result.models)
    memory = [
        Bar(
            model.name,
            f"{format_size(of.memory.peak)}, {format_size(of.memory.before)} before the load",
            of.memory.peak,
            series,
            of.memory.before,
        )
        for series, (model, of) in zip("ab", result.models, strict=True)
    ]
    rows = [
        (
            model.name,
            str(of.latency.calls),
            *(milliseconds(each) for each in (of.latency.least, of.latency.median, of.latency.p95, of.latency.most)),
            format_size(of.memory.peak),
            format_size(max(0, of.memory.peak - of.memory.before)),
            f"{of.load_seconds:.3g} s",
        )
        for model, of in result.models
    ]
    headings = ("Model", "Calls", "Least", "Median", "95%", "Most", "Memory", "More than before", "Load")
    keys = [
        element("span", f"{mark} {model.name}", class_=f"{series}-name")
        for series, mark, (model, _) in zip("ab", ("━", "╌╌"), result.models, strict=True)
    ]
    latency = plots.latencies("time", "How long calls took", [(model.name, of.latency) for model, of in result.models])
    return element(
        "section",
        element("h2", "Time and memory"),
        element(
            "div",
            _figure(joined("Share of calls within a time: ", keys[0], " ", keys[1]), latency),
            _figure("Peak memory; faint: before the load", plots.bars("memory", "Peak memory", memory, most)),
            class_="plots",
        ),
        _table("Measured on one machine, the two in turn", headings, rows, range(1, 9)),
    )


def _models(result: CompareResult) -> Markup:
    rows = [
        (
            side,
            model.name,
            "-" if model.digest is None else model.digest[:_DIGEST],
            format_size(model.size),
            " ".join(_said(model)) or "-",
            of.loaded_by,
        )
        for side, (model, of) in zip("AB", result.models, strict=True)
    ]
    headings = ("Side", "Model", "Digest", "Size", "About", "TensorFlow")
    return element("section", element("h2", "Models"), _table("What was compared", headings, rows, ()))


def _said(model: Model) -> Iterable[str]:
    if model.message:
        yield model.message
    yield from (f"{key}={value}" for key, value in model.labels.items())
    yield from (f"{key}={value:g}" for key, value in model.metrics.items())


def _reading() -> Markup:
    return element("section", element("h2", "How to read it"), *(element("p", text) for text in _READING))


def _figure(caption: str, drawing: Markup) -> Markup:
    return element("figure", element("figcaption", caption), drawing)


def _table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int]) -> Markup:
    kinds = ["num" if index in set(numbers) else "name" for index in range(len(headings))]
    top = element(
        "tr", *(element("th", text, scope="col", class_=kind) for text, kind in zip(headings, kinds, strict=True))
    )
    made = [
        element(
            "tr",
            element("th", row[0], scope="row", class_=kinds[0]),
            *(element("td", text, class_=kind) for text, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    return element(
        "div",
        element("table", element("caption", caption), element("thead", top), element("tbody", *made)),
        class_="wide",
        tabindex=0,
    )
