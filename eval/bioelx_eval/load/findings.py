"""What a part of the measurement found: figures against their bars, tables, a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from bioelx.cli.page import plot_style
from bioelx_eval.report.table import markdown_head, markdown_row, write_markdown

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure, and what it has to be."""

    what: str
    value: float
    least: float = -math.inf
    most: float = math.inf

    @property
    def met(self) -> bool:
        return self.least <= self.value <= self.most  # never, where it is not a number

    @property
    def asked(self) -> str:
        return f"at least {self.least:g}" if math.isfinite(self.least) else f"at most {self.most:g}"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: names in the first column, figures in the others."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one part of the measurement has to say."""

    part: str
    described: Sequence[str]
    """What was done, and what is to be known of it, a paragraph each."""
    bars: Sequence[Bar]
    grids: Sequence[Grid]
    figures: dict[str, Any]
    """Everything that was measured, for JSON."""
    draw: Callable[[], Figure] | None = None

    @property
    def all_met(self) -> bool:
        return all(bar.met for bar in self.bars)


def write_findings(findings: Findings, out: Path) -> None:
    """Writes PART.json, PART.md and, where there is something to draw, PART.svg."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
    bars = [
        {"what": bar.what, "value": bar.value, "asked": bar.asked, "met": bar.met}
        for bar in findings.bars
    ]
    content = {"schema": SCHEMA, "part": findings.part, "bars": bars, **findings.figures}
    (out / f"{findings.part}.json").write_bytes(orjson.dumps(content, option=options))
    lines = [f"# Load: {findings.part}", ""]
    for paragraph in findings.described:
        lines += [paragraph, ""]
    if findings.draw:
        with plot_style():
            path = out / f"{findings.part}.svg"
            findings.draw().savefig(path, facecolor="white", metadata={"Date": None})
        lines += [f"![{findings.part}]({findings.part}.svg)", ""]
    for grid in _grids(findings):
        lines += [*markdown_head(*grid.head), *(markdown_row(*row) for row in grid.rows), ""]
    write_markdown(out / f"{findings.part}.md", lines[:-1])


def tables(findings: Findings) -> list[Table]:
    """The same for a terminal."""
    shown = []
    for grid in _grids(findings):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column(grid.head[0], no_wrap=True)
        for column in grid.head[1:]:
            table.add_column(column.replace(", ", "\n"), justify="right", no_wrap=True)
        for row in grid.rows:
            table.add_row(*row)
        shown.append(table)
    return shown


def number(value: float) -> str:
    """Three digits where it matters, none after the point where it does not."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _grids(findings: Findings) -> list[Grid]:
    verdicts = [
        (bar.what, number(bar.value), bar.asked, "yes" if bar.met else "NO")
        for bar in findings.bars
    ]
    return [*findings.grids, Grid(("bar", "measured", "asked", "met"), verdicts)]
