"""XL-BEL's reader: what it reads, and that it never reads something else from a bad file."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx_eval.datasets import DATASETS, Example
from bioelx_eval.datasets.xlbel import COVERED_HEADER, LANGUAGES, parse_row

XLBEL, XLBEL_V0 = DATASETS["xlbel"], DATASETS["xlbel-v0.0"]

GOLD = st.lists(st.from_regex("C[0-9]{7}|C[LN][0-9]{6}", fullmatch=True), min_size=1, max_size=3)
TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="|<>\ufeff"))
MENTION = TEXT.filter(normalise)
ROW = st.tuples(GOLD, TEXT, MENTION, TEXT)


def written(row: tuple[list[str], str, str, str], *, with_context: bool = True) -> str:
    gold, before, mention, after = row
    line = f"{'|'.join(gold)}||{mention}"
    return f"{line}||{before}<tgt>{mention}</tgt>{after}" if with_context else line


@given(ROW)
def test_a_row_is_read_as_it_was_written(row: tuple[list[str], str, str, str]) -> None:
    gold, before, mention, after = row
    read = parse_row(written(row), "de", with_context=True)
    assert (read.gold, read.mention) == ("|".join(gold), mention)
    assert read.query.text == before + mention + after
    assert read.query.start == len(before)
    assert read.query.mention == mention
    bare = parse_row(written(row, with_context=False), "de", with_context=False)
    assert (bare.gold, bare.query.text, bare.query.mention) == (read.gold, mention, mention)


@given(ROW, st.data())
def test_a_cut_row_is_refused_or_loses_only_context(
    row: tuple[list[str], str, str, str], data: st.DataObject
) -> None:
    line = written(row)
    cut = line[: data.draw(st.integers(0, len(line) - 1))]
    try:
        read = parse_row(cut, "de", with_context=True)
    except ValueError:
        return
    whole = parse_row(line, "de", with_context=True)
    assert (read.gold, read.mention, read.query.start) == (
        whole.gold,
        whole.mention,
        whole.query.start,
    )


@given(st.text() | st.from_regex(r"[C0-9|x<>/tg ]*", fullmatch=True), st.booleans())
def test_whatever_is_read_fits_together(line: str, with_context: bool) -> None:
    try:
        read = parse_row(line, "de", with_context=with_context)
    except ValueError:
        return
    assert line.startswith(f"{read.gold}||{read.mention}")
    assert read.query.mention == read.mention
    assert all(re.fullmatch("C?[LN]?[0-9]+", each) for each in read.gold.split("|"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "1 columns"),
        ("C0004096||asthma", "2 columns"),
        ("C0004096||asthma||<tgt>asthma</tgt>||more", "4 columns"),
        ("C0004096|asthma|<tgt>asthma</tgt>", "1 columns"),
        ("D001249||asthma||<tgt>asthma</tgt>", "'D001249' is not a CUI"),
        ("c0004096||asthma||<tgt>asthma</tgt>", "'c0004096' is not a CUI"),
        ("C0004096|||asthma||<tgt>asthma</tgt>", "single |"),
        ("|C0004096||asthma||<tgt>asthma</tgt>", "'' is not a CUI"),
        ("C0004096|| ||<tgt> </tgt>", "the mention is empty"),
        ("C0004096||asthma||of asthma", "one <tgt>"),
        ("C0004096||asthma||of <tgt>asthma", "one <tgt>"),
        ("C0004096||asthma||of asthma</tgt>", "one <tgt>"),
        ("C0004096||asthma||of </tgt>asthma<tgt>", "one <tgt>"),
        ("C0004096||asthma||<tgt>asthma</tgt> <tgt>asthma</tgt>", "one <tgt>"),
        ("C0004096||asthma||of <tgt>asthmatic</tgt>", "another string"),
    ],
)
def test_malformed_rows_are_refused(
    write_xlbel: Callable[..., Path], line: str, message: str
) -> None:
    folder = write_xlbel({"fi": ["C0004096||astma||<tgt>astma</tgt>", line]})
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        list(XLBEL.read(folder, LANGUAGES))
    assert caught.value.line == 2
    assert str(caught.value).startswith(f"{folder}/fi_1k_test_query_with_context.txt:2: ")


def test_examples(write_xlbel: Callable[..., Path]) -> None:
    rows = [
        "C0155877|C0004096|C0004096||astma||vaikea  <tgt>astma</tgt> .",
        "C0000001||-ia||was <tgt></tgt> is",  # as German line 736
    ]
    covered = [("fi", 2, "C0000001", "-ia")]
    first, second = XLBEL.read(write_xlbel({"fi": rows}, covered), ["fi"])
    assert first.id == "fi/1"
    assert first.gold == ("umls:C0155877", "umls:C0004096")
    assert first.query.text == "vaikea  astma ."
    assert (first.query.mention, first.query.language) == ("astma", "fi")
    assert second.query.text == "-ia"
    assert (first.covered, second.covered) == (False, True)


def test_without_a_list_nothing_is_said_of_coverage(write_xlbel: Callable[..., Path]) -> None:
    assert {each.covered for each in XLBEL.read(write_xlbel({}), LANGUAGES)} == {None}


@pytest.mark.parametrize("up", [0, 1, 2])
def test_the_folder_is_found_from_above(write_xlbel: Callable[..., Path], up: int) -> None:
    folder = write_xlbel({})
    assert XLBEL.locate([folder, *folder.parents][up]) == folder


def test_missing_and_double_files_are_named(
    write_xlbel: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=r"holds no XL-BEL v1\.0"):
        XLBEL.locate(tmp_path)
    folder = write_xlbel({})
    with pytest.raises(FileError, match=r"holds no XL-BEL v0\.0"):
        XLBEL_V0.locate(folder)
    thai = folder / "th_1k_test_query_with_context.txt"
    (folder / f"{thai.name}.gz").write_bytes(gzip.compress(thai.read_bytes()))
    with pytest.raises(FileError, match=rf"{thai.name}: stands here twice"):
        list(XLBEL.read(folder, LANGUAGES))
    thai.unlink()
    assert len(list(XLBEL.read(folder, LANGUAGES))) == 10
    (folder / f"{thai.name}.gz").unlink()
    with pytest.raises(FileError, match=rf"{thai.name}: no such file"):
        list(XLBEL.read(folder, LANGUAGES))


# Damage to whole files

V0_ROWS = ["C0004096||astma", "C0027051|C0155626||sydäninfarkti", "C0018681||päänsärky"]


def read_v0(folder: Path, content: bytes, suffix: str = "") -> list[Example]:
    path = folder / f"fi_1k_test_query.txt{suffix}"
    path.write_bytes(content)
    try:
        return list(XLBEL_V0.read(folder, ["fi"]))
    except FileError as error:
        if error.path != path or not error.line:
            pytest.fail("the error does not say where")
        raise
    finally:
        path.unlink()


def test_byte_order_marks_and_line_ends_make_no_difference(tmp_path: Path) -> None:
    content = "".join(f"{row}\n" for row in V0_ROWS).encode()
    expected = read_v0(tmp_path, content)
    assert [each.query.mention for each in expected] == ["astma", "sydäninfarkti", "päänsärky"]
    assert read_v0(tmp_path, b"\xef\xbb\xbf" + content) == expected
    assert read_v0(tmp_path, content.replace(b"\n", b"\r\n")) == expected
    assert read_v0(tmp_path, gzip.compress(content), ".gz") == expected
    with pytest.raises(FileError, match="not a CUI"):  # a mark within, from joined files
        read_v0(tmp_path, content + b"\xef\xbb\xbf" + content)
    with pytest.raises(FileError, match="cut off"):  # line ends of old Macs
        read_v0(tmp_path, content.replace(b"\n", b"\r"))
    with pytest.raises(FileError, match="not UTF-8") as caught:
        read_v0(tmp_path, content.decode().encode("latin-1"))
    assert caught.value.line == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_file_is_refused_unless_whole_rows_are_left(
    tmp_path: Path, data: st.DataObject
) -> None:
    content = "".join(f"{row}\n" for row in V0_ROWS).encode()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    if cut.endswith(b"\n"):
        assert read_v0(tmp_path, cut) == read_v0(tmp_path, content)[: cut.count(b"\n")]
    else:
        with pytest.raises(FileError):
            read_v0(tmp_path, cut)
    packed = gzip.compress(content)
    with pytest.raises(FileError):
        read_v0(tmp_path, packed[: data.draw(st.integers(1, len(packed) - 1))], ".gz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_byte_of_a_packed_file_changes_no_row(
    tmp_path: Path, data: st.DataObject
) -> None:
    content = "".join(f"{row}\n" for row in V0_ROWS).encode()
    packed = bytearray(gzip.compress(content))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    try:
        read = read_v0(tmp_path, bytes(packed), ".gz")
    except FileError:
        return
    assert read == read_v0(tmp_path, content)


# The list of covered rows

ASTMA = ("fi", 1, "C0004096", "astma")


@pytest.mark.parametrize(
    ("covered", "place", "message"),
    [
        ([("fi", 1, "C0004096", "asthma")], "covered-v1.0.tsv:2", "is not row 1"),
        ([("fi", 1, "C0027051", "astma")], "covered-v1.0.tsv:2", "is not row 1"),
        ([ASTMA, ("fi", 3, "C0004096", "astma")], "context.txt", "ends before row 3"),
        ([ASTMA, ASTMA], "covered-v1.0.tsv:3", "stands here twice"),
        ([ASTMA, ("fi", "x", "C0004096", "astma")], "covered-v1.0.tsv:3", "no number"),
        ([("sv", 1, "C0004096", "astma")], "covered-v1.0.tsv:2", "'sv' is not in XL-BEL"),
        ([("fi", 1, "C0004096")], "covered-v1.0.tsv:2", "needs columns"),
        ([()], "covered-v1.0.tsv:2", "needs columns"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(
    write_xlbel: Callable[..., Path], covered: list, place: str, message: str
) -> None:
    folder = write_xlbel({"fi": ["C0004096||astma||<tgt>astma</tgt>"]}, covered)
    with pytest.raises(FileError, match=f"{re.escape(place)}: .*{message}"):
        list(XLBEL.read(folder, LANGUAGES))


def test_a_list_without_its_header_is_refused(write_xlbel: Callable[..., Path]) -> None:
    folder = write_xlbel({})
    covered = folder.parent / "covered-v1.0.tsv"
    for content, message in (
        ("fi\t1\tC0004096\tasthma\n", "needs columns language, line"),
        ("\t".join(COVERED_HEADER) + "\n", "lists no row"),
        ("", "is empty"),
    ):
        covered.write_text(content, encoding="utf-8")
        with pytest.raises(FileError, match=rf"covered-v1\.0\.tsv:1: {message}"):
            list(XLBEL.read(folder, LANGUAGES))
