"""The plots of a report, as SVG: a function a figure, each of all releases side by side.

A colour is a release; what is drawn solid is over the covered rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bioelx.cli.page import COLOURS, plot_style, svg
from bioelx_eval.auto import MOST_CALLS
from bioelx_eval.calibration import reliability, risk_coverage
from bioelx_eval.metrics import Bools, Floats, Ints
from bioelx_eval.report.answers import ERROR_KINDS, Answers, SideBySide

KIND_COLOURS = dict(
    zip(ERROR_KINDS, ("#c3cad4", "#5d83c4", "#e0a53d", "#c9604f", "#8f6bb8"), strict=True)
)
_SMALL = (4.3, 3.9)  # inches, of which three stand side by side
_WIDE = 6.2  # of which two do
_INK, _SOFT = "#1c2430", "#5b6675"
_FAINT = 0.4

T = TypeVar("T")
Style = Literal["-", "--"]


def scores_by_group(shown: SideBySide, metric: str) -> Markup:
    """Bars of a metric: over the covered rows, and faint where the mention is unseen."""
    bars = [
        (answers, colour, subset, alpha)
        for answers, colour in _coloured(shown)
        for subset, alpha in (("covered", 1.0), ("covered_unseen", _FAINT))
    ]
    with plot_style():
        figure, axes = _by_group(shown)
        for (answers, colour, subset, alpha), place, thick in _beside(bars, shown):
            scores = [answers.score(metric, subset, group) for group in shown.groups]
            value, low, high = np.array(scores, dtype=np.float64).T
            axes.barh(place, value, thick, color=colour, alpha=alpha)
            reach = np.maximum(0, np.stack([value - low, high - value]))
            axes.errorbar(value, place, xerr=reach, fmt="none", ecolor=_INK, elinewidth=0.8)
        axes.set_xlabel(metric)
        _legend(
            figure,
            shown,
            Patch(color=_SOFT, label="covered rows"),
            Patch(color=_SOFT, alpha=_FAINT, label="of these, mention unseen"),
        )
        return svg(figure, f"{metric} by group")


def errors_by_group(shown: SideBySide) -> Markup:
    """Stacked bars of the share of all rows that is wrong, by kind of error."""
    with plot_style():
        figure, axes = _by_group(shown)
        for answers, place, thick in _beside(shown.answers, shown):
            rows = np.array([answers.count("rows", "all", group) or 0 for group in shown.groups])
            errors = [answers.errors(group) for group in shown.groups]
            left = np.zeros(len(rows))
            for kind, colour in KIND_COLOURS.items():
                share = np.array([of_group[kind] for of_group in errors]) / np.maximum(rows, 1)
                axes.barh(place, share, thick, left=left, color=colour, edgecolor="white")
                left += share
        axes.set_xlabel("share of all rows that is wrong")
        keys = [Patch(color=colour, label=kind) for kind, colour in KIND_COLOURS.items()]
        figure.legend(handles=keys, loc="outside upper left", ncols=3)
        return svg(figure, "Errors by kind and group")


def recall_curves(shown: SideBySide) -> Markup:
    """R@k for each k, the mean of the groups."""
    styles = {"covered": "-", "covered_unseen": "--"}
    with plot_style():
        figure, axes = _small()
        for answers, colour in _coloured(shown):
            ranks = np.arange(1, answers.scores["options"]["top_k"] + 1)
            for subset, style in styles.items():
                recalls = _recalls(answers, answers.subsets[subset], ranks)
                axes.plot(ranks, recalls, style, color=colour, marker=".")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(ylim=(0, 1), xlabel="k", ylabel="R@k, mean of the groups")
        _percent(axes.yaxis)
        _legend(figure, shown, _line("-", "covered rows"), _line("--", "of these, mention unseen"))
        return svg(figure, "R@k for each k")


def reliability_diagram(shown: SideBySide) -> Markup:
    """Accuracy against confidence in ten bins, and how many of the rows each bin holds."""
    with plot_style():
        figure = Figure(figsize=_SMALL)
        axes, shares = figure.subplots(2, sharex=True, height_ratios=(4, 1))
        axes.plot([0, 1], [0, 1], ":", color=_SOFT, linewidth=1)
        for answers, colour, style, held in _covered_and_all(shown):
            bins = reliability(*_confidence_and_right(answers, held))
            confidence = [each.confidence for each in bins]
            axes.plot(confidence, [each.accuracy for each in bins], style, color=colour, marker=".")
            share = [each.count / held.sum() for each in bins]
            shares.plot(confidence, share, style, color=colour, marker=".")
        axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
        shares.set(ylim=0, ylabel="rows", xlabel="confidence in the first candidate")
        _percent(axes.xaxis, axes.yaxis, shares.yaxis)
        _legend(figure, shown, _line("-", "covered rows"), _line("--", "all rows"))
        return svg(figure, "Reliability diagram")


def risk_coverage_curve(shown: SideBySide) -> Markup:
    """How many are wrong among those kept, as the threshold of confidence falls."""
    with plot_style():
        figure, axes = _small()
        for answers, colour, style, held in _covered_and_all(shown):
            kept, risk = risk_coverage(*_confidence_and_right(answers, held))
            axes.plot(kept, risk, style, color=colour)
        axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of these that is wrong")
        axes.set_xlabel("share of rows kept, the most confident first")
        _percent(axes.xaxis, axes.yaxis)
        _legend(figure, shown, _line("-", "covered rows"), _line("--", "all rows"))
        return svg(figure, "Risk against coverage")


def auto_curve(shown: SideBySide) -> Markup:
    """The gain of the ranker against the share of mentions that it is asked for."""
    with plot_style():
        figure, axes = _small()
        axes.axhline(0, color=_SOFT, linewidth=1, linestyle=":")
        axes.axvline(MOST_CALLS, color=_SOFT, linewidth=1, linestyle=":")
        for answers, colour in _coloured(shown):
            if (curve := answers.auto) is None:
                continue
            calls = [point.calls for point in curve.points]
            bounds = np.array(
                [(p.gain.value, p.gain.low, p.gain.high) for p in curve.points], np.float64
            ).T
            axes.fill_between(calls, bounds[1], bounds[2], color=colour, alpha=0.2, linewidth=0)
            axes.plot(calls, bounds[0], "-", color=colour)
            value = curve.chosen.gain.value
            if value is not None:
                axes.plot([curve.chosen.calls], [value], "o", color=colour)
        axes.set(xlim=(0, 1), xlabel="share of mentions that the ranker is asked for")
        axes.set_ylabel("gain in R@1, covered rows, mean of the groups")
        _percent(axes.xaxis)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        _legend(figure, shown, _line("-", "asked where retrieval is least sure"))
        return svg(figure, "Gain of the ranker by share of calls")


def _coloured(shown: SideBySide) -> Iterator[tuple[Answers, str]]:
    return zip(shown.answers, cycle(COLOURS))


def _covered_and_all(shown: SideBySide) -> Iterator[tuple[Answers, str, str, Bools]]:
    """The answers with the colour, the style of line and the rows of what is drawn of them."""
    for answers, colour in _coloured(shown):
        for subset, style in (("covered", "-"), ("all", "--")):
            yield answers, colour, style, answers.subsets[subset]


def _confidence_and_right(answers: Answers, held: Bools) -> tuple[Floats, Bools]:
    outcomes = answers.rows.outcomes
    return outcomes.confidence[held], outcomes.right[held]


def _recalls(answers: Answers, held: Bools, ranks: Ints) -> Floats:
    """R@k for these k, the mean of the groups that have rows; NaN where none has."""
    rank, group = answers.rows.outcomes.rank[held], answers.rows.group[held]
    found = (rank[:, None] > 0) & (rank[:, None] <= ranks)
    by_group = [found[group == code].mean(0) for code in np.unique(group)]
    return np.mean(by_group, axis=0) if by_group else np.full(len(ranks), np.nan)


def _by_group(shown: SideBySide) -> tuple[Figure, Axes]:
    """A figure for the bars of each group, the first on top."""
    height = 1.3 + len(shown.groups) * (0.1 + 0.16 * len(shown.answers))
    figure = Figure(figsize=(_WIDE, height))
    axes = figure.subplots()
    axes.set_yticks(range(len(shown.groups)), shown.groups)
    axes.set(ylim=(len(shown.groups) - 0.5, -0.5), xlim=(0, 1))
    _percent(axes.xaxis)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _beside(bars: Sequence[T], shown: SideBySide) -> Iterator[tuple[T, npt.NDArray, float]]:
    """Each bar with its places in the groups, and its thickness."""
    thick = 0.8 / len(bars)
    for i, bar in enumerate(bars):
        yield bar, np.arange(len(shown.groups)) + (i - (len(bars) - 1) / 2) * thick, 0.9 * thick


def _small() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SMALL)
    return figure, figure.subplots()


def _percent(*of: Axis) -> None:
    for axis in of:
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _line(style: Style, label: str) -> Artist:
    return Line2D([], [], linestyle=style, color=_SOFT, label=label)


def _legend(figure: Figure, shown: SideBySide, *styles: Artist) -> None:
    """Says what the colours are, where there are several, and what the styles are."""
    releases = [Patch(color=colour, label=answers.label) for answers, colour in _coloured(shown)]
    handles = [*(releases if len(releases) > 1 else []), *styles]
    figure.legend(handles=handles, loc="outside upper left", ncols=1 if len(releases) > 1 else 2)
