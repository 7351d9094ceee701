"""How much of what exact search finds does an index find?"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bioelx.encoding import Encoder
from bioelx.errors import BioelxError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.search.index import NameIndex
from bioelx_index.perturb import perturb

QUERIES = 500
_SEED = 20261123
_AT_ONCE = 50  # queries compared with every vector: 4 bytes a pair
_ROUNDING = 1e-6

Float32 = npt.NDArray[np.float32]


class HeldOut(NamedTuple):
    """Names held out of the knowledge base, as people write them."""

    texts: npt.NDArray[np.int64]
    """The text ids of the names themselves, which do not count as found."""
    vectors: Float32
    """Of the perturbed names, [queries, dim]."""


class Recall(NamedTuple):
    at_10: float
    at_50: float


def held_out(knowledge_base: KnowledgeBase, encoder: Encoder, queries: int = QUERIES) -> HeldOut:
    """Real names with a typing error, in another order, inflected, or without their diacritics.

    A language has a share by the square root of its names: English is not alone, and inflection is
    heard. The sample is the same every time.
    """
    rng = np.random.default_rng(_SEED)
    count = knowledge_base.name_count
    languages = [name.lang for name in knowledge_base.names(range(count))]
    names = Counter(languages)
    weights = np.array([names[lang] ** -0.5 for lang in languages])
    rows = rng.choice(count, min(queries, count), replace=False, p=weights / weights.sum())
    sample = knowledge_base.names(rows.tolist())
    mentions = [normalise(perturb(name.text, name.lang, rng)) for name in sample]
    texts = knowledge_base.name_text[rows].astype(np.int64)
    return HeldOut(texts, encoder.encode(mentions))


def measure_recall(index: NameIndex, vectors: Float32, queries: HeldOut) -> Recall:
    """Mean share of the k nearest names of exact search that the index finds among its k.

    A query's own name counts on neither side. Names of equal cosine are equally right.

    Args:
        vectors: of the knowledge base's texts, float32 [texts, dim].
    """
    most = min(50, len(vectors) - 1)
    if most < 1:
        return Recall(1.0, 1.0)
    shares: dict[int, list[float]] = {min(k, most): [] for k in (10, most)}
    for start in range(0, len(queries.texts), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        cosines = queries.vectors[part] @ vectors.T
        found = index.search(queries.vectors[part], most + 1).texts
        for row, own in enumerate(queries.texts[part]):
            cosines[row, own] = -np.inf
            others = found[row][(found[row] != own) & (found[row] >= 0)]
            best = -np.sort(-np.partition(cosines[row], -most)[-most:])
            for k, of_k in shares.items():
                right = cosines[row, others[:k]] >= best[k - 1] - _ROUNDING
                of_k.append(float(right.sum()) / k)
    return Recall(*(float(np.mean(shares[min(k, most)])) for k in (10, most)))


def check_recall(recall: Recall, index: NameIndex, minimum: float) -> None:
    """Refuses an index that finds too little.

    Raises:
        BioelxError: recall is below the minimum; saying what to change.
    """
    for k, value in ((10, recall.at_10), (50, recall.at_50)):
        if value < minimum:
            parameters = ", ".join(f"{name} {number}" for name, number in index.parameters.items())
            raise BioelxError(
                f"the index ({index.factory}{', ' if parameters else ''}{parameters}) finds "
                f"{value:.3f} of the {k} nearest names, and BIOELX_INDEX_MIN_RECALL is "
                f"{minimum:g}: raise {_remedy(index)}, take another BIOELX_INDEX_FACTORY, or "
                "compare every name (BIOELX_INDEX_FACTORY=Flat)"
            )


def _remedy(index: NameIndex) -> str:
    if index.factory.startswith("HNSW"):
        return "BIOELX_INDEX_EF_SEARCH or BIOELX_INDEX_EF_CONSTRUCTION"
    return "BIOELX_INDEX_NPROBE" if index.factory.startswith("IVF") else "the bits a number"
