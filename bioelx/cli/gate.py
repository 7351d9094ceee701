"""What the gate made of a release, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioelx.gate import Change, Outcome, Tally, Verdict

LISTED = 10
"""Rows, or mentions, that changed sides, of each kind, shown on a terminal."""


def show_outcome(outcome: Outcome, shown: Console) -> None:
    """Prints how the releases compare by language, and rows that changed sides."""
    if outcome.verdict:
        shown.print(_table(outcome, outcome.verdict))
        for words, changes in (
            ("Wrong now", outcome.verdict.lost),
            ("Right now", outcome.verdict.gained),
        ):
            if changes:
                shown.print(_changed(words, changes))
    shown.print(f"Regression set: {escape(outcome.summary)}", soft_wrap=True)


def _table(outcome: Outcome, verdict: Verdict) -> Table:
    table = Table(
        title=f"Regression set: {outcome.release} against {outcome.baseline}",
        caption="gone: this release has no such concept any more; unknown: neither has it.",
        show_edge=False,
    )
    table.add_column("language")
    for column in ("compared", "right before", "right", "gained", "lost", "gone", "unknown"):
        table.add_column(column, justify="right")
    for tally in verdict.languages:
        table.add_row(*_cells(tally))
    table.add_section()
    table.add_row(*_cells(verdict.total), style="bold")
    return table


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (
        tally.compared,
        tally.right_before,
        tally.right,
        tally.gained,
        tally.lost,
        tally.gone,
        tally.unknown,
    )
    return (tally.language, *(f"{count:,}" for count in counts))


def _changed(words: str, changes: Sequence[Change]) -> Table:
    table = Table(
        "row", "mention", "expected", "before", "now",
        title=f"{words}: {min(LISTED, len(changes))} of {len(changes)}",
        show_edge=False,
    )  # fmt: skip
    for change in changes[:LISTED]:
        table.add_row(
            escape(change.row.id),
            escape(change.row.query.mention),
            change.row.expected[0] if change.row.expected else "no concept",
            change.before.linked or "none",
            change.now.linked or "none",
        )
    return table
