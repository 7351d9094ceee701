"""The UMLS's RRF files, in small and in their published format."""

from __future__ import annotations

import gzip
import tracemalloc
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import UMLS_SEMANTIC_TYPES
from bioelx_index.sources import SourceConcept, umls
from bioelx_index.sources.umls import UmlsOptions

from .rrf import write_metathesaurus

# The columns are those of the UMLS Reference Manual; the rows are written for this test.
MRCONSO = """\
C0004096|ENG|P|L8|PF|S8|Y|A8||M8|D001249|MSH|MH|D001249|Asthma|0|N|256|
C0004096|SPA|P|L9|PF|S9|Y|A9|||195967001|SCTSPA|PT|195967001|asma|4|N||
C0027051|ENG|P|L1|PF|S1|Y|A1||M1|D009203|MSH|MH|D009203|Myocardial Infarction|0|N|256|
C0027051|ENG|S|L2|PF|S2|Y|A2||M2|D009203|MSH|ET|D009203|Heart attack|0|N|256|
C0027051|ENG|S|L3|PF|S3|Y|A3|||22298006|SNOMEDCT_US|OAP|22298007|Old name|9|O|256|
C0027051|ENG|S|L9|PF|S9|Y|A4|||22298006|SNOMEDCT_US|PT|22298006|Heart attack|9|N|256|
C0027051|ENG|S|L9|PF|S9|Y|A5|||I21|ICD10CM|HT|I21|Acute myocardial infarction|4|N|256|
C0027051|ENG|S|L7|PF|S7|Y|A7|||C27996|NCI|SY|C27996|MI|0|E||
C0027051|GER|P|L4|PF|S4|Y|A10||M1|D009203|MSHGER|MH|D009203|Myokardinfarkt|3|N||
C0027051|KOR|P|L5|PF|S5|Y|A11|||10028596|MDRKOR|PT|10028596|심근 경색증|3|N||
C0027051|SCR|P|L6|PF|S6|Y|A12||M1|D009203|MSHSCR|MH|D009203|Infarkt miokarda|3|N||
C0030705|ENG|P|L7|PF|S7|Y|A13||M3|D010361|MSH|MH|D010361|Patients|0|Y|256|
"""
MRSTY = """\
C0004096|T047|B2.2.1.2.1|Disease or Syndrome|AT0|256|
C0027051|T047|B2.2.1.2.1|Disease or Syndrome|AT1|256|
C0027051|T184|A2.2.2|Sign or Symptom|AT2|256|
"""
MRDEF = """\
C0004096|A9|AT1||SCTSPA|Una enfermedad de las vías respiratorias.|N||
C0027051|A7|AT2||NCI|Of a term that is suppressed.|N||
C0027051|A4|AT3||SNOMEDCT_US|Of another vocabulary.|N||
C0027051|A2|AT4||MSH|A definition that is suppressed.|Y||
C0027051|A1|AT5||MSH|NECROSIS of the heart muscle.|N||
"""
MRCUI = """\
C0000401|1993AA|DEL|||||
C0000431|2013AB|RB|||C0004096|Y|
C0000431|2013AB|RO|||C0027051|Y|
C0000703|1993AA|SY|||C0027051|Y|
C0000704|1993AA|SY|||C0027051|Y|
C0000704|1994AA|SY|||C0027051|Y|
C0000704|1994AA|RN|||C0004096|Y|
C0000705|1993AA|SY|||C0027051|Y|
C0000705|1993AA|SY|||C0004096|Y|
C0004096|1993AA|DEL|||||
"""
MRFILES = """\
MRCONSO.RRF|Concept names and sources|CUI,LAT|18|12|1000|
MRSTY.RRF|Semantic Types|CUI,TUI|6|3|100|
CHANGE/MERGEDCUI.RRF|Merged|PCUI,CUI|2|9|90|
"""
TABLES = {"MRCONSO": MRCONSO, "MRSTY": MRSTY, "MRDEF": MRDEF, "MRCUI": MRCUI, "MRFILES": MRFILES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in TABLES.items():
        (tmp_path / f"{name}.RRF").write_text(rows, encoding="utf-8")
    return tmp_path


def read(folder: Path, **options: Any) -> dict[str, SourceConcept]:
    records = umls.read("umls", umls.find(folder), UmlsOptions(**options))
    return {record.concept_id: record for record in records}


def replace_in(path: Path, old: str, new: str) -> None:
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new), encoding="utf-8")


