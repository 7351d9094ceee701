"""The FAISS index over the texts of a knowledge base: built, stored, searched.

A vector's position in the index is its text id. Scores are inner products of unit vectors:
cosines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bioelx.errors import BioelxError, FileError
from bioelx.search.choice import check_gpu_memory, choose_factory, wants_gpu
from bioelx.search.install import check_faiss
from bioelx.settings import IndexSettings, SearchSettings, read_settings

check_faiss()

import faiss  # noqa: E402  (only once it is known to be whole)

from bioelx.search import gpu  # noqa: E402

# From so many mentions on exact search is a matrix product: with 32, seven times faster a mention
# than FAISS's own loops with one; with fewer the loops are up to three times faster.
faiss.cvar.distance_compute_blas_threshold = 4

INDEX_FILE = "index.faiss"
EF_CONSTRUCTION, EF_SEARCH, NPROBE = "efConstruction", "efSearch", "nprobe"

_SCANNED_UP_TO = 150_000
"""Allowed texts up to which a filtered search compares every one: what HNSW then finds of the ten
nearest is 20 to 80 %, and it costs as much once it is widened to find 95 % (docs/index.md)."""
_FILTERED_WIDENING = 2  # HNSW's efSearch beyond that, times texts per allowed text

Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


class Neighbours(NamedTuple):
    """The nearest texts of each query, best first: ids int64 and cosines float32, [queries, k].

    Where fewer than k texts are allowed, the rest are -1.
    """

    texts: npt.NDArray[np.int64]
    scores: Float32


class NameIndex:
    """A FAISS index with what BioELX asks of it, on a CPU or a GPU.

    The index as it was built stays at hand on a GPU host too, mapped from its file: it scores what
    the GPU finds, and searches where the GPU cannot.
    """

    def __init__(
        self,
        index: faiss.Index,
        factory: str,
        parameters: Mapping[str, int],
        settings: SearchSettings,
        threads: int = 0,
    ) -> None:
        self._index = index
        self._threads = threads
        self.factory = factory
        """FAISS factory string."""
        self.parameters = dict(parameters)
        """Those of this kind of index, under FAISS's own names."""
        if isinstance(index, faiss.IndexIVF):
            index.make_direct_map()  # from a text id to its vector
        self._gpu: gpu.GpuIndex | None = None
        if wants_gpu(settings, faiss.get_num_gpus()):
            if not isinstance(index, faiss.IndexIVF):
                check_gpu_memory(self.text_count, self.dimension, settings)
            self._gpu = gpu.GpuIndex(index, nprobe=self.parameters.get(NPROBE))

    @classmethod
    def build(
        cls, vectors: Float32, *, factory: str = "", settings: IndexSettings | None = None
    ) -> NameIndex:
        """Builds an index of unit vectors, float32 [texts, dim].

        Args:
            factory: FAISS's string, whatever the settings say.
            settings: default: the environment's.

        Raises:
            BioelxError: FAISS knows no such factory string, or too few vectors to train it.
        """
        settings = settings or read_settings(IndexSettings)
        on_gpu = wants_gpu(settings, faiss.get_num_gpus())
        texts, dimension = vectors.shape
        factory = factory or choose_factory(texts, dimension, settings, gpu=on_gpu)
        try:
            index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
            parameters = {}
            if isinstance(index, faiss.IndexHNSW):
                index.hnsw.efConstruction = settings.ef_construction
                parameters = {
                    EF_CONSTRUCTION: settings.ef_construction,
                    EF_SEARCH: settings.ef_search,
                }
            elif isinstance(index, faiss.IndexIVF):
                parameters = {NPROBE: settings.nprobe}
            if not index.is_trained:
                index.train(vectors)
            index.add(vectors)
        except RuntimeError as error:
            raise BioelxError(
                f"BIOELX_INDEX_FACTORY={factory}: FAISS builds no such index of "
                f"{texts:,} vectors ({error})"
            ) from None
        return cls(index, factory, parameters, settings)

    @classmethod
    def open(
        cls,
        folder: Path,
        factory: str,
        parameters: Mapping[str, int] | None = None,
        *,
        threads: int = 0,
        settings: SearchSettings | None = None,
    ) -> NameIndex:
        """Maps the index of a release into memory; processes that open the same file share it.

        Args:
            parameters: as the release's manifest has them; those missing come from the settings.
            threads: for a search; 0 leaves FAISS's own choice, all cores.
            settings: default: the environment's.

        Raises:
            FileError: the file is missing or not a whole FAISS index.
            InstallationError: the settings ask for a GPU and there is none.
            BioelxError: the vectors are too many for the GPU.
        """
        path = folder / INDEX_FILE
        if not path.is_file():
            raise FileError(path, "no such file")
        settings = settings or read_settings(SearchSettings)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise FileError(path, f"not a whole FAISS index ({error})") from None
        own: dict[str, int] = {}
        if isinstance(index, faiss.IndexHNSW):
            own = {EF_CONSTRUCTION: index.hnsw.efConstruction, EF_SEARCH: settings.ef_search}
        elif isinstance(index, faiss.IndexIVF):
            own = {NPROBE: settings.nprobe}
        return cls(index, factory, own | dict(parameters or {}), settings, threads)

    def save(self, folder: Path) -> None:
        faiss.write_index(self._index, str(folder / INDEX_FILE))

    @property
    def text_count(self) -> int:
        return self._index.ntotal

    @property
    def dimension(self) -> int:
        return self._index.d

    @property
    def device(self) -> str:
        """Where it is searched: `cpu` or `gpu:0`."""
        return self._gpu.device if self._gpu else "cpu"

    @property
    def held_as(self) -> str:
        """How the vectors are held where they are searched: a FAISS factory string."""
        return self._gpu.held_as if self._gpu else self.factory

    @property
    def note(self) -> str:
        """What a caller should know before relying on this index; empty where nothing."""
        return gpu.UNTRIED if self._gpu else ""

    def vectors(self) -> Float32:
        """All vectors by text id, float32 [texts, dim], as exactly as the index keeps them."""
        return self._index.reconstruct_n(0, self.text_count)

    def search(self, vectors: Float32, k: int, allowed: Bools | None = None) -> Neighbours:
        """Finds the k nearest texts of each vector, float32 [queries, dim].

        What is found for a vector, and its scores, do not depend on the others.

        Args:
            allowed: which texts may be found, bool [texts]; None allows all.
        """
        if self._threads:  # OpenMP's number is that of the thread which calls, not of the process
            faiss.omp_set_num_threads(self._threads)
        k = min(k, self.text_count)
        if self._gpu is None:
            found = self._search_on_cpu(vectors, k, allowed)
        else:
            scores, texts = gpu.search_allowed(
                self._gpu.search, vectors, k, allowed, otherwise=self._search_on_cpu
            )
            found = Neighbours(texts, scores)
        return self._rescored(vectors, found)

    def _search_on_cpu(self, vectors: Float32, k: int, allowed: Bools | None) -> Neighbours:
        index = self._index
        selector = None
        few = False
        ef, nprobe = self.parameters.get(EF_SEARCH, k), self.parameters.get(NPROBE, 1)
        if allowed is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            count = max(1, int(allowed.sum()))
            few = count <= _SCANNED_UP_TO
            ef = ef * _FILTERED_WIDENING * self.text_count // count
        if isinstance(index, faiss.IndexHNSW) and not few:
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=max(k, ef))
        elif isinstance(index, faiss.IndexIVF):
            lists = index.nlist if few else nprobe
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=lists)
        else:
            parameters = faiss.SearchParameters(sel=selector) if selector else None
            if isinstance(index, faiss.IndexHNSW):
                index = faiss.downcast_index(index.storage)
        scores, texts = index.search(vectors, k, params=parameters)
        return Neighbours(texts, scores)

    def _rescored(self, vectors: Float32, found: Neighbours) -> Neighbours:
        """The same neighbours by the cosines of vectors taken one by one, ties by text id.

        A matrix product rounds by its shape, even equal vectors to unequal scores, and a GPU rounds
        in its own way: then neither ties nor the last digits would be the same in every batch.
        """
        texts, scores = found.texts.copy(), found.scores.copy()
        for row, vector in enumerate(vectors):
            held = np.sort(texts[row][texts[row] >= 0])
            if len(held):
                cosines = (self._index.reconstruct_batch(held) * vector).sum(axis=1)
                order = np.argsort(-cosines, kind="stable")
                texts[row, : len(held)] = held[order]
                scores[row, : len(held)] = cosines[order]
        return Neighbours(texts, scores)
