"""Mantra's reader, on files in its layout with sentences written for this test."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx_eval.datasets import DATASETS, Example
from bioelx_eval.datasets.mantra import ARCHIVE

MANTRA = DATASETS["mantra"]
EMEA = "German/EMEA_x"
FILES = {
    f"{EMEA}/1_d1.u1.txt": "Bei Fieber über 40 °C: Zäher Husten und Schmerz.\r\n",
    f"{EMEA}/1_d1.u1.ann": "T2\tC0010200 29 35\tHusten\n"
    '#2\tAnnotatorNotes T2\t"C0010200", "Coughing", "Sign or Symptom", "DISO"\n'
    "T3\tC0015967 4 10\tFieber\n"
    "T4\tC0850149 23 28;40 47\tZäher Schmerz\n"
    "T5\tC0424755 4 10\tFieber\n"
    "T6\tC0015967 4 10\tFieber\n",
    f"{EMEA}/2_d1.u2.txt": "Nichts.\n",
    f"{EMEA}/2_d1.u2.ann": "",
    "English/Medline_EN_DE_x/1.txt": "Mild cough.\n",
    "English/Medline_EN_DE_x/1.ann": "T1\tC0010200 5 10\tcough\n",
    "English/Medline_EN_FR_x/1.txt": "Late fever.\n",
    "English/Medline_EN_FR_x/1.ann": "T1\tC0015967 5 10\tfever\n",
    "English/Medline_EN_FR_x/._1.ann": "of a Mac",
}


def write(folder: Path, changes: Mapping[str, str | None] = {}) -> Path:
    """Writes the corpus unpacked; a change of None leaves the file out."""
    for name, content in {**FILES, **changes}.items():
        path = folder / "Mantra-GSC" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content.encode())
    return folder


def pack(folder: Path) -> Path:
    """Packs it as it is published, with a Mac's traces."""
    path = folder / ARCHIVE
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted((folder / "Mantra-GSC").rglob("*")):
            archive.write(each, each.relative_to(folder))
            archive.writestr(f"__MACOSX/{each.relative_to(folder)}", "trace")
    return path


def read(data: Path, *groups: str) -> list[Example]:
    read = list(MANTRA.read(MANTRA.locate(data), groups))
    return [each for each in read if isinstance(each, Example)]


def test_examples(tmp_path: Path) -> None:
    cough, fever, pain = read(write(tmp_path), "EMEA de")
    assert cough.id == "German/EMEA_x/1_d1.u1/29 35"
    assert (cough.group, cough.query.language) == ("EMEA de", "de")
    assert cough.query.text == FILES[f"{EMEA}/1_d1.u1.txt"]
    assert (cough.query.mention, cough.gold) == ("Husten", ("umls:C0010200",))
    # One mention with several CUIs: any is right.
    assert fever.gold == ("umls:C0015967", "umls:C0424755")
    # One with a gap: its pieces, without the document.
    assert (pain.query.text, pain.query.mention) == ("Zäher Schmerz", "Zäher Schmerz")
    english = read(tmp_path, "Medline en")
    assert [each.query.mention for each in english] == ["cough", "fever"]


def test_packed_and_unpacked_give_the_same(tmp_path: Path) -> None:
    expected = read(write(tmp_path / "mantra"), "Medline en", "EMEA de")
    assert read(tmp_path, "Medline en", "EMEA de") == expected
    assert read(tmp_path / "mantra" / "Mantra-GSC", "Medline en", "EMEA de") == expected
    packed = pack(tmp_path / "mantra").rename(tmp_path / ARCHIVE)
    assert MANTRA.locate(tmp_path) == packed
    assert read(tmp_path, "Medline en", "EMEA de") == expected


