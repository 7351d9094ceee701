"""Whether a confidence means what it says, and what leaving the unsure ones out would buy.

All functions take, for each mention, the confidence in its first candidate (from 0 to 1) and
whether that candidate is right, as arrays [n]. They raise ValueError where the two differ in length
or a confidence is no probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """The mentions whose confidence is in (low, high]; the lowest bin holds 0 as well."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean over the bin."""
    accuracy: float
    """Share of the bin that is right."""


def reliability(confidence: ArrayLike, right: ArrayLike, bins: int = 10) -> list[Bin]:
    """The reliability diagram: bins of equal width, those that no mention falls in left out.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML, section 2.
    """
    confident, correct = _checked(confidence, right)
    edges = np.linspace(0, 1, bins + 1)
    held = np.maximum(np.searchsorted(edges, confident, side="left") - 1, 0)
    counts = np.bincount(held, minlength=bins)
    confidences = np.bincount(held, confident, bins)
    corrects = np.bincount(held, correct, bins)
    return [
        Bin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            count=int(counts[i]),
            confidence=float(confidences[i] / counts[i]),
            accuracy=float(corrects[i] / counts[i]),
        )
        for i in np.flatnonzero(counts)
    ]


def ece(confidence: ArrayLike, right: ArrayLike, bins: int = 10) -> float | None:
    """Expected calibration error: the mean gap between a bin's confidence and its accuracy,
    weighed by the bin's mentions; None where there are none.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML, equation 3.
    """
    held = reliability(confidence, right, bins)
    if not held:
        return None
    gaps = [each.count * abs(each.accuracy - each.confidence) for each in held]
    return sum(gaps) / sum(each.count for each in held)


def brier(confidence: ArrayLike, right: ArrayLike) -> float | None:
    """Brier score: the mean square of confidence less outcome (1 right, 0 wrong), for the one
    event "the first candidate is right"; None where there are no mentions.

    Brier 1950, "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78(1).
    """
    confident, correct = _checked(confidence, right)
    return float(np.mean((confident - correct) ** 2)) if len(confident) else None


def risk_coverage(confidence: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    """The share of mentions kept and, of these, the share that is wrong, for falling thresholds.

    A point for each distinct confidence, the highest first: no threshold can part equal ones.

    El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification", Journal
    of Machine Learning Research 11.

    Returns:
        coverage and risk, each float64 [distinct confidences].
    """
    confident, correct = _checked(confidence, right)
    order = np.argsort(-confident, kind="stable")
    confident, correct = confident[order], correct[order]
    last = np.flatnonzero(np.diff(confident, append=-1))  # of each run of equal confidences
    kept = last + 1
    return kept / max(len(confident), 1), 1 - np.cumsum(correct)[last] / kept


def _checked(confidence: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    confident = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(right, dtype=bool).astype(np.float64)
    if confident.ndim != 1 or confident.shape != correct.shape:
        raise ValueError(f"confidences {confident.shape} and outcomes {correct.shape} must be [n]")
    if not ((confident >= 0) & (confident <= 1)).all():
        raise ValueError("a confidence is not between 0 and 1")
    return confident, correct
