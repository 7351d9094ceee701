"""The table of ingredients: what its lines say, what they are asked, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bioelx.encoding import open_encoder
from bioelx.errors import BioelxError, FileError
from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import CONCEPTS_FILE, map_table
from bioelx.settings import SHIPPED_ENCODER, shipped
from bioelx_index.train.ablation.__main__ import main
from bioelx_index.train.ablation.lines import SAME, lines_of, read_table
from bioelx_index.train.ablation.methods import encoded, exact, open_parent, trigrams
from bioelx_index.train.ablation.report import Scores
from bioelx_index.train.ablation.trial import Answers, Questions, part_of, read_questions
from bioelx_index.train.settings import TrainSettings

SHIPPED = Path(__file__).parents[2] / "docs" / "ablation.toml"
ENCODER = shipped(SHIPPED_ENCODER)
COMMON = TrainSettings(held_out=3)
LINES = """
[common]
held_out = 3

[[line]]
title = "exact"
method = "exact"

[[line]]
title = "grams"
method = "trigrams"
against = "exact"
"""

# Mentions of the tiny release's concepts: line of the file, gold, mention, whether it is covered.
MENTIONS = {
    "en": [("C0018681", "headache", True), ("C0018681", "head-ache", True)],
    "es": [("C0011849", "diabetes mellitus", True), ("C0011849", "diabetis", True)],
    "ja": [("C0011849|C9999999", "糖尿病", True), ("C9999999", "糖尿病", False)],
    "fi": [("C9999999", "astma", True)],
}


@pytest.fixture(scope="module")
def benchmarks(
    write_xlbel_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    rows = {
        language: [f"{gold}||{mention}||<tgt>{mention}</tgt>" for gold, mention, _ in of]
        for language, of in MENTIONS.items()
    }
    covered = [
        (language, number, gold, mention)
        for language, of in MENTIONS.items()
        for number, (gold, mention, held) in enumerate(of, 1)
        if held
    ]
    root = tmp_path_factory.mktemp("benchmarks")
    write_xlbel_in(root, rows, covered)
    return root


@pytest.fixture(scope="module")
def questions(tiny_release: Path, benchmarks: Path) -> Questions:
    return read_questions(tiny_release, benchmarks, COMMON, (), one_in=2)


# Lines


def test_the_shipped_lines_are_one_table() -> None:
    given = {"titles": Path("/titles.parquet"), "steps": 7}
    table = read_table(SHIPPED, given, {"untrained": ENCODER})
    for training in table.trainings.values():
        assert all(getattr(training, key) == getattr(table.common, key) for key in SAME)
        assert training.steps == 7
        assert training.titles is None or training.titles == Path("/titles.parquet")
        assert training.teacher in (None, ENCODER)
    assert {line.encoder for line in table.lines} == {None, ENCODER}
    assert table.trainings["SapBERT, English names"].languages == ("en",)
    assert table.trainings["SapBERT, all names"].languages == ()
    of_each = [frozenset(training.model_dump().items()) for training in table.trainings.values()]
    assert len(set(of_each)) == len(of_each) == 12


def test_a_folder_that_the_file_does_not_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="names no folder trained"):
        read_table(_written(tmp_path, LINES), {}, {"trained": tmp_path})


def test_a_finished_training_makes_three_lines(tmp_path: Path) -> None:
    file = _written(tmp_path, LINES)
    assert [line.title for line in read_table(file, {}, {}, tmp_path).lines[2:]] == [
        line.title for line in lines_of(tmp_path)
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[line]]\ntitle = "exact"\nmethod = "exact"', "two lines have the title 'exact'"),
        ('[[line]]\ntitle = "a"\nmethod = "exact"\nagainst = "b"', "no line above it is 'b'"),
        ('[[line]]\ntitle = "a"', "one of settings, encoder and method"),
        ('[[line]]\ntitle = "a"\nmethod = "exact"\nencoder = "e"', "one of settings, encoder"),
        ('[[line]]\ntitle = "a"\nmethod = "exact"\nmodel = "e"', "model needs the encoder"),
        ('[[line]]\ntitle = "a"\nsettings = { steps = 9 }', "a: steps has to be the same"),
        ('[[line]]\ntitle = "a"\nsettings = { speed = 9 }', "a: speed: no such key"),
        ('[[line]]\ntitle = "a"\nsettings = { titles_share = 0.5 }', "a: which titles?"),
        ('[[line]]\ntitle = "a"\nmethode = "exact"', "methode: no such key"),
    ],
)
def test_lines_that_make_no_table_are_named(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(FileError, match="lines.toml: .*" + said.replace("?", r"\?")):
        read_table(_written(tmp_path, LINES + more), {}, {})


# Questions


def test_the_knowledge_base_is_a_part_of_the_release_with_all_names_of_its_concepts(
    tiny_release: Path,
) -> None:
    whole = KnowledgeBase.open(tiny_release)
    gold = {"umls:C0011849"}
    small, large = (part_of(tiny_release, gold, one_in) for one_in in (1000, 1))
    assert len(small.rows_bearing(gold)) == 1
    assert 0 < small.concept_count < part_of(tiny_release, gold, 3).concept_count
    concepts = map_table(tiny_release / CONCEPTS_FILE).to_pylist()
    with_id = {
        each["concept_id"]
        for each in concepts
        if each["status"] == "active" and any(x.startswith("umls:") for x in each["xrefs"])
    }
    assert {large.concept_id(row) for row in range(large.concept_count)} == with_id
    for row in range(small.concept_count):
        original = whole.row_of(small.concept_id(row))
        assert original is not None
        assert sorted(small.names_of(row)) == sorted(whole.names_of(original))


def test_mentions_are_those_covered_with_what_is_right_and_what_is_taught(
    questions: Questions,
) -> None:
    asked = {mention.id: mention for mention in questions.mentions}
    assert list(asked) == ["en/1", "en/2", "es/1", "es/2", "fi/1", "ja/1"]
    kb = questions.knowledge_base
    assert [kb.concept_id(row) for row in asked["ja/1"].gold] == ["wikidata:Q12206"]
    assert not asked["fi/1"].gold
    assert asked["ja/1"].taught
    assert not asked["es/2"].taught


def test_words_that_some_training_draws_are_taught(
    questions: Questions, tiny_release: Path, benchmarks: Path, tmp_path: Path
) -> None:
    (asked,) = (mention.text for mention in questions.mentions if mention.id == "es/2")
    words = tmp_path / "words.parquet"
    pq.write_table(pa.table({"item": [0, 0], "lang": ["es", "en"], "title": [asked, "x y"]}), words)
    with_words = COMMON.model_copy(update={"words": words})
    again = read_questions(tiny_release, benchmarks, COMMON, (COMMON, with_words), one_in=2)
    assert {mention.id: mention for mention in again.mentions}["es/2"].taught


def test_a_table_asks_held_out_names(tiny_release: Path, benchmarks: Path) -> None:
    none = TrainSettings(held_out=0)
    with pytest.raises(BioelxError, match="held_out has to be at least 1"):
        read_questions(tiny_release, benchmarks, none, (none,), one_in=2)


def test_no_held_out_name_stands_where_it_is_looked_for(questions: Questions) -> None:
    trial = questions.held_out
    assert len(trial.held_out) > 20
    assert not set(trial.held_out.texts) & set(trial.candidates.texts)
    assert set(trial.held_out.concepts) <= set(trial.candidates.concepts)


def test_equal_questions_have_equal_fingerprints(
    questions: Questions, tiny_release: Path, benchmarks: Path
) -> None:
    again = read_questions(tiny_release, benchmarks, COMMON, (), one_in=2)
    assert again.fingerprint == questions.fingerprint
    other = read_questions(tiny_release, benchmarks, COMMON, (), one_in=3)
    assert other.fingerprint != questions.fingerprint


def test_without_a_list_of_covered_rows_nothing_is_asked(
    write_xlbel_in: Callable[..., Path], tiny_release: Path, tmp_path: Path
) -> None:
    write_xlbel_in(tmp_path, {})
    with pytest.raises(FileError, match="no list of covered rows"):
        read_questions(tiny_release, tmp_path, COMMON, (), one_in=2)


# Answers


def test_exact_match_finds_names_and_nothing_else(questions: Questions) -> None:
    answers = questions.answer(exact, look_up=False)
    found = dict(zip((m.id for m in questions.mentions), answers.ranks, strict=True))
    assert found == {"en/1": 1, "en/2": 0, "es/1": 1, "es/2": 0, "fi/1": 0, "ja/1": 1}
    assert answers.held_out["held_out_recall_at_5"] == 0
    assert questions.answer(exact, look_up=True).ranks == answers.ranks


def test_3_grams_find_what_shares_letters(questions: Questions) -> None:
    answers = questions.answer(trigrams, look_up=False)
    found = dict(zip((m.id for m in questions.mentions), answers.ranks, strict=True))
    assert found["es/1"] == 1
    assert found["es/2"] >= 1
    assert found["fi/1"] == 0
    assert 0 < answers.held_out["held_out_recall_at_1"] < 1


def test_an_encoder_is_asked_with_look_up_and_without(questions: Questions, tmp_path: Path) -> None:
    done: list[int] = []
    encoder = open_encoder(ENCODER, threads=1)
    method = encoded(encoder, questions.texts, tmp_path, done.append)
    assert sum(done) == len(questions.texts)
    near, with_look_up = (questions.answer(method, look_up=each) for each in (False, True))
    assert near.held_out == with_look_up.held_out
    assert near.held_out["held_out_recall_at_1"] > 0.3
    ranks = dict(zip((m.id for m in questions.mentions), with_look_up.ranks, strict=True))
    assert ranks["en/1"] == ranks["es/1"] == ranks["ja/1"] == 1
    assert ranks["fi/1"] == 0


def test_scores_and_differences_are_means_over_languages() -> None:
    scores = Scores(
        np.array(["en", "en", "fi", "fi", "fi", "fi"]),
        np.array([False, True, True, True, True, False]),
    )
    better, worse = Answers((1, 1, 1, 3, 0, 1), {}), Answers((1, 0, 0, 1, 0, 0), {})
    assert scores.by_language(better, 1) == {"en": 100, "fi": 50}
    assert scores.macro(better, 5) == (100 + 75) / 2
    assert scores.macro(better, 1, untaught=True) == pytest.approx((100 + 100 / 3) / 2)
    english, finnish = [0, 100], [100, -100, 0, 100]
    gained = scores.difference(better, worse, 1, ["en", "fi"])
    assert gained.value == np.mean([np.mean(english), np.mean(finnish)])
    spread = (np.var(english) / 2 + np.var(finnish) / 4) ** 0.5 / 2
    assert gained.chance == pytest.approx(1.96 * spread)
    assert scores.difference(better, worse, 1, ["fi"]).value == 25


# The command


def test_a_line_is_asked_once_and_again_when_it_changes(
    tiny_release: Path, benchmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = _written(tmp_path, LINES), tmp_path / "out"

    def run() -> list[str]:
        main(file, out, benchmarks, str(tiny_release))
        return [each["title"] for each in _kept(out)]

    assert run() == ["exact", "grams"]
    said = capsys.readouterr().out
    assert "| grams | exact | +" in said
    table = json.loads((out / "ablation.json").read_bytes())
    assert table["questions"]["mentions"] == 6
    assert [line["title"] for line in table["lines"]] == ["exact", "grams"]
    assert table["lines"][0]["overlap_included"]["R@1"] == {
        "macro": 50, "en": 50, "es": 50, "fi": 0, "ja": 100,
    }  # fmt: skip
    assert (out / "ablation.png").stat().st_size > 10_000
    assert run() == ["exact", "grams"], "nothing has changed"

    file.write_text(LINES.replace('"exact"', '"equal"', 1) + "look_up = true", encoding="utf-8")
    file.write_text(file.read_text().replace('against = "exact"', 'against = "equal"'))
    assert run() == ["exact", "grams", "grams"], "a title may change, look-up is another line"

    results = out / "results.jsonl"
    results.write_bytes(results.read_bytes()[:-40])  # killed while it wrote
    assert run() == ["exact", "grams", "grams"]


def test_a_wrong_file_is_an_error_that_names_it(
    tiny_release: Path, benchmarks: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"no-such\.toml"):
        main(tmp_path / "no-such.toml", tmp_path / "out", benchmarks, str(tiny_release))
    file = _written(tmp_path, LINES + '[[line]]\ntitle = "e"\nencoder = "."')
    with pytest.raises(SystemExit, match=r"encoder\.json"):
        main(file, tmp_path / "out", benchmarks, str(tiny_release))


def test_trainings_are_lines(
    make_torch_model: Callable[[Path, int], Path],
    tiny_release: Path,
    benchmarks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="needs the train extra")
    base, out = make_torch_model(tmp_path / "base", 32), tmp_path / "out"
    monkeypatch.setenv("BIOELX_HOME", str(tmp_path))
    settings = '[[line]]\ntitle = "{}"\nsettings = {{ languages = [{}] }}\n'
    file = _written(tmp_path, LINES + settings.format("all", "") + settings.format("en", "'en'"))
    given = [f"base={base}", "steps=4", "batch=16", "rate=1e-3", "memory=0"]
    main(file, out, benchmarks, str(tiny_release), given)
    assert [each["title"] for each in _kept(out)] == ["exact", "grams", "all", "en"]
    trained = sorted((out / "trainings").iterdir())
    assert len(trained) == 2
    left = {"encoder", "settings.json", "training.json", "training.png"}
    assert all({each.name for each in folder.iterdir()} == left for folder in trained)
    vectors = [open_encoder(folder / "encoder").encode(["asthma"])[0] for folder in trained]
    assert not np.allclose(*vectors)

    before = (out / "results.jsonl").stat()
    main(file, out, benchmarks, str(tiny_release), given)
    assert (out / "results.jsonl").stat() == before, "nothing was trained or asked again"
    main(file, out, benchmarks, str(tiny_release), [*given, "seed=3"])
    assert len(list((out / "trainings").iterdir())) == 4


def test_a_model_is_asked_beside_its_export(
    make_torch_model: Callable[[Path, int], Path], tmp_path: Path
) -> None:
    from bioelx_index.train.export import Bits, export

    model = make_torch_model(tmp_path, 32)
    export(
        model, tmp_path / "encoder", name="e", base="b", prefix="", max_tokens=64,
        table_bits=Bits.EIGHT,
    )  # fmt: skip
    exported = open_encoder(tmp_path / "encoder", threads=1)
    parent = open_parent(model, tmp_path / "encoder", 1)
    assert parent.card.fingerprint != exported.card.fingerprint, "each has its own vectors kept"
    texts = ["asthma", "diabetes mellitus"]
    cosines = (parent.encode(texts) * exported.encode(texts)).sum(1)
    np.testing.assert_array_less(0.97, cosines)


def _written(folder: Path, text: str) -> Path:
    file = folder / "lines.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _kept(out: Path) -> Iterator[dict[str, object]]:
    for line in (out / "results.jsonl").read_bytes().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