def test_byte_order_marks_and_line_ends_make_no_difference(tmp_path: Path) -> None:
    expected = read(write(tmp_path), "EMEA de", "Medline en")
    marked = {k: f"\ufeff{v}" for k, v in FILES.items() if v}
    assert read(write(tmp_path, marked), "EMEA de", "Medline en") == expected
    ended = {k: v.replace("\n", "\r\n") for k, v in FILES.items() if k.endswith(".ann")}
    assert read(write(tmp_path, ended), "EMEA de", "Medline en") == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("T7\tC0010200 29 35", "2 columns"),
        ("T7\tC0010200 29 35\tHusten\tDISO", "4 columns"),
        ("", "1 columns"),
        ("R1\tcauses Arg1:T1 Arg2:T2\t", "needs T1"),
        ("T7\tC0010200 29\tHusten", "needs T1"),
        ("T7\tC0010200 29-35\tHusten", "needs T1"),
        ("T7\tC0010200 -6 -1\tHusten", "needs T1"),
        ("T7\tDISO 29 35\tHusten", "'DISO' is not a CUI"),
        ("T7\tc0010200 29 35\tHusten", "'c0010200' is not a CUI"),
        ("T7\tC0010200 28 34\tHusten", "do not enclose"),
        ("T7\tC0010200 35 29\tHusten", "do not enclose"),
        ("T7\tC0010200 29 29\t", "do not enclose"),
        ("T7\tC0010200 40 60\tSchmerz.\r\n", "do not enclose"),
        ("T7\tC0010200 23 28;40 47\tZäher  Schmerz", "do not enclose"),
        ("T7\tC0010200 29 29;40 47\t Schmerz", "do not enclose"),
    ],
)
def test_malformed_lines_are_refused(tmp_path: Path, line: str, message: str) -> None:
    name = f"{EMEA}/1_d1.u1.ann"
    data = write(tmp_path, {name: f"{FILES[name]}{line}\n"})
    for place in (data, pack(data)):
        with pytest.raises(FileError, match=rf"1_d1\.u1\.ann:7: .*{message}"):
            list(MANTRA.read(place, ["EMEA de"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{EMEA}/1_d1.u1.ann": None}, r"1_d1\.u1\.ann: no such file"),
        ({f"{EMEA}/1_d1.u1.txt": None}, r"1_d1\.u1\.txt: no such file"),
        ({f"{EMEA}/1_d1.u1.txt": "Bei Fieber über 4"}, r"1_d1\.u1\.txt: .*cut off"),
        ({f"{EMEA}/1_d1.u1.txt": "Bei Fieber über 4\n"}, r"1_d1\.u1\.ann:1: the offsets"),
        ({f"{EMEA}/readme.md": "x"}, r"readme\.md\.txt: no such file"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, changes: Mapping[str, str | None], message: str
) -> None:
    data = write(tmp_path, changes)
    for place in (data, pack(data)):
        with pytest.raises(FileError, match=message):
            list(MANTRA.read(place, ["EMEA de"]))


def test_missing_groups_and_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    data = write(tmp_path)
    with pytest.raises(FileError, match=r"Dutch/EMEA_\*: no such folder"):
        read(data, "EMEA de", "EMEA nl")
    (data / "Mantra-GSC" / f"{EMEA}/1_d1.u1.txt").write_bytes("Zäher\n".encode("latin-1"))
    for place in (data, pack(data)):
        with pytest.raises(FileError, match=r"1_d1\.u1\.txt: not UTF-8"):
            list(MANTRA.read(place, ["EMEA de"]))
    with pytest.raises(FileError, match=r"nowhere: holds no Mantra-GSC-brat\.zip"):
        MANTRA.locate(tmp_path / "nowhere")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("x", "x")
    with pytest.raises(FileError, match=r"other\.zip: holds none of the folders English"):
        list(MANTRA.read(tmp_path / "other.zip", ["EMEA de"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_annotation_file_is_refused_unless_whole_lines_are_left(
    tmp_path: Path, data: st.DataObject
) -> None:
    name = f"{EMEA}/1_d1.u1.ann"
    content = FILES[name]
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    expected = read(write(tmp_path), "EMEA de")
    write(tmp_path, {name: cut})
    if not cut or cut.endswith("\n"):
        for got, whole in zip(read(tmp_path, "EMEA de"), expected, strict=False):
            assert replace(got, gold=()) == replace(whole, gold=())
            assert got.gold == whole.gold[: len(got.gold)]
    else:
        with pytest.raises(FileError, match=r"1_d1\.u1\.ann:\d: .*cut off"):
            read(tmp_path, "EMEA de")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None
)
@given(st.data())
def test_a_damaged_archive_is_refused_or_gives_no_other_rows(
    tmp_path: Path, data: st.DataObject
) -> None:
    # A length in its directory may hide whole files: the report then says that rows are missing.
    path = tmp_path / ARCHIVE
    if not path.exists():
        pack(write(tmp_path))
    packed = bytearray(path.read_bytes())
    expected = read(tmp_path, "EMEA de", "Medline en")
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(packed)
    try:
        got = list(MANTRA.read(damaged, ["EMEA de", "Medline en"]))
    except FileError:
        return
    assert [each for each in expected if each in got] == got
