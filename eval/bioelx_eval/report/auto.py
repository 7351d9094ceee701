"""What a run says of `rerank=auto`, in words and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from bioelx_eval.auto import LEAST_KEPT, MOST_CALLS, AutoCurve, Point, auto_curve
from bioelx_eval.bootstrap import Estimate
from bioelx_eval.report.files import Run
from bioelx_eval.report.table import markdown_head, markdown_row, percent

COLUMNS = ("asked below", "mentions asked for", "gain in R@1", "share of the gain")
_SHOWN = 11  # rows of the table: a tenth of the mentions more from one to the next


def curve_of(run: Run) -> AutoCurve | None:
    """The curve of a run of `always`; None for any other."""
    if run.scores["options"]["rerank"] != "always":
        return None
    return auto_curve(run.predictions, list(run.scores["scores"]["all"]["groups"]))


def words(curve: AutoCurve) -> str:
    """What follows from a curve."""
    gain = f"The gain of asking the ranker for every mention is {_points(curve.always)} points."
    if curve.never:
        return f"{gain} Its interval is not above zero, so auto is to mean never."
    chosen = curve.chosen
    told = (
        f"Asked only where retrieval's confidence is below {chosen.below:g}, for "
        f"{percent(chosen.calls)} % of the mentions, it keeps {percent(chosen.kept)} % of that"
    )
    if curve.holds:
        return f"{gain} {told}."
    return (
        f"{gain} {told}, the most that no more than {MOST_CALLS:.0%} of the calls keep: less than "
        f"the {LEAST_KEPT:.0%} asked for."
    )


def markdown(run: Run) -> list[str]:
    """The lines of `report.md` on a run of `always`; none on any other."""
    curve = curve_of(run)
    if curve is None:
        return []
    table = [*markdown_head(*COLUMNS, words=1), *(markdown_row(*row) for row in rows(curve))]
    return ["", "## When to ask the ranker", "", words(curve), "", *table]


def rows(curve: AutoCurve) -> list[tuple[str, ...]]:
    """The curve in steps of about a tenth of the mentions, with the point that is chosen."""
    wanted = {_nearest(curve.points, step / (_SHOWN - 1)) for step in range(_SHOWN)}
    wanted.add(curve.points.index(curve.chosen))
    return [_row(curve.points[at], curve.chosen) for at in sorted(wanted)]


def _nearest(points: Sequence[Point], calls: float) -> int:
    return min(range(len(points)), key=lambda at: abs(points[at].calls - calls))


def _row(point: Point, chosen: Point) -> tuple[str, ...]:
    mark = " (chosen)" if point is chosen else ""
    return (
        f"{point.below:g}{mark}",
        percent(point.calls),
        _points(point.gain),
        percent(point.kept),
    )


def _points(gain: Estimate) -> str:
    if gain.value is None:
        return percent(None)
    return f"{percent(gain.value)} ({percent(gain.low)} to {percent(gain.high)})"
