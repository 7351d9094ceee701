"""The report of runs as one HTML page: scores side by side, plots, and the errors to look through.

The page stands alone (see `bioelx.cli.page`), and the same runs give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from bioelx.cli.page import embed_json, write_page
from bioelx_eval.bootstrap import LEVEL, RESAMPLES
from bioelx_eval.calibration import brier, ece
from bioelx_eval.published import Published, published_on
from bioelx_eval.report import auto, plots
from bioelx_eval.report.answers import ERROR_KINDS, Answers, SideBySide, side_by_side
from bioelx_eval.report.browse import pack_errors, share_out
from bioelx_eval.report.files import Run
from bioelx_eval.report.table import MEANS, NOTE, percent, summary
from bioelx_eval.scores import SUBSETS

PAGE_FILE = "report.html"
_INTERVALS = f"In small print: {LEVEL:.0%} intervals from {RESAMPLES:,} bootstrap resamples."
MAIN = "R@1"
"""The metric of the plot by group and of the words, if a run has it."""
ERRORS_LISTED = 20_000
"""In all of a page, shared out among its runs: what keeps it fit to be opened and sent."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How much the confidences of some rows mean."""

    label: str
    subset: str
    rows: int
    confidence: float
    accuracy: float
    ece: float
    brier: float


@dataclass(frozen=True, slots=True)
class Auto:
    """When to ask the ranker, of a run that asked it always."""

    label: str
    words: str
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Section:
    """All that a page shows of one dataset."""

    shown: SideBySide
    summary: Sequence[str]
    metric: str
    columns: Sequence[str]
    published: Sequence[Published]
    plots: dict[str, Markup]
    calibration: Sequence[Calibration]
    auto: Sequence[Auto]
    errors: dict[str, Any]

    @property
    def anchor(self) -> str:
        return f"dataset-{self.shown.dataset.name}"

    def stated(self, metric: str, subset: str) -> list[Published]:
        """The systems with a published figure to stand among the scores of a subset."""
        return [each for each in self.published if subset == "all" and each.scores.get(metric)]


def write_report_page(runs: Sequence[Run], path: Path) -> None:
    """Writes the page of some runs: of several datasets, releases, or both."""
    datasets = side_by_side(runs)
    errors = [answers.errors().total() for shown in datasets for answers in shown.answers]
    limits = iter(share_out(ERRORS_LISTED, errors))
    sections = [_section(shown, list(islice(limits, len(shown.answers)))) for shown in datasets]
    write_page(
        path,
        "bioelx_eval",
        "report.html",
        title="Evaluation of " + _listed(section.shown.dataset.title for section in sections),
        note=_from_markdown(f"{NOTE} {_INTERVALS}"),
        sections=sections,
        subsets=SUBSETS,
        kinds=[(kind, meaning, plots.KIND_COLOURS[kind]) for kind, meaning in ERROR_KINDS.items()],
        auto_columns=auto.COLUMNS,
        embed_json=embed_json,
        percent=percent,
    )


def _section(shown: SideBySide, limits: Sequence[int]) -> Section:
    metric = MAIN if MAIN in shown.metrics else shown.metrics[0]
    curves = [
        Auto(answers.label, auto.words(curve), auto.rows(curve))
        for answers in shown.answers
        if (curve := answers.auto) is not None
    ]
    return Section(
        shown=shown,
        summary=[_summary(answers, metric) for answers in shown.answers],
        metric=metric,
        columns=[*shown.groups, *MEANS],
        published=published_on(shown.dataset, shown.groups),
        plots={
            "scores": plots.scores_by_group(shown, metric),
            "errors": plots.errors_by_group(shown),
            "recall": plots.recall_curves(shown),
            "reliability": plots.reliability_diagram(shown),
            "risk": plots.risk_coverage_curve(shown),
            **({"auto": plots.auto_curve(shown)} if curves else {}),
        },
        calibration=[each for answers in shown.answers for each in _calibration(answers)],
        auto=curves,
        errors=pack_errors(shown, limits),
    )


def _summary(answers: Answers, metric: str) -> str:
    """What a release made of the dataset, in words."""
    sentences = [
        summary(answers.run),
        _over(answers, metric, "covered", "covered rows"),
        _extremes(answers, metric),
        _over(answers, metric, "covered_unseen", "covered rows whose mention is unseen"),
        _errors(answers),
    ]
    return " ".join(filter(None, sentences))


def _over(answers: Answers, metric: str, subset: str, words: str) -> str:
    value, low, high = answers.score(metric, subset, "macro")
    if value is None:
        return ""
    rows = answers.count("rows", subset, "macro")
    interval = f"({percent(low)} to {percent(high)})"
    return f"Over the {rows:,} {words}, {metric} is {percent(value)} {interval}."


def _extremes(answers: Answers, metric: str) -> str:
    values = {group: answers.score(metric, "covered", group).value for group in answers.groups}
    known = {group: value for group, value in values.items() if value is not None}
    if len(known) < 2:
        return ""
    (low, least), *_, (high, most) = sorted(known.items(), key=itemgetter(1))
    return f"It is highest for {high}, {percent(most)}, and lowest for {low}, {percent(least)}."


def _errors(answers: Answers) -> str:
    counts = answers.errors()
    rows = answers.predictions.num_rows
    if not counts:
        return f"None of the {rows:,} rows is wrong."
    kinds = _listed(f"{counts[kind]:,} {kind}" for kind in ERROR_KINDS if counts[kind])
    return f"Of all {rows:,} rows {counts.total():,} are wrong: {kinds}."


def _calibration(answers: Answers) -> Iterable[Calibration]:
    outcomes = answers.rows.outcomes
    for subset in SUBSETS:
        held = answers.subsets[subset.key]
        confidence, right = outcomes.confidence[held], outcomes.right[held]
        error, score = ece(confidence, right), brier(confidence, right)
        if error is not None and score is not None:
            yield Calibration(
                label=answers.label,
                subset=subset.title,
                rows=len(right),
                confidence=float(confidence.mean()),
                accuracy=float(right.mean()),
                ece=error,
                brier=score,
            )


def _listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _from_markdown(text: str) -> Markup:
    """Text with `*emphasis*`."""
    return Markup(re.sub(r"\*(.+?)\*", r"<em>\1</em>", str(escape(text))))  # noqa: S704  (escaped)
