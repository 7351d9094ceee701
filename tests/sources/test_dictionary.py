"""A dictionary of `CUI||name` lines: what is read, and what is refused."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.dictionary import read

DICTIONARY = """\
C0027051||Myocardial Infarction
C0027051|| sydäninfarkti
C0004096|C0155877||asthma

CUI-less||nothing of the kind
C0027051||1,25 | D
"""


def read_bytes(folder: Path, content: bytes, name: str = "names.txt") -> list[SourceConcept]:
    path = folder / name
    path.write_bytes(content)
    try:
        return list(read("dictionary", [path]))
    except FileError as error:
        if error.path != path:
            pytest.fail("the error names another file")
        raise


def said(concept: SourceConcept) -> tuple[str, list[str]]:
    return concept.concept_id, [name.text for name in concept.names]


def test_names_by_concept(tmp_path: Path) -> None:
    first, asthma, status, again = read_bytes(tmp_path, DICTIONARY.encode())
    assert first == SourceConcept(
        "umls:C0027051",
        (
            Name("Myocardial Infarction", "und", "alias", "dictionary"),
            Name("sydäninfarkti", "und", "alias", "dictionary"),
        ),
    )
    # A line with two CUIs names both.
    assert said(asthma) == ("umls:C0004096", ["asthma"])
    assert said(status) == ("umls:C0155877", ["asthma"])
    assert said(again) == ("umls:C0027051", ["1,25 | D"])


def test_the_same_from_every_form_of_the_file(tmp_path: Path) -> None:
    content = DICTIONARY.encode()
    expected = read_bytes(tmp_path, content)
    assert read_bytes(tmp_path, gzip.compress(content), "names.txt.gz") == expected
    assert read_bytes(tmp_path, b"\xef\xbb\xbf" + content) == expected
    assert read_bytes(tmp_path, content.replace(b"\n", b"\r\n")) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("C0027051", "1 columns between ||, not 2"),
        ("C0027051|heart attack", "1 columns"),
        ("C0027051||heart||attack", "3 columns"),
        ("C0027051||", "has no name"),
        ("C0027051|| ", "has no name"),
        ("||heart attack", "'' is not a CUI"),
        ("C002705||heart attack", "'C002705' is not a CUI"),
        ("D009203||heart attack", "'D009203' is not a CUI"),
        ("heart attack||C0027051", "'heart attack' is not a CUI"),
    ],
)
def test_malformed_lines_are_refused_with_their_place(
    tmp_path: Path, line: str, message: str
) -> None:
    content = f"{DICTIONARY}{line}\n{DICTIONARY}".encode()
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_bytes(tmp_path, content)
    assert caught.value.line == 7


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.txt: no such file"):
        list(read("dictionary", [tmp_path / "nothing.txt"]))
    with pytest.raises(FileError, match="is empty"):
        read_bytes(tmp_path, b"")
    with pytest.raises(FileError, match="not UTF-8"):
        read_bytes(tmp_path, DICTIONARY.encode("latin-1"))
    packed = gzip.compress(DICTIONARY.encode())
    for damaged in (packed[:-9], DICTIONARY.encode(), packed[:12] + b"x" + packed[13:]):
        with pytest.raises(FileError, match=r"not a whole \.gz file|not UTF-8|columns"):
            read_bytes(tmp_path, damaged, "names.txt.gz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, len(DICTIONARY.encode()) - 1))
def test_a_cut_file_is_refused_unless_whole_lines_are_left(tmp_path: Path, end: int) -> None:
    content = DICTIONARY.encode()[:end]
    if content.endswith(b"\n"):
        whole = read_bytes(tmp_path, DICTIONARY.encode())
        names = [name for concept in read_bytes(tmp_path, content) for name in said(concept)[1]]
        assert names == [name for concept in whole for name in said(concept)[1]][: len(names)]
    else:
        with pytest.raises(FileError, match=r"cut off|not UTF-8"):
            read_bytes(tmp_path, content)


CUI = st.from_regex("C[0-9]{7}|C[LN][0-9]{6}", fullmatch=True)
NAME = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp"), blacklist_characters="|\ufeff"),
    min_size=1,
).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.lists(CUI, min_size=1, max_size=2, unique=True), NAME), min_size=1, max_size=5
    )
)
def test_every_name_is_read_as_it_was_written(
    tmp_path: Path, rows: list[tuple[list[str], str]]
) -> None:
    content = "".join(f"{'|'.join(cuis)}||{name}\n" for cuis, name in rows)
    got = [
        (concept.concept_id, name.text)
        for concept in read_bytes(tmp_path, content.encode())
        for name in concept.names
    ]
    expected = [(f"umls:{cui}", name.strip()) for cuis, name in rows for cui in cuis]
    assert sorted(got) == sorted(expected)


@given(st.binary() | st.text().map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_junk_is_refused(tmp_path: Path, junk: bytes) -> None:
    if junk.strip(b" \t\r\n\x0b\x0c"):
        with pytest.raises(FileError):
            read_bytes(tmp_path, junk)
