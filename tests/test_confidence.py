"""From scores to probabilities, and what they are made of."""

import math
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.confidence import (
    CONSIDERED,
    ConfidenceModel,
    Features,
    Fit,
    features_of,
    share_out,
)
from bioelx.errors import FileError

MODEL = ConfidenceModel(
    intercept=-3.0,
    weights=Features(18.0, 12.0, -9.0, 3.0, 0.5, -6.0),
    default_min_confidence=0.5,
    means=Features(0.9, 0.01, 0.02, 0.1, 1.0, 0.005),
    ranker=0.75,
    fit=Fit(1500, 0.3, 0.02, 0.1, 0.8, 0.7),
)
unit = st.floats(0, 1)


class Seen(NamedTuple):
    """What retrieval may say of a candidate."""

    score: float
    exact: bool = False
    agreeing: int = 1


found_list = st.lists(st.builds(Seen, unit, st.booleans(), st.integers(0, 32)), max_size=15)


def test_the_margin_is_to_the_best_rival() -> None:
    features = features_of("asthma", [Seen(each) for each in (0.9, 0.8, 0.7)])
    assert [f.lead for f in features] == pytest.approx([0.1, 0, 0])
    assert [f.lag for f in features] == pytest.approx([0, 0.1, 0.2])
    equal = features_of("asthma", [Seen(1, exact=True)] * 2)
    assert [(f.lead, f.lag) for f in equal] == [(0, 0), (0, 0)]
    assert features_of("asthma", [Seen(0.9)])[0].lead == pytest.approx(0.9)
    assert features_of("asthma", []) == []


def test_a_short_name_is_worth_less_if_it_is_all_that_matches() -> None:
    short, long = (features_of(each, [Seen(1, exact=True)])[0] for each in ("pb", "lead poisoning"))
    assert short.brevity == 0.5 > long.brevity > 0
    assert features_of("pb", [Seen(0.9)])[0].brevity == 0


@given(found_list)
def test_features_are_finite_whatever_is_found(found: list[Seen]) -> None:
    features = features_of("asthma", found)
    assert len(features) == len(found)
    for each, seen in zip(found, features, strict=True):
        assert all(map(math.isfinite, seen))
        assert (seen.score, seen.exact) == (each.score, each.exact)
        assert min(seen.lead, seen.lag) == 0
    assert features_of("asthma", found[::-1]) == features[::-1]


@given(found_list)
def test_probabilities_of_those_considered_add_up_to_one_at_most(found: list[Seen]) -> None:
    features = features_of("asthma", found)
    probabilities = MODEL.probabilities(features)
    assert all(0 <= each <= 1 for each in probabilities)
    assert sum(probabilities[:CONSIDERED]) <= 1 + 1e-9
    alone = [MODEL.probability(each) for each in features]
    if sum(alone[:CONSIDERED]) <= 1:
        assert probabilities == alone


@given(unit, unit, st.builds(Features, unit, unit, unit, st.sampled_from([0.0, 1.0]), unit))
def test_probability_grows_with_the_score(low: float, high: float, features: Features) -> None:
    low, high = sorted((low, high))
    p_low, p_high = (MODEL.probability(features._replace(score=each)) for each in (low, high))
    assert 0 <= p_low <= p_high <= 1


@given(unit, st.floats(-1e6, 1e6))
def test_the_ranker_moves_the_probability_its_way(probability: float, log_odds: float) -> None:
    moved = MODEL.with_ranker(probability, log_odds)
    assert 0 <= moved <= 1
    if 0.01 < probability < 0.99 and abs(log_odds) > 0.01:
        assert (moved > probability) == (log_odds > 0)


@given(found_list, st.none() | st.floats(-30, 30))
def test_shares_add_up_to_the_probability(found: list[Seen], ranker: float | None) -> None:
    features = features_of("asthma", found)
    probabilities = MODEL.probabilities(features)
    if ranker is not None:
        moved = [MODEL.with_ranker(each, ranker) for each in probabilities]
        probabilities = share_out(moved)
    for seen, probability in zip(features, probabilities, strict=True):
        shares = MODEL.shares(seen, probability, ranker)
        assert [share.feature for share in shares] == [
            "base",
            *Features._fields,
            *(["ranker"] if ranker is not None else []),
            "rivals",
        ]
        log_odds = sum(share.log_odds for share in shares)
        assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(probability, abs=1e-8)


def test_a_share_is_what_a_candidate_has_beside_an_average_one() -> None:
    average = MODEL.means
    assert MODEL.log_odds(average) == MODEL.intercept
    better = average._replace(agreement=average.agreement + 2)
    shares = {s.feature: s for s in MODEL.shares(better, MODEL.probability(better))}
    assert shares["agreement"].log_odds == pytest.approx(1.0)
    assert shares["base"].log_odds == MODEL.intercept
    others = {"score", "lead", "lag", "exact", "brevity", "rivals"}
    assert all(shares[name].log_odds == pytest.approx(0) for name in others)


def test_a_saved_model_opens_as_it_was(tmp_path: Path) -> None:
    MODEL.save(tmp_path)
    assert ConfidenceModel.open(tmp_path) == MODEL


@pytest.mark.parametrize(
    "change", [{"weights": None}, {"weights": {}}, {"means": {"score": 1}}, {"fit": {"n": 1}}]
)
def test_a_model_with_other_features_is_named(
    tmp_path: Path, change: dict[str, dict[str, float] | None]
) -> None:
    MODEL.save(tmp_path)
    path = tmp_path / "confidence.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    with pytest.raises(FileError, match=r"confidence\.json: not a confidence model"):
        ConfidenceModel.open(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 2}', "[]"])
def test_a_broken_model_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "confidence.json").write_text(content)
    with pytest.raises(FileError, match=r"confidence\.json: not a confidence model"):
        ConfidenceModel.open(tmp_path)


def test_a_model_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    earlier = (
        '{"schema":1,"intercept":-16.0,"score":16.0,"margin":8.0,"exact":4.0,'
        '"default_min_confidence":0.5}'
    )
    (tmp_path / "confidence.json").write_text(earlier)
    with pytest.raises(FileError, match=r"schema 1, .* reads 2: .* 'bioelx build'"):
        ConfidenceModel.open(tmp_path)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"confidence\.json: no such file"):
        ConfidenceModel.open(tmp_path)
