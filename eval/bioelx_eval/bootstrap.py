"""Values a group, their two means, and confidence intervals by the bootstrap.

Rows are drawn with replacement from the rows of a group, as many as it has, a thousand times
(Efron 1979, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1)); an
interval lies between percentiles of what comes out. Groups keep their size, which is the dataset's
choice and not chance. The draws come from a fixed seed and the group's name: the same rows have the
same interval, whatever is scored beside them.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Read = Callable[[Floats, int], Floats]
"""Computes values float64 [..., m] from sums over rows float64 [..., n] and the number of rows."""

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 20261123
_AT_ONCE = 1 << 20  # rows drawn at once: what bounds the memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the bounds of its interval, to six places; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Estimates:
    """What `Read` computes, m estimates, over the rows of each group and as their means."""

    groups: list[list[Estimate]]
    macro: list[Estimate]
    """Mean of the groups where the value is defined: each weighs the same."""
    micro: list[Estimate]
    """Over all rows: each weighs the same."""


def estimate(addends: Floats, codes: npt.NDArray, groups: Sequence[str], read: Read) -> Estimates:
    """Estimates what can be read from sums over rows.

    Args:
        addends: float64 [rows, n].
        codes: the position in `groups` of each row's group, [rows].
    """
    values, resampled = [], []
    total = np.zeros((RESAMPLES, addends.shape[1]))
    for code, group in enumerate(groups):
        own = addends[codes == code]
        sums = _resampled_sums(own, group)
        values.append(read(own.sum(0), len(own)))
        resampled.append(read(sums, len(own)))
        total += sums
    micro = read(addends.sum(0), len(addends)), read(total, len(addends))
    return Estimates(
        groups=[_with_intervals(*each) for each in zip(values, resampled, strict=True)],
        macro=_with_intervals(_mean(values), _mean(resampled)),
        micro=_with_intervals(*micro),
    )


def _resampled_sums(addends: Floats, name: str) -> Floats:
    """The sums of each column over `RESAMPLES` draws, float64 [RESAMPLES, n]."""
    rows = len(addends)
    rng = np.random.default_rng([_SEED, zlib.crc32(name.encode())])
    sums = np.zeros((RESAMPLES, addends.shape[1]))
    at_once = max(1, _AT_ONCE // max(rows, 1))
    for start in range(0, RESAMPLES if rows else 0, at_once):
        draws = min(at_once, RESAMPLES - start)
        drawn = rng.integers(0, rows, (draws, rows))
        drawn += np.arange(draws)[:, None] * rows
        times = np.bincount(drawn.ravel(), minlength=draws * rows).reshape(draws, rows)
        sums[start : start + draws] = times.astype(np.float64) @ addends
    return sums


def _mean(of_groups: Sequence[Floats]) -> Floats:
    """The mean of arrays of one shape, value by value, without those that are not defined."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(np.stack(of_groups), axis=0)


def _with_intervals(values: Floats, resampled: Floats) -> list[Estimate]:
    """Args: values [m] and what they are in each resample [RESAMPLES, m]."""
    return [
        _estimate(value, of_resamples[~np.isnan(of_resamples)])
        for value, of_resamples in zip(values, resampled.T, strict=True)
    ]


def _estimate(value: float, resampled: Floats) -> Estimate:
    if np.isnan(value) or not len(resampled):
        return Estimate(None, None, None)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(*(round(float(each), 6) for each in (value, low, high)))
