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
_MOST = 50  # names whose recall is measured
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

    The sample is the same every time.
    """
    rng = np.random.default_rng(_SEED)
    rows = sample_names(knowledge_base, queries, rng)
    sample = knowledge_base.names(rows.tolist())
    mentions = [normalise(perturb(name.text, name.lang, rng)) for name in sample]
    texts = knowledge_base.name_text[rows].astype(np.int64)
    return HeldOut(texts, encoder.encode(mentions))


def sample_names(
    knowledge_base: KnowledgeBase, wanted: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Rows of names at random, or all in random order if there are fewer than `wanted`.

    A language has a share by the square root of its names: English is not alone, and inflection is
    heard.
    """
    count = knowledge_base.name_count
    languages = [name.lang for name in knowledge_base.names(range(count))]
    names = Counter(languages)
    weights = np.array([names[lang] ** -0.5 for lang in languages])
    return rng.choice(count, min(wanted, count), replace=False, p=weights / weights.sum())


def exact_cosines(vectors: Float32, queries: HeldOut) -> Float32:
    """The cosines of each query's nearest names by exact search, best first, [queries, 50].

    Args:
        vectors: of the knowledge base's texts, float32 [texts, dim].
    """
    most = min(_MOST, len(vectors) - 1)
    best = np.empty((len(queries.texts), most), np.float32)
    for start in range(0, len(best), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        cosines = queries.vectors[part] @ vectors.T
        np.put_along_axis(cosines, queries.texts[part, None], -np.inf, axis=1)
        kept = len(vectors) - most
        best[part] = np.partition(cosines, kept, axis=1)[:, kept:] if most else 0
    return -np.sort(-best, axis=1)


def measure_recall(index: NameIndex, vectors: Float32, queries: HeldOut, exact: Float32) -> Recall:
    """Mean share of the k nearest names of exact search that the index finds among its k.

    A query's own name counts on neither side. Names of equal cosine are equally right.

    Args:
        vectors: of the knowledge base's texts, float32 [texts, dim].
        exact: of `exact_cosines`.
    """
    most = exact.shape[1]
    shares: list[tuple[float, float]] = []
    found = index.search(queries.vectors, most + 1).texts
    for query, own, best, texts in zip(queries.vectors, queries.texts, exact, found, strict=True):
        others = texts[(texts != own) & (texts >= 0)][:most]
        cosines = vectors[others] @ query
        at_10, at_50 = (
            float(np.sum(cosines[:k] >= best[:k].min(initial=1) - _ROUNDING)) / k if k else 1.0
            for k in (min(10, most), most)
        )
        shares.append((at_10, at_50))
    return Recall(*np.mean(shares, axis=0).tolist())


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
