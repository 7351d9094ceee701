"""Names matched by string: only where an English string names exactly one thing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bioelx.types import Name
from bioelx_index.snapshot.derived import (
    DerivedName,
    matchable,
    tico_names,
    title_names,
    to_tsv,
)
from bioelx_index.snapshot.things import Things, is_abbreviation
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.derived import read


def concept(
    concept_id: str, *names: str, same: tuple[str, ...] = (), kind: str = "disease"
) -> SourceConcept:
    """A concept whose first name is its label; ``de:Gicht`` is a German alias."""
    read = []
    for place, name in enumerate(names):
        lang, _, text = name.rpartition(":")
        read.append(Name(text, lang or "en", "alias" if place else "label", "test"))
    return SourceConcept(concept_id, tuple(read), types=(kind,), equivalent=same)


@pytest.fixture
def things() -> Things:
    found = Things()
    found.add(
        [
            concept("wikidata:Q133087", "gout", same=("mesh:D006073",)),
            concept("mondo:0005393", "gout", same=("mesh:D006073",)),
            concept("mesh:D006073", "Gout", "de:Gicht"),
            concept("mondo:0010121", "thrombocytopenia-absent radius syndrome", "TAR", "Scar"),
            concept("mesh:D009203", "mercury", kind="chemical"),
            concept("uberon:0000948", "heart", same=("fma:7088",), kind="anatomy"),
            concept("mesh:D006321", "Heart", same=("fma:7088",), kind="anatomy"),
            concept("hp:0012735", "cold", kind="phenotype"),
            concept("mesh:D003080", "cold", kind="process"),
            concept("mondo:0001", "sand fly fever"),
            concept("doid:1", "sand fly fever"),
            concept("mesh:D014421", "Turkey", kind="other"),
        ]
    )
    return found


def titles(folder: Path, *pages: dict[str, str]) -> Path:
    rows = [
        {"item": item, "lang": lang, "title": title}
        for item, page in enumerate(pages)
        for lang, title in page.items()
    ]
    path = folder / "titles.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ({"en": "Gout", "es": "Gota (enfermedad)"}, [("wikidata:Q133087", "es", "Gota")]),
        (
            {"en": "Sand fly fever", "de": "Pappatacifieber"},
            [("mondo:0001", "de", "Pappatacifieber")],
        ),
        ({"en": "Gout (song)", "de": "Gout"}, []),  # not the subject of that name
        ({"en": "Gout", "de": "Gout (Begriffsklärung)"}, []),  # a page that lists subjects
        ({"en": "Tar", "de": "Teer"}, []),  # the source's name is an abbreviation
        ({"en": "Scar", "de": "Narbe"}, []),  # a short alias, nothing confirms it
        ({"en": "Cold", "de": "Kälte"}, []),  # two things
        ({"en": "Turkey", "de": "Türkei"}, []),  # no biomedical thing
        (
            {"en": "Heart", "ru": "Сердце", "es": "Anexo:Corazón"},
            [("uberon:0000948", "ru", "Сердце")],
        ),
    ],
)
def test_a_title_is_taken_if_its_english_side_names_one_thing(
    things: Things, tmp_path: Path, page: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    found = list(title_names(titles(tmp_path, page), things))
    assert [(name.concept_id, name.lang, name.text) for name in found] == expected
    assert all(name.kind == "title" and name.matched == page["en"] for name in found)


def test_a_title_with_namesakes_needs_confirmation(things: Things, tmp_path: Path) -> None:
    path = titles(
        tmp_path,
        {"en": "Mercury", "ja": "マーキュリー"},
        {"en": "Mercury (planet)", "ja": "水星"},
        {"en": "Gout", "de": "Gicht", "fr": "Goutte"},  # German confirms
        {"en": "Gout (album)"},
        {"en": "Heart", "fi": "Sydän"},  # two ontologies agree
        {"en": "Heart (band)"},
    )
    assert {name.text for name in title_names(path, things)} == {"Gicht", "Goutte", "Sydän"}


def test_terms_of_tico_19_in_either_direction(things: Things, tmp_path: Path) -> None:
    header = "sourceLang,targetLang,sourceString,targetString\n"
    for name, line in {
        "f_en-zh_TW": "en,zh_TW,gout,痛風",
        "g_iw_en": "iw,en,שיגדון,Gout",
        "g_en_sr": "en,sr,gout,gout",  # left untranslated
        "g_en_ca": "en,ca,gout,gota [feminine]",
    }.items():
        (tmp_path / f"{name}.csv").write_text(f"{header}{line}\n", encoding="utf-8")
    assert [name[:4] for name in tico_names(tmp_path, things)] == [
        ("wikidata:Q133087", "zh-Hant", "痛風", "alias"),
        ("wikidata:Q133087", "he", "שיגדון", "alias"),
    ]


def test_items_without_an_identifier_take_no_part() -> None:
    items = [
        concept("wikidata:Q1", "Leine"),
        concept("wikidata:Q2", "gout", "x", same=("mesh:D1",)),
    ]
    assert [[name.text for name in item.names] for item in matchable(items)] == [["gout"]]


@pytest.mark.parametrize("text", ["TAR", "NaN1", "B12", "PKU", "CO2", "Io"])
def test_abbreviations(text: str) -> None:
    assert is_abbreviation(text)


@pytest.mark.parametrize(
    "text", ["Tar", "COVID-19", "SARS-CoV-2", "CLOUSTON SYNDROME", "Vitamin B12"]
)
def test_words(text: str) -> None:
    assert not is_abbreviation(text)


def test_the_file_is_what_the_reader_reads(tmp_path: Path) -> None:
    names = [
        DerivedName("mondo:0005393", "fr", "Goutte d'eau", "title", "Gout"),
        DerivedName("hp:0012735", "de", "Husten", "alias", "cough"),
    ]
    path = tmp_path / "names.tsv"
    path.write_bytes(to_tsv(names * 2))
    assert [(item.concept_id, *item.names[0]) for item in read("tico19", [path])] == [
        ("hp:0012735", "Husten", "de", "alias", "tico19"),
        ("mondo:0005393", "Goutte d'eau", "fr", "title", "tico19"),
    ]
