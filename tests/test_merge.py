"""The merge: what joins, what does not, who holds an id, and what holds of any records at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.kb.normalise import normalise
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.types import Name, Status
from bioelx_index.merge import Merged, Previous, merge, read
from bioelx_index.merge.hygiene import language_tag
from bioelx_index.merge.schemes import limited
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import scheme_of
from bioelx_index.subset import select

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


def test_one_concept_per_real_thing() -> None:
    (concept,) = merged(*MI).values()
    assert concept["concept_id"] == "wikidata:Q12152"
    assert concept["label"] == "heart attack"
    assert concept["xrefs"] == ["mesh:D009203", "mondo:0005068", "umls:C0027051"]
    assert concept["types"] == ["disease"]
    assert {name.text for name in concept["names"]} == {"heart attack", "myocardial infarction"}


def test_an_id_that_two_concepts_of_a_source_claim_goes_to_the_one_it_names() -> None:
    concepts = merged(
        said("doid", "doid:8778", "Crohn's disease", "umls:C0010346"),
        said("doid", "doid:0060192", "Crohn's colitis", "umls:C0010346"),
        said("mondo", "mondo:0005011", "Crohn's disease", "umls:C0010346"),
    )
    assert concepts["mondo:0005011"]["xrefs"] == ["doid:8778", "umls:C0010346"]
    assert concepts["doid:0060192"]["xrefs"] == []


def test_claims_that_are_not_unique_join_by_name_only() -> None:
    broad = said("ordo", "orphanet:124", "Diamond-Blackfan anaemia", "omim:105650", "omim:612527")
    narrow = said("mondo", "mondo:0007110", "Diamond-Blackfan anemia 1", "omim:105650")
    same = said("mondo", "mondo:0015253", "Diamond-Blackfan anaemia", "omim:612527")
    assert merged(broad, narrow).keys() == {"mondo:0007110", "orphanet:124"}
    assert merged(broad, same)["mondo:0015253"]["xrefs"] == ["omim:105650", "omim:612527",
                                                             "orphanet:124"]  # fmt: skip


def test_two_ids_of_a_primary_scheme_never_meet() -> None:
    result = merge_all(
        [
            said("mondo", "mondo:0000001", "one thing", "umls:C0000001"),
            said("hpo", "hp:0000001", "a thing", "umls:C0000001", "doid:1"),
            said("doid", "doid:1", "another thing"),
            said("mondo", "mondo:0000002", "other thing", "doid:1"),
        ],
    )
    [(reason, refused)] = result.report.conflicts.items()
    assert (reason, refused.count) == ("too many ids of mondo", 1)
    assert refused.examples[0].one == "hp:0000001"
    assert refused.examples[0].one_label == "a thing"
    assert result.concepts.num_rows == 2


def test_two_kinds_of_thing_never_meet() -> None:
    records = (
        said("mondo", "mondo:0000001", "suture", "mesh:D013537", types=("disease",)),
        said("mesh", "mesh:D013537", "suture", types=("device",)),
    )
    assert len(merged(*records)) == 2


def test_codes_of_classifications_are_no_identities() -> None:
    concepts = merged(
        said("mondo", "mondo:0000001", "one thing", "icd10:I21"),
        said("doid", "doid:1", "another thing", "icd10:I21"),
    )
    assert [concept["xrefs"] for concept in concepts.values()] == [[], []]


def test_equal_labels_join_unless_something_tells_them_apart() -> None:
    one = said("mondo", "mondo:0000001", "Rotator cuff tear", types=("disease",))
    two = said("hpo", "hp:0032201", "rotator cuff tear", types=("phenotype",))
    other_kind = said("hpo", "hp:0032201", "rotator cuff tear", types=("anatomy",))
    third = said("mondo", "mondo:0000002", "rotator cuff tear", types=("disease",))
    assert len(merged(one, two)) == 1
    assert len(merged(one, two, join_names=False)) == 2
    assert len(merged(one, other_kind)) == 2
    assert len(merged(one, two, third)) == 3
    cui = "umls:C000000{}".format
    with_cuis = [
        (source, replace(concept, equivalent=(cui(number),)))
        for number, (source, concept) in enumerate((one, two))
    ]
    assert len(merged(*with_cuis)) == 2


def test_an_id_split_by_a_primary_scheme_is_held_by_all_whose_names_agree() -> None:
    concepts = merged(
        said("mondo", "mondo:0005784", "haemorrhagic fever", "doid:11266"),
        said("doid", "doid:11266", "haemorrhagic fever", "umls:C0019101"),
        said("mondo", "mondo:0018081", "haemorrhagic fever (rare)", "orphanet:340"),
        said("ordo", "orphanet:340", "haemorrhagic fever (rare)", "umls:C0019101"),
        said("ordo", "orphanet:340", names=(Name("haemorrhagic fever", "en", "alias", "ordo"),)),
    )
    holders = {key for key, concept in concepts.items() if "umls:C0019101" in concept["xrefs"]}
    assert holders == {"mondo:0005784", "mondo:0018081"}


def test_a_retired_concept_keeps_its_replacement_but_no_names() -> None:
    result = merge_all(
        [
            said("hpo", "hp:0008665", "Clitoral hypertrophy"),
            said("hpo", "hp:0000057", "Clitoromegaly", status=Status.RETIRED,
                 replaced_by="hp:0008665"),
            said("hpo", "hp:0000058", "gone", status=Status.RETIRED),
            said("titles", "hp:0000057", names=(Name("Klitorishypertrophie", "de", "alias", "t"),)),
            said("mondo", "mondo:0000001", "something", "hp:0000057"),
        ],
    )  # fmt: skip
    rows = {row["concept_id"]: row for row in result.concepts.to_pylist()}
    assert rows["hp:0000057"]["status"] == "retired"
    assert rows["hp:0000057"]["replaced_by"] == "mondo:0000001"
    assert rows["hp:0000057"]["label"] == "Clitoromegaly"
    assert rows["hp:0000058"]["replaced_by"] is None
    assert rows["mondo:0000001"]["xrefs"] == ["hp:0008665"]
    assert {name.text for name in names_of(result, "mondo:0000001")} == {
        "something", "Clitoral hypertrophy", "Klitorishypertrophie"}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "lang", "rule"),
    [
        ("", "en", "empty"),
        ("\u200b ", "en", "empty"),
        ("a\x07b", "en", "control characters"),
        ("12.5 (3)", "en", "no letters"),
        ("x" * 201, "en", "too long"),
        ("MONDO:0005", "en", "an identifier"),
        ("SNOMEDCT_US_2018_09_01:47317002", "en", "an identifier"),
        ("C0027051", "en", "an identifier"),
        ("Q12152", "en", "an identifier"),
        ("http://purl.obolibrary.org/obo/HP_0000118", "en", "an identifier"),
        ("ICD10CM", "en", "a code"),
        ("NCBITaxon", "en", "a code"),
        ("sp.", "la", "a code"),
        ("en", "en", "a language code"),
        ("zh", "zh-hans", "a language code"),
        ("zh-hans", "en", "a language code"),
        ("name", "no such tag", "language not in BCP 47"),
    ],
)
def test_the_rules_of_hygiene(text: str, lang: str, rule: str) -> None:
    bad = said("titles", "doid:1", names=(Name(text, lang, "alias", "titles"),))
    result = merge_all([said("doid", "doid:1", "kept"), bad])
    assert result.report.dropped == {rule: 1}
    assert result.names["text"].to_pylist() == ["kept"]


def test_of_equal_names_the_best_kind_and_source_stays() -> None:
    names = [
        said("titles", "doid:1", names=(Name("COLD", "en", "title", "titles"),)),
        said("doid", "doid:1", names=(Name("cold", "en", "alias", "doid"),)),
        said("mondo", "doid:1", names=(Name("Cold", "en", "alias", "mondo"),)),
    ]
    result = merge_all(names)
    assert names_of(result, "doid:1") == [Name("Cold", "en", "alias", "mondo")]
    assert result.report.dropped == {"repeated": 2}
    assert result.report.names(source="mondo", fate="kept") == 1


@pytest.mark.parametrize(
    ("lang", "expected"),
    [("EN", "en"), ("zh-hans", "zh-Hans"), ("pt_br", "pt-BR"), ("be-tarask", "be-tarask"),
     ("ja-hira", "ja-Hira"), ("zh-min-nan", None), ("e", None), ("", None)],
)  # fmt: skip
def test_language_tags(lang: str, expected: str | None) -> None:
    assert language_tag(lang) == expected


def test_a_source_out_of_the_order_of_trust_is_refused() -> None:
    with pytest.raises(ValueError, match="'folklore'"):
        merge_all([said("folklore", "doid:1", "x")])


def test_ids_are_stable_from_release_to_release() -> None:
    previous = {"mondo:0005068": "mondo:0005068", "umls:C0027051": "mondo:0005068",
                "mesh:D009203": "mesh:D009203", "doid:9": "doid:9"}  # fmt: skip
    result = merge_all(MI, previous=Previous(previous))
    rows = {row["concept_id"]: (row["status"], row["replaced_by"])
            for row in result.concepts.to_pylist()}  # fmt: skip
    assert rows == {
        "mondo:0005068": ("active", None),
        "mesh:D009203": ("retired", "mondo:0005068"),
        "doid:9": ("retired", None),
    }


def test_when_a_concept_splits_its_id_stays_with_its_own_curie() -> None:
    previous = {"wikidata:Q5": "wikidata:Q5", "mondo:0000001": "wikidata:Q5"}
    concepts = merged(
        said("wikidata", "wikidata:Q5", "one thing"),
        said("mondo", "mondo:0000001", "another thing"),
        previous=Previous(previous),
    )
    assert concepts.keys() == {"wikidata:Q5", "mondo:0000001"}


# What holds of any records at all.

_STEMS = ("wikidata:Q", "mondo:000000", "doid:", "mesh:D00000", "umls:C000000", "omim:10000")
_IDS = [f"{stem}{number}" for stem in _STEMS for number in range(1, 5)]
_names = st.builds(
    Name,
    st.sampled_from(["fever", "Fever ", "heart attack", "Herzinfarkt", "12", "", "cold"]),
    st.sampled_from(["en", "de", "EN", "?"]),
    st.sampled_from(["label", "alias", "title"]),
    st.just("any"),
)
_records = st.lists(
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


def tables(records: Sequence[Record], **options: object) -> tuple[pa.Table, pa.Table]:
    result = merge_all(records, **options)
    return result.concepts, result.names


@settings(max_examples=200, deadline=None)
@given(records=_records, data=st.data())
def test_the_order_of_records_does_not_matter(records: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(records))
    assert tables(shuffled) == tables(records)


@settings(max_examples=200, deadline=None)
@given(records=_records)
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


@settings(max_examples=200, deadline=None)
@given(records=_records)
def test_merging_again_changes_nothing(records: list[Record]) -> None:
    concepts, names = tables(records)
    assert tables(records) == (concepts, names)
    assert tables(records, previous=Previous.of(concepts)) == (concepts, names)


def test_a_part_holds_the_most_widely_named() -> None:
    result = merge_all(
        [
            said("mondo", "mondo:0000001", "named twice", types=("disease",)),
            said("hpo", "mondo:0000001", names=tuple(
                Name(text, "de", "alias", "hpo") for text in ("eins", "zwei", "drei"))),
            said("mondo", "mondo:0000002", "named once", types=("disease",)),
            said("mesh", "mesh:D000001", "named once, too", types=("organism",)),
            said("hpo", "hp:0000001", "obsolete", status=Status.RETIRED),
            said("hpo", "hp:0000002", "replaced", status=Status.RETIRED,
                 replaced_by="mesh:D000001"),
        ],
    )  # fmt: skip
    concepts, names = select(
        result.concepts, result.names, names_budget=3, types=("disease", "phenotype")
    )
    assert concepts["concept_id"].to_pylist() == ["mondo:0000001"]
    assert names["text"].to_pylist() == ["drei", "eins", "named twice"]
    concepts, _ = select(result.concepts, result.names, names_budget=99, types=("disease",))
    assert concepts["concept_id"].to_pylist() == ["mondo:0000001", "mondo:0000002"]
    concepts, names = select(result.concepts, result.names, names_budget=None, types=("organism",))
    assert concepts["concept_id"].to_pylist() == ["hp:0000002", "mesh:D000001"]
    everything, names = select(result.concepts, result.names, names_budget=None)
    assert len(everything) == 4
    assert names.equals(result.names)
