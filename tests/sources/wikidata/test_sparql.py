"""The SPARQL route against a real server, and against one answer in three gone wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioelx.errors import SourceError
from bioelx.types import Name
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata import listing, sparql
from bioelx_index.sources.wikidata.endpoint import Endpoint, Manners, TooMuchAskedError
from bioelx_index.sources.wikidata.folder import RECORDS_FILE, Pull, open_pull, read_items
from bioelx_index.sources.wikidata.paging import Portions
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import fetch, list_items, pull, redirects, superclasses

AGENT = "bioelx-tests/1.0 (tests@example.org)"
SOME = Selection.of(schemes=["mesh", "umls", "ncbitaxon"], trees=["Q12136"], defaults=False)


@pytest.fixture
def ask(endpoint: str) -> Endpoint:
    return Endpoint(endpoint, AGENT)


@pytest.fixture
def pull_into(tmp_path: Path, stages: Stages) -> Callable[..., Pull]:
    """Pulls some items from a URL into a folder by this name."""

    def run(url: str, name: str, **options: Any) -> Pull:
        given = {"selection": SOME, "user_agent": AGENT, "stages": stages, **options}
        return pull(url, tmp_path / name, **given)

    return run


def test_an_item_comes_whole(ask: Endpoint) -> None:
    [item] = fetch(ask, [12152], Selection())
    assert set(item.names) == {
        Name("myocardial infarction", "en", "label", "wikidata"),
        Name("Herzinfarkt", "de", "label", "wikidata"),
        Name("hjerteinfarkt", "nb", "label", "wikidata"),
        Name("heart attack", "en", "alias", "wikidata"),
        Name("MI", "mul", "alias", "wikidata"),
        Name("心肌梗塞", "zh-Hant", "alias", "wikidata"),
        Name("Infarkti", "fi", "title", "wikidata"),
        Name("心肌梗死", "yue", "title", "wikidata"),
    }
    assert item.description == "interruption of blood supply"
    assert item.classes == (190805, 112193867)
    assert item.equivalent == ("mesh:D009203", "umls:C0027051")
    assert item.related == ("icd10:I21",)
    assert item.modified == datetime(2025, 10, 1, 12, tzinfo=UTC)


def test_a_bad_id_an_unknown_class_and_common_names(ask: Endpoint) -> None:
    bad, taxon = fetch(ask, [1000262, 31], Selection())
    assert (bad.qid, bad.equivalent, bad.classes) == (31, (), ())
    assert taxon.names == (Name("Rotbauchwürger", "de", "alias", "wikidata"),)
    assert taxon.equivalent == ("ncbitaxon:1",)


def test_a_date_may_stand_on_the_page_about_the_item(ask: Endpoint) -> None:
    [item] = fetch(ask, [190805], Selection())
    assert item.modified == datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_what_is_not_there_has_no_record_and_a_redirect_says_where_to(ask: Endpoint) -> None:
    assert [item.qid for item in fetch(ask, [777, 12152, 99_999_999], Selection())] == [12152]
    assert fetch(ask, [], Selection()) == []
    assert redirects(ask, [777, 12152, 99_999_999]) == {777: 12152}
    assert superclasses(ask)([190805, 12136, 12152]) == {12152: [190805], 190805: [12136]}


def test_a_pull_keeps_items_types_and_what_it_took(
    endpoint: str, pull_into: Callable[..., Pull], tmp_path: Path
) -> None:
    finished = pull_into(endpoint, "out", selection=Selection())
    records = dict(read_items(tmp_path / "out" / RECORDS_FILE))
    types = {item.qid: kinds for item, kinds in records.items()}
    assert (len(types), finished.items) == (63, 63)
    assert types[12152] == types[190805] == ("disease",)  # through two classes above
    assert types[31] == ()
    assert finished.names == sum(len(item.names) for item in records)
    assert finished.notes["listed"]["P486"] == 62
    assert (finished.notes["pages"], finished.notes["failures"], finished.notes["gone"]) == (
        1,
        0,
        0,
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "lock",
        "pull.json",
        "recipe.json",
        "records.parquet",
    ]


def test_pages_and_ranges_change_nothing(
    endpoint: str, pull_into: Callable[..., Pull], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pull_into(endpoint, "whole")
    assert whole.items == 65
    assert pull_into(endpoint, "pages", page_size=7).sha256 == whole.sha256
    several = Manners(at_once=4)
    assert pull_into(endpoint, "parallel", page_size=5, manners=several).sha256 == whole.sha256
    monkeypatch.setattr(listing, "LISTED_AT_ONCE", 2)
    assert pull_into(endpoint, "ranges").sha256 == whole.sha256


FAULTS: dict[str, Callable] = {
    "cut off": lambda good: good[: len(good) // 2],
    "HTML with status 200": lambda _: (200, {"Content-Type": "text/html"}, b"<html>busy</html>"),
    "429": lambda _: (429, {"Retry-After": "0"}, b"slow down"),
    "500": lambda _: (500, {}, b"oops"),
    "504": lambda _: (504, {}, b"timeout"),
    "dropped": lambda _: None,
}


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("fault", [*FAULTS, "all in turn"])
def test_one_bad_answer_in_three_loses_nothing_and_doubles_nothing(
    endpoint: str,
    proxy: Callable,
    pull_into: Callable[..., Pull],
    tmp_path: Path,
    fault: str,
    at_once: int,
) -> None:
    faults = list(FAULTS.values()) if fault == "all in turn" else [FAULTS[fault]]

    def answer(asked: Any) -> object:
        turn, place = divmod(asked.number, 3)
        return faults[turn % len(faults)](asked.good) if place == 1 else asked.good

    started = proxy(answer)
    manners = Manners(pause=0.001, longest_pause=0.01, failures_a_minute=10_000, at_once=at_once)
    spoilt = pull_into(started.url, "spoilt", page_size=6, manners=manners)
    pull_into(endpoint, "good")
    assert spoilt.notes["failures"] >= len(started.asked) // 3
    records = [(tmp_path / name / RECORDS_FILE).read_bytes() for name in ("spoilt", "good")]
    assert records[0] == records[1]


def test_a_page_that_is_too_much_is_halved_and_grows_again(
    proxy: Callable, hurried: Manners, pull_into: Callable[..., Pull], endpoint: str
) -> None:
    sizes: list[int] = []

    def answer(asked: Any) -> object:
        if "VALUES" not in asked.query or "?other" in asked.query:
            return asked.good
        sizes.append(asked.query.count("wd:Q") // 2)
        return (504, {}, b"") if sizes[-1] > 9 else asked.good

    started = proxy(answer)
    pulled = pull_into(started.url, "halved", page_size=40, manners=hurried)
    assert sizes[:4] == [40, 20, 10, 5]
    assert sizes[4:8] == [6, 7, 8, 9]
    assert sum(size > 9 for size in sizes[4:]) < len(sizes) / 4
    assert pulled.sha256 == pull_into(endpoint, "whole").sha256


def test_a_single_item_that_is_too_much_ends_the_pull(proxy: Callable, hurried: Manners) -> None:
    def answer(asked: Any) -> object:
        return (504, {}, b"") if re.search(r"wd:Q5003\b", asked.query) else asked.good

    ask = Endpoint(proxy(answer).url, AGENT, manners=hurried)
    with pytest.raises(TooMuchAskedError, match="failed 10 times"):
        fetch(ask, range(5000, 5010), Selection())


def test_portions_hand_out_each_id_once() -> None:
    rng = np.random.default_rng(7)
    ids = np.unique(rng.integers(1, 10_000, 3_000))
    portions = Portions(ids, 64)
    answered: list[int] = []
    while (portion := portions.take()) is not None:
        if portion.stop - portion.start > 1 and rng.random() < 0.4:
            portions.too_much(portion)
        else:
            portions.answered()
            answered += ids[portion].tolist()
    assert answered == ids.tolist()


# Listing


def with_count(asked: Any, add: int) -> bytes:
    answer = json.loads(asked.good)
    for row in answer["results"]["bindings"]:
        if "n" in row:
            row["n"]["value"] = str(int(row["n"]["value"]) + add)
    return json.dumps(answer).encode()


def test_a_count_that_the_list_never_reaches_is_an_error(proxy: Callable, hurried: Manners) -> None:
    ask = Endpoint(proxy(lambda asked: with_count(asked, 1)).url, AGENT, manners=hurried)
    with pytest.raises(SourceError, match=r"P699: lists 1 items but counts 2"):
        list_items(ask, Selection.of(schemes=["doid"], defaults=False))


def test_what_changes_between_count_and_list_is_asked_again(
    proxy: Callable, hurried: Manners
) -> None:
    started = proxy(lambda asked: with_count(asked, 5 if asked.number < 3 else 0))
    ask = Endpoint(started.url, AGENT, manners=hurried)
    assert list_items(ask, Selection.of(schemes=["doid"], defaults=False)).tolist() == [190805]
    assert len(started.asked) == 4


@pytest.mark.parametrize("step", [1, 2])
def test_data_that_never_stand_still_may_differ_by_one_in_a_thousand(
    proxy: Callable, hurried: Manners, step: int
) -> None:
    started = proxy(lambda asked: with_count(asked, step if asked.number % 4 == 3 else 1))
    ask = Endpoint(started.url, AGENT, manners=hurried)
    selection = Selection.of(schemes=["mesh"], defaults=False)
    if step == 1:
        with pytest.raises(SourceError, match="P486: lists 63 items but counts 64"):
            list_items(ask, selection)  # always one too few
    else:
        assert len(list_items(ask, selection)) == 62  # the lexeme is none


def test_a_range_that_is_too_much_is_narrowed(
    proxy: Callable, hurried: Manners, ask: Endpoint
) -> None:
    def answer(asked: Any) -> object:
        wide = "VALUES" not in asked.query and not re.search(r"entity/Q\d\d", asked.query)
        return (504, {}, b"") if wide else asked.good

    selection = Selection.of(schemes=["mesh"], defaults=False)
    found = list_items(Endpoint(proxy(answer).url, AGENT, manners=hurried), selection)
    assert found.tolist() == list_items(ask, selection).tolist()


def test_no_query_needs_more_than_standard_sparql(proxy: Callable, pull_into: Callable) -> None:
    started = proxy(lambda asked: asked.good)
    pull_into(started.url, "out", selection=Selection.of(trees=["Q12136"], languages=["de"]))
    for asked in started.asked:
        assert not re.search(r"hint:|wikibase:|bd:|SERVICE|OFFSET|ORDER BY", asked.query)
        assert asked.agent == AGENT


# Folders


def test_two_pulls_into_one_folder_and_another_pull_into_it_are_refused(
    endpoint: str, pull_into: Callable, tmp_path: Path
) -> None:
    recipe = {"route": sparql.ROUTE}
    with (
        open_pull(tmp_path / "out", recipe),
        pytest.raises(SourceError, match="out: another process is pulling into it"),
    ):
        pull_into(endpoint, "out")
    with pytest.raises(SourceError, match="out: holds another pull"):
        pull_into(endpoint, "out")


def test_a_finished_pull_asks_nothing(endpoint: str, proxy: Callable, pull_into: Callable) -> None:
    started = proxy(lambda asked: asked.good)
    first = pull_into(started.url, "out")
    before = len(started.asked)
    assert pull_into(started.url, "out") == first
    assert len(started.asked) == before


def test_an_endpoint_that_fails_in_the_middle_leaves_what_is_done(
    endpoint: str, proxy: Callable, hurried: Manners, pull_into: Callable, said: Any
) -> None:
    broken = [True]

    def answer(asked: Any) -> object:
        return (500, {}, b"") if broken and "wd:Q5059" in asked.query else asked.good

    started = proxy(answer)
    with pytest.raises(SourceError, match="failed 10 times"):
        pull_into(started.url, "out", page_size=10, manners=hurried)
    broken.clear()
    asked = len(started.asked)
    pulled = pull_into(started.url, "out", page_size=3, manners=hurried)
    assert re.search(r"goes on with the pull of .* UTC: 60 of 65 items done", said.getvalue())
    assert len(started.asked) - asked < 10
    assert pulled.sha256 == pull_into(endpoint, "undisturbed").sha256
