"""Plots as SVG, each with a title and a description in words; colours are the page's (`page.css`).

A plot is 360 units wide, so that its text can be read at the width of a telephone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelrepo.core.figures import milliseconds, number, share
from modelrepo.repository.reporting.markup import Markup, element
from modelrepo.repository.results.comparing import Decade, Latency

_WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 34
_HEIGHT = 200
#: The widest that a standing bar is.
_THICK = 48
#: So many characters fit above a bar: its label, of which at least a few are shown, and its value.
_ABOVE, _LEAST = 50, 8
#: The slowest calls would push all others into a corner: the axis ends a little behind the larger 95th percentile.
_BEHIND = 1.3


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        label: What it is.
        text: Its value in words.
        value: How long it is, of the longest.
        series: `a` or `b`, the models, or `n` for neither.
        base: How much of it, from its beginning, is drawn faint.
    """

    label: str
    text: str
    value: float
    series: str
    base: float = 0


def bars(name: str, title: str, rows: Sequence[Bar], most: float) -> Markup:
    """Lying bars, each below its label and value.

    Args:
        name: Of the plot, unlike all others of the page.
        title: What it shows.
        rows: From above; at least one.
        most: What a whole width means.
    """
    step = 40
    drawn = []
    for index, row in enumerate(rows):
        top = index * step
        whole, base = (_WIDTH * min(1.0, value / most) if most > 0 else 0.0 for value in (row.value, row.base))
        drawn += [
            element("text", _short(row.label, _ABOVE - len(row.text)), x=0, y=top + 14, class_="label"),
            element("text", row.text, x=_WIDTH, y=top + 14, class_="value", text_anchor="end"),
            element("rect", x=0, y=top + 20, width=_WIDTH, height=10, class_="track"),
            element(
                "rect",
                element("title", f"{row.label}: {row.text}"),
                x=0, y=top + 20, width=_round(whole), height=10, class_=f"bar {row.series}",
            ),
        ]  # fmt: skip
        if base:
            drawn.append(element("rect", x=0, y=top + 20, width=_round(base), height=10, class_="base"))
    words = "; ".join(f"{row.label}: {row.text}" for row in rows)
    return _svg(name, title, words, drawn, len(rows) * step)


def decades(name: str, title: str, differences: Sequence[Decade]) -> Markup:
    """How many values differ by how much, at least one: a bar for no difference, then one for each power of ten."""
    counts = {each.exponent: each.values for each in differences}
    exponents = [each for each in counts if each is not None]
    places: list[int | None] = [None]
    if exponents:
        places += range(min(exponents), max(exponents) + 1)
    total = sum(counts.values())
    wide = (_WIDTH - _LEFT - _RIGHT) / len(places)
    thick = min(0.8 * wide, _THICK)
    high = _HEIGHT - _TOP - _BOTTOM
    tallest = max(counts.values())
    drawn = [_axes(), *_levels([0, tallest / total / 2, tallest / total], tallest / total)]
    every = -(-len(places) // 8)
    words = []
    for index, place in enumerate(places):
        values = counts.get(place, 0)
        tall = high * values / tallest
        left = _LEFT + index * wide
        text = "none" if place is None else f"1e{place}"
        words.append(f"{text}: {values}")
        drawn.append(
            element(
                "rect",
                element("title", f"{text}: {values} values ({share(values / total)})"),
                x=_round(left + (wide - thick) / 2), y=_round(_TOP + high - tall), width=_round(thick),
                height=_round(tall), class_="bar n",
            )
        )  # fmt: skip
        if index % every == 0:
            drawn.append(_tick(left + wide / 2, text))
    drawn.append(_caption("difference, from this power of ten on"))
    return _svg(name, title, "values by difference: " + ", ".join(words), drawn, _HEIGHT)


def latencies(name: str, title: str, both: Sequence[tuple[str, Latency]]) -> Markup:
    """What share of the calls took at most how long, a line for each model."""
    end = _BEHIND * max(latency.p95 for _, latency in both) or 1.0
    high, wide = _HEIGHT - _TOP - _BOTTOM, _WIDTH - _LEFT - _RIGHT
    drawn = [_axes(), *_levels([0, 0.5, 0.95], 1)]
    drawn += [_tick(_LEFT + wide * part, milliseconds(end * part)) for part in (0, 1 / 3, 2 / 3, 1)]
    words = []
    for series, (model, latency) in zip("ab", both, strict=True):
        steps = len(latency.quantiles) - 1
        points = [
            f"{_round(_LEFT + wide * seconds / end)},{_round(_TOP + high * (1 - index / steps))}"
            for index, seconds in enumerate(latency.quantiles)
            if seconds <= end
        ]
        said = (
            f"{model}: median {milliseconds(latency.median)}, 95% within {milliseconds(latency.p95)}, "
            f"slowest {milliseconds(latency.most)}"
        )
        words.append(said)
        drawn.append(
            element("polyline", element("title", said), points=" ".join(points), class_=f"line {series}", fill="none")
        )
    drawn.append(_caption("time of a call"))
    return _svg(name, title, "; ".join(words), drawn, _HEIGHT)


def _svg(name: str, title: str, words: str, drawn: Sequence[Markup], height: int) -> Markup:
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", words, id=f"{name}-words"),
        *drawn,
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        aria_labelledby=f"{name}-title {name}-words",
    )


def _axes() -> Markup:
    bottom = _HEIGHT - _BOTTOM
    return element("line", x1=_LEFT, y1=bottom, x2=_WIDTH - _RIGHT, y2=bottom, class_="axis")


def _levels(shares: Sequence[float], top: float) -> list[Markup]:
    """Lines across, and what they mean; `top` is what the upper end means."""
    found = []
    high = _HEIGHT - _TOP - _BOTTOM
    for each in shares:
        y = _TOP + high * (1 - each / top)
        line = element("line", x1=_LEFT, y1=_round(y), x2=_WIDTH - _RIGHT, y2=_round(y), class_="grid")
        text = f"{number(100 * each)}%"
        found += [line, element("text", text, x=_LEFT - 6, y=_round(y + 4), class_="tick", text_anchor="end")]
    return found


def _tick(x: float, text: str) -> Markup:
    anchor = "end" if x > _WIDTH - _RIGHT - 20 else "middle"
    return element("text", text, x=_round(min(x, _WIDTH)), y=_HEIGHT - _BOTTOM + 14, class_="tick", text_anchor=anchor)


def _caption(text: str) -> Markup:
    return element("text", text, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 4, class_="tick", text_anchor="middle")


def _short(text: str, most: int) -> str:
    most = max(_LEAST, most)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _round(value: float) -> str:
    return f"{value:.1f}"
