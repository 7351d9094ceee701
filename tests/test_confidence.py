"""From scores to probabilities."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.confidence import ConfidenceModel, Features, features_of, with_ranker
from bioelx.errors import FileError

MODEL = ConfidenceModel(-20.0, 18.0, 12.0, 3.0, 0.5)
unit = st.floats(0, 1)


def test_the_margin_is_to_the_best_rival() -> None:
    features = features_of([0.9, 0.8, 0.7], [True, False, False])
    assert [f.margin for f in features] == pytest.approx([0.1, -0.1, -0.2])
    assert [f.exact for f in features] == [True, False, False]
    assert [f.margin for f in features_of([0.9, 0.9], [True, True])] == [0, 0]
    assert [f.margin for f in features_of([0.9], [False])] == pytest.approx([0.9])
    assert features_of([], []) == []


@given(unit, unit, unit, st.booleans())
def test_probability_grows_with_the_score(low: float, high: float, margin: float, x: bool) -> None:
    low, high = sorted((low, high))
    p_low, p_high = (MODEL.probability(Features(s, margin, x)) for s in (low, high))
    assert 0 <= p_low <= p_high <= 1


@given(unit, st.floats(-1e6, 1e6))
def test_the_ranker_moves_the_probability_its_way(probability: float, log_odds: float) -> None:
    moved = with_ranker(probability, log_odds)
    assert 0 <= moved <= 1
    if 0.01 < probability < 0.99 and abs(log_odds) > 0.01:
        assert (moved > probability) == (log_odds > 0)


def test_a_saved_model_opens_as_it_was(tmp_path: Path) -> None:
    MODEL.save(tmp_path)
    assert ConfidenceModel.open(tmp_path) == MODEL


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 2}', '{"schema": 1, "score": 1}', "[]"])
def test_a_broken_model_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "confidence.json").write_text(content)
    with pytest.raises(FileError, match=r"confidence\.json"):
        ConfidenceModel.open(tmp_path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"confidence\.json: no such file"):
        ConfidenceModel.open(tmp_path)
