"""The page of a report, from a small real run: what it holds, and that it stands alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bioelx_eval.cli import app
from bioelx_eval.datasets import DATASETS
from bioelx_eval.report.answers import ERROR_KINDS, side_by_side
from bioelx_eval.report.browse import CANDIDATES, choose, pack_errors
from bioelx_eval.report.files import Run, read_run
from bioelx_eval.report.page import write_report_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
ARABIC = "صداع"
ILL_NAMED = '"><i>$x$</i>'
ROWS = {
    "en": [
        "C0027051||heart attack||an acute <tgt>heart attack</tgt> .",
        "C0018681||myocardial pain||<tgt>myocardial pain</tgt> & a <b>headache</b>",
        f"C0011849||{HOSTILE}||<!-- a <tgt>{HOSTILE}</tgt> -->",
        "C0036341||schizophrenia||<tgt>schizophrenia</tgt>",  # known, but without a CUI
    ],
    "de": [
        "C0011849||Herzinfarkt||<tgt>Herzinfarkt</tgt>",  # a name, but of another concept
        f"C0018681||{ARABIC}||كان عنده <tgt>{ARABIC}</tgt> شديد",
    ],
}
LOADING = {"src", "srcset", "data", "poster", "action", "background"}
VOID = {"meta", "input", "br", "img", "hr", "link", "wbr"}


class Page(HTMLParser):
    """A page as a browser reads it; every element must be closed, and by its own tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open:
            self.texts.append((self._open[-1], data))
            if self._open[-1] in ("td", "th"):
                self.rows[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run(
    write_xlbel_in: Callable[..., Path], release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    folder = tmp_path_factory.mktemp("page")
    data = write_xlbel_in(folder / "data", ROWS)
    command = ["run", "xlbel", "--data", data, "--release", release, "--out", folder / "out"]
    languages = ["--language", "en", "--language", "de", "--threads", 1]
    done = CliRunner().invoke(app, [str(each) for each in [*command, *languages]])
    assert done.exit_code == 0, done.output
    return read_run(folder / "out" / release.name / "xlbel")


@pytest.fixture(scope="module")
def several(run: Run) -> Iterator[list[Run]]:
    """The run, the same on another dataset, and the same of another release, both ill named."""
    groups = {"en": None, ILL_NAMED: None}
    ill_named = replace(DATASETS["xlbel"], name="ill", title=ILL_NAMED, groups=groups)
    scores = json.loads(json.dumps(run.scores).replace('"de"', json.dumps(ILL_NAMED)))
    names = [ILL_NAMED if name == "de" else name for name in run.predictions["group"].to_pylist()]
    predictions = with_column(run.predictions, "group", pa.array(names))
    elsewhere = replace(run, scores={**scores, "dataset": "ill"}, predictions=predictions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "ill", ill_named)
        yield [run, elsewhere, another(run, ILL_NAMED)]


@pytest.fixture(scope="module")
def page_of_one(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return written([run], tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def page_of_several(several: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Page:
    return written(several, tmp_path_factory.mktemp("several"))


def another(run: Run, release: str) -> Run:
    """The same answers as those of another release."""
    kb = {**run.scores["knowledge_base"], "release": release}
    return replace(run, scores={**run.scores, "knowledge_base": kb})


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def written(runs: list[Run], folder: Path) -> Page:
    path = folder / "report.html"
    write_report_page(runs, path)
    assert list(folder.iterdir()) == [path]
    return Page(path.read_text(encoding="utf-8"))


def errors_in(page: Page) -> dict[str, Any]:
    return json.loads(page.scripts[0])


def test_scores_plots_and_published_figures(run: Run, page_of_one: Page) -> None:
    page = page_of_one
    by_subset = run.scores["scores"]
    firsts = [row for row in page.rows if row[0] == "R@1"]
    assert len(firsts) == len(by_subset) == 4
    for row, subset in zip(firsts, by_subset.values(), strict=True):
        columns = [*subset["groups"].values(), subset["macro"], subset["micro"]]
        for cell, column in zip(row[2:], columns, strict=True):
            value = column["metrics"]["R@1"]["value"]
            assert cell == ("–" if value is None else f"{100 * value:.1f}")
    published = [row for row in page.rows if row[0] == "BioELX"]
    assert published == [["BioELX", "91.0", "–", "–", "–"]]
    assert ("small", "published, on UMLS") in page.texts

    plots = page.named("svg")
    assert [plot["aria-label"] for plot in plots] == [
        "R@1 by group",
        "Errors by kind and group",
        "R@k for each k",
        "Reliability diagram",
        "Risk against coverage",
    ]
    assert {plot["role"] for plot in plots} == {"img"}
    # The words of the plots are text, and name the groups.
    assert {"en", "de", *ERROR_KINDS} <= {text for tag, text in page.texts if tag == "text"}


def test_releases_stand_side_by_side_and_datasets_one_after_the_other(
    run: Run, page_of_several: Page
) -> None:
    page = page_of_several
    releases = [run.scores["knowledge_base"]["release"], ILL_NAMED]
    for metric in ("rows", "R@1", "MRR"):
        at = next(i for i, row in enumerate(page.rows) if row[0] == metric)
        assert [page.rows[at][1], page.rows[at + 1][0]] == releases
    assert [text for tag, text in page.texts if tag == "h2"] == ["XL-BEL v1.0", ILL_NAMED]
    assert ("h1", f"Evaluation of XL-BEL v1.0 and {ILL_NAMED}") in page.texts
    assert [each["label"] for each in errors_in(page)["runs"]] == releases
    assert len(page.named("svg")) == 10


def test_the_page_stands_alone(page_of_several: Page) -> None:
    page = page_of_several
    for tag, attributes in page.elements:
        assert not LOADING & attributes.keys(), tag
        for name in {"href", "xlink:href"} & attributes.keys():
            assert tag == "a" or (attributes[name] or "").startswith("#"), tag
    policies = [each for each in page.named("meta") if "http-equiv" in each]
    assert "default-src 'none'" in (policies[0]["content"] or "")
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    assert {each["for"] for each in page.named("label")} <= ids.keys()


def test_hostile_texts_stay_data(page_of_one: Page, page_of_several: Page) -> None:
    assert HOSTILE in {example[3] for example in errors_in(page_of_one)["examples"]}
    assert len(page_of_one.scripts) == 2  # the errors and the code
    assert len(page_of_several.scripts) == 3
    for page in (page_of_one, page_of_several):
        assert page.named("img") == page.named("b") == page.named("i") == []
        assert "alert(1)</script>" not in page.text
    assert ILL_NAMED in {text for tag, text in page_of_several.texts if tag == "text"}


def test_equal_runs_give_equal_bytes(
    several: list[Run], page_of_several: Page, tmp_path: Path
) -> None:
    assert written(several, tmp_path).text == page_of_several.text
    assert str(several[0].folder) not in page_of_several.text


def test_all_errors_are_listed_with_their_candidates(run: Run, page_of_one: Page) -> None:
    data = errors_in(page_of_one)
    (listed,) = data["runs"]
    wrong = [row for row in run.predictions.to_pylist() if row["error"]]
    assert listed["total"] == len(listed["errors"]) == len(wrong) >= 4
    for packed, row in zip(listed["errors"], wrong, strict=True):
        example, kind, confidence, linked, gold, _types, candidates = packed
        assert data["kinds"][kind] == row["error"]
        texts = ("id", "group", "language", "mention", "before", "after", "gold")
        assert data["examples"][example] == [row[name] for name in texts]
        assert confidence == pytest.approx(row["confidence"], abs=5e-4)
        links = [row["link"]] if row["link"] else []
        assert [data["concepts"][each][0] for each in linked] == links
        assert [data["concepts"][each][:2] for each in gold] == [
            list(each) for each in zip(row["gold_concepts"], row["gold_labels"], strict=True)
        ]
        assert any(each[-1] for each in candidates) == (row["rank"] is not None)
        for rank, (shown, candidate) in enumerate(zip(candidates, row["candidates"]), start=1):  # noqa: B905  (more candidates than are shown)
            assert shown[:2] == [candidate["part"], rank]
            concept, name, exact, score, log_odds, probability, right = shown[2:]
            assert data["concepts"][concept][:2] == [candidate["concept_id"], candidate["label"]]
            matched = ("matched", "matched_lang", "matched_source")
            assert data["names"][name] == [candidate[each] for each in matched]
            assert (exact, right) == (candidate["exact"], candidate["right"])
            assert log_odds is None
            assert score == pytest.approx(candidate["score"], abs=5e-4)
            assert probability == pytest.approx(candidate["probability"], abs=5e-4)


def test_a_run_without_an_error_or_without_a_row(run: Run, tmp_path: Path) -> None:
    nothing = pa.nulls(len(run.predictions), pa.string())
    right = replace(run, predictions=with_column(run.predictions, "error", nothing))
    empty = another(replace(run, predictions=run.predictions.slice(0, 0)), "empty")
    page = written([right, empty], tmp_path)
    assert [each["errors"] for each in errors_in(page)["runs"]] == [[], []]
    assert "None of the 6 rows is wrong." in page.text


def test_what_tells_runs_of_one_release_apart(run: Run) -> None:
    options = {**run.scores["options"], "rerank": "always"}
    reranked = replace(run, scores={**run.scores, "options": options})
    release = run.scores["knowledge_base"]["release"]

    def labels(*runs: Run) -> list[str]:
        return [answers.label for answers in side_by_side(runs)[0].answers]

    assert labels(run, reranked) == [f"{release}, rerank never", f"{release}, rerank always"]
    assert len(set(labels(run, run, reranked))) == 3


kinds = st.lists(st.sampled_from([None, *ERROR_KINDS]), max_size=80)


@given(errors=kinds, limit=st.integers(0, 60))
def test_what_is_listed_where_errors_are_too_many(errors: list[str | None], limit: int) -> None:
    kept = choose(pa.chunked_array([pa.array(errors, pa.string())]), limit).tolist()
    assert kept == sorted(set(kept))
    assert all(errors[position] for position in kept)
    total, listed = Counter(filter(None, errors)), Counter(errors[each] for each in kept)
    assert len(kept) == min(limit, total.total())
    cut = [listed[kind] for kind in total if listed[kind] < total[kind]]
    if cut:  # to a like number, and no kind that is kept whole has more
        assert max(listed.values(), default=0) - min(cut) <= 1


def test_the_first_right_candidate_is_shown_however_low(run: Run) -> None:
    rows = run.predictions.to_pylist()
    row = next(each for each in rows if each["error"])
    one = {**row["candidates"][0], "right": False}
    low = [dict(one, concept_id=f"x:{i}", right=i in (8, 9)) for i in range(12)]
    table = pa.Table.from_pylist([{**row, "candidates": low}], run.predictions.schema)
    (shown,) = side_by_side([replace(run, predictions=table)])
    ((error,),) = (each["errors"] for each in pack_errors(shown, [10])["runs"])
    assert [candidate[1] for candidate in error[-1]] == [*range(1, CANDIDATES + 1), 9]


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_lists_the_errors_as_text(run: Run, page_of_one: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page_of_one.text, encoding="utf-8")
    flags = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run")
    quiet = ("disable-background-networking", "disable-component-update", "disable-sync")
    command = ["chromium", *(f"--{flag}" for flag in flags + quiet)]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    page = Page(shown.removeprefix("<!DOCTYPE html>"))
    wrong = run.predictions.filter(run.predictions["error"].is_valid())
    assert f"{len(wrong)} of {len(wrong)} errors." in {text for tag, text in page.texts}
    marked = [text for tag, text in page.texts if tag == "mark"]
    assert marked == wrong["mention"].to_pylist()
    assert len(page.scripts) == 2
    assert page.named("img") == []
    contexts = [each for each in page.named("p") if each.get("class") == "context"]
    assert {each["dir"] for each in contexts} == {"auto"}
    assert {each["lang"] for each in contexts} == {"en", "de"}
