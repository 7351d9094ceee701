"""Retrieval: the names nearest to a mention, and equal to it, pooled to concepts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bioelx.kb import KnowledgeBase
from bioelx.search.index import Float32, NameIndex
from bioelx.types import type_mask

Int64 = npt.NDArray[np.int64]

NEAREST = 32
"""The names nearest to a mention among which those of a concept are counted."""
_NAMES_PER_CONCEPT = 4  # first guess of how many texts to fetch to find one concept
_MAX_NAMES = 2048  # as many as a FAISS index on a GPU can return


class Hit(NamedTuple):
    """A concept found for a mention, with the name that found it."""

    concept_row: int
    name_row: int
    score: float  # cosine of mention and name; 1 for an exact match
    exact: bool  # mention and name are equal after normalisation
    agreeing: int  # how many of the mention's nearest names are the concept's


class Retriever:
    """Finds concepts for mentions in one knowledge base with its index."""

    def __init__(self, knowledge_base: KnowledgeBase, index: NameIndex) -> None:
        self._kb = knowledge_base
        self._index = index
        self._allowed = lru_cache(maxsize=32)(knowledge_base.texts_of_types)

    def retrieve(
        self,
        keys: Sequence[str],
        vectors: Float32,
        languages: Sequence[str],
        *,
        top_k: int,
        types: tuple[str, ...] = (),
    ) -> list[list[Hit]]:
        """Returns for each mention its best `top_k` concepts, best first.

        A concept's score is that of its best name. A concept that has the mention itself for a
        name is always among them, unless more than `top_k` have it. Ties are broken by the
        mention's language, the kind of name, the number of names (what many sources name is what
        people mean more often), and the concept id.

        Args:
            keys: normalised mentions.
            vectors: theirs, float32 [mentions, dim].
            languages: theirs, or "" where unknown.
            types: concept types wanted; empty means all.
        """
        allowed = self._allowed(types) if types else None
        exact = [self._kb.text_id(key) for key in keys]
        found: list[list[Hit]] = [[] for _ in keys]
        pending = list(range(len(keys)))
        reachable = len(self._kb.texts) if allowed is None else int(allowed.sum())
        names = min(max(NEAREST, top_k * _NAMES_PER_CONCEPT), _MAX_NAMES)
        while pending:
            neighbours = self._index.search(vectors[pending], names, allowed)
            for query, texts, scores in zip(
                pending, neighbours.texts, neighbours.scores, strict=True
            ):
                found[query] = pool(
                    self._kb,
                    texts,
                    scores,
                    exact[query],
                    languages[query],
                    top_k=top_k,
                    types=types,
                )
            pending = [query for query in pending if len(found[query]) < top_k]
            if names >= min(reachable, _MAX_NAMES):
                break
            names = min(names * 4, _MAX_NAMES)
        return found


def pool(
    kb: KnowledgeBase,
    texts: Int64,
    scores: Float32,
    exact: int | None,
    language: str,
    *,
    top_k: int,
    types: tuple[str, ...] = (),
) -> list[Hit]:
    """Pools texts to the best concepts that they name (see `Retriever.retrieve`).

    Args:
        texts: those found for one mention, best first, int64 [n]; -1 stands for none.
        scores: the cosine of the mention with each, float32 [n].
        exact: the text equal to the mention, found or not; it scores 1.
    """
    held = texts >= 0
    if exact is not None:
        held &= texts != exact
        texts, scores = np.append(exact, texts[held]), np.append(np.float32(1), scores[held])
    else:
        texts, scores = texts[held], scores[held]
    name_rows, of_text = kb.rows_of_texts(texts)
    concept_rows = kb.name_concept[name_rows]
    if types:
        wanted = type_mask(types)
        of_type = (kb.concept_types[concept_rows] & wanted) != 0
        name_rows, of_text = name_rows[of_type], of_text[of_type]
        concept_rows = concept_rows[of_type]
    foreign, kind = kb.preference(name_rows, language)
    # Exactness before the score: texts of unknown characters share one vector.
    inexact = texts[of_text] != (-1 if exact is None else exact)
    score = scores[of_text]
    known = kb.names_per_concept[concept_rows]
    # Rows last: of a concept's equal names the first, in whatever order the index found them.
    order = np.lexsort((name_rows, concept_rows, -known, kind, foreign, -score, inexact))
    # A concept's best name comes first, and so do the concepts by their best names.
    _, first = np.unique(concept_rows[order], return_index=True)
    best = order[np.sort(first)[:top_k]]
    # A text may name a concept in several languages: it agrees once.
    near = of_text < NEAREST
    agreeing = np.unique(concept_rows[near] * NEAREST + of_text[near]) // NEAREST
    from_, to = (np.searchsorted(agreeing, concept_rows[best], side) for side in ("left", "right"))
    return list(
        map(
            Hit,
            concept_rows[best].tolist(),
            name_rows[best].tolist(),
            np.minimum(score[best], 1).tolist(),
            (~inexact[best]).tolist(),
            (to - from_).tolist(),
        )
    )
