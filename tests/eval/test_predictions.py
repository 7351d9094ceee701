"""What is judged right, and what is wrong with what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioelx.linker import Linker
from bioelx.types import LinkOptions, Query
from bioelx_eval.coverage import GoldConcepts
from bioelx_eval.datasets import Example
from bioelx_eval.error_kinds import ErrorKind, error_kind
from bioelx_eval.predictions import CONTEXT, PREDICTIONS_SCHEMA, tabulate


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (None, {"rank": 1}),
        (None, {"rank": 1, "linked": False}),  # the threshold is the NIL metrics' matter
        (ErrorKind.RANKED_BELOW, {"rank": 2, "wrong_firsts": [("disease", "other")]}),
        (ErrorKind.WRONG_TYPE, {"rank": 2, "wrong_firsts": [("chemical",)]}),
        (ErrorKind.WRONG_TYPE, {"rank": 2, "wrong_firsts": [("disease",), ("gene",)]}),
        (ErrorKind.NOT_RETRIEVED, {"rank": None, "wrong_firsts": [("chemical",)]}),
        (ErrorKind.NOT_RETRIEVED, {"rank": None, "linked": False}),
        (ErrorKind.NOT_COVERED, {"reachable": False, "rank": None}),
        (ErrorKind.NOT_COVERED, {"reachable": False, "rank": None, "linked": False}),
        (ErrorKind.LINKED_NIL, {"has_gold": False, "reachable": False, "rank": None}),
        (None, {"has_gold": False, "reachable": False, "rank": None, "linked": False}),
    ],
)
def test_the_first_kind_that_holds(kind: ErrorKind | None, facts: dict[str, object]) -> None:
    usual = {
        "has_gold": True,
        "reachable": True,
        "linked": True,
        "gold_types": ["disease"],
        "wrong_firsts": [],
    }
    assert error_kind(**{**usual, **facts}) == kind


@pytest.fixture(scope="module")
def linker(release: Path) -> Linker:
    return Linker.open(release, threads=1)


GOLD = [
    # mention, gold ids, rank, concepts that bear them
    ("asthma", ["umls:C0004096"], 1, ["wikidata:Q35869"]),  # by xref
    ("headache", ["umls:C0018681"], 1, ["umls:C0018681"]),  # by the concept's own id
    ("asthma", ["umls:C0000009", "umls:C0155877"], 1, ["wikidata:Q35869"]),  # any gold is right
    ("headache", ["umls:C0011849", "umls:C0018681"], 1, ["umls:C0018681", "wikidata:Q12206"]),
    ("asthma", ["umls:C000409"], None, []),
    ("asthma", ["mesh:C0004096"], None, []),
    ("wound, incised", ["umls:C0000925"], None, []),  # of a retired concept
    ("asthma", [], None, []),
]


def test_a_candidate_is_right_by_id_or_xref(linker: Linker) -> None:
    examples = [
        Example(str(i), "en", Query.bare(mention), tuple(gold))
        for i, (mention, gold, _, _) in enumerate(GOLD)
    ]
    links = linker.link([example.query for example in examples], LinkOptions(top_k=20)).links
    gold = GoldConcepts.find(linker.knowledge_base, {g for e in examples for g in e.gold})
    rows = tabulate(examples, links, gold, linker.knowledge_base).to_pylist()
    assert [row["rank"] for row in rows] == [rank for _, _, rank, _ in GOLD]
    assert [row["gold_concepts"] for row in rows] == [concepts for *_, concepts in GOLD]
    for row in rows:
        right = [each["concept_id"] for each in row["candidates"] if each["right"]]
        assert sorted(right) == row["gold_concepts"]
        assert row["covered"] == row["reachable"] == bool(row["gold_concepts"])
    assert [row["named"] for row in rows] == [True] * 4 + [False] * 4


def test_the_table_has_its_schema_and_some_context(linker: Linker) -> None:
    text = "a" * 500 + " asthma " + "b" * 500
    example = Example("1", "en", Query(text, 501, 507, "en"), ("umls:C0004096",), covered=False)
    links = linker.link([example.query]).links
    gold = GoldConcepts.find(linker.knowledge_base, example.gold)
    table = tabulate([example], links, gold, linker.knowledge_base, {"asthma"})
    assert table.schema == PREDICTIONS_SCHEMA
    [row] = table.to_pylist()
    assert row["before"] == "a" * (CONTEXT - 1) + " "
    assert row["after"] == " " + "b" * (CONTEXT - 1)
    assert (row["mention"], row["language"], row["seen"]) == ("asthma", "en", True)
    assert (row["covered"], row["reachable"]) == (False, True)
    assert tabulate([], [], gold, linker.knowledge_base).schema == PREDICTIONS_SCHEMA
