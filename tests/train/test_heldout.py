"""The trial of held-out names, and what it says of vectors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bioelx_index.train.heldout import (
    Trial,
    held_out_file,
    main,
    make_trial,
    nearest_concepts,
    recalls,
    title_trial,
    untold,
)
from bioelx_index.train.names import Names


def _names(concepts: list[int], languages: list[str]) -> Names:
    texts = [f"name {row} of {concept}" for row, concept in enumerate(concepts)]
    return Names(
        np.array(texts, object),
        np.array(concepts, np.int64),
        np.array(languages, object),
        np.zeros(len(concepts), np.int8),
    )


def test_a_trial_has_the_concepts_of_its_names_and_few_names_of_each():
    rest = _names([concept for concept in range(50) for _ in range(6)], ["en"] * 300)
    trial = make_trial(_names([3, 7], ["ko", "th"]), rest, np.random.default_rng(0))
    assert {3, 7} <= set(trial.candidates.concepts)
    assert np.bincount(trial.candidates.concepts).max() == 3


def test_the_nearest_concepts_are_those_of_the_nearest_names_each_once():
    candidates = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], np.float32)
    found = nearest_concepts(
        np.array([[1, 0.2]], np.float32), candidates, np.array([5, 5, 6, 7]), count=4
    )
    assert found.tolist() == [[5, 6, 7, -1]]


def test_recalls_are_means_over_languages():
    held = _names([0, 1, 2, 3], ["ko", "ko", "ko", "th"])
    trial = Trial(held, _names([0, 1, 2, 3], ["en"] * 4))
    vectors = np.eye(4, dtype=np.float32)
    mixed = vectors[[0, 1, 3, 2]]  # the third and fourth each find the other's concept first
    scores = recalls(trial, mixed, vectors)
    assert scores["held_out_ko_recall_at_1"] == 2 / 3
    assert scores["held_out_th_recall_at_1"] == 0
    assert scores["held_out_recall_at_1"] == 1 / 3
    assert scores["held_out_recall_at_5"] == 1


def test_titles_asked_for_are_of_things_that_no_training_draws(tmp_path: Path) -> None:
    titles = {  # the first has most languages
        0: {"en": "Paris", "ru": "Париж", "ko": "파리", "th": "ปารีส"},
        1: {"en": "mug", "de": "Becher", "sv": "mugg"},
        2: {"en": "pea", "de": "Erbse", "fr": "pea"},
        3: {"en": "fever", "de": "Fieber"},
    }
    rows = [
        {"item": item, "lang": lang, "title": title}
        for item, of in titles.items()
        for lang, title in of.items()
    ]
    path = tmp_path / "titles.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    known = _names([9], ["en"])
    known.texts[0] = "fever"  # its title is a known name's
    trial = title_trial(path, known, 1, np.random.default_rng(0))
    assert sorted(trial.candidates.texts) == ["mug", "pea"]
    assert sorted(trial.held_out.texts) == ["becher", "erbse", "mugg"], "not what is alike in both"
    assert set(trial.held_out.concepts) <= set(trial.candidates.concepts)


def test_encoders_are_asked_what_none_of_them_was_told(tmp_path: Path) -> None:
    for folder, texts in (("one", ["asthma", "kuume"]), ("two", ["kuume", "fever"])):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "held_out.txt").write_bytes(held_out_file(texts))
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "untrained"]
    assert untold(folders) == {"kuume"}
    assert untold(folders[2:]) == set()


def test_encoders_are_compared_in_a_table(
    tiny_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([tiny_release / "encoder"], str(tiny_release))
    said, head, _, *rows = capsys.readouterr().out.splitlines()
    assert "to be found among" in said
    assert len(rows) == 6
    for at_1, at_5 in zip(rows[::2], rows[1::2], strict=True):
        assert head.count("|") == at_1.count("|") == at_5.count("|")
        assert 0 < float(at_1.split("|")[4]) <= float(at_5.split("|")[4]) <= 100
    held_out, known = (float(rows[at].split("|")[4]) for at in (0, 4))
    assert known > held_out
