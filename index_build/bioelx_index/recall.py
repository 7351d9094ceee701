"""How much of what exact search finds does an index find?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioelx.encoding import Encoder
from bioelx.kb import KnowledgeBase
from bioelx.search.index import NameIndex

_QUERIES = 500
_SEED = 20261123


def recall_at(
    k: int,
    index: NameIndex,
    vectors: npt.NDArray[np.float32],
    knowledge_base: KnowledgeBase,
    encoder: Encoder,
) -> float:
    """Mean share of the k nearest texts of exact search that the index returns among its k.

    The queries are real names with a typing error each, so that none is in the index itself.

    Args:
        vectors: of the knowledge base's texts, float32 [texts, dim].
    """
    rng = np.random.default_rng(_SEED)
    sample = rng.choice(len(vectors), min(_QUERIES, len(vectors)), replace=False)
    mentions = [_mistype(knowledge_base.texts[int(text)].as_py(), rng) for text in sample]
    queries = encoder.encode(mentions)
    k = min(k, len(vectors))
    exact = np.argpartition(-(queries @ vectors.T), k - 1, axis=1)[:, :k]
    found = index.search(queries, k).texts
    shared = [len(set(e) & set(f)) for e, f in zip(exact.tolist(), found.tolist(), strict=True)]
    return float(np.mean(shared)) / k


def _mistype(name: str, rng: np.random.Generator) -> str:
    """The name without one of its inner characters."""
    if len(name) < 3:
        return name + name[-1]
    at = int(rng.integers(1, len(name) - 1))
    return name[:at] + name[at + 1 :]
