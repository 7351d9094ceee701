"""Which names a release ships for a server to ask it before callers do."""

from __future__ import annotations

from collections.abc import Iterator

from bioelx.encoding import Encoder
from bioelx.kb import KnowledgeBase, normalise
from bioelx.release.canaries import Canary
from bioelx.search.index import NameIndex
from bioelx.search.retriever import Retriever

CANARIES = 50
CLEAR = 0.02
"""By so much a misspelt canary is nearer to its concept than to any other: another processor's
rounding (int8: 1e-3) does not change what it finds."""


def choose_canaries(
    knowledge_base: KnowledgeBase, index: NameIndex, encoder: Encoder
) -> Iterator[Canary]:
    """Names with their concept, evenly spread over the texts that name one concept only.

    A name as it stands is found by exact look-up, whatever its vector. Every other one is therefore
    misspelt, where this release clearly finds the concept all the same: it shows that encoder and
    index do their part.
    """
    retriever = Retriever(knowledge_base, index)
    count = len(knowledge_base.texts)
    for number, text in enumerate(range(0, count, max(1, count // CANARIES))):
        rows = knowledge_base.name_rows(text)
        concepts = {int(knowledge_base.name_concept[row]) for row in rows}
        if len(concepts) > 1:
            continue
        [concept] = concepts
        name = knowledge_base.name(rows[0])
        asked = name.text
        if number % 2:
            middle = len(asked) // 2
            misspelt = asked[:middle] + asked[middle + 1 :]
            if _is_clear(misspelt, name.lang, concept, retriever, knowledge_base, encoder):
                asked = misspelt
        yield Canary(asked, name.lang, knowledge_base.concept_id(concept))


def _is_clear(
    misspelt: str,
    language: str,
    concept: int,
    retriever: Retriever,
    knowledge_base: KnowledgeBase,
    encoder: Encoder,
) -> bool:
    """Whether a misspelt name, which is no name itself, finds the concept row by its vector."""
    key = normalise(misspelt)
    if not key or knowledge_base.text_id(key) is not None:
        return False
    [hits] = retriever.retrieve([key], encoder.encode([key]), [language], top_k=2)
    others = (hit.score for hit in hits[1:])
    return hits[0].concept_row == concept and hits[0].score - max(others, default=0.0) > CLEAR
