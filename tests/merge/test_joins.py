"""What joins, what does not, and who holds an id."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bioelx.types import Name, Status
from bioelx_index.subset import select

from .records import MI, merge_all, merged, names_of, said


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


def test_a_source_out_of_the_order_of_trust_is_refused() -> None:
    with pytest.raises(ValueError, match="'folklore'"):
        merge_all([said("folklore", "doid:1", "x")])


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


def test_an_item_that_nothing_identifies_joins_the_concept_of_its_label() -> None:
    disease = said("wikidata", "wikidata:Q9", "corneal disease", "doid:1", types=("disease",))
    double = said("wikidata", "wikidata:Q18", "Corneal disease")
    (concept,) = merged(disease, double).values()
    assert concept["concept_id"] == "wikidata:Q9"
    assert concept["xrefs"] == ["doid:1", "wikidata:Q18"]
    # Not if something identifies it, if it is another kind of thing, or if there are two such.
    claimed = said("wikidata", "wikidata:Q18", "corneal disease", "umls:C0000001")
    assert len(merged(disease, claimed)) == 2
    organism = said("wikidata", "wikidata:Q18", "corneal disease", types=("organism",))
    assert len(merged(disease, organism)) == 2
    another = said("wikidata", "wikidata:Q7", "corneal disease", "doid:2", types=("disease",))
    assert len(merged(disease, another, double)) == 3


def test_namesakes_of_molecules_and_organs_are_not_doubles() -> None:
    human = said("wikidata", "wikidata:Q9", "catalase", "mesh:D002374", types=("chemical",))
    mouse = said("wikidata", "wikidata:Q18", "catalase", types=("chemical",))
    assert len(merged(human, mouse)) == 2


def names(*texts: str, lang: str = "en") -> tuple[Name, ...]:
    return tuple(Name(text, lang, "alias", "wikidata") for text in texts)


def test_two_items_that_share_most_names_are_one_thing() -> None:
    texts = ("kufs disease", "adult ceroid lipofuscinosis", "kuf's disease")
    one = said("wikidata", "wikidata:Q9", names=names(*texts), types=("disease",))
    identified = replace(one[1], equivalent=("mesh:C537950",))
    other = said("wikidata", "wikidata:Q18", names=names(*texts[:2], "ncl 4"), types=("disease",))
    few = said("wikidata", "wikidata:Q18", names=names(texts[0], "ncl 4"), types=("disease",))
    assert len(merged(("wikidata", identified), other)) == 1
    assert len(merged(("wikidata", identified), few)) == 2
    # Two that a scheme tells apart stay two, and so do three that share their names.
    told_apart = said(
        "mondo", "mondo:0000001", "a", "wikidata:Q18"), said("mondo", "mondo:0000002", "b",
                                                               "wikidata:Q9")  # fmt: skip
    assert len(merged(("wikidata", identified), other, *told_apart)) == 2
    third = said("wikidata", "wikidata:Q27", names=names(*texts), types=("disease",))
    assert len(merged(("wikidata", identified), other, third)) == 3


def test_an_id_that_its_own_source_does_not_know_keeps_nothing_apart() -> None:
    """Mondo gave up 0009410 for 0015129; NANDO still says the old one."""
    mondo = said("mondo", "mondo:0015129", "Addison's disease", types=("disease",))
    nando = said("titles", "nando:1200411", "Addison's disease", "mondo:0009410",
                 types=("disease",))  # fmt: skip
    (concept,) = merged(mondo, nando).values()
    assert concept["xrefs"] == ["mondo:0009410", "nando:1200411"]
    known = said("mondo", "mondo:0009410", "something else")
    assert len(merged(mondo, nando, known)) == 2


def test_a_thing_may_be_on_several_of_nandos_lists() -> None:
    lists = [said("titles", f"nando:{number}", "Addison's disease", types=("disease",))
             for number in (1200411, 2100128, 2200360)]  # fmt: skip
    (concept,) = merged(*lists).values()
    assert concept["concept_id"] == "nando:1200411"
    assert concept["xrefs"] == ["nando:2100128", "nando:2200360"]
    many = [said("titles", f"nando:{number}", "Other diseases", types=("disease",))
            for number in range(1200001, 1200007)]  # fmt: skip
    assert len(merged(*many)) == 6


def test_an_id_goes_to_the_concept_with_most_good_claims() -> None:
    """Two ontologies give Crohn's colitis an id, one also gives it to Crohn's disease, which has
    its own."""
    concepts = merged(
        said("doid", "doid:8778", "Crohn's disease", "umls:C0156147", "umls:C0010346"),
        said("mondo", "mondo:0005011", "Crohn's disease", "umls:C0010346", "doid:8778"),
        said("wikidata", "wikidata:Q1472", "Crohn's disease", "umls:C0156147", "mondo:0005011"),
        said("doid", "doid:0060192", "Crohn's colitis", "umls:C0156147"),
        said("mondo", "mondo:0005532", "Crohn's colitis", "umls:C0156147", "doid:0060192"),
    )
    assert "umls:C0156147" in concepts["mondo:0005532"]["xrefs"]
    assert "umls:C0156147" not in concepts["wikidata:Q1472"]["xrefs"]
    assert "umls:C0010346" in concepts["wikidata:Q1472"]["xrefs"]


def test_of_many_ids_that_a_source_lists_only_those_with_better_evidence_stay() -> None:
    sarcoma = said("doid", "doid:8632", "Kaposi's sarcoma", "umls:C0036220", "umls:C0153560",
                   "umls:C0153561")  # fmt: skip
    same = said("mondo", "mondo:0007244", "Kaposi's sarcoma", "umls:C0036220", "doid:8632")
    result = merge_all([sarcoma, same])
    (concept,) = result.concepts.to_pylist()
    assert concept["xrefs"] == ["doid:8632", "umls:C0036220"]
    assert result.report.unsupported == {}
    # Where nothing better is known, they are all there is.
    (alone,) = merged(sarcoma).values()
    assert len(alone["xrefs"]) == 3
    assert merge_all([sarcoma]).report.unsupported == {"umls": 3}
