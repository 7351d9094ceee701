"""When to ask the ranker: what `rerank=auto` saves and what it loses, threshold by threshold.

Read from a run with `rerank=always`, whose predictions say of each candidate what retrieval alone
made of it: asking only where retrieval's confidence in its first candidate is below a threshold
gives, mention by mention, either the one answer or the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx_eval.bootstrap import Estimate, estimate
from bioelx_eval.metrics import Bools, Floats
from bioelx_eval.scores import Rows

MOST_CALLS = 0.4
LEAST_KEPT = 0.95
_THRESHOLDS = 100  # between those of one and the next `auto` asks for one mention in so many
_DIGITS = 4  # of a threshold

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Point:
    """What `auto` does at one threshold."""

    below: float
    """The ranker is asked where retrieval's confidence is lower."""
    calls: float
    """Share of the mentions, of all rows, for which it is asked."""
    gain: Estimate
    """How far R@1 over the covered rows, the mean of the groups, is above that without it."""
    kept: float | None
    """Share of the gain of `always`; None where that is no gain."""


@dataclass(frozen=True, slots=True)
class AutoCurve:
    """The curve of a run, and what follows from it."""

    always: Estimate
    """The gain of asking for every mention."""
    points: list[Point]
    """From never on, in the order of thresholds."""
    chosen: Point
    """Where to ask."""
    never: bool
    """There is no gain that its interval tells from none: `auto` is to mean never."""

    @property
    def holds(self) -> bool:
        """Whether the chosen threshold keeps as much as is asked of it."""
        return self.chosen.kept is not None and self.chosen.kept >= LEAST_KEPT


class Asked(NamedTuple):
    """Each of the queries of a run, which are one a mention, or one a part of a composite one."""

    row: Int64
    confidence: Floats
    """Retrieval's, in its first candidate."""
    without: Bools
    """Retrieval's first candidate is right."""
    ranked: Bools
    """The ranker's is."""


def auto_curve(predictions: pa.Table, groups: Sequence[str]) -> AutoCurve | None:
    """The curve of a run with `rerank=always`; None if the ranker has not read every mention."""
    asked = _asked(predictions)
    if asked is None:
        return None
    rows = Rows.of(predictions, groups)
    quantiles = np.quantile(asked.confidence, np.linspace(0, 1, _THRESHOLDS + 1))
    rounded = np.ceil(quantiles * 10**_DIGITS) / 10**_DIGITS
    below = np.unique(np.concatenate([[0.0], rounded.clip(max=1.0), [1.0]]))
    reads = asked.confidence[:, None] < np.append(below, np.inf)
    right = np.where(reads, asked.ranked[:, None], asked.without[:, None])
    of_rows = _all_of_row(right, asked.row, len(predictions)) & (rows.outcomes.rank > 0)[:, None]
    gains = of_rows.astype(np.float64) - of_rows[:, :1]

    def mean(sums: Floats, count: int) -> Floats:
        return sums / count if count else np.full(sums.shape, np.nan)

    held = rows.covered
    *gained, always = estimate(gains[held], rows.group[held], rows.groups, mean).macro
    points = [
        Point(float(at), float(reads[:, i].mean()), gain, _kept(gain, always))
        for i, (at, gain) in enumerate(zip(below, gained, strict=True))
    ]
    never = always.low is None or always.low <= 0
    return AutoCurve(always, points, points[0] if never else choose(points), never)


def choose(points: Sequence[Point]) -> Point:
    """The least share of calls that keeps `LEAST_KEPT` of the gain; where no threshold of at most
    `MOST_CALLS` does, the one of these that keeps most."""
    cheap = [point for point in points if point.calls <= MOST_CALLS]
    for point in cheap:
        if point.kept is not None and point.kept >= LEAST_KEPT:
            return point
    return max(cheap, key=lambda point: (point.kept or 0.0, -point.calls))


def _kept(gain: Estimate, always: Estimate) -> float | None:
    if gain.value is None or not always.value or always.value <= 0:
        return None
    return gain.value / always.value


def _asked(predictions: pa.Table) -> Asked | None:
    candidates = predictions["candidates"].combine_chunks()
    row = pc.list_parent_indices(candidates).to_numpy().astype(np.int64)
    found = candidates.flatten()
    if not len(found):
        return None

    def field(name: str) -> npt.NDArray:
        return found.field(name).to_numpy(zero_copy_only=False)

    part, rank = field("part").astype(np.int64), field("retrieval_rank").astype(np.int64)
    # Candidates stand query by query, in the order of the ranker.
    starts = np.flatnonzero(np.r_[True, (np.diff(row) != 0) | (np.diff(part) != 0)])
    query = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(row)]))
    by_retrieval = np.lexsort((rank, query))[starts]
    if np.isnan(field("ranker_log_odds").astype(np.float64)[starts]).any():
        return None
    right = field("right")
    return Asked(
        row=row[starts],
        confidence=field("retrieval_probability").astype(np.float64)[by_retrieval],
        without=right[by_retrieval],
        ranked=right[starts],
    )


def _all_of_row(right: Bools, row: Int64, rows: int) -> Bools:
    """Whether all queries of each row are right, bool [rows, thresholds]; not so without any."""
    whole = np.zeros((rows, right.shape[1]), np.bool_)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    whole[row[starts]] = np.logical_and.reduceat(right, starts)
    return whole
