"""Ids over releases: what stays, what is retired, and where the retired lead."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.kb.tables import CONCEPTS_FILE, CONCEPTS_SCHEMA, prepare, write_table
from bioelx.types import Status
from bioelx_index.merge import Previous

from .records import ANY_RECORDS, MI, Record, merge_all, said


def releases(*states: Sequence[Record]) -> list[pa.Table]:
    """The concepts of one release after the other, each the parent of the next."""
    tables: list[pa.Table] = []
    for records in states:
        previous = Previous.of(tables[-1]) if tables else None
        tables.append(merge_all(records, previous=previous).concepts)
    return tables


def statuses(concepts: pa.Table) -> dict[str, tuple[str, str | None]]:
    rows = concepts.to_pylist()
    return {row["concept_id"]: (row["status"], row["replaced_by"]) for row in rows}


# Without Wikidata nothing ties MeSH's descriptor to Mondo's disease.
APART = (said("mondo", "mondo:0005068", "cardiac infarct", "umls:C0027051"), MI[2])


def test_a_concept_keeps_the_id_that_it_had() -> None:
    without_wikidata, with_wikidata = releases(APART, MI)
    assert statuses(without_wikidata) == {"mondo:0005068": ("active", None),
                                          "mesh:D009203": ("active", None)}  # fmt: skip
    assert statuses(with_wikidata) == {"mondo:0005068": ("active", None),
                                       "mesh:D009203": ("retired", "mondo:0005068")}  # fmt: skip


def test_when_a_concept_splits_its_id_stays_with_its_own_curie() -> None:
    one, other = said("wikidata", "wikidata:Q5", "a thing"), said("mondo", "mondo:0000001", "it")
    joined = said("mondo", "mondo:0000001", "it", "wikidata:Q5")
    _, split = releases([one, joined], [one, other])
    assert statuses(split) == {"wikidata:Q5": ("active", None), "mondo:0000001": ("active", None)}


def test_an_id_whose_own_source_is_gone_stays_with_what_is_left() -> None:
    _, later = releases(MI, MI[1:2])
    assert statuses(later) == {"wikidata:Q12152": ("active", None)}
    assert later["xrefs"].to_pylist() == [["mondo:0005068", "umls:C0027051"]]


def test_a_retired_id_is_known_for_ever_and_leads_to_an_active_concept() -> None:
    """mesh joins mondo in the second release, mondo is replaced by another in the third, and the
    fourth no longer hears of any of that."""
    successor = said("mondo", "mondo:0000009", "infarct of the heart")
    replaced = said("mondo", "mondo:0005068", "", status=Status.RETIRED,
                    replaced_by="mondo:0000009")  # fmt: skip
    tables = releases(APART, MI, [successor, replaced], [successor], [])
    assert [statuses(table).get("mesh:D009203") for table in tables] == [
        ("active", None),
        ("retired", "mondo:0005068"),
        ("retired", "mondo:0000009"),
        ("retired", "mondo:0000009"),
        ("retired", None),
    ]
    assert statuses(tables[3])["mondo:0005068"] == ("retired", "mondo:0000009")
    assert tables[4].num_rows == 3
    labels = dict(zip(*(tables[4][c].to_pylist() for c in ("concept_id", "label")), strict=True))
    assert labels["mesh:D009203"] == "Myocardial Infarction"


def test_an_id_that_left_without_a_word_is_replaced_by_the_holder_of_its_xrefs() -> None:
    """Wikidata deleted an item, and there is a new one with the same UMLS id."""
    _, later = releases(
        [said("wikidata", "wikidata:Q1", "the thing", "umls:C0000001")],
        [said("wikidata", "wikidata:Q2", "a thing", "umls:C0000001")],
    )
    assert statuses(later) == {"wikidata:Q1": ("retired", "wikidata:Q2"),
                               "wikidata:Q2": ("active", None)}  # fmt: skip


def test_an_id_that_comes_back_means_what_it_meant() -> None:
    thing = said("mesh", "mesh:D000001", "the thing")
    _, joined, again = releases(
        [thing, said("mondo", "mondo:0000001", "something")],
        [thing, said("mondo", "mondo:0000001", "something", "mesh:D000001")],
        [thing, said("mondo", "mondo:0000001", "something")],
    )
    assert statuses(joined)["mesh:D000001"] == ("retired", "mondo:0000001")
    assert statuses(again)["mesh:D000001"] == ("active", None)


def test_a_release_tells_the_next_what_its_ids_are(tmp_path: Path) -> None:
    first = merge_all([*MI, said("hpo", "hp:0000001", "gone", status=Status.RETIRED)])
    write_table(prepare(first.concepts, first.names)[0], tmp_path / CONCEPTS_FILE)
    previous = Previous.read(tmp_path)
    assert previous.ids["umls:C0027051"] == "wikidata:Q12152"
    assert previous.retired == {"hp:0000001": None}
    assert previous.labels["hp:0000001"] == "gone"
    with pytest.raises(FileError, match=r"concepts\.arrow: no such file"):
        Previous.read(tmp_path / "elsewhere")


def test_an_xref_of_two_concepts_tells_nothing_of_either() -> None:
    concepts = [
        {"concept_id": f"doid:{number}", "label": "", "description": "", "types": [],
         "xrefs": ["umls:C0019101"], "status": "active"}
        for number in (1, 2)
    ]  # fmt: skip
    previous = Previous.of(pa.Table.from_pylist(concepts, CONCEPTS_SCHEMA))
    assert previous.ids == {"doid:1": "doid:1", "doid:2": "doid:2"}


_states = st.lists(ANY_RECORDS.map(lambda records: records[:10]), min_size=2, max_size=4)


@settings(max_examples=40, deadline=None)
@given(states=_states)
def test_no_id_is_ever_lost_or_changes_its_meaning(states: list[list[Record]]) -> None:
    tables = releases(*states)
    for earlier, later in pairwise(tables):
        before, now = statuses(earlier), statuses(later)
        held = {row["concept_id"]: {row["concept_id"], *row["xrefs"]}
                for row in later.to_pylist() if row["status"] == "active"}  # fmt: skip
        assert before.keys() <= now.keys()
        assert len(now) == later.num_rows
        for status, replaced_by in now.values():
            assert (status, replaced_by) == ("active", None) or replaced_by in {None, *held}
        for row in earlier.to_pylist():
            concept_id = row["concept_id"]
            if concept_id in held:
                # No other concept is what the id says, and something of its own is still there.
                assert not any(concept_id in ids for own, ids in held.items() if own != concept_id)
                if row["status"] == "active":
                    assert held[concept_id] & {concept_id, *row["xrefs"]}
            elif (then := row["replaced_by"]) and (now[then][0] == "active" or now[then][1]):
                assert now[concept_id][1] is not None


@settings(max_examples=20, deadline=None)
@given(states=_states, data=st.data())
def test_the_order_of_records_never_shows_in_ids(
    states: list[list[Record]], data: st.DataObject
) -> None:
    shuffled = [data.draw(st.permutations(records)) for records in states]
    assert releases(*shuffled) == releases(*states)
