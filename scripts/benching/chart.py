"""Two charts of the table as SVG, for light and for dark pages: bars, the shorter the better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benching.clock import Row

_WIDTH = 820
_LEFT = 215
_BAR = 22
_GAP = 8
_HEAD = 44
_BETWEEN = 22


@dataclass(frozen=True)
class Colours:
    """Of one chart."""

    text: str
    quiet: str
    others: str
    ours: str


LIGHT = Colours(text="#1f2328", quiet="#59636e", others="#c8d1da", ours="#0969da")
DARK = Colours(text="#f0f6fc", quiet="#9198a1", others="#3d444d", ours="#4493f8")


def chart(title: str, groups: Sequence[tuple[str, Sequence[Row]]], colours: Colours) -> str:
    """Draw groups of bars below each other: the medians, each group on a scale of its own.

    Args:
        title: For those who cannot see it.
        groups: A heading each, and what was measured.
        colours: Of the page that it stands on.
    """
    parts: list[str] = []
    y = 0
    for heading, rows in groups:
        longest = max(row.median for row in rows)
        parts.append(f'<text x="0" y="{y + 24}" class="head">{escape(heading)}</text>')
        y += _HEAD
        for row in rows:
            length = max(2, round((_WIDTH - _LEFT - 90) * row.median / longest))
            kind = "ours" if row.name.startswith("modelrepo") else "others"
            middle = y + _BAR - 6
            parts.append(f'<text x="{_LEFT - 10}" y="{middle}" class="name">{escape(row.name)}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{length}" height="{_BAR}" rx="3" class="{kind}"/>')
            parts.append(f'<text x="{_LEFT + length + 8}" y="{middle}" class="value">{_time(row.median)}</text>')
            y += _BAR + _GAP
        y += _BETWEEN
    style = (
        f"text{{font:14px system-ui,sans-serif;fill:{colours.text}}}.head{{font-weight:600}}.name{{text-anchor:end}}"
        f".value{{fill:{colours.quiet}}}.ours{{fill:{colours.ours}}}.others{{fill:{colours.others}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
