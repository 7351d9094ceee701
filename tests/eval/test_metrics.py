"""Scores against cases worked out by hand."""

from __future__ import annotations

import pytest

from bioelx.types import Candidate, Concept, Name
from bioelx_eval.metrics import Outcome, Recall, gold_rank, score


def candidate(concept_id: str, *xrefs: str) -> Candidate:
    return Candidate(
        concept=Concept(concept_id, "label", xrefs=xrefs),
        matched=Name("name", "en", "label", "test"),
        exact=False,
        retrieval_score=0.9,
        retrieval_rank=1,
        label="label",
        label_language="en",
    )


CANDIDATES = [
    candidate("wikidata:Q1", "umls:C0000001", "mesh:D000001"),
    candidate("umls:C0000002"),
    candidate("wikidata:Q3", "umls:C0000001"),
]


@pytest.mark.parametrize(
    ("gold", "rank"),
    [
        (["umls:C0000001"], 1),  # by xref, the first of two
        (["umls:C0000002"], 2),  # by the concept's own id
        (["umls:C0000009", "umls:C0000002"], 2),  # any gold is right
        (["umls:C0000002", "umls:C0000001"], 1),
        (["wikidata:Q3"], 3),
        (["umls:C000000"], None),
        (["mesh:C0000001"], None),
        ([], None),
    ],
)
def test_rank_of_the_first_right_candidate(gold: list[str], rank: int | None) -> None:
    assert gold_rank(CANDIDATES, gold) == rank


def test_recall() -> None:
    assert str(Recall(5)) == "R@5"
    assert [Recall(5).of(rank) for rank in (1, 5, 6, None)] == [1, 1, 0, 0]
    assert Recall(5) == Recall(5) != Recall(1)


def outcome(
    group: str,
    rank: int | None,
    *,
    covered: bool = True,
    reachable: bool = True,
    named: bool = False,
) -> Outcome:
    return Outcome(group, rank, covered, reachable, named)


def test_scores() -> None:
    outcomes = [
        outcome("de", 1, named=True),
        outcome("de", 3),
        outcome("de", None),
        outcome("de", None, reachable=False),  # covered, but this release lacks it: wrong
        outcome("fi", 1),
        outcome("fi", None, covered=False, reachable=False),
        outcome("fi", 2, covered=False),
    ]
    scores = score(outcomes, [Recall(1), Recall(5)], ["de", "fi", "th"])
    by_key = {each.subset.key: each for each in scores}

    covered = by_key["covered"]
    assert list(covered.groups) == ["de", "fi", "th"]
    assert (covered.groups["de"].rows, covered.groups["de"].reachable) == (4, 3)
    assert covered.groups["de"].values == (1 / 4, 2 / 4)
    assert covered.groups["fi"].values == (1, 1)
    assert covered.groups["th"].values == (None, None)
    assert covered.macro.values == ((1 / 4 + 1) / 2, (2 / 4 + 1) / 2)
    assert covered.micro.values == (2 / 5, 3 / 5)
    assert covered.macro.rows == covered.micro.rows == 5

    assert by_key["all"].groups["fi"].values == pytest.approx((1 / 3, 2 / 3))
    assert by_key["all"].micro.values == pytest.approx((2 / 7, 4 / 7))
    assert by_key["covered_unseen"].groups["de"].values == pytest.approx((0, 1 / 3))
    assert by_key["covered_unseen"].micro.values == (1 / 4, 2 / 4)
    assert by_key["all_unseen"].micro.values == pytest.approx((1 / 6, 3 / 6))
    assert by_key["all_unseen"].macro.values == pytest.approx((1 / 6, (1 / 3 + 2 / 3) / 2))


def test_no_rows_have_no_score() -> None:
    for each in score([], [Recall(1)], ["de"]):
        assert each.micro.values == each.macro.values == (None,)
