"""Retrieval: the names nearest to a mention, and equal to it, pooled to concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bioelx.kb import KnowledgeBase
from bioelx.search.index import Float32, NameIndex
from bioelx.types import TYPES

_NAMES_PER_CONCEPT = 4  # first guess of how many texts to fetch to find one concept
_MAX_NAMES = 2048  # as many as a FAISS index on a GPU can return


@dataclass(frozen=True, slots=True)
class Hit:
    """A concept found for a mention, with the name that found it."""

    concept_row: int
    name_row: int
    score: float  # cosine of mention and name; 1 for an exact match
    exact: bool  # mention and name are equal after normalisation


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
        found: list[list[Hit]] = [[] for _ in keys]
        pending = list(range(len(keys)))
        reachable = len(self._kb.texts) if allowed is None else int(allowed.sum())
        names = min(max(16, top_k * _NAMES_PER_CONCEPT), _MAX_NAMES)
        while pending:
            neighbours = self._index.search(vectors[pending], names, allowed)
            for row, query in enumerate(pending):
                texts, scores = neighbours.texts[row].tolist(), neighbours.scores[row].tolist()
                scored = {t: s for t, s in zip(texts, scores, strict=True) if t >= 0}
                exact = self._kb.text_id(keys[query])
                found[query] = pool(self._kb, scored, exact, languages[query], types)
            pending = [query for query in pending if len(found[query]) < top_k]
            if names >= min(reachable, _MAX_NAMES):
                break
            names = min(names * 4, _MAX_NAMES)
        return [hits[:top_k] for hits in found]


def pool(
    kb: KnowledgeBase,
    scored: Mapping[int, float],
    exact: int | None,
    language: str,
    types: tuple[str, ...] = (),
) -> list[Hit]:
    """Pools texts to the concepts that they name, best first (see `Retriever.retrieve`).

    Args:
        scored: the cosine of the mention with each text found.
        exact: the text equal to the mention, found or not; it scores 1.
    """
    if exact is not None:
        scored = {**scored, exact: 1.0}
    wanted = sum(1 << TYPES.index(t) for t in types)
    best: dict[int, tuple[tuple[bool, float, bool, int], Hit]] = {}
    for text, score in scored.items():
        for name_row in kb.name_rows(text):
            concept_row = int(kb.name_concept[name_row])
            if types and not kb.concept_types[concept_row] & wanted:
                continue
            # Exactness before the score: texts of unknown characters share one vector.
            order = (text != exact, -score, *kb.preference(name_row, language))
            if concept_row not in best or order < best[concept_row][0]:
                hit = Hit(concept_row, name_row, min(score, 1.0), text == exact)
                best[concept_row] = (order, hit)
    names = kb.names_per_concept
    ranked = sorted(best.items(), key=lambda item: (item[1][0], -names[item[0]], item[0]))
    return [hit for _, (_, hit) in ranked]
