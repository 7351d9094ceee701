"""The FAISS index over the texts of a knowledge base: built, stored, searched.

A vector's position in the index is its text id. Scores are inner products of unit vectors:
cosines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioelx.errors import FileError
from bioelx.search.install import check_faiss

check_faiss()

import faiss  # noqa: E402  (only once it is known to be whole)

# Exact search as a matrix product whatever the batch: five times faster than FAISS's own loops for
# 64 mentions among 93,000 names, and no slower for one.
faiss.cvar.distance_compute_blas_threshold = 1

INDEX_FILE = "index.faiss"
EXACT_FACTORY = "Flat"
EXACT_UP_TO = 250_000
"""Texts up to which every vector is compared: some 10 ms a mention on one core."""
HNSW_FACTORY = "HNSW32,SQ8"
HNSW_EF_CONSTRUCTION = 80
HNSW_EF_SEARCH = 192

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest texts of each query, best first: ids int64 and cosines float32, [queries, k].

    Where fewer than k texts are allowed, the rest are -1.
    """

    texts: npt.NDArray[np.int64]
    scores: Float32


class NameIndex:
    """A FAISS index with what BioELX asks of it."""

    def __init__(self, index: faiss.Index, factory: str) -> None:
        self._index = index
        self.factory = factory
        """FAISS factory string."""

    @classmethod
    def build(cls, vectors: Float32, *, factory: str | None = None) -> NameIndex:
        """Builds an index of unit vectors, float32 [texts, dim].

        Without a `factory` string: exact search while it is affordable, HNSW over 8-bit vectors
        (Malkov and Yashunin 2018) beyond.
        """
        chosen = factory or (EXACT_FACTORY if len(vectors) <= EXACT_UP_TO else HNSW_FACTORY)
        index = faiss.index_factory(vectors.shape[1], chosen, faiss.METRIC_INNER_PRODUCT)
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = HNSW_EF_CONSTRUCTION
        if not index.is_trained:
            index.train(vectors)
        index.add(vectors)
        return cls(index, chosen)

    @classmethod
    def open(cls, folder: Path, factory: str, *, threads: int = 0) -> NameIndex:
        """Reads the index of a release.

        Args:
            threads: for a search, in the whole process; 0 leaves FAISS's own choice, all cores.

        Raises:
            FileError: the file is missing or not a whole FAISS index.
        """
        path = folder / INDEX_FILE
        if not path.is_file():
            raise FileError(path, "no such file")
        if threads:
            faiss.omp_set_num_threads(threads)
        try:
            return cls(faiss.read_index(str(path)), factory)
        except RuntimeError as error:
            raise FileError(path, f"not a whole FAISS index ({error})") from None

    def save(self, folder: Path) -> None:
        faiss.write_index(self._index, str(folder / INDEX_FILE))

    @property
    def text_count(self) -> int:
        return self._index.ntotal

    @property
    def dimension(self) -> int:
        return self._index.d

    def vectors(self) -> Float32:
        """All vectors by text id, float32 [texts, dim], as exactly as the index keeps them."""
        return self._index.reconstruct_n(0, self.text_count)

    def search(
        self, vectors: Float32, k: int, allowed: npt.NDArray[np.bool_] | None = None
    ) -> Neighbours:
        """Finds the k nearest texts of each vector, float32 [queries, dim].

        Args:
            allowed: which texts may be found, bool [texts]; None allows all.
        """
        k = min(k, self.text_count)
        parameters = self._parameters(k, allowed)
        scores, texts = self._index.search(vectors, k, params=parameters)
        return Neighbours(texts, scores)

    def _parameters(
        self, k: int, allowed: npt.NDArray[np.bool_] | None
    ) -> faiss.SearchParameters | None:
        is_hnsw = isinstance(self._index, faiss.IndexHNSW)
        if allowed is None:
            selector = None
        else:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
        if is_hnsw:
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(k, HNSW_EF_SEARCH))
        return faiss.SearchParameters(sel=selector) if selector else None
