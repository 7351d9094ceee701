"""The UMLS's RRF files, in small and in their published format."""

import gzip
from pathlib import Path

import pytest

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.sources.umls import read

# The columns are those of the UMLS Reference Manual; the rows are written for this test.
MRCONSO = """\
C0027051|ENG|P|L1|PF|S1|Y|A1||M1|D009203|MSH|MH|D009203|Myocardial Infarction|0|N|256|
C0027051|ENG|S|L2|PF|S2|Y|A2||M2|D009203|MSH|ET|D009203|Heart attack|0|N|256|
C0027051|ENG|S|L3|PF|S3|Y|A3|||22298006|SNOMEDCT_US|OAP|22298006|Old name|9|O|256|
C0027051|GER|P|L4|PF|S4|Y|A4||M1|D009203|MSHGER|MH|D009203|Myokardinfarkt|3|N||
C0027051|KOR|P|L5|PF|S5|Y|A5|||10028596|MDRKOR|PT|10028596|심근 경색증|3|N||
C0027051|XXX|P|L6|PF|S6|Y|A6|||1|ZZZ|PT|1|a language of its own|0|N||
C0030705|ENG|P|L7|PF|S7|Y|A7||M3|D010361|MSH|MH|D010361|Patients|0|Y|256|
"""
MRSTY = """\
C0027051|T047|B2.2.1.2.1|Disease or Syndrome|AT1|256|
"""
MRDEF = """\
C0027051|A1|AT2||MSH|NECROSIS of the heart muscle.|N||
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("MRCONSO", MRCONSO), ("MRSTY", MRSTY), ("MRDEF", MRDEF)):
        (tmp_path / f"{name}.RRF").write_text(rows, encoding="utf-8")
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("MR*"))


def test_a_concept_with_its_names_types_and_ids(folder: Path) -> None:
    [concept] = read("umls", files(folder))
    assert concept.concept_id == "umls:C0027051"
    assert concept.names == (
        Name("Myocardial Infarction", "en", "label", "umls"),
        Name("Heart attack", "en", "alias", "umls"),
        Name("Myokardinfarkt", "de", "label", "umls"),
        Name("심근 경색증", "ko", "label", "umls"),
    )
    assert concept.types == ("disease",)
    assert concept.equivalent == ("mesh:D009203",)
    assert concept.description == "NECROSIS of the heart muscle."


def test_packed_files_read_the_same(folder: Path) -> None:
    plain = list(read("umls", files(folder)))
    for path in files(folder):
        path.with_suffix(".RRF.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert list(read("umls", files(folder))) == plain


@pytest.mark.parametrize("name", ["MRCONSO.RRF", "MRSTY.RRF"])
def test_a_needed_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileError, match=f"{name}: not among the files"):
        list(read("umls", files(folder)))


@pytest.mark.parametrize(
    ("name", "line"), [("MRCONSO.RRF", "C1|ENG|P|"), ("MRSTY.RRF", "C1|T047|B|x|y|z|more|")]
)
def test_a_line_of_other_columns_is_named(folder: Path, name: str, line: str) -> None:
    with (folder / name).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(FileError, match=rf"{name}:\d+: \d cells, not"):
        list(read("umls", files(folder)))


def test_a_file_cut_off_in_its_packing_is_named(folder: Path) -> None:
    packed = gzip.compress((folder / "MRCONSO.RRF").read_bytes())
    (folder / "MRCONSO.RRF").unlink()
    (folder / "MRCONSO.RRF.gz").write_bytes(packed[:-9])
    with pytest.raises(FileError, match=r"MRCONSO\.RRF\.gz: not a whole"):
        list(read("umls", files(folder)))
