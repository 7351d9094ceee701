"""Fits the confidence model on the knowledge base itself, without any corpus.

Names of all its languages are taken for mentions, and the knowledge base is asked as if it lacked
what a caller's mention would lack: nothing (the name is there), the name itself, the name with its
near spellings, or the whole concept (nothing is right: NIL). Some are mistyped or inflected first.
A logistic regression (Platt 1999) learns from the candidates of all which ones are right. How well
it does is measured on mentions of other concepts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bioelx.confidence import CONSIDERED, ConfidenceModel, Features, Fit, features_of
from bioelx.encoding import Encoder
from bioelx.kb import KnowledgeBase, normalise
from bioelx.search.index import NameIndex
from bioelx.search.retriever import Hit, pool
from bioelx_eval.metrics import (
    BRIER,
    ECE,
    NIL_PRECISION,
    NIL_RECALL,
    Outcomes,
    all_addends,
    all_values,
)
from bioelx_index.perturb import perturb
from bioelx_index.recall import sample_names

Int32 = npt.NDArray[np.int32]

_MENTIONS = 12_000
_NEIGHBOURS = 128
_SEED = 20261123
_MEASURED_SHARE = 0.5  # of the concepts: the fit does not see them
SAMPLE = (_MENTIONS, _MEASURED_SHARE, _SEED)
"""What is drawn: a fit of another sample is another fit."""
_DEFAULT_MIN_CONFIDENCE = 0.5
_FEWEST = 100  # mentions, below which a fit says more of them than of those to come
_ENOUGH = 50  # stand-ins in a language: a few names would speak for all of it
_MISTAKEN_SHARE = 1 / 3  # of the mentions, typed wrong, inflected or in another order


class Lack(Enum):
    """What the knowledge base is asked to do without, of a mention's own concept."""

    NOTHING = "nothing"
    NAME = "the name"
    SPELLINGS = "the name and its near spellings"
    CONCEPT = "the whole concept"


_SHARES = {Lack.NOTHING: 0.25, Lack.NAME: 0.2, Lack.SPELLINGS: 0.25, Lack.CONCEPT: 0.3}


class Trial(NamedTuple):
    """A simulated mention and its candidates, best first."""

    concept: int
    """The row of the concept that its name was taken of."""
    nil: bool
    """That concept is not there to be found."""
    features: Sequence[Features]
    right: Sequence[bool]


def fit_confidence(
    knowledge_base: KnowledgeBase,
    index: NameIndex,
    vectors: npt.NDArray[np.float32],
    encoder: Encoder,
    never_told: Collection[str] = (),
) -> ConfidenceModel:
    """Returns the model fitted, and measured, on a fixed random sample of names.

    Args:
        vectors: of the knowledge base's texts, float32 [texts, dim].
        encoder: what made them.
        never_told: names, in normal form, that its training held out.
    """
    rng = np.random.default_rng(_SEED)
    trials = list(simulate(knowledge_base, index, vectors, encoder, rng, never_told))
    held_out = rng.random(knowledge_base.concept_count) < _MEASURED_SHARE
    model = fit([trial for trial in trials if not held_out[trial.concept]])
    return replace(model, fit=measure(model, [t for t in trials if held_out[t.concept]]))


def simulate(
    kb: KnowledgeBase,
    index: NameIndex,
    vectors: npt.NDArray[np.float32],
    encoder: Encoder,
    rng: np.random.Generator,
    never_told: Collection[str] = (),
) -> Iterator[Trial]:
    """Names taken for mentions, each with what a linker would propose for it."""
    rows = unlearnt(kb, sample_names(kb, _MENTIONS, rng), never_told, rng)
    mentions = kb.names(rows.tolist())
    keys = [normalise(mention.text) for mention in mentions]
    mistaken = np.flatnonzero(rng.random(len(rows)) < _MISTAKEN_SHARE)
    for at in mistaken:
        keys[at] = normalise(perturb(mentions[at].text, mentions[at].lang, rng))
    queries = vectors[kb.name_text[rows]]
    queries[mistaken] = encoder.encode([keys[at] for at in mistaken])
    found = index.search(queries, _NEIGHBOURS)
    drawn = rng.choice(len(_SHARES), len(rows), p=list(_SHARES.values()))
    lacks = [list(_SHARES)[at] for at in drawn]
    for row, key, mention, lack, texts, scores in zip(
        rows.tolist(), keys, mentions, lacks, found.texts, found.scores, strict=True
    ):
        concept = int(kb.name_concept[row])
        own = kb.texts_of(concept)
        lacking = lacking_texts(kb, int(kb.name_text[row]), own, lack)
        hits = hits_without(kb, key, mention.lang, texts, scores, concept, lacking)
        right = [hit.concept_row == concept for hit in hits]
        yield Trial(concept, lack is Lack.CONCEPT, features_of(key, hits), right)


