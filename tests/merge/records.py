"""What sources might say, in short, and what the merge makes of it."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from bioelx.types import Name, Status
from bioelx_index.merge import Merged, merge, read
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import scheme_of

TRUST = ("wikidata", "mondo", "hpo", "doid", "mesh", "ordo", "titles")
Record = tuple[str, SourceConcept]


def said(source: str, concept_id: str, label: str = "", *equivalent: str, **more: object) -> Record:
    """One source's word on one concept, named in English."""
    names = more.pop("names", (Name(label, "en", "label", source),) if label else ())
    return source, SourceConcept(concept_id, names, equivalent=equivalent, **more)


def merge_all(records: Iterable[Record], **options: object) -> Merged:
    return merge(read(records, TRUST), **options)


def merged(*records: Record, **options: object) -> dict[str, dict]:
    """The active concepts by id, each with its names."""
    result = merge_all(records, **options)
    return {
        row["concept_id"]: row | {"names": names_of(result, row["concept_id"])}
        for row in result.concepts.to_pylist()
        if row["status"] == "active"
    }


def names_of(result: Merged, concept_id: str) -> list[Name]:
    return [
        Name(row["text"], row["lang"], row["kind"], row["source"])
        for row in result.names.to_pylist()
        if row["concept_id"] == concept_id
    ]


MI = (
    said("wikidata", "wikidata:Q12152", "heart attack", "umls:C0027051", "mesh:D009203"),
    said("mondo", "mondo:0005068", "myocardial infarction", "umls:C0027051", types=("disease",)),
    said("mesh", "mesh:D009203", "Myocardial Infarction"),
)


_STEMS = ("wikidata:Q", "mondo:000000", "doid:", "mesh:D00000", "umls:C000000", "omim:10000")
_IDS = [f"{stem}{number}" for stem in _STEMS for number in range(1, 5)]
_names = st.builds(
    Name,
    st.sampled_from(["fever", "Fever ", "heart attack", "Herzinfarkt", "12", "", "cold"]),
    st.sampled_from(["en", "de", "EN", "?"]),
    st.sampled_from(["label", "alias", "title"]),
    st.just("any"),
)
ANY_RECORDS = st.lists(
    st.tuples(
        st.sampled_from(TRUST),
        st.builds(
            SourceConcept,
            st.sampled_from([i for i in _IDS if scheme_of(i) not in ("umls", "omim")]),
            st.lists(_names, max_size=3).map(tuple),
            types=st.sampled_from([(), ("disease",), ("anatomy",), ("other",)]),
            equivalent=st.lists(st.sampled_from(_IDS), max_size=3).map(tuple),
            status=st.sampled_from([Status.ACTIVE] * 5 + [Status.RETIRED]),
            replaced_by=st.sampled_from([None, *_IDS[:6]]),
        ),
    ),
    max_size=25,
)
