"""Tables of a release: written, mapped, looked up."""

from pathlib import Path

import pyarrow as pa
import pytest

from bioelx.errors import FileError
from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA, map_table, prepare, write_table

CONCEPTS = [
    ("wikidata:Q35869", "asthma", ["disease"], ["mesh:D001249", "umls:C0004096"], "active", None),
    ("wikidata:Q12152", "heart attack", ["disease"], ["umls:C0027051"], "active", None),
    ("mesh:D002318", "heart", ["anatomy"], ["umls:C0027051"], "active", None),
    ("mesh:D000001", "old asthma", ["disease"], [], "retired", "wikidata:Q35869"),
]
NAMES = [
    ("wikidata:Q12152", "Heart attack", "en", "label", "wikidata"),
    ("wikidata:Q12152", "MI", "en", "alias", "mesh"),
    ("wikidata:Q12152", "Herzinfarkt", "de", "alias", "mondo"),
    ("wikidata:Q12152", "Myokardinfarkt", "de", "label", "wikidata"),
    ("wikidata:Q35869", "Asthma", "de", "label", "wikidata"),
    ("wikidata:Q35869", "asthma", "en", "label", "wikidata"),
    ("mesh:D002318", "mi", "en", "alias", "mesh"),
    ("mesh:D000001", "old asthma", "en", "label", "mesh"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    columns = zip(*[(*row, None) for row in CONCEPTS], strict=True)
    ids, labels, types, xrefs, status, replaced, modified = (list(c) for c in columns)
    concepts = pa.table(
        [ids, labels, [""] * len(ids), types, xrefs, status, replaced, modified],
        schema=CONCEPTS_SCHEMA,
    )
    rows = [(*name, name[1].casefold() == "mi") for name in NAMES]
    names = pa.table([list(c) for c in zip(*rows, strict=True)], schema=NAMES_SCHEMA)
    concepts, names = prepare(concepts, names)
    write_table(concepts, tmp_path / "concepts.arrow")
    write_table(names, tmp_path / "names.arrow")
    return tmp_path


@pytest.fixture
def kb(folder: Path) -> KnowledgeBase:
    return KnowledgeBase.open(folder)


def row(kb: KnowledgeBase, concept_id: str) -> int:
    found = kb.row_of(concept_id)
    assert found is not None
    return found


def test_concepts_are_found_by_id_and_by_xref(kb: KnowledgeBase) -> None:
    assert kb.concept(row(kb, "wikidata:Q35869")).label == "asthma"
    assert kb.row_of("wikidata:Q1") is None
    assert kb.row_of("zzz:1") is None
    found = [kb.concept_id(r) for r in kb.rows_with_xref("umls:C0027051")]
    assert found == ["mesh:D002318", "wikidata:Q12152"]
    assert kb.rows_with_xref("umls:C9999999") == []


def test_the_concepts_that_bear_some_ids(kb: KnowledgeBase) -> None:
    wanted = ["umls:C0027051", "mesh:D001249", "wikidata:Q12152", "mesh:D000001", "umls:C9999999"]
    found = kb.rows_bearing(wanted)
    assert {curie: [kb.concept_id(r) for r in rows] for curie, rows in found.items()} == {
        "umls:C0027051": ["mesh:D002318", "wikidata:Q12152"],
        "mesh:D001249": ["wikidata:Q35869"],
        "wikidata:Q12152": ["wikidata:Q12152"],
    }  # a retired concept bears nothing
    assert kb.rows_bearing([]) == {}


def test_many_are_what_each_is(kb: KnowledgeBase) -> None:
    rows = [2, 0, 3, 2]
    assert kb.concepts(rows) == [kb.concept(r) for r in rows]
    assert kb.labels(rows, ["de"]) == [kb.label(r, ["de"]) for r in rows]
    assert kb.names(rows) == [kb.name(r) for r in rows]
    assert kb.concepts([]) == kb.labels([], ["de"]) == kb.names([]) == []


def test_a_text_leads_to_all_its_names(kb: KnowledgeBase) -> None:
    text = kb.text_id("mi")
    assert text is not None
    names = [kb.name(r) for r in kb.name_rows(text)]
    assert [(n.text, n.source) for n in names] == [("mi", "mesh"), ("MI", "mesh")]
    assert kb.text_id("m") is None
    assert kb.text_id("zzz") is None


def test_retired_concepts_keep_their_row_and_lose_their_names(kb: KnowledgeBase) -> None:
    retired = row(kb, "mesh:D000001")
    assert kb.concept(retired).replaced_by == "wikidata:Q35869"
    assert kb.names_of(retired) == []
    assert kb.text_id("old asthma") is None


def test_labels_in_the_wanted_language(kb: KnowledgeBase) -> None:
    infarct = row(kb, "wikidata:Q12152")
    assert kb.label(infarct, ["de"]) == ("Myokardinfarkt", "de")
    assert kb.label(infarct, ["de-AT"]) == ("Myokardinfarkt", "de")
    assert kb.label(infarct, ["ko", "en"]) == ("Heart attack", "en")
    assert kb.label(row(kb, "wikidata:Q35869"), ["ko"]) == ("asthma", "en")
    # A concept without names, or without one that equals its label, has that all the same.
    assert kb.label(row(kb, "mesh:D000001"), ["en"]) == ("old asthma", "und")
    assert kb.label(row(kb, "mesh:D002318"), ["ko"]) == ("heart", "und")


def test_the_best_names_in_a_language(kb: KnowledgeBase) -> None:
    rows = [kb.row_of(each[0]) for each in (CONCEPTS[1], CONCEPTS[3], CONCEPTS[2], CONCEPTS[1])]
    heart_attack = ["Myokardinfarkt", "Herzinfarkt"]
    assert kb.best_names(rows, "de", 3) == [heart_attack, [], [], heart_attack]
    assert kb.best_names(rows, "de-AT", 1) == [["Myokardinfarkt"], [], [], ["Myokardinfarkt"]]
    assert kb.best_names(rows, "en", 2)[2:] == [["mi"], ["Heart attack", "MI"]]
    assert kb.best_names(rows, "", 3) == [[], [], [], []]
    assert kb.best_names([], "de", 3) == []


def test_types_schemes_languages(kb: KnowledgeBase) -> None:
    texts = kb.texts.to_pylist()
    allowed = kb.texts_of_types(["anatomy"])
    assert [t for t, a in zip(texts, allowed, strict=True) if a] == ["mi"]
    assert kb.schemes == ("mesh", "umls", "wikidata")
    assert kb.languages == ("de", "en")


def test_a_release_says_which_names_are_ambiguous(folder: Path) -> None:
    names = map_table(folder / "names.arrow")
    flagged = names.filter(names["ambiguous"])
    assert {text.casefold() for text in flagged["text"].to_pylist()} == {"mi"}
    assert len(flagged) == 2


@pytest.mark.parametrize("name", ["concepts.arrow", "names.arrow"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage"])
def test_a_damaged_table_is_named(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.write_bytes(b"not arrow")
    with pytest.raises(FileError, match=name):
        KnowledgeBase.open(folder)


def test_tables_of_two_releases_do_not_mix(folder: Path) -> None:
    other = pa.ipc.open_file(folder / "concepts.arrow").read_all().slice(1)
    write_table(other, folder / "concepts.arrow")
    with pytest.raises(FileError, match="does not belong"):
        KnowledgeBase.open(folder)
