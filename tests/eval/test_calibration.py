"""Calibration against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx_eval.calibration import Bin, brier, ece, reliability, risk_coverage

CONFIDENCE = [0.9, 0.8, 0.9, 0.3, 0.3]
RIGHT = [True, False, True, True, False]

answers = st.lists(
    st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.5, 1.0])), st.booleans())
)


def split(pairs: list[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    return [confidence for confidence, _ in pairs], [right for _, right in pairs]


def test_reliability_diagram() -> None:
    assert reliability(CONFIDENCE, RIGHT, bins=2) == [
        Bin(0.0, 0.5, 2, pytest.approx(0.3), 0.5),
        Bin(0.5, 1.0, 3, pytest.approx(2.6 / 3), pytest.approx(2 / 3)),
    ]
    # Bins are closed above; the lowest has 0 too; empty ones are left out.
    bounds = [(each.low, each.high, each.count) for each in reliability([0, 0.25, 1], [1, 1, 1], 4)]
    assert bounds == [(0.0, 0.25, 2), (0.75, 1.0, 1)]


def test_expected_calibration_error() -> None:
    by_hand = (2 * abs(0.3 - 0.5) + 3 * abs(2.6 / 3 - 2 / 3)) / 5
    assert ece(CONFIDENCE, RIGHT, bins=2) == pytest.approx(by_hand)
    assert ece([1.0, 1.0, 0.0], [True, True, False]) == 0
    assert ece([1.0, 0.0], [False, True]) == 1


def test_brier_score() -> None:
    assert brier([0.9, 0.2], [True, True]) == pytest.approx((0.01 + 0.64) / 2)
    assert brier([0.5], [False]) == 0.25


def test_risk_coverage_keeps_ties_together() -> None:
    coverage, risk = risk_coverage(CONFIDENCE, RIGHT)
    assert coverage.tolist() == pytest.approx([2 / 5, 3 / 5, 1])
    assert risk.tolist() == pytest.approx([0, 1 / 3, 2 / 5])
    coverage, risk = risk_coverage([0.0, 0.0], [True, False])
    assert (coverage.tolist(), risk.tolist()) == ([1.0], [0.5])


def test_nothing_to_measure() -> None:
    assert reliability([], []) == []
    assert ece([], []) is brier([], []) is None
    assert [len(each) for each in risk_coverage([], [])] == [0, 0]


@pytest.mark.parametrize(
    ("confidence", "right", "said"),
    [
        ([0.5], [True, False], "must be"),
        ([[0.5]], [[True]], "must be"),
        ([1.5], [True], "between 0 and 1"),
        ([-0.1], [True], "between 0 and 1"),
        ([float("nan")], [True], "between 0 and 1"),
    ],
)
def test_what_is_no_confidence(confidence: list[float], right: list[bool], said: str) -> None:
    for measure in (ece, brier, risk_coverage):
        with pytest.raises(ValueError, match=said):
            measure(confidence, right)


@given(pairs=answers, bins=st.integers(1, 20))
def test_bins_share_out_all_mentions(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = split(pairs)
    held = reliability(confidence, right, bins)
    assert sum(each.count for each in held) == len(pairs)
    assert sum(each.count * each.accuracy for each in held) == pytest.approx(sum(right))
    for each in held:
        assert each.low - 1e-9 <= each.confidence <= each.high + 1e-9


@given(pairs=answers.filter(bool), seed=st.randoms(use_true_random=False))
def test_the_order_of_mentions_changes_nothing(pairs: list[tuple[float, bool]], seed) -> None:
    confidence, right = split(pairs)
    coverage, risk = risk_coverage(confidence, right)
    assert np.all(np.diff(coverage) > 0)
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(1 - np.mean(right))
    shuffled = list(pairs)
    seed.shuffle(shuffled)
    for before, after in zip((coverage, risk), risk_coverage(*split(shuffled)), strict=True):
        assert np.array_equal(before, after)
