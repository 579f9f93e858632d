"""The page with the figures, `docs/benchmarks.md`, and the charts beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benching.chart import DARK, LIGHT, chart
from benching.clock import Row
from benching.peers import Compared


@dataclass
class Report:
    """All that one run has measured.

    Attributes:
        machine: What it ran on, a line.
        runs: How often each.
        mebibytes: The size of the large model.
        rows: What was measured of modelrepo, beside what it can be held against.
        compared: The same work by others; None where nobody measured it.
        pointers: Moving a name.
        versions: Which programs those were.
        left_out: Which were not there.
    """

    machine: str
    runs: int
    mebibytes: int
    rows: list[Row] = field(default_factory=list)
    compared: Compared | None = None
    pointers: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def write(self, page: Path) -> None:
        """Write the page, and the charts where others were measured."""
        parts = [_HEAD.format(machine=self.machine, runs=self.runs)]
        if self.compared is not None:
            parts += [_OTHERS.format(mebibytes=self.mebibytes), _compared(self.compared)]
            groups = [
                (f"Taking in {self.mebibytes} MiB", self.compared.first),
                ("The same again, one small file changed", self.compared.again),
            ]
            for name, colours in (("light", LIGHT), ("dark", DARK)):
                title = "Seconds to take a model in, modelrepo beside others"
                page.with_name(f"benchmarks-{name}.svg").write_text(chart(title, groups, colours), encoding="utf-8")
        if self.pointers:
            parts += ["## Moving a name\n\nWhole processes, the time of one move.\n", _plain(self.pointers)]
        if self.rows:
            parts += [_FLOORS, _beside(self.rows)]
        if self.versions:
            parts.append(
                "## Which programs\n\n" + "\n".join(f"- {name}: {text}" for name, text in self.versions.items())
            )
        parts += [f"\n{text}." for text in self.left_out]
        page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


_HEAD = """\
# Benchmarks

Made by `scripts/bench --write` in one run, {runs} times each, in turn; medians, and in brackets the least and the most.
It was a shared machine: ratios say more than seconds. {machine}.
"""
_OTHERS = """\
## The same work by others

One file of {mebibytes} MiB of random bytes and 22 small ones, flushed to the disk each time; then the same again with
one file of 4 KiB changed; then a check of all that is stored, where there is one. *Used* is what both together take on
the disk. modelrepo's push is with `--no-load`: the others load no model either. ext4 shares no blocks, so that
modelrepo's default copies there. The second time, rsync, borg, restic and dvc believe the size and time of a file that
they have seen, and do not read it; so does dvc's check. modelrepo reads every byte each time.
"""
_FLOORS = """\

## modelrepo beside what it cannot beat

Each row with what ran beside it, in turn. A Typer program that does nothing is what any command costs before it begins.
"""


def _span(row: Row) -> str:
    digits = 3 if row.median < 1 else 2
    return f"{row.median:.{digits}f} ({min(row.times):.{digits}f}-{max(row.times):.{digits}f})"


def _compared(compared: Compared) -> str:
    again, checks = _by_name(compared.again), _by_name(compared.checks)
    lines = ["| | first, s | again, s | check, s | used, GiB |", "|---|---|---|---|---|"]
    for row in compared.first:
        check = _span(checks[row.name]) if row.name in checks else ""
        used = f"{compared.used[row.name]:.2f}"
        lines.append(f"| {row.name} | {_span(row)} | {_span(again[row.name])} | {check} | {used} |")
    return "\n".join(lines) + "\n"


def _by_name(rows: Sequence[Row]) -> Mapping[str, Row]:
    return {row.name: row for row in rows}


def _plain(rows: Sequence[Row]) -> str:
    lines = ["| | s |", "|---|---|", *(f"| {row.name} | {_span(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _beside(rows: Sequence[Row]) -> str:
    lines = ["| | | beside | ratio |", "|---|---|---|---|"]
    for row in rows:
        unit = "" if row.unit == "s" else f" {row.unit}"
        name, ratio = ("", "") if row.beside is None else (row.beside[0], f"{row.ratio:.2f}")
        lines.append(f"| {row.name} | {_span(row)}{unit} | {name} | {ratio} |")
    return "\n".join(lines) + "\n"
