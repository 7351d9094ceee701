"""The index on a GPU.

What takes no GPU is tested everywhere. `pytest -m gpu tests/search/test_gpu.py` runs the rest on a
GPU host with faiss-gpu; elsewhere it is skipped.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.search import gpu
from bioelx.search.index import NameIndex
from bioelx.settings import IndexSettings

from .test_index import ON_CPU, QUERIES, VECTORS, exact, shared, unit_vectors

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not faiss.get_num_gpus(), reason="needs faiss-gpu and a GPU"),
]


def has_faiss_gpu() -> bool:
    try:
        return bool(version("faiss-gpu"))
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def on_cpu() -> NameIndex:
    return NameIndex.build(VECTORS, factory="Flat", settings=ON_CPU)


class Unfiltered:
    """A real FAISS index that, as on a GPU, knows no filter and no k past 2,048; it counts."""

    def __init__(self) -> None:
        self.index = faiss.IndexFlatIP(VECTORS.shape[1])
        self.index.add(VECTORS)
        self.searched = 0

    def search(self, vectors: np.ndarray, k: int) -> gpu.Found:
        assert 0 < k <= gpu.MOST
        self.searched += 1
        return self.index.search(vectors, k)


@settings(max_examples=30)
@given(
    share=st.sampled_from([0, 0.001, 0.01, 0.1, 0.5, 1]),
    k=st.sampled_from([1, 10, 500, 2048, 2500]),
    seed=st.integers(0, 9),
    clustered=st.booleans(),
)
def test_a_search_without_filters_serves_one_with_them(
    on_cpu: NameIndex, share: float, k: int, seed: int, clustered: bool
) -> None:
    rng = np.random.default_rng(seed)
    # The allowed ones lie evenly, or all far from half of the queries.
    chance = VECTORS @ QUERIES[0] if clustered else rng.random(len(VECTORS))
    allowed = np.zeros(len(VECTORS), bool)
    allowed[np.argsort(chance)[: int(share * len(VECTORS))]] = True
    scores, texts = gpu.search_allowed(
        Unfiltered().search, QUERIES, k, allowed, otherwise=on_cpu._search_on_cpu
    )
    expected = on_cpu.search(QUERIES, k, allowed)
    assert np.array_equal(np.sort(texts, axis=1), np.sort(expected.texts, axis=1))
    assert np.allclose(scores[texts >= 0], expected.scores[expected.texts >= 0], atol=1e-5)


def test_the_cpu_is_asked_only_where_2048_are_not_enough(on_cpu: NameIndex) -> None:
    asked: list[int] = []

    def otherwise(vectors: np.ndarray, k: int, allowed: np.ndarray | None) -> gpu.Found:
        asked.append(len(vectors))
        return on_cpu._search_on_cpu(vectors, k, allowed)

    search = Unfiltered()
    every_second = np.arange(len(VECTORS)) % 2 == 0
    gpu.search_allowed(search.search, QUERIES, 10, every_second, otherwise=otherwise)
    assert (asked, search.searched > 0) == ([], True)
    farthest = np.zeros(len(VECTORS), bool)
    farthest[np.argsort(VECTORS @ QUERIES[0])[:900]] = True
    gpu.search_allowed(search.search, QUERIES[:1], 10, farthest, otherwise=otherwise)
    assert asked == [1]
    searched = search.searched
    one = np.arange(len(VECTORS)) == 3  # among 3,000, of which 2,048 need not hold it
    gpu.search_allowed(search.search, QUERIES[:1], 10, one, otherwise=otherwise)
    assert search.searched - searched == 1


@pytest.mark.skipif(
    not has_faiss_gpu() or bool(faiss.get_num_gpus()), reason="needs faiss-gpu without a GPU"
)
def test_faiss_gpu_without_a_gpu_serves_from_the_cpu(tmp_path: Path) -> None:
    assert hasattr(faiss, "GpuIndexFlatIP")
    automatic = IndexSettings()
    NameIndex.build(VECTORS, settings=automatic).save(tmp_path)
    index = NameIndex.open(tmp_path, "Flat", settings=automatic)
    assert (index.device, index.held_as, index.note) == ("cpu", "Flat", "")
    assert shared(index.search(QUERIES, 10), exact()) == 1


def on_gpu(folder: Path, factory: str) -> NameIndex:
    """An index that was built on a CPU, opened on a GPU."""
    NameIndex.build(VECTORS, factory=factory, settings=ON_CPU).save(folder)
    return NameIndex.open(folder, factory, {"nprobe": 16}, settings=IndexSettings(device="gpu"))


@pytest.mark.parametrize(
    "factory", [pytest.param(f, marks=needs_gpu) for f in ("Flat", "SQfp16", "SQ8", "HNSW32,SQ8")]
)
def test_files_of_a_cpu_are_searched_exactly_on_a_gpu(tmp_path: Path, factory: str) -> None:
    index = on_gpu(tmp_path, factory)
    assert (index.device, index.held_as) == ("gpu:0", "Flat, half precision")
    assert index.note
    on_cpu = NameIndex.open(tmp_path, factory, settings=ON_CPU)
    assert shared(index.search(QUERIES, 10), exact()) > 0.95
    for share in (1, 0.5, 0.01, 0.001):
        allowed = np.random.default_rng(3).random(len(VECTORS)) < share
        found, expected = (each.search(QUERIES, 10, allowed) for each in (index, on_cpu))
        assert allowed[found.texts[found.texts >= 0]].all()
        assert np.allclose(found.scores, expected.scores, atol=1e-3)


@pytest.mark.parametrize("factory", [pytest.param("IVF16,SQ8", marks=needs_gpu)])
def test_inverted_lists_of_a_cpu_are_searched_on_a_gpu(tmp_path: Path, factory: str) -> None:
    index = on_gpu(tmp_path, factory)
    assert index.held_as == "IVF"
    assert shared(index.search(QUERIES, 10), exact()) > 0.9


@pytest.mark.parametrize("threads", [pytest.param(8, marks=needs_gpu)])
def test_many_threads_may_search_on_a_gpu(tmp_path: Path, threads: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    index = on_gpu(tmp_path, "Flat")
    expected = index.search(QUERIES, 2048)
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(lambda _: index.search(QUERIES, 2048), range(4 * threads)):
            assert np.array_equal(found.texts, expected.texts)
            assert np.array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("count", [pytest.param(3000, marks=needs_gpu)])
def test_a_build_on_a_gpu_host_is_in_half_precision(count: int) -> None:
    index = NameIndex.build(unit_vectors(count), settings=IndexSettings(device="gpu"))
    assert (index.factory, index.device) == ("SQfp16", "gpu:0")
