from __future__ import annotations

import pytest

from bioelx_index.sources.curie import curie, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MESH:D004194", "mesh:D004194"),
        ("MSH:D004194", "mesh:D004194"),
        ("UMLS_CUI:C0012634", "umls:C0012634"),
        ("HP:0000118", "hp:0000118"),
        ("MONDO:0005068", "mondo:0005068"),
        ("mondo:MONDO:0005068", "mondo:0005068"),
        ("SNOMEDCT_US_2025_09_01:64572001", "snomedct:64572001"),
        ("ORDO:752", "orphanet:752"),
        ("ICD-10:Q66.8", "icd10:Q66.8"),
        ("MIM:264300", "omim:264300"),
        ("GARD:0006038", "gard:6038"),
        ("http://www.orpha.net/ORDO/Orphanet_124", "orphanet:124"),
        ("http://www.wikidata.org/entity/Q12152", "wikidata:Q12152"),
        ("http://purl.obolibrary.org/obo/MONDO_0019056", "mondo:0019056"),
        ("http://nanbyodata.jp/ontology/NANDO_1200021", "nando:1200021"),
    ],
)
def test_every_spelling_becomes_one_form(text: str, expected: str) -> None:
    assert parse(text) == expected
    assert parse(expected) == expected


@pytest.mark.parametrize("text", ["MESH:22", "PMID:123", "BAMS:x", "UMLS:0012634", "plain", ""])
def test_what_is_no_id_of_a_known_scheme_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_local_id_that_repeats_its_prefix() -> None:
    assert curie("doid", "DOID:4") == "doid:4"
    assert curie("NCI", "C2991") == "ncit:C2991"