def test_a_concept_with_its_names_types_and_ids(folder: Path) -> None:
    infarction = read(folder)["umls:C0027051"]
    assert infarction.names == (
        Name("Myocardial Infarction", "en", "label", "umls"),
        Name("Heart attack", "en", "alias", "umls"),
        Name("Acute myocardial infarction", "en", "alias", "umls"),
        Name("Myokardinfarkt", "de", "label", "umls"),
        Name("심근 경색증", "ko", "label", "umls"),
        Name("Infarkt miokarda", "hr", "label", "umls"),
    )
    assert infarction.types == ("disease", "phenotype")
    assert infarction.equivalent == ("mesh:D009203", "snomedct:22298006")
    assert infarction.related == ("icd10cm:I21",)


def test_what_is_suppressed_names_nothing(folder: Path) -> None:
    assert "umls:C0030705" not in read(folder)


def test_one_definition_in_english_if_there_is_one(folder: Path) -> None:
    concepts = read(folder)
    assert concepts["umls:C0027051"].description == "NECROSIS of the heart muscle."
    assert concepts["umls:C0004096"].description == "Una enfermedad de las vías respiratorias."
    without = read(folder, exclude_vocabularies=["MSH"])
    assert without["umls:C0027051"].description == "Of another vocabulary."


def test_retired_cuis_have_the_one_that_they_were_merged_into(folder: Path) -> None:
    concepts = read(folder)
    retired = {
        concept_id: (concept.replaced_by, concept.related)
        for concept_id, concept in concepts.items()
        if concept.status is Status.RETIRED
    }
    assert retired == {
        "umls:C0000401": (None, ()),
        "umls:C0000431": (None, ("umls:C0004096", "umls:C0027051")),
        "umls:C0000703": ("umls:C0027051", ()),
        "umls:C0000704": ("umls:C0027051", ("umls:C0004096",)),
        "umls:C0000705": (None, ("umls:C0027051", "umls:C0004096")),  # split
    }
    assert concepts["umls:C0004096"].status is Status.ACTIVE  # whatever MRCUI says


def test_vocabularies_licences_and_languages_are_chosen(folder: Path) -> None:
    free = read(folder, restriction_levels=[0])
    assert {name.lang for c in free.values() for name in c.names} == {"en"}
    assert free["umls:C0027051"].equivalent == ("mesh:D009203",)
    assert free["umls:C0004096"].description == ""  # its only definition is not free

    german = read(folder, languages=["de"])
    assert [name.text for c in german.values() for name in c.names] == ["Myokardinfarkt"]
    assert german["umls:C0027051"].equivalent == ("mesh:D009203", "snomedct:22298006")

    rest = read(folder, exclude_vocabularies=["MSH", "SNOMEDCT_US"])
    assert rest["umls:C0027051"].equivalent == ()
    with pytest.raises(FileError, match=r"MRCONSO\.RRF: exclude_vocabularies: .* SNOMEDCT$"):
        read(folder, exclude_vocabularies=["SNOMEDCT", "MSH"])


