"""A comparison of two runs: tables for a terminal, a Markdown page, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.markup import escape
from rich.table import Table

from bioelx_eval.bootstrap import LEVEL, RESAMPLES
from bioelx_eval.compare import Change, Compared, Comparison, Difference, SubsetComparison
from bioelx_eval.report.files import Run
from bioelx_eval.report.table import (
    MEANS,
    markdown_head,
    markdown_row,
    new_table,
    percent,
    summary,
    title,
    write_markdown,
)
from bioelx_eval.scores import SUBSETS

JSON_FILE = "compare.json"
REPORT_FILE = "compare.md"
SCHEMA = 1
NOTE = (
    f"Scores in percent. A − B with its {LEVEL:.0%} interval from {RESAMPLES:,} paired bootstrap "
    "resamples; * where that leaves out zero."
)
_TITLES = {subset.key: subset.title for subset in SUBSETS}


def headline(comparison: Comparison) -> list[str]:
    """What is compared, in a few sentences."""
    a, b = comparison.a, comparison.b
    lines = [f"A: {summary(a)}", f"B: {summary(b)}", f"{comparison.rows:,} mentions in both."]
    if comparison.only_a:
        lines.append(f"{comparison.only_a:,} mentions are in A only, and left out.")
    if comparison.only_b:
        lines.append(f"{comparison.only_b:,} mentions are in B only, and left out.")
    lost, won = len(comparison.right_to_wrong), len(comparison.wrong_to_right)
    lines.append(f"Right in A and wrong in B: {lost:,}. Wrong in A and right in B: {won:,}.")
    return lines


def as_tables(comparison: Comparison, listed: int) -> list[Table]:
    """The differences, and so many mentions of each kind that changed sides, for a terminal."""
    tables = []
    for key, subset in comparison.subsets.items():
        table = new_table(f"{title(comparison.a)}, {_TITLES[key].lower()}", _columns(subset))
        for row in _rows(subset):
            table.add_row(*row)
        tables.append(table)
    for words, changes in _sides(comparison):
        if changes and listed:
            table = Table(title=_counted(words, changes, listed))
            for column in ("id", "mention", "A", "B"):
                table.add_column(column)
            for change in changes[:listed]:
                told = (change.id, change.mention, _told(change.a), _told(change.b))
                table.add_row(*map(escape, told))
            tables.append(table)
    return tables


def write_comparison(comparison: Comparison, folder: Path, listed: int) -> None:
    """Writes `compare.json`, with all changes, and `compare.md`, with so many of each kind."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / JSON_FILE).write_bytes(orjson.dumps(_content(comparison), option=options))
    write_markdown(folder / REPORT_FILE, _page(comparison, listed))


def _content(comparison: Comparison) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "dataset": comparison.a.scores["dataset"],
        "a": _identity(comparison.a),
        "b": _identity(comparison.b),
        "rows": comparison.rows,
        "only_a": comparison.only_a,
        "only_b": comparison.only_b,
        "subsets": {key: asdict(subset) for key, subset in comparison.subsets.items()},
        "right_to_wrong": [asdict(change) for change in comparison.right_to_wrong],
        "wrong_to_right": [asdict(change) for change in comparison.wrong_to_right],
    }


def _identity(run: Run) -> dict[str, Any]:
    return {part: run.scores[part] for part in ("knowledge_base", "options")}


def _page(comparison: Comparison, listed: int) -> list[str]:
    lines = [f"# {title(comparison.a)}: two runs", ""]
    for sentence in headline(comparison):
        lines += [sentence, ""]
    for key, subset in comparison.subsets.items():
        lines += [f"## {_TITLES[key]}", "", *markdown_head("", *_columns(subset))]
        lines += [*(markdown_row(*row) for row in _rows(subset)), ""]
    lines += [NOTE, ""]
    for words, changes in _sides(comparison):
        lines += [f"## {_counted(words, changes, listed)}", ""]
        lines += markdown_head("id", "mention", "gold", "A", "B", words=5)
        for change in changes[:listed]:
            gold = ", ".join(change.gold)
            told = (change.id, change.mention, gold, _told(change.a), _told(change.b))
            lines.append(markdown_row(*told))
        lines.append("")
    return lines


def _sides(comparison: Comparison) -> list[tuple[str, Sequence[Change]]]:
    return [
        ("Right in A, wrong in B", comparison.right_to_wrong),
        ("Wrong in A, right in B", comparison.wrong_to_right),
    ]


def _counted(words: str, changes: Sequence[Change], listed: int) -> str:
    cut = f", the first {listed:,}" if len(changes) > listed else ""
    return f"{words}: {len(changes):,}{cut}"


def _told(answers: Sequence[dict[str, Any]]) -> str:
    told = [f"{each['label']} ({each['concept_id']})" for each in answers]
    return "; ".join(told) or "nothing"


def _columns(subset: SubsetComparison) -> list[str]:
    return [*subset.groups, *MEANS]


def _rows(subset: SubsetComparison) -> list[list[str]]:
    """A table's rows for a subset: the number of mentions, then four rows a metric."""
    columns: list[Compared] = [*subset.groups.values(), subset.macro, subset.micro]
    rows = [["rows", *(str(column.rows) for column in columns)]]
    for metric in subset.macro.metrics:
        found = [column.metrics[metric] for column in columns]
        rows += [
            [f"{metric} A", *(percent(each.a) for each in found)],
            [f"{metric} B", *(percent(each.b) for each in found)],
            ["A − B", *(_signed(each) for each in found)],
            ["interval", *(_bounds(each) for each in found)],
        ]
    return rows


def _signed(difference: Difference) -> str:
    if difference.difference is None:
        return percent(None)
    return f"{100 * difference.difference:+.1f}{'*' if difference.is_sure else ''}"


def _bounds(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return ""
    return f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"
