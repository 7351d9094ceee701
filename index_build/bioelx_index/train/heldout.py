"""How well an encoder finds the concepts of names that it was never told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def recalls(
    trial: Trial, held_out: npt.NDArray[np.float32], candidates: npt.NDArray[np.float32]
) -> dict[str, float]:
    """Recall at 1 and 5 by language, and on the mean over languages.

    Args:
        held_out, candidates: unit vectors of the trial's names, float32 [names, dimension].
    """
    nearest = nearest_concepts(held_out, candidates, trial.candidates.concepts, max(AT))
    right = nearest == trial.held_out.concepts[:, None]
    languages = trial.held_out.languages.astype(str)
    scores = {}
    for at in AT:
        found = right[:, :at].any(1)
        of = {lang: float(found[languages == lang].mean()) for lang in np.unique(languages)}
        scores[f"held_out_recall_at_{at}"] = float(np.mean(list(of.values())))
        scores |= {f"held_out_{lang}_recall_at_{at}": recall for lang, recall in of.items()}
    return scores


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
