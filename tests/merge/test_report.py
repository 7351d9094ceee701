"""The report of a merge, as a file, as a page, and in the terminal."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from bioelx.types import Name
from bioelx_index.merge import Report
from bioelx_index.merge.page import PAGE_FILE, summary, write_report
from bioelx_index.merge.report import EXAMPLES, REPORT_FILE, spread

from .records import MI, merge_all, said


@pytest.fixture(scope="module")
def report() -> Report:
    refused = said("hpo", "hp:0000001", "<b>bold</b>", "mondo:0005068", types=("anatomy",))
    named = said("titles", "mondo:0005068", names=(
        Name("Herzinfarkt", "de", "title", "titles"), Name("C0027051", "de", "title", "titles"),
        Name("heart attack", "en", "title", "titles")))  # fmt: skip
    return merge_all([*MI, refused, named]).report


def test_the_file_says_what_the_report_says(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    read = orjson.loads((tmp_path / REPORT_FILE).read_bytes())
    assert sum(row["names"] for row in read["fates"]) == report.names() == 7
    assert {"source": "titles", "language": "de", "fate": "an identifier", "names": 1} in read[
        "fates"
    ]
    assert read["active"] == 2
    assert read["joins"]["unique xref"]["count"] >= 1
    assert read["conflicts"]["two kinds of thing"]["examples"][0] == {
        "one": "hp:0000001",
        "one_label": "<b>bold</b>",
        "other": "mondo:0005068",
        "other_label": "myocardial infarction",
    }
    assert read["held"]["umls"] == 1


def test_the_page_shows_it_and_loads_nothing(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    page = (tmp_path / PAGE_FILE).read_text(encoding="utf-8")

    class Reader(HTMLParser):
        text = ""
        loads: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found = dict(attributes)
            assert tag != "b"  # a name is never markup
            self.loads += [v for k in ("src", "href") if (v := found.get(k)) and v[0] != "#"]

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(page)
    assert reader.loads == []
    assert page.count("<svg") == 2
    for shown in ("titles", "<b>bold</b>", "C0027051", "two kinds of thing", "unique xref"):
        assert shown in reader.text
    write_report(report, tmp_path)
    assert (tmp_path / PAGE_FILE).read_text(encoding="utf-8") == page  # the same bytes


def test_the_terminal_shows_what_became_of_each_source(report: Report) -> None:
    said = io.StringIO()
    Console(file=said, width=100).print(summary(report))
    cells = [line.split() for line in said.getvalue().splitlines()]
    assert ["titles", "1", "3", "1", "1", "1"] in cells
    assert ["all", "5", "7", "2", "1", "4"] in cells


def test_a_merge_of_nothing_has_a_report_too(tmp_path: Path) -> None:
    write_report(merge_all([]).report, tmp_path)
    assert "0 names" in (tmp_path / PAGE_FILE).read_text(encoding="utf-8")


def test_examples_are_spread_over_all_cases() -> None:
    assert spread(range(3)) == [0, 1, 2]
    assert spread(range(1000)) == list(range(0, 1000, 1000 // EXAMPLES))
