"""What an encoder learns from: which names are taken, held out, and drawn together."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.errors import BioelxError, FileError
from bioelx.kb import normalise
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_FILE, NAMES_SCHEMA, prepare, write_table
from bioelx_index.train.latin import in_latin
from bioelx_index.train.names import (
    Names,
    hold_out,
    hold_out_texts,
    read_names,
    read_titles,
    read_words,
    speaking,
    without_near_duplicates,
)
from bioelx_index.train.sampler import Sampler
from bioelx_index.train.settings import TrainSettings
from bioelx_index.train.words import SOURCES, read_glossary

ROWS = [
    # concept, text, language, kind, ambiguous
    ("a:1", "Heart attack", "en", "alias", False),
    ("a:1", "Myocardial infarction", "en", "label", False),
    ("a:1", "Herzinfarkt", "de", "label", False),
    ("a:1", "herzinfarkt", "de-AT", "alias", False),
    ("a:1", "심근경색", "ko", "label", False),
    ("a:2", "Cold", "en", "label", False),
    ("a:3", "Cold", "en", "alias", False),
    ("a:3", "COPD", "en", "label", False),
    ("a:3", "Lungenkrankheit", "de", "label", False),
    ("a:4", "Attack", "en", "label", True),
    ("a:4", "x" * 80, "en", "alias", False),
    ("a:5", "Fever", "en", "label", False),
]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    ids = sorted({row[0] for row in ROWS})
    concepts = pa.Table.from_pylist(
        [
            {
                "concept_id": concept, "label": concept, "description": "", "types": [],
                "xrefs": [], "status": "active", "replaced_by": None, "modified": None,
            }
            for concept in ids
        ],
        CONCEPTS_SCHEMA,
    )  # fmt: skip
    names = pa.Table.from_pylist(
        [
            {
                "concept_id": concept, "text": text, "lang": lang, "kind": kind,
                "source": "wikidata", "ambiguous": ambiguous,
            }
            for concept, text, lang, kind, ambiguous in ROWS
        ],
        NAMES_SCHEMA,
    )  # fmt: skip
    write_table(prepare(concepts, names)[1], tmp_path / NAMES_FILE)
    return tmp_path


def test_only_names_that_tell_one_concept_are_learnt_from(tables: Path) -> None:
    names = read_names(tables, longest=45)
    assert sorted(names.texts) == [
        *("copd", "fever", "heart attack", "herzinfarkt", "lungenkrankheit"),
        *("myocardial infarction", "심근경색"),
    ]
    assert set(names.languages) == {"en", "de", "ko"}
    assert names.texts[names.label_rows()].tolist() == ["myocardial infarction", "copd", "fever"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("type-2 diabetes", "type 2 diabetes"),
        ("crohn's disease", "crohn disease"),
        ("sjögren syndrome", "sjogren syndrome"),
        ("beta-blockers", "betablocker"),
        ("hepatitis (b)", "hepatitis b"),
        ("心筋・梗塞", "心筋梗塞"),
    ],
)
def test_near_duplicates_of_another_concept_are_not_learnt_from(one: str, other: str) -> None:
    def texts(*concepts: int) -> list[str]:
        names = _rows((one, concepts[0]), (other, concepts[1]), ("fever", 3))
        return without_near_duplicates(names).texts.tolist()

    assert texts(1, 2) == ["fever"]
    assert texts(1, 1) == [one, other, "fever"]  # two names of one concept are what is wanted


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,2-dichloroethane", "12-dichloroethane"),
        ("type 1", "type 2"),
        ("ปวดหัว", "ปวดหิว"),
        ("gas", "ga"),
        ("%", "+"),
        ("йод", "иод"),
    ],
)
def test_what_differs_in_letters_or_digits_is_no_duplicate(one: str, other: str) -> None:
    assert len(without_near_duplicates(_rows((one, 1), (other, 2)))) == 2


def _rows(*names: tuple[str, int]) -> Names:
    texts, concepts = zip(*names, strict=True)
    count = len(names)
    return Names(
        np.array(texts, object),
        np.array(concepts, np.int64),
        np.full(count, "en", object),
        np.zeros(count, np.int8),
    )


def test_a_folder_without_names_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"names\.arrow"):
        read_names(tmp_path, longest=45)


def test_titles_lose_their_brackets_and_known_things(tables: Path, tmp_path: Path) -> None:
    path = tmp_path / "titles.parquet"
    items = {
        0: {"en": "Mercury (planet)", "de": "Merkur（Planet）", "fi": "Merkurius"},
        1: {"en": "Fever (film)", "de": "Fieber"},
        2: {"en": "Alone"},
        3: {"en": "Same", "de": "same"},
        4: {"en": "Paris", "ru": "Париж"},
    }
    rows = [
        {"item": item, "lang": lang, "title": title}
        for item, titles in items.items()
        for lang, title in titles.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    known = read_names(tables, longest=45)
    assert sorted(read_titles(path, known, 9, 45).texts) == [
        "mercury", "merkur", "merkurius", "paris", "париж",
    ]  # fmt: skip
    assert len(read_titles(path, known, 1, 45)) == 3, "the item with most languages"
    path.write_bytes(b"no parquet")
    with pytest.raises(FileError, match=r"titles\.parquet"):
        read_titles(path, known, 9, 45)


def test_words_keep_what_is_known_and_lose_what_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "words.parquet"
    rows = [
        {"item": 0, "lang": "en", "title": "Fever"},
        {"item": 0, "lang": "fi", "title": "kuume"},
        {"item": 1, "lang": "en", "title": "cold"},
        {"item": 1, "lang": "ko", "title": "감기"},
        {"item": 1, "lang": "en", "title": "cold (common)"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    words = read_words(path, _rows(("kuume", 0)), longest=45)
    assert words.texts.tolist() == ["fever", "cold", "감기"]
    assert words.languages.tolist() == ["en", "en", "ko"]


def test_a_glossary_is_taken_out_of_a_table_of_names(tmp_path: Path) -> None:
    path = tmp_path / "aliases.parquet"
    rows = [
        ("T:fever", "tico19", "fi", "kuume"),
        ("T:fever", "tico19", "zh-Hant", "發燒"),
        ("T:fever", "tico19", "am", "ትኩሳት"),
        ("M:1", "mondo", "en", "asthma"),
        ("W:knee", "wiktionary_words", "de", "Knie"),
    ]
    columns = ("entity_id", "source", "lang", "name")
    pq.write_table(pa.table(dict(zip(columns, zip(*rows, strict=True), strict=True))), path)
    words = read_glossary(path, SOURCES, ["fi", "zh", "de"])
    assert words.to_pylist() == [
        {"item": 0, "lang": "fi", "title": "kuume"},
        {"item": 0, "lang": "zh-Hant", "title": "發燒"},
        {"item": 1, "lang": "de", "title": "Knie"},
    ]
    with pytest.raises(FileError, match=r"aliases\.parquet: holds nothing of nando"):
        read_glossary(path, ["nando"], ["ja"])


def test_titles_have_mistakes_as_often_as_names() -> None:
    titles = _names(50, 3, prefix="title")
    settings = TrainSettings(batch=2000, titles_share=0.5, perturbed=0.4)
    texts, _ = Sampler(_names(50, 3), titles, settings).names_of(1)
    of_titles = [text for text in texts if text in set(titles.texts)]
    assert 0.25 < len(of_titles) / 2000 < 0.35


def test_nothing_of_a_held_out_name_is_left_and_its_concept_stays() -> None:
    names = _names(concepts=300, each=4)
    rest, held = hold_out(names, 5, np.random.default_rng(1))
    assert len(held) > 0
    assert not set(held.texts) & set(rest.texts)
    assert set(held.concepts) <= set(rest.concepts)
    again, same = hold_out(names, 5, np.random.default_rng(1))
    assert (again.texts.tolist(), same.texts.tolist()) == (rest.texts.tolist(), held.texts.tolist())


def test_names_that_a_base_was_not_told_stay_held_out() -> None:
    names = _names(concepts=300, each=4)
    _, held = hold_out(names, 5, np.random.default_rng(1))
    others = names.take(names.concepts != held.concepts[0])  # as another release might be
    rest, again = hold_out_texts(others, set(held.texts))
    assert set(again.texts) == set(held.texts[held.concepts != held.concepts[0]])
    assert not set(again.texts) & set(rest.texts)
    assert set(again.concepts) <= set(rest.concepts)


def test_speaking_of_a_language_that_no_name_is_in() -> None:
    with pytest.raises(BioelxError, match="tlh"):
        speaking(_names(3, 3), ("tlh",))


# Drawing


@given(st.integers(0, 10_000))
def test_partners_are_other_names_of_the_same_concept(step: int) -> None:
    names = _names(concepts=20, each=3)
    sampler = Sampler(names, None, TrainSettings(batch=32, perturbed=0.2))
    texts, concepts = sampler.pairs_of(step)
    assert len(texts) == len(concepts) == 32
    of_text = dict(zip(names.texts, names.concepts, strict=True))
    for first, second, concept in zip(texts[::2], texts[1::2], concepts[::2], strict=True):
        assert of_text[first] == concept
        assert first != second
        assert of_text.get(second, concept) == concept, "itself perturbed, or a name of it"
        assert second == normalise(second)
    assert (concepts[::2] == concepts[1::2]).all()
    assert sampler.pairs_of(step)[0] == texts, "a resumed training draws the same"


def test_partners_are_in_another_language_where_there_is_one() -> None:
    names = _names(concepts=50, each=2, rare=50)
    language = dict(zip(names.texts, names.languages, strict=True))

    def foreign(cross_lingual: bool) -> float:
        settings = TrainSettings(batch=512, perturbed=0, cross_lingual=cross_lingual)
        texts, _ = Sampler(names, None, settings).pairs_of(0)
        pairs = zip(texts[::2], texts[1::2], strict=True)
        return float(np.mean([language[first] != language[second] for first, second in pairs]))

    assert foreign(True) > 0.9 > foreign(False)


def test_balance_raises_the_rare_languages() -> None:
    names = _names(concepts=400, each=2, rare=8)

    def share(balance: float) -> float:
        texts, _ = Sampler(names, None, TrainSettings(batch=2000, balance=balance)).names_of(0)
        return sum(text.startswith("th") for text in texts) / 2000

    assert share(1.0) < 0.05 < share(0.4) < share(0.0)


def test_titles_have_their_share() -> None:
    names, titles = _names(50, 3), _names(50, 3, prefix="title")
    settings = TrainSettings(batch=2000, titles_share=0.25)
    for draw in (
        Sampler(names, titles, settings).names_of,
        Sampler(names, titles, settings).pairs_of,
    ):
        texts, _ = draw(3)
        assert 0.2 < sum("title" in text for text in texts) / 2000 < 0.3


def test_concepts_with_one_name_are_used_perturbed() -> None:
    names = _names(30, 2) + _names(30, 1, prefix="lonely")
    texts, _ = Sampler(names, None, TrainSettings(batch=400, perturbed=0.5)).pairs_of(0)
    assert any("lonely" in text for text in texts)
    texts, _ = Sampler(names, None, TrainSettings(batch=400, perturbed=0)).pairs_of(0)
    assert not any("lonely" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "lang", "expected"),
    [
        ("Сахарный диабет", "ru", "sakharnyy diabet"),
        ("боль в груди", "ru", "bol v grudi"),
        ("витамин B12", "ru", "vitamin b12"),
        ("심근경색", "ko", "simgeungyeongsaeg"),
        ("インフルエンザ", "ja", "infuruenza"),
        ("ぜんそく", "ja", "zensoku"),
        ("άσθμα", "el", "asthma"),
        ("糖尿病", "zh-Hans", "tangniaobing"),
        ("Entzündung", "de", "entzuendung"),
        ("øre", "nb", "oere"),
        # What nobody writes so stays as it is.
        ("頭痛", "ja", "頭痛"),
        ("しょうこうぐん", "ja", "しょうこうぐん"),
        ("β-talassemia", "it", "β-talassemia"),
        ("ربو", "ar", "ربو"),
        ("ปวดศีรษะ", "th", "ปวดศีรษะ"),
        ("asthma", "en", "asthma"),
    ],
)
def test_names_in_latin_letters(name: str, lang: str, expected: str) -> None:
    assert in_latin(name, lang) == expected


@given(st.text(max_size=12), st.sampled_from(["ru", "ko", "zh", "de", "", "el-GR"]))
def test_in_latin_letters_a_name_is_still_one(name: str, lang: str) -> None:
    assert bool(in_latin(name, lang)) == bool(normalise(name))
    assert normalise(in_latin(name, lang)) == in_latin(name, lang)


def test_perturbed_names_may_be_in_latin_letters() -> None:
    names = _rows(("천식", 0), ("심근경색", 1), ("asthma", 0))
    names = Names(names.texts, names.concepts, np.array(["ko", "ko", "en"]), names.standings)

    def latin(transliterated: bool) -> bool:
        settings = TrainSettings(batch=200, perturbed=1, transliterated=transliterated)
        texts, concepts = Sampler(names, None, settings).pairs_of(0)
        assert len(texts) == len(concepts) == 200
        return bool({"cheonsig", "simgeungyeongsaeg"} & set(texts))

    assert latin(True)
    assert not latin(False)


def test_nothing_to_pair_is_said() -> None:
    with pytest.raises(BioelxError, match="two names"):
        Sampler(_names(5, 1), None, TrainSettings())


def _names(concepts: int, each: int, *, prefix: str = "", rare: int | None = None) -> Names:
    """Made-up names: each concept has one in each of the first languages, th in `rare` only."""
    languages = ("en", "de", "fi", "th")[:each] if rare is None else ("en", "th")
    rows = [
        (f"{language} {prefix} name of {concept}", concept, language, 0 if language == "en" else 2)
        for concept in range(concepts)
        for language in languages
        if rare is None or language == "en" or concept < rare
    ]
    rows += [(f"en {prefix} other {c}", c, "en", 1) for c in range(concepts) if rare is not None]
    texts, of, spoken, standings = zip(*rows, strict=True)
    return Names(
        np.array([normalise(text) for text in texts], object),
        np.array(of, np.int64),
        np.array(spoken, object),
        np.array(standings, np.int8),
    )
