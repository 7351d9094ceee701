"""The index on a GPU: FAISS, exact in half precision, or the inverted lists of an IVF file.

Written from FAISS's documentation and source; nothing here has been run on a GPU yet. What needs
none, the choice of an index and `search_allowed`, is tested with faiss-gpu and without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Found = tuple[Float32, Int64]  # scores and ids, [queries, k], best first

MOST = 2048
"""As many neighbours as FAISS finds on a GPU."""
UNTRIED = "BioELX's index on a GPU has not been run on one by its authors"
_BLOCK = 65_536  # vectors copied to the GPU at a time
_DEVICE = 0


class GpuIndex:
    """A copy of an index on the first GPU, owned by one thread.

    FAISS's indexes on a GPU are not safe to call from two threads, even to search.
    """

    def __init__(self, index: faiss.Index, *, nprobe: int | None) -> None:
        """Copies an index: lists of an IVF index as they are; of all others, HNSW too, the vectors,
        which are then compared one and all.

        Args:
            nprobe: of an IVF index.
        """
        self._owner = ThreadPoolExecutor(1, "gpu-index")
        self._resources, self._index = self._owner.submit(_copied, index, nprobe).result()
        self.device = f"gpu:{_DEVICE}"
        self.held_as = "IVF" if isinstance(index, faiss.IndexIVF) else "Flat, half precision"

    def search(self, vectors: Float32, k: int) -> Found:
        """The k nearest, at most `MOST`, of each vector, float32 [queries, dim]."""
        return self._owner.submit(self._index.search, vectors, k).result()


def _copied(
    index: faiss.Index, nprobe: int | None
) -> tuple[faiss.StandardGpuResources, faiss.Index]:
    """The resources of the GPU, which must outlive the index, and the index."""
    resources = faiss.StandardGpuResources()
    if isinstance(index, faiss.IndexIVF):
        options = faiss.GpuClonerOptions()
        options.useFloat16CoarseQuantizer = True
        lists = faiss.index_cpu_to_gpu(resources, _DEVICE, index, options)
        lists.nprobe = nprobe or lists.nprobe
        return resources, lists
    config = faiss.GpuIndexFlatConfig()
    config.device = _DEVICE
    config.useFloat16 = True
    flat = faiss.GpuIndexFlatIP(resources, index.d, config)
    for start in range(0, index.ntotal, _BLOCK):
        flat.add(index.reconstruct_n(start, min(_BLOCK, index.ntotal - start)))
    return resources, flat


def search_allowed(
    search: Callable[[Float32, int], Found],
    vectors: Float32,
    k: int,
    allowed: Bools | None,
    *,
    otherwise: Callable[[Float32, int, Bools | None], tuple[Int64, Float32]],
) -> Found:
    """The k nearest allowed texts of each vector, by a search that knows no filter.

    FAISS's flat index on a GPU takes a selector and ignores it. So more than k are fetched, and
    more again until k of them are allowed; the vectors for which `MOST` are not enough are searched
    otherwise.

    Args:
        vectors: float32 [queries, dim].
        allowed: bool [texts]; None allows all.
        otherwise: a search that knows filters; returns ids and scores.

    Returns:
        scores and text ids, [queries, k]; -1 where fewer than k are allowed.
    """
    if k > MOST:
        texts, scores = otherwise(vectors, k, allowed)
        return scores, texts
    if allowed is None:
        return search(vectors, k)
    texts = np.full((len(vectors), k), -1, np.int64)
    scores = np.full((len(vectors), k), -np.inf, np.float32)
    count = int(allowed.sum())
    wanted = min(k, count)
    if not wanted:
        return scores, texts
    pending = np.arange(len(vectors))
    for fetched in _widths(wanted, len(allowed), count):
        found_scores, found_texts = search(vectors[pending], fetched)
        fits = (found_texts >= 0) & allowed[found_texts]
        enough = np.flatnonzero(fits.sum(axis=1) >= wanted)
        for row in enough:
            best = np.flatnonzero(fits[row])[:wanted]
            texts[pending[row], :wanted] = found_texts[row, best]
            scores[pending[row], :wanted] = found_scores[row, best]
        pending = np.delete(pending, enough)
        if not len(pending):
            break
    if len(pending):
        texts[pending], scores[pending] = otherwise(vectors[pending], k, allowed)
    return scores, texts


def _widths(wanted: int, texts: int, allowed: int) -> Iterator[int]:
    """How many to fetch, ever more, to find so many allowed ones; nothing where it is hopeless.

    First as many as hold them if the allowed ones lie evenly, and half as many again.
    """
    fetched = 3 * wanted * texts // (2 * allowed)
    most = min(MOST, texts)
    while fetched < most:
        yield fetched
        fetched *= 4
    if fetched < 4 * MOST:
        yield most
