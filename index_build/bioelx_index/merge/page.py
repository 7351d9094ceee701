"""The report of a merge: a table in the terminal, a file for programs, a page for people.

Both files lie beside the merged tables, under one key: a report never speaks of other tables than
those that it lies beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.table import Table

from bioelx.cli.page import COLOURS, plot_style, svg, write_page
from bioelx_index.merge.hygiene import FATES, KEPT, REPEATED
from bioelx_index.merge.report import REPORT_FILE, Report

PAGE_FILE = "merge.html"
_LANGUAGES_DRAWN = 24
_AMBIGUOUS_LISTED = 60
_KEPT, _REPEATED, _DROPPED = COLOURS[0], "#c3cad4", COLOURS[1]


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the names of a source, or in a language."""

    name: str
    records: int  # 0 for a language
    came: int
    kept: int
    repeated: int
    dropped: dict[str, int]  # by rule

    @property
    def broke_a_rule(self) -> int:
        return sum(self.dropped.values())


def write_report(report: Report, folder: Path) -> None:
    """Writes the report as JSON and as a page."""
    encoded = orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (folder / REPORT_FILE).write_bytes(encoded)
    sources, languages = _rows(report, 0), _rows(report, 1)
    rules = [fate for fate in FATES if fate in report.dropped and fate != REPEATED]
    write_page(
        folder / PAGE_FILE,
        "bioelx_index",
        "merge.html",
        title="What was merged, and how",
        report=report,
        fates=FATES,
        rules=rules,
        total=_total(report),
        sources=sources,
        languages=languages,
        by_source=_bars(sources, "names", "What became of the names of each source"),
        by_language=_bars(
            languages[:_LANGUAGES_DRAWN], "names", "What became of the names in each language"
        ),
        ambiguous=list(report.ambiguous.items())[:_AMBIGUOUS_LISTED],
        ids=_ids(report),
    )


def summary(report: Report) -> Table:
    """What became of the names of each source, for the terminal."""
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("source")
    for column in ("records", "names in", "repeated", "broke a rule", "in the result"):
        table.add_column(column, justify="right")
    for row in (*_rows(report, 0), _total(report)):
        counts = (row.records, row.came, row.repeated, row.broke_a_rule, row.kept)
        table.add_row(row.name, *(f"{count:,}" for count in counts))
    return table


def _rows(report: Report, part: int) -> list[Row]:
    """A row for each value of a part of the fates' keys (0: source, 1: language), the sources in
    their order of trust, the languages with most names first."""
    found: dict[str, Counter[str]] = {source: Counter() for source in report.records if not part}
    for key, count in report.fates.items():
        found.setdefault(key[part], Counter())[key[2]] += count
    rows = [_row(name, fates, report.records.get(name, 0)) for name, fates in found.items()]
    return sorted(rows, key=lambda row: (-row.came, row.name)) if part else rows


def _total(report: Report) -> Row:
    fates: Counter[str] = Counter()
    for (_, _, fate), count in report.fates.items():
        fates[fate] += count
    return _row("all", fates, report.records.total())


def _row(name: str, fates: Counter[str], records: int) -> Row:
    dropped = {rule: fates[rule] for rule in FATES if fates[rule] and rule not in (KEPT, REPEATED)}
    return Row(name, records, fates.total(), fates[KEPT], fates[REPEATED], dropped)


def _ids(report: Report) -> list[tuple[str, int, int]]:
    """Schemes with how many ids are held, and how many of them by a loose claim alone."""
    counts = sorted(report.held.items(), key=lambda item: (-item[1], item[0]))
    return [(scheme, count, report.unsupported[scheme]) for scheme, count in counts]


def _bars(rows: Sequence[Row], unit: str, title: str) -> Markup:
    """Stacked bars, one a row, from the top."""
    parts = (
        ("in the result", _KEPT, [row.kept for row in rows]),
        ("repeated", _REPEATED, [row.repeated for row in rows]),
        ("broke a rule", _DROPPED, [row.broke_a_rule for row in rows]),
    )
    with plot_style():
        figure = Figure(figsize=(6.2, 0.6 + 0.24 * max(4, len(rows))))
        axes: Axes = figure.subplots()
        left = [0] * len(rows)
        for label, colour, counts in parts:
            axes.barh(range(len(rows)), counts, 0.72, left, color=colour, label=label)
            left = [before + count for before, count in zip(left, counts, strict=True)]
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(unit)
        axes.legend(loc="lower right")
        return svg(figure, title)
