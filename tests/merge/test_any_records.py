"""What holds of any records at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.kb.normalise import normalise
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.types import Status
from bioelx_index.merge import Previous
from bioelx_index.merge.schemes import limited
from bioelx_index.sources.curie import scheme_of

from .records import ANY_RECORDS, Record, merge_all


def tables(records: Sequence[Record], **options: object) -> tuple[pa.Table, pa.Table]:
    result = merge_all(records, **options)
    return result.concepts, result.names


@settings(max_examples=50, deadline=None)
@given(records=ANY_RECORDS, data=st.data())
def test_the_order_of_records_does_not_matter(records: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(records))
    assert tables(shuffled) == tables(records)


@settings(max_examples=50, deadline=None)
@given(records=ANY_RECORDS)
def test_the_tables_keep_their_promises(records: list[Record]) -> None:
    concepts, names = tables(records)
    assert concepts.schema == CONCEPTS_SCHEMA
    assert names.schema == NAMES_SCHEMA
    rows = {row["concept_id"]: row for row in concepts.to_pylist()}
    assert len(rows) == concepts.num_rows
    active = {key for key, row in rows.items() if row["status"] == "active"}
    assert set(names["concept_id"].to_pylist()) == active
    keys = [(n["concept_id"], n["lang"], normalise(n["text"])) for n in names.to_pylist()]
    assert len(set(keys)) == len(keys)
    # Two ids of a scheme stay apart if the scheme's own source describes them; see `namesakes` for
    # what is different about Wikidata's.
    described = {r.concept_id for _, r in records if r.status is Status.ACTIVE}
    held: Counter[str] = Counter()
    for key, row in rows.items():
        own = [x for x in (key, *row["xrefs"]) if limited(x) and x in described]
        schemes = Counter(map(scheme_of, own))
        assert all(count == 1 for scheme, count in schemes.items() if scheme != "wikidata")
        assert row["replaced_by"] is None or row["replaced_by"] in active
        assert row["status"] == "active" or not row["xrefs"]
        assert row["types"] or row["status"] == "retired"
        held.update(own)
    assert all(count == 1 for count in held.values())


@settings(max_examples=50, deadline=None)
@given(records=ANY_RECORDS)
def test_merging_again_changes_nothing(records: list[Record]) -> None:
    concepts, names = tables(records)
    assert tables(records) == (concepts, names)
    assert tables(records, previous=Previous.of(concepts)) == (concepts, names)
