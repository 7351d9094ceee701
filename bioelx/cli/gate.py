"""What the gate made of a release, for people; and the benchmarks that it may be asked to pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioelx.gate import Change, Outcome, Tally, Verdict
from bioelx.settings import home

LISTED = 10
"""Rows that changed sides, of each kind, shown on a terminal."""


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


def run_suites(
    names: Sequence[str], data: Path, outcome: Outcome, margin: float, shown: Console
) -> list[str]:
    """Runs benchmarks on both releases; returns why the new one is refused, if it is.

    What is judged is R@1 over all mentions, each group weighing the same: by how much the release
    before is better, mention by mention. Finished runs in BIOELX_HOME/evaluations are used again.
    """
    from bioelx_eval.cli.options import make_folder, parse_dataset
    from bioelx_eval.cli.run import evaluate_shown
    from bioelx_eval.compare import compare
    from bioelx_eval.harness import EvaluationSettings, ReleaseUnderTest
    from bioelx_eval.metrics import recall
    from bioelx_eval.report.comparison import as_tables, headline
    from bioelx_eval.report.files import read_run
    from bioelx_eval.scores import SUBSETS
    from bioelx_eval.survey import survey

    settings, metric = EvaluationSettings(), recall(1)
    releases = [
        ReleaseUnderTest(each, settings) for each in (outcome.baseline or "", outcome.release)
    ]
    surveys = [survey(dataset, data, list(dataset.groups)) for dataset in map(parse_dataset, names)]
    refusals = []
    for each in surveys:
        runs = []
        for tested in releases:
            folder = home() / "evaluations" / tested.manifest.id / each.dataset.name
            evaluate_shown(each, tested, make_folder(folder), settings)
            tested.close()
            runs.append(read_run(folder))
        every = [subset for subset in SUBSETS if subset.key == "all"]
        compared = compare(runs[0], runs[1], [metric], every)
        for sentence in headline(compared):
            shown.print(sentence, soft_wrap=True)
        for table in as_tables(compared, LISTED):
            shown.print(table)
        fall = compared.subsets["all"].macro.metrics[metric.name].difference
        if fall is not None and fall > margin:
            refusals.append(
                f"{each.dataset.name}: {metric.name} falls by {100 * fall:.1f} points, allowed are "
                f"{100 * margin:.1f}"
            )
    return refusals


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
