"""OBO files of several ontologies, by options alone."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bioelx.errors import FileError
from bioelx.types import Status
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.obo import OboOptions, read

Write = Callable[[str, str], Path]
EXCERPTS = Path(__file__).parents[1] / "files" / "ontologies"


def concepts(path: Path, **options: Any) -> Mapping[str, SourceConcept]:
    return {c.concept_id: c for c in read("src", [path], OboOptions(**options))}


def texts(concept: SourceConcept) -> list[str]:
    return [name.text for name in concept.names]


def test_mondo_says_which_xrefs_are_the_same_thing() -> None:
    mondo = concepts(EXCERPTS / "mondo.obo")
    asthma = mondo["mondo:0004979"]
    assert asthma.equivalent == (
        *("doid:2841", "efo:0000270", "mesh:D001249", "umls:C0004096"),
        *("ncit:C28397", "snomedct:195967001"),  # by SKOS matches
    )
    assert asthma.related == ("icd9:493", "icd10cm:J45", "snomedct:187687003")
    assert (
        asthma.description
        == 'A disease of the airways that narrows them, off and on ("reversibly").'
    )
    assert asthma.types == ("disease",)
    disability = mondo["mondo:0001071"]
    assert disability.equivalent == ("doid:1059",)
    assert disability.related == ("hp:0001249", "mesh:D008607")
    assert mondo["mondo:0008854"].equivalent == ("omim:209900",)


def test_mondo_s_synonyms_that_are_no_names_are_left_out() -> None:
    mondo = concepts(EXCERPTS / "mondo.obo")
    assert texts(mondo["mondo:0004979"]) == ["asthma", "bronchial asthma"]
    assert texts(mondo["mondo:0001071"]) == ["intellectual disability", "mental retardation"]
    assert texts(mondo["mondo:0008854"]) == ["Bardet-Biedl syndrome 1", "BBS1"]


def test_synonyms_are_chosen_by_scope_and_type() -> None:
    narrow = concepts(EXCERPTS / "mondo.obo", scopes=["NARROW"])
    assert texts(narrow["mondo:0004979"]) == ["asthma", "exercise-induced asthma"]
    full = concepts(EXCERPTS / "mondo.obo", drop_synonym_types=["abbreviation", "Deprecated"])
    assert texts(full["mondo:0001071"]) == ["intellectual disability", "MR"]
    assert "BBS1" not in texts(full["mondo:0008854"])
    assert "asthma (disease)" in texts(full["mondo:0004979"])


def test_obsolete_terms_are_retired() -> None:
    old = concepts(EXCERPTS / "mondo.obo")["mondo:0019863"]
    assert (old.status, old.replaced_by) == (Status.RETIRED, "mondo:0011812")
    assert texts(old) == ["Duane-radial ray syndrome"]
    doid = concepts(EXCERPTS / "doid.obo")
    assert doid["doid:0050001"].status is Status.RETIRED
    assert doid["doid:267"].replaced_by == doid["doid:4508"].replaced_by == "doid:0001816"
    go = concepts(EXCERPTS / "go.obo")
    gone = go["go:0000187"]
    assert (gone.replaced_by, gone.related) == (None, ("go:0000165",))  # to be considered
    assert (go["go:0000013"].status, go["go:0000013"].replaced_by) == (
        Status.RETIRED,
        "go:0000008",  # which is retired itself
    )


def test_a_term_that_was_split_has_no_single_successor(write: Write) -> None:
    path = write(
        "hp.obo",
        "ontology: hp.obo\n[Term]\nid: HP:0000535\nname: obsolete Sparse and thin eyebrow\n"
        "is_obsolete: true\nreplaced_by: HP:0045074\nreplaced_by: HP:0045075\n",
    )
    [term] = concepts(path).values()
    assert term.replaced_by is None
    assert term.related == ("hp:0045074", "hp:0045075")


def test_the_disease_ontology_has_plain_xrefs() -> None:
    doid = concepts(EXCERPTS / "doid.obo")
    assert doid["doid:0001816"].equivalent == (
        *("mesh:D006394", "ncit:C3088", "ncit:C9275", "snomedct:39000009", "umls:C0018923"),
    )
    careful = concepts(EXCERPTS / "doid.obo", related_prefixes=["NCI", "icd10cm"])
    assert careful["doid:0001816"].related == ("ncit:C3088", "ncit:C9275")
    assert careful["doid:0110123"].related == ("icd10cm:Q87.89",)
    assert careful["doid:0110123"].equivalent == ("gard:820", "omim:209900")
    none = concepts(EXCERPTS / "doid.obo", exact_xrefs="none")["doid:0110123"]
    assert none.equivalent == ()


def test_terms_of_other_ontologies_are_left_out() -> None:
    assert list(concepts(EXCERPTS / "uberon.obo")) == ["uberon:0002107"]
    both = concepts(EXCERPTS / "uberon.obo", prefixes=["UBERON", "CL"])
    assert list(both) == ["cl:0000182", "uberon:0002107"]
    liver = both["uberon:0002107"]
    assert texts(liver) == ["liver", "iecur", "livers"]
    assert liver.types == ("anatomy",)
    assert liver.equivalent == (
        *("efo:0000887", "fma:7197", "mesh:D008099", "ncit:C12392", "umls:C0023884"),
    )
    with pytest.raises(FileError, match=r"uberon\.obo: holds no term of doid"):
        concepts(EXCERPTS / "uberon.obo", prefixes=["DOID"])


def test_branches_give_types() -> None:
    go = concepts(EXCERPTS / "go.obo")
    assert go["go:0005634"].types == ("anatomy",)
    assert go["go:0000103"].types == ("process",)
    chebi = concepts(EXCERPTS / "chebi.obo", drop_synonym_types=["SMILES"])
    assert chebi["chebi:15365"].types == ("chemical",)
    assert chebi["chebi:35475"].types == ("other",)
    assert texts(chebi["chebi:15365"])[1:] == ["2-(acetyloxy)benzoic acid", "Aspirin"]
    own = concepts(EXCERPTS / "chebi.obo", type="process", branches={"CHEBI:35475": "device"})
    assert own["chebi:15365"].types == ("process",)
    assert own["chebi:35475"].types == ("device",)


def test_a_looser_word_overrules_a_plain_xref() -> None:
    nucleus = concepts(EXCERPTS / "go.obo")["go:0005634"]
    assert (nucleus.equivalent, nucleus.related) == (("mesh:D002467",), ("fma:63840",))


def test_packed_files_and_other_languages(tmp_path: Path) -> None:
    packed = tmp_path / "doid.obo.gz"
    packed.write_bytes(gzip.compress((EXCERPTS / "doid.obo").read_bytes()))
    assert concepts(packed) == concepts(EXCERPTS / "doid.obo")
    spanish = concepts(packed, language="es")["doid:0001816"]
    assert {name.lang for name in spanish.names} == {"es"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ontology: hp\n[Term]\nname: no id\n", r":2: a term without 'id'"),
        ("ontology: hp\n[Term]\nid: HP:1\nname: x\n", r":2: 'HP:1' does not have the form"),
        ("ontology: hp\n[Term]\nid: HP:0000001\n", r":2: a term without 'name'"),
        ("[Term]\nid: HP:0000001\nname: x\ndef: no quotes\n", r":4: def: no text in quotation"),
        ('[Term]\nid: HP:0000001\nsynonym: "x" CLOSE []\n', r":3: synonym: scope 'CLOSE' is none"),
        ("<!DOCTYPE html>\n<html>\n", r":1: neither a stanza nor"),
        ("format-version: 1.2\n", r": holds no term of a known scheme"),
    ],
)
def test_what_is_no_obo_is_named(write: Write, lines: str, message: str) -> None:
    with pytest.raises(FileError, match=rf"x\.obo{message}"):
        concepts(write("x.obo", lines))


def test_escapes_comments_and_qualifiers(write: Write) -> None:
    path = write(
        "x.obo",
        "! a comment\r\nontology: hp.obo\r\n\r\n[Term] ! another\r\nid: HP:0000001 ! it\r\n"
        'name: A\\{b\\} \\"c\\" {source="x"} ! comment\r\n'
        'synonym: "a \\"quoted\\" \\\\ back\\nslash" [] \r\n'
        'xref: UMLS:C0000001 "with text" {source="a", source="MONDO:relatedTo"}\r\n'
        "xref:\r\n",
    )
    [term] = concepts(path).values()
    assert texts(term) == ['A{b} "c"', 'a "quoted" \\ back slash']
    assert (term.equivalent, term.related) == ((), ("umls:C0000001",))