def unlearnt(
    kb: KnowledgeBase,
    rows: npt.NDArray[np.int64],
    never_told: Collection[str],
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Names that an encoder has learnt, exchanged for some in their language that it has not.

    A name that it was told lies nearer to its concept than any mention of a text will. Names of
    several concepts stay: no encoder is told those. So does a language of which hardly anything
    was held out.

    Args:
        rows: of names.
        never_told: names, in normal form.
    """
    ids = [text for text in map(kb.text_id, sorted(never_told)) if text is not None]
    stand_ins: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isin(kb.name_text, ids)).tolist():
        stand_ins[_primary(kb.name(row).lang)].append(row)
    pairs = np.unique(np.stack([kb.name_text, kb.name_concept], 1), axis=0)
    concepts = np.bincount(pairs[:, 0], minlength=len(kb.texts))
    return np.array(
        [
            rng.choice(instead)
            if concepts[kb.name_text[row]] == 1
            and len(instead := stand_ins.get(_primary(name.lang), [])) >= _ENOUGH
            else row
            for row, name in zip(rows.tolist(), kb.names(rows.tolist()), strict=True)
        ],
        np.int64,
    )


def _primary(language: str) -> str:
    return language.partition("-")[0]


def lacking_texts(kb: KnowledgeBase, text: int, own: Int32, lack: Lack) -> Int32:
    """The texts that are not to be found for a concept, of `own`, all that it has.

    A name that is all that a concept has stays: to hold it out would make it NIL.
    """
    match lack:
        case Lack.NOTHING:
            gone = own[:0]
        case Lack.NAME:
            gone = own[own == text]
        case Lack.SPELLINGS:
            words = _words(kb.texts[text].as_py())
            gone = own[[_words(kb.texts[int(each)].as_py()) == words for each in own]]
        case Lack.CONCEPT:
            return own
    return gone if len(gone) < len(own) else own[:0]


def _words(key: str) -> list[str]:
    """What spellings of one name have in common: its words without order, signs and plural."""
    return sorted(word.removesuffix("s") for word in re.findall(r"\w+", key))


def hits_without(
    kb: KnowledgeBase,
    key: str,
    language: str,
    texts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    concept: int,
    lacking: Int32,
    *,
    top_k: int = CONSIDERED,
) -> list[Hit]:
    """What a retriever finds, if `concept` lacks some of its texts; other concepts keep theirs."""
    exact = kb.text_id(key)
    if not len(lacking):
        return pool(kb, texts, scores, exact, language, top_k=top_k)
    # Texts that no other concept bears would not be there at all, nor stand among the nearest.
    gone = [each for each in lacking.tolist() if _only_of(kb, each, concept)]
    there = ~np.isin(texts, gone)
    still_exact = None if exact in gone else exact
    found = pool(kb, texts[there], scores[there], still_exact, language, top_k=top_k + 1)
    others = [hit for hit in found if hit.concept_row != concept]
    left = ~np.isin(texts, lacking)
    own = pool(
        kb,
        texts[left],
        scores[left],
        None if exact in lacking else exact,
        language,
        top_k=len(texts),
    )
    both = [*others, *(hit for hit in own if hit.concept_row == concept)]
    return sorted(both, key=lambda hit: (hit.exact, hit.score), reverse=True)[:top_k]


def _only_of(kb: KnowledgeBase, text: int, concept: int) -> bool:
    return bool((kb.name_concept[list(kb.name_rows(text))] == concept).all())


def fit(trials: Sequence[Trial]) -> ConfidenceModel:
    """The logistic regression of being right on the features of all candidates."""
    features = np.array([each for trial in trials for each in trial.features])
    right = np.array([each for trial in trials for each in trial.right], np.bool_)
    if len(trials) < _FEWEST or len(np.unique(right)) < 2:  # chance: trust exact matches alone
        return ConfidenceModel(-20.0, Features(score=20.0, exact=4.0), _DEFAULT_MIN_CONFIDENCE)
    scaler = StandardScaler().fit(features)
    fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(features), right)
    return ConfidenceModel(
        intercept=float(fitted.intercept_[0]),
        weights=Features(*(fitted.coef_[0] / scaler.scale_).tolist()),
        means=Features(*scaler.mean_.tolist()),
        default_min_confidence=_DEFAULT_MIN_CONFIDENCE,
    )


def measure(model: ConfidenceModel, trials: Sequence[Trial]) -> Fit | None:
    """How well the confidences of first candidates mean what they say; None without mentions."""
    if not trials:
        return None
    confidence = np.array([([*model.probabilities(t.features), 0.0])[0] for t in trials])
    outcomes = Outcomes(
        rank=np.array([trial.right.index(True) + 1 if any(trial.right) else 0 for trial in trials]),
        nil=np.array([trial.nil for trial in trials]),
        linked=confidence >= model.default_min_confidence,
        confidence=confidence,
    )
    metrics = (ECE, BRIER, NIL_PRECISION, NIL_RECALL)
    sums = all_addends(metrics, outcomes).sum(0)
    values = all_values(metrics, sums, len(trials))
    return Fit(len(trials), float(outcomes.nil.mean()), *np.nan_to_num(values).tolist())
