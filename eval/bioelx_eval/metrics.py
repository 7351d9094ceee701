"""Metrics as values: each has a name, is read from it, and can be resampled.

A metric gives each mention a few numbers and is computed from their sums over mentions. So taking
it over a thousand resamples (`bootstrap.py`) is one matrix product, be it a mean, a ratio or a
calibration error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bioelx.errors import BioelxError

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What metrics look at: one value a mention, arrays of one length."""

    rank: Ints
    """Of the first right candidate, from 1; 0 where none is right."""
    nil: Bools
    """The mention has no right concept: it has no gold, or none that the release holds."""
    linked: Bools
    """The mention got a link: its confidence reaches the release's threshold."""
    confidence: Floats
    """The probability of the first candidate; 0 where there is none."""

    @property
    def right(self) -> Bools:
        """Whether the first candidate is right."""
        return self.rank == 1


class Metric(Protocol):
    """What a metric promises."""

    @property
    def name(self) -> str: ...

    @property
    def depth(self) -> int:
        """How many candidates it looks at."""
        ...

    @property
    def width(self) -> int:
        """How many numbers it gives each mention."""
        ...

    def addends(self, outcomes: Outcomes) -> Floats:
        """The numbers of each mention, float64 [mentions, width]."""
        ...

    def value(self, sums: Floats, mentions: int) -> Floats:
        """The metric over so many mentions from the sums of their numbers.

        Args:
            sums: float64 [..., width].

        Returns:
            float64 [...]; NaN where it is not defined.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ratio:
    """The sum of one number a mention over the sum of another one; without that, a mean."""

    name: str
    over: Callable[[Outcomes], npt.NDArray] = field(compare=False)
    under: Callable[[Outcomes], npt.NDArray] = field(
        compare=False, default=lambda outcomes: np.ones(len(outcomes.rank))
    )
    depth: int = 1
    width: int = field(init=False, default=2)

    def addends(self, outcomes: Outcomes) -> Floats:
        return np.stack([self.over(outcomes), self.under(outcomes)], axis=1).astype(np.float64)

    def value(self, sums: Floats, mentions: int) -> Floats:
        return _divided(sums[..., 0], sums[..., 1])


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """ECE over ten bins of equal width, as in `calibration.ece`.

    A bin's share times the gap between its confidence and its accuracy is a difference of two sums
    over its mentions, so that difference is what is added up (Guo et al. 2017, equation 3).
    """

    name: str = "ECE"
    depth: int = 1
    width: int = 10

    def addends(self, outcomes: Outcomes) -> Floats:
        edges = np.linspace(0, 1, self.width + 1)
        held = np.maximum(np.searchsorted(edges, outcomes.confidence) - 1, 0)
        gaps = np.zeros((len(held), self.width))
        gaps[np.arange(len(held)), held] = outcomes.confidence - outcomes.right
        return gaps

    def value(self, sums: Floats, mentions: int) -> Floats:
        return _divided(np.abs(sums).sum(-1), np.array(mentions))


def recall(k: int) -> Ratio:
    """R@k: the share of mentions that have a right one among their first k candidates."""
    return Ratio(f"R@{k}", lambda o: (o.rank > 0) & (o.rank <= k), depth=k)


MRR = Ratio("MRR", lambda o: _divided(np.ones(len(o.rank)), o.rank, otherwise=0))
"""The mean of 1 / rank of the first right candidate, 0 where none is right."""
NIL_PRECISION = Ratio("NIL precision", lambda o: o.nil & ~o.linked, lambda o: ~o.linked)
"""The share of the mentions left without a link that have no right concept."""
NIL_RECALL = Ratio("NIL recall", lambda o: o.nil & ~o.linked, lambda o: o.nil)
"""The share of the mentions without a right concept that are left without a link."""
NIL_F1 = Ratio("NIL F1", lambda o: 2 * (o.nil & ~o.linked), lambda o: o.nil + 1 * ~o.linked)
"""The harmonic mean of the two."""
ECE = CalibrationError()
BRIER = Ratio("Brier", lambda o: (o.confidence - o.right) ** 2)
"""The mean square of the first candidate's probability less whether it is right (Brier 1950)."""

DEFAULT: tuple[Metric, ...] = (
    recall(1), recall(5), recall(20), MRR, NIL_PRECISION, NIL_RECALL, ECE
)  # fmt: skip
_NAMED: tuple[Metric, ...] = (MRR, NIL_PRECISION, NIL_RECALL, NIL_F1, ECE, BRIER)
_RECALL = re.compile("r@([1-9][0-9]{0,3})")


def parse_metric(name: str) -> Metric:
    """The metric of this name, in whatever case.

    Raises:
        BioelxError: there is none; the message says which there are.
    """
    wanted = name.strip().lower()
    if found := _RECALL.fullmatch(wanted):
        return recall(int(found[1]))
    for metric in _NAMED:
        if metric.name.lower() == wanted:
            return metric
    known = ", ".join(metric.name for metric in _NAMED)
    raise BioelxError(f"unknown metric {name!r}; known are R@k for any k, {known}")


def all_addends(metrics: Sequence[Metric], outcomes: Outcomes) -> Floats:
    """The numbers of several metrics side by side, float64 [mentions, all widths]."""
    return np.concatenate([metric.addends(outcomes) for metric in metrics], axis=1)


def all_values(metrics: Sequence[Metric], sums: Floats, mentions: int) -> Floats:
    """Several metrics from the sums of their `all_addends`: [..., all widths] -> [..., metrics]."""
    ends = np.cumsum([metric.width for metric in metrics])
    parts = np.split(sums, ends[:-1], axis=-1)
    values = [metric.value(part, mentions) for metric, part in zip(metrics, parts, strict=True)]
    return np.stack(values, axis=-1)


def _divided(over: npt.NDArray, under: npt.NDArray, otherwise: float = np.nan) -> Floats:
    """The quotient; `otherwise` where there is nothing to divide by."""
    over, under = np.broadcast_arrays(over, under)
    return np.divide(over, under, out=np.full(over.shape, float(otherwise)), where=under > 0)
