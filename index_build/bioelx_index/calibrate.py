"""Fits the confidence model on the knowledge base itself, without any corpus.

Names are taken for mentions in three ways: as they are (an exact match is there to be found), held
out (the index must find another name of their concept), and with their whole concept held out
(nothing is right: NIL). A logistic regression (Platt 1999) learns from the candidates of all three
which ones are right.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from bioelx.confidence import CONSIDERED, ConfidenceModel, Features, features_of
from bioelx.kb import KnowledgeBase
from bioelx.search.index import NameIndex
from bioelx.search.retriever import pool

_MENTIONS = 6000
_NEIGHBOURS = 128
_SHARE_EXACT, _SHARE_NIL = 0.3, 0.3  # the rest: held-out names
_SEED = 20261123
_DEFAULT_MIN_CONFIDENCE = 0.5


def fit_confidence(
    knowledge_base: KnowledgeBase, index: NameIndex, vectors: npt.NDArray[np.float32]
) -> ConfidenceModel:
    """Returns the model fitted on a fixed random sample of names.

    Args:
        vectors: of the knowledge base's texts, float32 [texts, dim].
    """
    features, right = [], []
    for candidates, of_mention in _simulate(knowledge_base, index, vectors):
        features += candidates
        right += of_mention
    if len(set(right)) < 2:  # too few names to hold any out: trust exact matches alone
        return ConfidenceModel(-20.0, 20.0, 0.0, 4.0, _DEFAULT_MIN_CONFIDENCE)
    fitted = LogisticRegression(C=1e3, max_iter=1000).fit(features, right)
    score, margin, exact = map(float, fitted.coef_[0])
    intercept = float(fitted.intercept_[0])
    return ConfidenceModel(intercept, score, margin, exact, _DEFAULT_MIN_CONFIDENCE)


def _simulate(
    kb: KnowledgeBase, index: NameIndex, vectors: npt.NDArray[np.float32]
) -> Iterator[tuple[list[Features], list[bool]]]:
    """Yields each simulated mention's candidates as features, and which of them is right."""
    rng = np.random.default_rng(_SEED)
    sample = rng.permutation(kb.name_count)[:_MENTIONS]
    found = index.search(vectors[kb.name_text[sample]], _NEIGHBOURS)
    draws = rng.random(len(sample))
    for row, name_row in enumerate(sample):
        truth, own_text = int(kb.name_concept[name_row]), int(kb.name_text[name_row])
        exact, nil = draws[row] < _SHARE_EXACT, draws[row] > 1 - _SHARE_NIL
        others = found.texts[row] != own_text
        texts, scores = found.texts[row][others], found.scores[row][others]
        language = kb.name(int(name_row)).lang
        found_text = own_text if exact else None
        hits = pool(kb, texts, scores, found_text, language, top_k=CONSIDERED + 1)
        hits = [hit for hit in hits if not (nil and hit.concept_row == truth)][:CONSIDERED]
        features = features_of([hit.score for hit in hits], [hit.exact for hit in hits])
        yield features, [hit.concept_row == truth for hit in hits]
