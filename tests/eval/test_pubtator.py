"""PubTator's readers, BC5CDR and MedMentions: what they read, and what they refuse."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx_eval.datasets import DATASETS, Example
from bioelx_eval.datasets.pubtator import read_documents

BC5CDR, ST21PV = DATASETS["bc5cdr"], DATASETS["medmentions-st21pv"]
TYPES = ("Chemical", "Disease")

# Written for this test. The second abstract has letters beyond ASCII before its mentions.
FIRST = """\
101|t|Zinc eased a cough | in mice.
101|a|Dry cough and wheeze fell.
101\t0\t4\tZinc\tChemical\tD015032
101\t13\t18\tcough\tDisease\tD003371
101\t34\t50\tcough and wheeze\tDisease\tD003371|D012135\tcough|wheeze
101\tCID\tD015032\tD003371
"""
SECOND = """\
102|t|β-Blöckade
102|a|Ärztliche Übelkeit after XY-7.
102\t21\t29\tÜbelkeit\tDisease\tD009325
102\t36\t40\tXY-7\tChemical\t-1\t
"""

TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="\ufeff"))
settings.register_profile("files", suppress_health_check=[HealthCheck.function_scoped_fixture])
on_files = settings.get_profile("files")


def read_bc5cdr(folder: Path, content: str | bytes, suffix: str = "") -> list[Example]:
    path = folder / f"test_corpus.txt{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        return list(BC5CDR.read(BC5CDR.locate(folder), TYPES))
    except FileError as error:
        if error.path != path or not error.line:
            pytest.fail("the error does not say where")
        raise
    finally:
        path.unlink()


def test_examples(tmp_path: Path) -> None:
    zinc, cough, both, nausea, unknown = read_bc5cdr(tmp_path, f"{FIRST}\n{SECOND}\n")
    assert [zinc.group, cough.group, unknown.group] == ["Chemical", "Disease", "Chemical"]
    assert (zinc.id, zinc.gold, zinc.parts) == ("101/3", ("mesh:D015032",), ())
    assert zinc.query.text == "Zinc eased a cough | in mice. Dry cough and wheeze fell."
    assert zinc.queries == (zinc.query,)
    assert (cough.query.mention, cough.query.start, cough.query.language) == ("cough", 13, "en")
    assert both.query.mention == "cough and wheeze"
    assert both.gold == ("mesh:D003371", "mesh:D012135")
    assert [query.mention for query in both.queries] == ["cough", "wheeze"]
    assert nausea.query.mention == "Übelkeit"
    assert (unknown.query.mention, unknown.gold, unknown.parts) == ("XY-7", (), ())


def test_groups_are_chosen(tmp_path: Path) -> None:
    (tmp_path / "CDR_TestSet.PubTator.txt").write_text(f"{FIRST}\n", encoding="utf-8")
    read = BC5CDR.read(BC5CDR.locate(tmp_path), ["Disease"])
    assert [each.query.mention for each in read if isinstance(each, Example)] == [
        "cough",
        "cough and wheeze",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("101\t0\t4\tZinc\tChemical", "5 columns"),
        ("101\t0\t4\tZinc", "4 columns"),
        ("101\t0\t4\tZinc\tChemical\tD015032\t\t", "8 columns"),
        ("101 0 4 Zinc Chemical D015032", "another document"),
        ("102\t0\t4\tZinc\tChemical\tD015032", "another document"),
        ("101\t0\t5\tZinc\tChemical\tD015032", "do not enclose"),
        ("101\t1\t5\tZinc\tChemical\tD015032", "do not enclose"),
        ("101\t4\t0\tZinc\tChemical\tD015032", "do not enclose"),
        ("101\t4\t4\t\tChemical\tD015032", "do not enclose"),
        ("101\t4\t5\t \tChemical\tD015032", "do not enclose"),
        ("101\t51\t57\tfell.\tDisease\tD003371", "do not enclose"),  # behind the end
        ("101\t-4\t-1\tell\tDisease\tD003371", "no number"),
        ("101\t²\t4\tZinc\tChemical\tD015032", "no number"),
        ("101\t0\t4\tZinc\tDrug\tD015032", "'Drug' is neither"),
        ("101\t0\t4\tZinc\tChemical\tMESH:D015032", "'MESH:D015032' is neither"),
        ("101\t0\t4\tZinc\tChemical\tD01503", "'D01503' is neither"),
        ("101\t0\t4\tZinc\tChemical\t", "'' is neither"),
        ("101\t0\t4\tZinc\tChemical\tD015032|", "'' is neither"),
        ("101\t0\t4\tZinc\tChemical\tD015032|D000001\tZinc", "as many parts"),
        ("101\t0\t4\tZinc\tChemical\tD015032|D000001\tZinc|", "as many parts"),
        ("101|a|Again", "another document"),
        ("101\t0\t4\tZinc\tChemical\tD015032", "stands in the document twice"),
    ],
)
def test_malformed_lines_are_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_bc5cdr(tmp_path, f"{FIRST}{line}\n\n{SECOND}\n")
    assert caught.value.line == 7


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", 1, "is empty"),
        ("\n\n", 1, "holds no document"),
        ("101|t|Only a title\n\n", 1, "needs PMID|t|title"),
        ("101|a|abstract\n101|t|title\n\n", 1, "needs PMID|t|title"),
        ("101|t|title\n102|a|abstract\n\n", 2, "another document"),
        (f"{FIRST}\n{FIRST}\n", 8, "document 101 again"),
        (FIRST, 6, "cut off"),
        (f"{FIRST}{SECOND}\n", 7, "another document"),
        (f"{FIRST}\n\ufeff{SECOND}\n", 8, "needs PMID|t|title"),
    ],
)
def test_malformed_documents_are_refused(
    tmp_path: Path, content: str, line: int, message: str
) -> None:
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_bc5cdr(tmp_path, content)
    assert caught.value.line == line


def test_byte_order_marks_and_line_ends_make_no_difference(tmp_path: Path) -> None:
    content = f"{FIRST}\n{SECOND}\n".encode()
    expected = read_bc5cdr(tmp_path, content)
    assert read_bc5cdr(tmp_path, b"\xef\xbb\xbf" + content) == expected
    assert read_bc5cdr(tmp_path, content.replace(b"\n", b"\r\n")) == expected
    assert read_bc5cdr(tmp_path, gzip.compress(content), ".gz") == expected
    with pytest.raises(FileError, match="not UTF-8"):
        read_bc5cdr(tmp_path, content.decode().replace("β", "b").encode("latin-1"))


@on_files
@given(st.data())
def test_a_cut_file_is_refused_unless_whole_documents_are_left(
    tmp_path: Path, data: st.DataObject
) -> None:
    content = f"{FIRST}\n{SECOND}\n".encode()
    expected = read_bc5cdr(tmp_path, content)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    if cut.endswith(b"\n\n"):
        assert read_bc5cdr(tmp_path, cut) == expected[:3]
    else:
        with pytest.raises(FileError):
            read_bc5cdr(tmp_path, cut)


@on_files
@given(TEXT, TEXT, st.data())
def test_documents_are_read_as_they_were_written_and_no_offset_may_be_off(
    tmp_path: Path, title: str, abstract: str, data: st.DataObject
) -> None:
    text = f"{title} {abstract}"
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    usable = places.filter(lambda place: normalise(text[slice(*place)]))
    if not normalise(text):
        return
    spans = data.draw(st.lists(usable, max_size=5, unique_by=tuple))
    path = tmp_path / "corpus.txt"

    def write(spans: Sequence[Sequence[int]]) -> None:
        lines = [f"1|t|{title}", f"1|a|{abstract}"]
        lines += [f"1\t{a}\t{b}\t{text[a:b]}\tT1\tC1" for a, b in spans]
        path.write_text("\n".join([*lines, "", ""]), encoding="utf-8", newline="")

    write(spans)
    [document] = read_documents(path)
    read = [each.query for each in document.annotations]
    assert [[query.start, query.end] for query in read] == [list(span) for span in spans]
    assert {query.text for query in read} <= {text}

    start, end = data.draw(usable)
    shift = data.draw(st.integers(-3, 3).filter(bool))
    content = path.read_text(encoding="utf-8").removesuffix("\n")
    for a, b in ((start, end + shift), (start + shift, end)):
        line = f"1\t{a}\t{b}\t{text[start:end]}\tT1\tC1\n\n"
        path.write_text(content + line, encoding="utf-8", newline="")
        with pytest.raises(FileError, match=r"no number|do not enclose"):
            list(read_documents(path))


# MedMentions

CORPUS = "".join(
    f"{pmid}|t|Of mice\n{pmid}|a|Calm mice.\n{pmid}\t3\t7\tmice\tT015,T204\t{cui}\n\n"
    for pmid, cui in ((11, "C0025914"), (12, "UMLS:C0025929"), (13, "C0026809"))
)


def write_medmentions(folder: Path, test: str, corpus: str = CORPUS) -> Path:
    for name, content in {
        "full/data/corpus_pubtator_pmids_test.txt": test,
        "full/data/corpus_pubtator_pmids_trng.txt": "12\n",
        "full/data/corpus_pubtator.txt": corpus.split("13|")[0],
        "st21pv/data/corpus_pubtator.txt": corpus,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def read_medmentions(name: str, folder: Path) -> list[Example]:
    dataset = DATASETS[name]
    read = list(dataset.read(dataset.locate(folder), ["en"]))
    return [each for each in read if isinstance(each, Example)]


def test_splits_of_medmentions(tmp_path: Path) -> None:
    folder = write_medmentions(tmp_path, "13\n11\n")
    first, third = read_medmentions("medmentions-st21pv", folder)
    assert (first.id, first.group, first.gold) == ("11/3", "en", ("umls:C0025914",))
    assert (first.query.mention, third.gold) == ("mice", ("umls:C0026809",))
    [second] = read_medmentions("medmentions-train", folder)
    assert second.gold == ("umls:C0025929",)
    with pytest.raises(FileError, match=r"pmids_test\.txt:1: document 13 is not in .*full"):
        read_medmentions("medmentions", folder)
    with pytest.raises(FileError, match=r"pmids_dev\.txt: no such file, nor in full/data"):
        read_medmentions("medmentions-dev", folder)
    with pytest.raises(FileError, match=r"holds no st21pv/data/corpus_pubtator\.txt"):
        ST21PV.locate(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("test", "corpus", "message"),
    [
        ("11\n11\n", CORPUS, r"pmids_test\.txt:2: is no PMID or stands here twice"),
        ("11\n\n", CORPUS, r"pmids_test\.txt:2: is no PMID"),
        ("11\n1", CORPUS, r"pmids_test\.txt:2: the last line has no end"),
        ("11\n", CORPUS.replace("C0025914", "D008810"), r"txt:3: 'D008810' is not a CUI"),
        ("11\n", CORPUS.replace("C0025914", "C0025914|C0025929"), r"txt:3: .* is not a CUI"),
        ("11\n", CORPUS.replace("3\t7", "2\t6"), r"txt:3: the offsets do not enclose"),
    ],
)
def test_malformed_medmentions_are_refused(
    tmp_path: Path, test: str, corpus: str, message: str
) -> None:
    with pytest.raises(FileError, match=message):
        read_medmentions("medmentions-st21pv", write_medmentions(tmp_path, test, corpus))
