"""From scores to a probability that means what it says, and from that to NIL.

A logistic model (Platt 1999) over what tells a right candidate from a wrong one. The offline job
fits it on names held out of the knowledge base and stores it in the release as a few numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from bioelx.errors import FileError

CONFIDENCE_FILE = "confidence.json"
SCHEMA = 1

CONSIDERED = 10
"""Candidates that share out the probability, however few or many a caller wants to see."""


class Features(NamedTuple):
    """What the model sees of one candidate."""

    score: float  # cosine of mention and matched name
    margin: float  # score less the best score among the other candidates
    exact: bool


@dataclass(frozen=True, slots=True)
class ConfidenceModel:
    """Log-odds that a candidate is right = intercept + weights . features."""

    intercept: float
    score: float
    margin: float
    exact: float
    default_min_confidence: float
    """Below this probability a link is NIL unless the request says otherwise."""

    def probability(self, features: Features) -> float:
        log_odds = (
            self.intercept
            + self.score * features.score
            + self.margin * features.margin
            + self.exact * features.exact
        )
        return _logistic(log_odds)

    def save(self, folder: Path) -> None:
        card = {"schema": SCHEMA, **asdict(self)}
        (folder / CONFIDENCE_FILE).write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))

    @classmethod
    def open(cls, folder: Path) -> ConfidenceModel:
        """Reads a release's model.

        Raises:
            FileError: the file is missing or not such a model.
        """
        path = folder / CONFIDENCE_FILE
        try:
            card = orjson.loads(path.read_bytes())
            schema = card.pop("schema")
            if schema != SCHEMA:
                raise FileError(path, f"schema {schema}, this version reads {SCHEMA}")
            return cls(**{name: float(value) for name, value in card.items()})
        except FileNotFoundError:
            raise FileError(path, "no such file") from None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileError(path, f"not a confidence model ({error!r})") from None


def with_ranker(probability: float, ranker_log_odds: float) -> float:
    """Takes the retrieval's probability for the prior and the ranker's log-odds for evidence.

    Their log-odds add up, as for independent evidence (Bayes' rule).
    """
    bounded = min(max(probability, 1e-9), 1 - 1e-9)
    log_odds = math.log(bounded / (1 - bounded)) + ranker_log_odds
    return _logistic(log_odds)


def _logistic(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))


def features_of(scores: Sequence[float], exact: Sequence[bool]) -> list[Features]:
    """The features of a mention's candidates from their scores, best first or not."""
    best, second = sorted([*scores, 0.0, 0.0], reverse=True)[:2]
    return [
        Features(score, score - (second if score == best else best), is_exact)
        for score, is_exact in zip(scores, exact, strict=True)
    ]