def test_packed_files_and_parts_read_the_same(folder: Path) -> None:
    plain = read(folder)
    for path in sorted(folder.iterdir()):
        path.with_suffix(".RRF.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read(folder) == plain
    (folder / "MRCONSO.RRF.gz").unlink()
    data = MRCONSO.encode()
    for part, piece in zip(
        ("aa", "ab", "ac"), (data[:300], data[300:301], data[301:]), strict=True
    ):
        (folder / f"MRCONSO.RRF.{part}.gz").write_bytes(gzip.compress(piece))
    assert read(folder) == plain


def test_definitions_retired_cuis_and_counts_are_optional(folder: Path) -> None:
    full = read(folder)
    for name in ("MRDEF", "MRCUI", "MRFILES"):
        (folder / f"{name}.RRF").unlink()
    less = read(folder)
    assert {c.description for c in less.values()} == {""}
    assert set(less) == {key for key, c in full.items() if c.status is Status.ACTIVE}


@pytest.mark.parametrize("name", ["MRCONSO.RRF", "MRSTY.RRF"])
def test_a_needed_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileError, match=f"{name}: not among the files"):
        read(folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["MRCONSO.RRF", "MRCONSO.RRF.gz"], r"MRCONSO\.RRF\.gz: stands beside .*MRCONSO\.RRF:"),
        (["MRCONSO.RRF", "MRCONSO.RRF.aa"], r"MRCONSO\.RRF: stands beside .*MRCONSO\.RRF\.aa:"),
        (["MRCONSO.RRF.aa", "MRCONSO.RRF.ac"], r"ac: MRCONSO\.RRF\.ab should come before"),
        (["MRCONSO.RRF.ab.gz"], r"ab\.gz: MRCONSO\.RRF\.aa should come before"),
        (["MRREL.RRF"], r"MRREL\.RRF: none of the UMLS files that are read: MRCONSO\.RRF,"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(FileError, match=message):
        umls.arrange([Path(name) for name in (*names, "MRSTY.RRF")])


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("MRCONSO", "C0030705|ENG|", "C0030705|ENG|P|", r":12: 19 cells, not 18"),
        ("MRSTY", "|AT2|256|", "|AT2|256", r":3: 5 cells, not 6"),
        ("MRCONSO", "C0004096|SPA", "C004096|SPA", r":2: 'C004096' is no CUI"),
        ("MRCONSO", "C0030705", "C0000705", r":12: C0000705 after C0027051: sort the file"),
        ("MRSTY", "C0027051|T184", "C0004096|T184", r":3: C0004096 after C0027051: sort the file"),
        ("MRDEF", "C0027051|A1", "C0004096|A1", r":5: C0004096 after C0027051"),
        ("MRCUI", "C0000703", "C0000001", r":4: C0000001 after C0000431"),
        ("MRCONSO", "|KOR|", "|XXX|", r":10: LAT 'XXX' is no language"),
        ("MRFILES", "|18|12|", "|18|13|", r"MRCONSO\.RRF: 12 rows, though MRFILES\.RRF says 13"),
        ("MRFILES", "|6|3|", "|6|many|", r":2: 'many' is no number of rows"),
    ],
)
def test_a_line_at_fault_is_named(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    replace_in(folder / f"{name}.RRF", old, new)
    with pytest.raises(FileError, match=message if name == "MRFILES" else f"{name}.RRF{message}"):
        read(folder)


def test_a_licence_level_that_is_no_number_is_named(folder: Path) -> None:
    replace_in(folder / "MRCONSO.RRF", "|asma|4|", "|asma|x|")
    with pytest.raises(FileError, match=r"MRCONSO\.RRF:2: SRL 'x' is no number"):
        read(folder, restriction_levels=[0])


def test_bytes_that_are_no_utf8_are_named(folder: Path) -> None:
    path = folder / "MRCONSO.RRF"
    path.write_bytes(path.read_bytes().replace("심근".encode(), "심근".encode("euc-kr")))
    with pytest.raises(FileError, match=r"MRCONSO\.RRF:10: not UTF-8"):
        read(folder)


@pytest.mark.parametrize("name", ["MRCONSO", "MRCUI"])
def test_a_file_cut_off_in_its_packing_is_named(folder: Path, name: str) -> None:
    packed = gzip.compress((folder / f"{name}.RRF").read_bytes())
    (folder / f"{name}.RRF").unlink()
    (folder / f"{name}.RRF.gz").write_bytes(packed[:-9])
    with pytest.raises(FileError, match=rf"{name}\.RRF\.gz: not a whole \.gz file"):
        read(folder)


def test_every_semantic_type_has_a_place() -> None:
    assert UMLS_SEMANTIC_TYPES["T047"] == "disease"
    assert all(tui[0] == "T" and tui[1:].isdecimal() for tui in UMLS_SEMANTIC_TYPES)


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    def peak(concepts: int) -> int:
        folder = tmp_path / str(concepts)
        folder.mkdir()
        write_metathesaurus(folder, concepts)
        files = umls.find(folder)
        deque(umls.read("umls", files), maxlen=0)  # fills what the interpreter itself keeps
        # Other threads of the interpreter may take some kilobytes meanwhile: the least is ours.
        return min(traced(files) for _ in range(5))

    def traced(files: list[Path]) -> int:
        tracemalloc.start()
        try:
            deque(umls.read("umls", files), maxlen=0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    large, small = peak(1500), peak(150)
    assert large < 1.1 * small
