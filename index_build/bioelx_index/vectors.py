"""Vectors of names, encoded once: what an encoder made of a normalised text is kept on disk.

A rebuild encodes only what is new. Builds that run at once share the work: each takes what is
missing in an order of its own and looks, before every portion, for what the others have finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioelx.encoding import Encoder
from bioelx_index.vector_store import VectorStore, keys_of

VECTORS = "vectors"
"""The folder, in a cache, of the stores of all encoders."""
_PORTION = 4096  # texts between two writes: what a kill can cost


def encode_names(
    texts: Sequence[str],
    encoder: Encoder,
    cache: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[npt.NDArray[np.float32], int]:
    """Returns vectors of distinct normalised texts and how many of them had to be encoded.

    Args:
        cache: folder of all stores; each encoder has its own in it.
        advance: is called with the number of texts done since the last call.

    Returns:
        float32 [texts, dimension], rows of unit norm to fp16 precision.
    """
    keys = keys_of(texts)
    vectors = np.empty((len(texts), encoder.card.dimension), np.float32)
    encoded = 0
    with VectorStore(cache / encoder.card.fingerprint, encoder.card.dimension) as store:
        missing = store.fill(keys, vectors, np.arange(len(texts)))
        advance(len(texts) - len(missing))
        for portion in _portions(missing, texts):
            store.refresh()
            mine = store.fill(keys, vectors, portion)
            if len(mine):
                # As stored: the first build has the same vectors as those that find them here.
                exact = encoder.encode([texts[place] for place in mine]).astype(np.float16)
                store.append(keys[mine], exact)
                vectors[mine] = exact
                encoded += len(mine)
            advance(len(portion))
    return vectors, encoded


def _portions(places: npt.NDArray[np.int64], texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """Texts of like length together, since batches are then nearly free of padding; the portions
    in random order, so that two builds seldom are at the same one.

    A portion is stored whole or not at all, so what a killed build left undone falls into the same
    portions again: a vector may depend on its batch in the last bit, and thus does not.
    """
    lengths = np.array([len(texts[place]) for place in places], np.int64)
    in_order = places[np.argsort(lengths, kind="stable")]
    starts = np.random.default_rng().permutation(range(0, len(places), _PORTION))
    return [in_order[start : start + _PORTION] for start in starts]
