"""From what retrieval and ranker say to a probability that means what it says, and its reasons.

A logistic model (Platt 1999) over what tells a right candidate from a wrong one. The offline job
fits it on names held out of the knowledge base and stores it in the release as a few numbers. Its
log-odds are a sum, a term for each feature, and those terms are the explanation of a confidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from bioelx.errors import FileError
from bioelx.types import Share

CONFIDENCE_FILE = "confidence.json"
SCHEMA = 2

CONSIDERED = 10
"""Candidates that share out the probability, however few or many a caller wants to see."""

BASE, RANKER, RIVALS = "base", "ranker", "rivals"
"""What adds to the log-odds beside the features: where every candidate starts, the ranker, and what
is left of a probability once all candidates of a mention share in it."""


class Evidence(Protocol):
    """What retrieval says of one candidate."""

    @property
    def score(self) -> float:
        """Cosine of mention and matched name; 1 for an exact match."""
        ...

    @property
    def exact(self) -> bool:
        """Mention and matched name are equal."""
        ...

    @property
    def agreeing(self) -> int:
        """How many of the mention's nearest names are the concept's."""
        ...


class Features(NamedTuple):
    """What the model sees of one candidate, beside the others of its mention."""

    score: float = 0.0
    """Cosine of mention and matched name."""
    lead: float = 0.0
    """How far its score is above the best of the others; 0 if it is not."""
    lag: float = 0.0
    """How far its score is below the best of the others; 0 if it is not."""
    exact: float = 0.0
    """1 if the matched name equals the mention, else 0."""
    agreement: float = 0.0
    """ln(1 + the number of the mention's nearest names that are the concept's)."""
    brevity: float = 0.0
    """Of an exact match 1 / the mention's bytes, since short names are shared by many; else 0."""


def features_of(mention: str, candidates: Sequence[Evidence]) -> list[Features]:
    """The features of a mention's candidates, in whatever order they are.

    Args:
        mention: in normal form.
    """
    brevity = 1 / max(len(mention.encode()), 1)
    best, second = sorted([*(each.score for each in candidates), 0.0, 0.0], reverse=True)[:2]
    features = []
    for each in candidates:
        margin = each.score - (second if each.score == best else best)
        features.append(
            Features(
                score=each.score,
                lead=max(margin, 0.0),
                lag=max(-margin, 0.0),
                exact=float(each.exact),
                agreement=math.log1p(each.agreeing),
                brevity=brevity * each.exact,
            )
        )
    return features


@dataclass(frozen=True, slots=True)
class Fit:
    """How well the confidences in first candidates meant what they said of mentions that the fit
    had not seen: made of names of other concepts, of a name several mentions where the encoder was
    never told few; `nil` of them without a right candidate."""

    mentions: int
    nil: float
    ece: float
    brier: float
    nil_precision: float
    nil_recall: float


@dataclass(frozen=True, slots=True)
class ConfidenceModel:
    """Log-odds that a candidate is right = intercept + weights . (features - means)."""

    intercept: float
    weights: Features
    default_min_confidence: float
    """Below this probability a link is NIL unless the request says otherwise."""
    means: Features = Features()  # noqa: RUF009  (immutable)
    """Of a candidate as the fit saw them: what a share in the confidence is measured from."""
    ranker: float = 1.0
    """Weight of the ranker's log-odds; 1 takes them for independent evidence (Bayes' rule)."""
    fit: Fit | None = None
    """None if it was not measured."""

    def log_odds(self, features: Features) -> float:
        return self.intercept + sum(self._terms(features))

    def probability(self, features: Features) -> float:
        return _logistic(self.log_odds(features))

    def probabilities(self, features: Sequence[Features]) -> list[float]:
        """Of each candidate of a mention, best first, that it is the right one."""
        return share_out([self.probability(each) for each in features], CONSIDERED)

    def with_ranker(self, probability: float, ranker_log_odds: float) -> float:
        """Takes the retrieval's probability for the prior and the ranker's log-odds for evidence:
        they add up, weighted."""
        return _logistic(_logit(probability) + self.ranker * ranker_log_odds)

    def shares(
        self, features: Features, probability: float, ranker_log_odds: float | None = None
    ) -> tuple[Share, ...]:
        """What each piece of evidence adds to the log-odds of a candidate's probability.

        The shares add up to them: what the candidate's own evidence leaves open is its rivals'.

        Args:
            probability: as it came to be in the end, the candidate's rivals considered.
        """
        shares = [Share(BASE, 1.0, self.intercept)]
        shares += map(Share, features._fields, features, self._terms(features))
        if ranker_log_odds is not None:
            shares.append(Share(RANKER, ranker_log_odds, self.ranker * ranker_log_odds))
        own = sum(share.log_odds for share in shares)
        return (*shares, Share(RIVALS, _logistic(own), _logit(probability) - own))

    def _terms(self, features: Features) -> Iterator[float]:
        return (w * (x - m) for w, x, m in zip(self.weights, features, self.means, strict=True))

    def save(self, folder: Path) -> None:
        card: dict[str, Any] = {
            "schema": SCHEMA,
            "intercept": self.intercept,
            "weights": self.weights._asdict(),
            "means": self.means._asdict(),
            "ranker": self.ranker,
            "default_min_confidence": self.default_min_confidence,
            "fit": asdict(self.fit) if self.fit else None,
        }
        (folder / CONFIDENCE_FILE).write_bytes(orjson.dumps(card, option=orjson.OPT_INDENT_2))

    @classmethod
    def open(cls, folder: Path) -> ConfidenceModel:
        """Reads a release's model.

        Raises:
            FileError: the file is missing, not such a model, or one of another version.
        """
        path = folder / CONFIDENCE_FILE
        try:
            card = orjson.loads(path.read_bytes())
            if card["schema"] != SCHEMA:
                raise FileError(
                    path,
                    f"is of schema {card['schema']}, and this version reads {SCHEMA}: "
                    "make the release anew with 'bioelx build'",
                )
            return cls(
                intercept=float(card["intercept"]),
                weights=_features(card["weights"]),
                means=_features(card["means"]),
                ranker=float(card["ranker"]),
                default_min_confidence=float(card["default_min_confidence"]),
                fit=Fit(**card["fit"]) if card["fit"] else None,
            )
        except FileNotFoundError:
            raise FileError(path, "no such file") from None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileError(path, f"not a confidence model ({error!r})") from None


def share_out(probabilities: Sequence[float], considered: int | None = None) -> list[float]:
    """At most one candidate is right, so the first `considered` cannot add up to more than one."""
    total = max(1.0, sum(probabilities[:considered]))
    return [probability / total for probability in probabilities]


def _features(card: dict[str, float]) -> Features:
    """Raises KeyError if one is missing, TypeError if there is one that this version lacks."""
    return Features(**{name: float(card[name]) for name in {*Features._fields, *card}})


def _logistic(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(log_odds, 700.0))))  # of NaN: 0


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-300), 1 - 2**-53)
    return math.log(bounded) - math.log1p(-bounded)
