"""WikiMed-DE-BEL's reader: what it reads, skips and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError
from bioelx_eval.datasets import DATASETS, Example, Skipped

WIKIMED = DATASETS["wikimed"]


def mention(name: str, start: int, cui: Any, **more: Any) -> dict[str, Any]:
    return {
        "mention": name,
        "start_index": start,
        "end_index": start + len(name),
        "mention_link": f"https://de.wikipedia.org/wiki/{name}",
        "qid": "Q1",
        "cui": cui,
        "tui": "T047",
        "mesh": "None",
        "doid": "None",
        **more,
    }


def page(number: int, text: str, *mentions: dict[str, Any]) -> dict[str, Any]:
    url = f"https://de.wikipedia.org/wiki?curid={number}"
    return {"id": str(number), "url": url, "title": "Titel", "text": text, "mentions": mentions}


PAGES = [
    page(1, "Eine Grippe mit {Fieber},\nüber 40 °C.", mention("Grippe", 5, "C0021400")),
    page(
        2,
        "Ärzte nennen 10 % Schmerz \N{FACE WITH HEAD-BANDAGE} hoch.",
        mention("Schmerz", 18, ["C0030193", "C0234238", "C0030193"]),
        mention("Schmerz", 20, "C0030193"),  # counted before a percent sign was decoded
        mention("hoch", 28, "None"),
        mention("hoch", 28, []),
    ),
]
LINES = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in PAGES)
ARRAY = json.dumps(PAGES, ensure_ascii=False, indent=4)


def read(folder: Path, content: str | bytes) -> list[Example | Skipped]:
    path = folder / "test_data_bel.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        return list(WIKIMED.read(WIKIMED.locate(folder), ["de"]))
    except FileError as error:
        if error.path != path or not error.line:
            pytest.fail("the error does not say where")
        raise


def test_examples_and_skips(tmp_path: Path) -> None:
    flu, pain, misplaced, *without = read(tmp_path, LINES)
    assert isinstance(flu, Example)
    assert (flu.id, flu.group, flu.gold) == ("1/0", "de", ("umls:C0021400",))
    assert (flu.query.mention, flu.query.language) == ("Grippe", "de")
    assert isinstance(pain, Example)
    assert (pain.query.mention, pain.gold) == ("Schmerz", ("umls:C0030193", "umls:C0234238"))
    assert misplaced == Skipped("their offsets do not enclose them")
    assert without == [Skipped("they have no CUI")] * 2


def test_all_forms_give_the_same(tmp_path: Path) -> None:
    expected = read(tmp_path, LINES)
    for content in (LINES.removesuffix("\n"), ARRAY, f"{ARRAY}\n"):
        assert read(tmp_path, content) == expected
        assert read(tmp_path, b"\xef\xbb\xbf" + content.encode()) == expected
        assert read(tmp_path, content.replace("\n", "\r\n")) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mentions": None}, "field 'mentions' has another type"),
        ({"id": 7}, "field 'id' has another type"),
        ({"id": "1"}, "document 1 again"),
        ({"mentions": ["Grippe"]}, "has no field 'start_index'"),
        ({"mentions": [mention("x", 0, "C0021400", start_index="0")]}, "'start_index' has another"),
        ({"mentions": [mention("x", 0, "C0021400", start_index=True)]}, "'start_index' has anoth"),
        ({"mentions": [mention("x", 0, "D007251")]}, "'D007251' is not a CUI"),
        ({"mentions": [mention("x", 0, ["C0021400", None])]}, "None is not a CUI"),
        ({"mentions": [mention("x", 0, None)]}, "field 'cui' has another type"),
    ],
)
def test_malformed_documents_are_refused(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    pages = [PAGES[0], {**page(2, "x"), **wrong}]
    for content in ("\n".join(map(json.dumps, pages)), json.dumps(pages, indent=4)):
        with pytest.raises(FileError, match=message):
            read(tmp_path, content)
    with pytest.raises(FileError) as caught:
        read(tmp_path, "\n".join(map(json.dumps, pages)))
    assert caught.value.line == 2
    del pages[1]["text"]
    with pytest.raises(FileError):
        read(tmp_path, "\n".join(map(json.dumps, pages)))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "\n", f"{ARRAY}\n{ARRAY}", f"{LINES}\n", ARRAY[:-2]]
)
def test_other_contents_are_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(FileError):
        read(tmp_path, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_file_is_refused_unless_whole_documents_are_left(
    tmp_path: Path, data: st.DataObject
) -> None:
    expected = read(tmp_path, LINES)
    content = data.draw(st.sampled_from([LINES, ARRAY])).encode()
    cut = content[: data.draw(st.integers(1, len(content) - 1))]
    whole = LINES.encode().split(b"\n")
    if cut.removesuffix(b"\n") == whole[0]:
        assert read(tmp_path, cut) == expected[:1]
    elif cut == LINES.encode()[:-1]:
        assert read(tmp_path, cut) == expected
    else:
        with pytest.raises(FileError):
            read(tmp_path, cut)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1), st.text(max_size=5), st.integers(-5, 12), st.integers(-5, 12))
def test_what_is_read_lies_where_it_says(
    tmp_path: Path, text: str, name: str, start: int, end: int
) -> None:
    try:
        line = json.dumps(page(1, text, mention(name, start, "C0021400", end_index=end)))
        [each] = read(tmp_path, line)
    except FileError:  # half a surrogate pair
        assert not text.isprintable() or not name.isprintable()
        return
    if isinstance(each, Example):
        assert 0 <= each.query.start < each.query.end <= len(text)
        assert each.query.mention == name == text[start:end]
    else:
        assert text[start:end] != name or len(name) != end - start or start < 0 or not name.strip()
