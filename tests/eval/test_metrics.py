"""Metrics, their intervals and the scores against cases worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.errors import BioelxError
from bioelx_eval.bootstrap import RESAMPLES, Estimate, estimate
from bioelx_eval.calibration import brier, ece
from bioelx_eval.metrics import (
    BRIER,
    DEFAULT,
    ECE,
    MRR,
    NIL_F1,
    NIL_PRECISION,
    NIL_RECALL,
    Metric,
    Outcomes,
    parse_metric,
    recall,
)
from bioelx_eval.scores import Rows, Score, score


def outcomes(
    ranks: Sequence[int],
    *,
    nil: Sequence[int] = (),
    linked: Sequence[int] = (),
    confidence: Sequence[float] = (),
) -> Outcomes:
    """Of mentions with these ranks (0: none right); `nil` and `linked` say which ones are."""
    positions = np.arange(len(ranks))
    return Outcomes(
        rank=np.array(ranks, np.int32),
        nil=np.isin(positions, nil),
        linked=np.isin(positions, linked),
        confidence=np.array(confidence or [0.5] * len(ranks), np.float64),
    )


def value(metric: Metric, of: Outcomes) -> float:
    return float(metric.value(metric.addends(of).sum(0), len(of.rank)))


def test_means_over_mentions() -> None:
    of = outcomes([1, 5, 6, 0])
    assert value(recall(1), of) == 1 / 4
    assert value(recall(5), of) == 2 / 4
    assert value(recall(6), of) == 3 / 4
    assert value(MRR, of) == pytest.approx((1 + 1 / 5 + 1 / 6) / 4)
    assert np.isnan(value(recall(1), outcomes([])))


def test_nil_is_a_mention_left_without_a_link() -> None:
    # Without a link: 0 (NIL), 2 and 3 (they have a concept). NIL with a link: 1.
    of = outcomes([0, 0, 1, 2, 1], nil=[0, 1], linked=[1, 4])
    assert value(NIL_PRECISION, of) == pytest.approx(1 / 3)
    assert value(NIL_RECALL, of) == 1 / 2
    assert value(NIL_F1, of) == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    everything = outcomes([1, 2], linked=[0, 1])
    assert np.isnan([value(m, everything) for m in (NIL_PRECISION, NIL_RECALL, NIL_F1)]).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_is_that_of_the_diagrams(answers: list[tuple[float, bool]]) -> None:
    confidence, right = zip(*answers, strict=True)
    of = outcomes([1 if each else 0 for each in right], confidence=confidence)
    assert value(ECE, of) == pytest.approx(ece(confidence, right), abs=1e-12)
    assert value(BRIER, of) == pytest.approx(brier(confidence, right), abs=1e-12)


@pytest.mark.parametrize(
    "name", ["R@1", "R@7", "R@100", "MRR", "NIL precision", "NIL recall", "NIL F1", "ECE", "Brier"]
)
def test_a_metric_is_read_from_its_name(name: str) -> None:
    metric = parse_metric(name)
    assert metric.name == name
    assert metric == parse_metric(name.upper()) == parse_metric(f" {name.lower()}")
    assert metric != parse_metric("R@2")
    assert metric.depth == (int(name[2:]) if name.startswith("R@") else 1)


@pytest.mark.parametrize("name", ["R@0", "R@", "R@-1", "R@1.5", "recall", "NIL", ""])
def test_an_unknown_metric_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(BioelxError, match=r"known are R@k for any k, MRR, NIL precision, .*Brier"):
        parse_metric(name)


def recalled(ranks: Sequence[int], groups: Sequence[int], names: Sequence[str]) -> list[Estimate]:
    """R@1 of each group, then macro and micro."""
    found = estimate(
        recall(1).addends(outcomes(ranks)),
        np.array(groups),
        names,
        lambda sums, mentions: recall(1).value(sums, mentions)[..., None],
    )
    return [each for [each] in (*found.groups, found.macro, found.micro)]


def test_an_interval_is_as_wide_as_the_sample_is_small() -> None:
    # A share of one half among n rows has a standard error of 0.5 / sqrt(n).
    for rows in (100, 2500):
        [group, macro, micro] = recalled([1, 0] * (rows // 2), [0] * rows, ["de"])
        assert group == macro == micro
        assert group.value == 0.5
        width = 1.96 * 0.5 / np.sqrt(rows)
        assert group.low == pytest.approx(0.5 - width, abs=0.2 * width)
        assert group.high == pytest.approx(0.5 + width, abs=0.2 * width)


def test_groups_weigh_the_same_in_macro_and_keep_their_interval_in_any_company() -> None:
    ranks, groups = [1, 0, 0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0, 1, 1]
    de, fi, macro, micro = recalled(ranks, groups, ["de", "fi"])
    assert (de.value, fi.value) == (0.5, 0.5)
    de, fi, th, macro, micro = recalled([1, 1, *ranks[2:]], groups, ["de", "fi", "th"])
    assert th == Estimate(None, None, None)
    assert macro.value == pytest.approx((4 / 6 + 1 / 2) / 2, abs=1e-6)  # th has no rows
    assert micro.value == pytest.approx(5 / 8)
    assert macro.low < macro.value < macro.high
    assert recalled(ranks[6:], [0, 0], ["fi"])[0] == fi


def test_all_right_leaves_no_doubt() -> None:
    assert recalled([1] * 10, [0] * 10, ["de"])[0] == Estimate(1, 1, 1)
    assert RESAMPLES == 1000


ROWS = [
    # group, rank, covered, reachable, unseen
    ("de", 1, True, True, False),
    ("de", 3, True, True, True),
    ("de", 0, True, True, True),
    ("de", 0, True, False, True),  # covered, but this release lacks it: wrong
    ("fi", 1, True, True, True),
    ("fi", 0, False, False, True),
    ("fi", 2, False, True, True),
]
GROUPS = ("de", "fi", "th")


def test_scores_over_every_subset() -> None:
    group, rank, covered, reachable, unseen = zip(*ROWS, strict=True)
    rows = Rows(
        groups=GROUPS,
        group=np.array([GROUPS.index(each) for each in group], np.int32),
        covered=np.array(covered),
        reachable=np.array(reachable),
        unseen=np.array(unseen),
        outcomes=outcomes(rank),
    )
    scores = score(rows, [recall(1), recall(5)])

    def values(of: Score) -> list[float | None]:
        return [of.metrics[name].value for name in ("R@1", "R@5")]

    covered_rows = scores["covered"]
    assert list(covered_rows.groups) == ["de", "fi", "th"]
    assert (covered_rows.groups["de"].rows, covered_rows.groups["de"].reachable) == (4, 3)
    assert values(covered_rows.groups["de"]) == [1 / 4, 2 / 4]
    assert values(covered_rows.groups["fi"]) == [1, 1]
    assert values(covered_rows.groups["th"]) == [None, None]
    assert values(covered_rows.macro) == [(1 / 4 + 1) / 2, (2 / 4 + 1) / 2]
    assert values(covered_rows.micro) == [2 / 5, 3 / 5]
    assert covered_rows.macro.rows == covered_rows.micro.rows == 5

    def near(of: Score, *expected: float) -> None:
        assert values(of) == pytest.approx(expected, abs=1e-6)

    near(scores["all"].groups["fi"], 1 / 3, 2 / 3)
    near(scores["all"].micro, 2 / 7, 4 / 7)
    near(scores["covered_unseen"].groups["de"], 0, 1 / 3)
    near(scores["covered_unseen"].micro, 1 / 4, 2 / 4)
    near(scores["all_unseen"].micro, 1 / 6, 3 / 6)
    near(scores["all_unseen"].macro, 1 / 6, (1 / 3 + 2 / 3) / 2)


def test_no_rows_have_no_score() -> None:
    empty = np.zeros(0, bool)
    rows = Rows(["de"], np.zeros(0, np.int32), empty, empty, empty, outcomes([]))
    for each in score(rows, DEFAULT).values():
        for held in (each.macro, each.micro, each.groups["de"]):
            assert held.rows == 0
            assert set(held.metrics.values()) == {Estimate(None, None, None)}
