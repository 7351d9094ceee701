"""How well a model in training finds the concepts of names that it was never told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from bioelx_index.train.names import Int64, Names

FOUND = "held_out_recall_at_1"
DISTRACTORS = 4000  # concepts beside those of the held-out names
NAMES_EACH = 3  # of a concept that can be found
AT = (1, 5)


@dataclass(frozen=True)
class Trial:
    """Held-out names, and a part of the knowledge base to find their concepts in."""

    held_out: Names
    candidates: Names


def make_trial(held_out: Names, rest: Names, rng: np.random.Generator) -> Trial:
    """The concepts of the held-out names and some others, with a few names each of the rest."""
    others = np.setdiff1d(rest.concepts, held_out.concepts)
    others = rng.choice(others, min(DISTRACTORS, len(others)), replace=False)
    rows = np.flatnonzero(np.isin(rest.concepts, np.concatenate([held_out.concepts, others])))
    rows = rng.permutation(rows)
    rows = rows[np.argsort(rest.concepts[rows], kind="stable")]
    _, starts, counts = np.unique(rest.concepts[rows], return_index=True, return_counts=True)
    place = np.arange(len(rows)) - np.repeat(starts, counts)
    return Trial(held_out, rest.take(rows[place < NAMES_EACH]))


class HeldOutEvaluator(SentenceEvaluator):
    """For sentence-transformers' trainer: recall at 1 and 5 of a trial, by language and on the mean
    over languages."""

    def __init__(self, trial: Trial, prefix: str) -> None:
        super().__init__()
        self._trial = trial
        self._prefix = prefix
        self.primary_metric = FOUND
        self.greater_is_better = True

    def __call__(
        self,
        model: SentenceTransformer,
        output_path: str | None = None,
        epoch: float = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        trial = self._trial
        candidates = self._encode(model, trial.candidates)
        nearest = nearest_concepts(
            self._encode(model, trial.held_out), candidates, trial.candidates.concepts, max(AT)
        )
        right = nearest == trial.held_out.concepts[:, None]
        scores = {}
        for at in AT:
            found = right[:, :at].any(1)
            by_language = {
                language: float(found[trial.held_out.languages == language].mean())
                for language in np.unique(trial.held_out.languages.astype(str))
            }
            scores[f"held_out_recall_at_{at}"] = float(np.mean(list(by_language.values())))
            scores |= {f"held_out_{lang}_recall_at_{at}": r for lang, r in by_language.items()}
        return scores

    def _encode(self, model: SentenceTransformer, names: Names) -> npt.NDArray[np.float32]:
        return model.encode(
            [self._prefix + text for text in names.texts],
            batch_size=256,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32)


def nearest_concepts(
    queries: npt.NDArray[np.float32],
    candidates: npt.NDArray[np.float32],
    concepts: Int64,
    count: int,
) -> Int64:
    """The nearest concepts of each query by their best names, int64 [queries, count]; -1 where
    there are fewer.

    Args:
        candidates: unit vectors of names, float32 [names, dimension].
        concepts: of the names, [names].
    """
    found = np.full((len(queries), count), -1, np.int64)
    names = min(len(candidates), count * (NAMES_EACH + 1))
    for start in range(0, len(queries), 256):
        scores = queries[start : start + 256] @ candidates.T
        top = np.argpartition(-scores, names - 1, axis=1)[:, :names]
        order = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1)), 1)
        for row, of_query in enumerate(concepts[order], start):
            distinct = list(dict.fromkeys(of_query.tolist()))[:count]
            found[row, : len(distinct)] = distinct
    return found
