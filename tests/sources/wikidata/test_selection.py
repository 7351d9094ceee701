"""Which items belong, as people write it and as endpoints are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bioelx.errors import BioelxError, FileError
from bioelx_index.sources.wikidata.endpoint import Endpoint
from bioelx_index.sources.wikidata.selection import Selection, SelectionFile, read_selection
from bioelx_index.sources.wikidata.sparql import fetch, list_items
from bioelx_index.sources.wikidata.vocabulary import language_of


@pytest.fixture(scope="module")
def ask(endpoint: str) -> Endpoint:
    return Endpoint(endpoint, "")


THINGS = list(range(5000, 5060))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), [31, *THINGS, 12152, 190805]),  # and no lexeme
        (Selection.of(schemes=["ncbitaxon"]), [31, *THINGS, 12152, 190805, 1000262]),
        (Selection.of(schemes=["doid"], defaults=False), [190805]),
        (Selection.of(schemes=["P1748"], defaults=False), [12152]),
        (Selection.of(trees=["Q12136"], defaults=False), [12136, 12152, 190805]),
        (
            Selection.of(trees=["Q112193867"], schemes=["doid"], defaults=False),
            [12152, 190805, 112193867],  # the tree itself; nothing is said of it
        ),
        (Selection(everything=True), [31, *THINGS, 12136, 12152, 190805, 1000262]),
    ],
)
def test_what_belongs_is_listed(ask: Endpoint, selection: Selection, expected: list[int]) -> None:
    assert list_items(ask, selection).tolist() == sorted(expected)


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        (["de"], {"Herzinfarkt", "MI"}),
        (["no", "fi"], {"hjerteinfarkt", "Infarkti", "MI"}),
        (["zh"], {"心肌梗塞", "MI"}),
        (["zh-hant"], {"心肌梗塞", "MI"}),
        (["zh-Hans"], {"MI"}),
        (["yue"], {"心肌梗死", "MI"}),
        (
            ["yue", "en", "zh"],
            {"心肌梗死", "心肌梗塞", "myocardial infarction", "heart attack", "MI"},
        ),
    ],
)
def test_names_are_asked_for_in_the_languages_wanted(
    ask: Endpoint, languages: list[str], expected: set[str]
) -> None:
    [item] = fetch(ask, [12152], Selection.of(languages=languages))
    assert {name.text for name in item.names} == expected
    assert item.description == "interruption of blood supply"
    assert item.equivalent == ("mesh:D009203", "umls:C0027051")


def test_an_endpoint_sends_no_names_that_nobody_wants(ask: Endpoint) -> None:
    def rows(*languages: str) -> int:
        before = ask.effort.bytes
        fetch(ask, [12152], Selection.of(languages=languages))
        return ask.effort.bytes - before

    assert rows("fi") < rows("fi", "en") < rows()


@pytest.mark.parametrize("code", ["als", "no", "zh-tw", "simple", "zh-min-nan", "de", "sr-ec"])
def test_ranges_hold_whatever_code_a_language_has(code: str) -> None:
    tag = language_of(code)
    ranges = Selection.of(languages=[code]).ranges()
    assert any(f"{code}-".startswith(f"{each.lower()}-") for each in ranges)
    assert any(f"{tag}-".startswith(f"{each}-") for each in ranges)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schemes": ["meshh"]}, "scheme 'meshh': neither a property"),
        ({"trees": ["12136"]}, "tree '12136': not the id of an item"),
        ({"languages": ["klingon!"]}, "language 'klingon!': not a BCP 47 tag"),
        ({"defaults": False}, "nothing is selected"),
    ],
)
def test_a_selection_that_is_none_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(BioelxError, match=message):
        Selection.of(**wrong)


def test_a_selection_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "drugs.toml"
    path.write_text(
        '[selection]\nschemes = ["atc", "P715"]\ntrees = ["Q12140"]\ndefaults = false\n'
    )
    read = read_selection(path)
    assert read == SelectionFile(schemes=("atc", "P715"), trees=("Q12140",), defaults=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("[selection]\nschemes = [", "not TOML"),
        ("[selection]\nscheme = []", r"selection\.scheme: "),
        ("[selection]\nschemes = 'atc'", r"selection\.schemes: "),
        ("schemes = []", r"selection: "),
        ("[selection]\n[other]", r"other: "),
    ],
)
def test_a_file_that_is_no_selection_says_why(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "selection.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FileError, match=message):
        read_selection(path)
