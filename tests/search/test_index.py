"""The index itself: every kind, filters, equal answers in every batch, memory, bad files."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.errors import BioelxError, FileError, InstallationError
from bioelx.search.index import INDEX_FILE, Float32, NameIndex, Neighbours
from bioelx.settings import IndexSettings

KINDS = ["Flat", "SQfp16", "SQ8", "HNSW32,SQ8", "IVF16,SQ8"]
ON_CPU = IndexSettings(device="cpu", nprobe=8)


def unit_vectors(count: int, seed: int = 0) -> Float32:
    """Clustered, as names of concepts are, in 32 dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 20), 32))
    vectors = centres[rng.integers(len(centres), size=count)] + 0.4 * rng.normal(size=(count, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


VECTORS = unit_vectors(3000)
QUERIES = unit_vectors(50, seed=1)


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NameIndex:
    """Each kind of index, written and opened again."""
    folder = tmp_path_factory.mktemp("index")
    built = NameIndex.build(VECTORS, factory=request.param, settings=ON_CPU)
    built.save(folder)
    return NameIndex.open(folder, request.param, built.parameters, settings=ON_CPU)


def exact(allowed: np.ndarray | None = None) -> np.ndarray:
    cosines = QUERIES @ VECTORS.T
    if allowed is not None:
        cosines[:, ~allowed] = -np.inf
    return np.argsort(-cosines, axis=1)[:, :10]


def shared(found: Neighbours, expected: np.ndarray) -> float:
    pairs = zip(found.texts.tolist(), expected.tolist(), strict=True)
    return float(np.mean([len(set(f) & set(e)) / len(e) for f, e in pairs]))


def test_it_finds_the_nearest(index: NameIndex) -> None:
    assert (index.text_count, index.dimension, index.device) == (3000, 32, "cpu")
    found = index.search(QUERIES, 10)
    assert shared(found, exact()) >= (0.8 if index.factory.startswith("IVF") else 0.95)
    assert np.all(np.diff(found.scores, axis=1) <= 0)
    assert np.allclose(index.vectors(), VECTORS, atol=0.02)


@pytest.mark.parametrize("share", [0.5, 0.01, 0.002])
def test_few_allowed_are_found_as_surely_as_many(index: NameIndex, share: float) -> None:
    allowed = np.random.default_rng(2).random(3000) < share
    found = index.search(QUERIES, 10, allowed)
    assert allowed[found.texts[found.texts >= 0]].all()
    expected = exact(allowed)
    wanted = min(10, int(allowed.sum()))
    assert ((found.texts >= 0).sum(axis=1) == wanted).all()
    assert shared(found._replace(texts=found.texts[:, :wanted]), expected[:, :wanted]) > 0.95


def test_where_many_are_allowed_hnsw_is_widened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bioelx.search.index._SCANNED_UP_TO", 0)
    narrow = IndexSettings(device="cpu", ef_search=16)
    index = NameIndex.build(VECTORS, factory="HNSW32,SQ8", settings=narrow)
    allowed = np.random.default_rng(2).random(3000) < 0.1
    assert shared(index.search(QUERIES, 10, allowed), exact(allowed)) > 0.9


def test_nothing_is_found_where_nothing_is_allowed(index: NameIndex) -> None:
    found = index.search(QUERIES, 10, np.zeros(3000, bool))
    assert (found.texts == -1).all()


@settings(max_examples=8)
@given(cuts=st.sets(st.integers(1, 49), max_size=6), k=st.sampled_from([1, 7, 64]))
def test_a_batch_changes_nothing(index: NameIndex, cuts: set[int], k: int) -> None:
    whole = index.search(QUERIES, k)
    parts = [index.search(part, k) for part in np.split(QUERIES, sorted(cuts))]
    assert np.array_equal(np.concatenate([part.texts for part in parts]), whole.texts)
    assert np.array_equal(np.concatenate([part.scores for part in parts]), whole.scores)


def test_equal_vectors_have_equal_scores_in_the_order_of_their_ids() -> None:
    vectors = VECTORS.copy()
    same = [5, 700, 1500, 2999]
    vectors[same] = vectors[5]
    index = NameIndex.build(vectors, factory="Flat", settings=ON_CPU)
    for batch in (1, 3, 50):
        found = index.search(np.repeat(vectors[5:6], batch, axis=0), 4)
        assert (found.texts == same).all()
        assert (found.scores == found.scores[0, 0]).all()


def test_a_search_has_its_number_of_threads_whoever_opened_the_index(tmp_path: Path) -> None:
    NameIndex.build(VECTORS, factory="Flat", settings=ON_CPU).save(tmp_path)
    with ThreadPoolExecutor(1) as loader, ThreadPoolExecutor(1) as searcher:
        opening = loader.submit(NameIndex.open, tmp_path, "Flat", threads=7, settings=ON_CPU)
        assert searcher.submit(faiss.omp_get_max_threads).result() != 7
        searcher.submit(opening.result().search, QUERIES, 10).result()
        assert searcher.submit(faiss.omp_get_max_threads).result() == 7


def test_parameters_come_from_the_release_else_from_the_settings(tmp_path: Path) -> None:
    wanted = IndexSettings(device="cpu", ef_construction=40, ef_search=50)
    built = NameIndex.build(VECTORS, factory="HNSW32,SQ8", settings=wanted)
    assert built.parameters == {"efConstruction": 40, "efSearch": 50}
    built.save(tmp_path)
    opened = NameIndex.open(tmp_path, "HNSW32,SQ8", {"efSearch": 60}, settings=wanted)
    assert opened.parameters == {"efConstruction": 40, "efSearch": 60}
    of_old_release = NameIndex.open(tmp_path, "HNSW32,SQ8", settings=wanted)
    assert of_old_release.parameters == {"efConstruction": 40, "efSearch": 50}


@pytest.mark.parametrize(
    ("factory", "count"), [("HNWS32", 3000), ("IVF4096,SQ8", 100)], ids=["unknown", "too few"]
)
def test_a_factory_that_faiss_refuses_is_named(factory: str, count: int) -> None:
    with pytest.raises(BioelxError, match=f"BIOELX_INDEX_FACTORY={factory}"):
        NameIndex.build(VECTORS[:count], settings=IndexSettings(device="cpu", factory=factory))


def test_no_gpu_where_one_is_asked_for(tmp_path: Path) -> None:
    import faiss

    if faiss.get_num_gpus():
        pytest.skip("there is one")
    NameIndex.build(VECTORS, factory="Flat", settings=ON_CPU).save(tmp_path)
    with pytest.raises(InstallationError, match="FAISS sees no GPU"):
        NameIndex.open(tmp_path, "Flat", settings=IndexSettings(device="gpu"))


@pytest.mark.parametrize("factory", KINDS)
def test_a_damaged_index_is_named(tmp_path: Path, factory: str) -> None:
    with pytest.raises(FileError, match=r"index\.faiss: no such file"):
        NameIndex.open(tmp_path, factory)
    NameIndex.build(VECTORS, factory=factory, settings=ON_CPU).save(tmp_path)
    whole = (tmp_path / INDEX_FILE).read_bytes()
    # A release's checksum tells the last byte too; a mapped IVF index may not miss it.
    for kept in (0, 5, 100, len(whole) // 2, len(whole) - 100):
        (tmp_path / INDEX_FILE).unlink()
        (tmp_path / INDEX_FILE).write_bytes(whole[:kept])
        with pytest.raises(FileError, match=r"index\.faiss: not a whole FAISS index"):
            NameIndex.open(tmp_path, factory)


def _private_bytes(folder: Path, factory: str) -> int:
    """What a process that searches an index holds of it for itself."""
    before = _anonymous()
    index = NameIndex.open(folder, factory, threads=1, settings=ON_CPU)
    index.search(unit_vectors(5), 10)
    return _anonymous() - before


def _anonymous() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


@pytest.mark.parametrize("factory", ["Flat", "HNSW32,SQ8"])
def test_processes_share_the_index(tmp_path: Path, factory: str) -> None:
    quickly = IndexSettings(device="cpu", ef_construction=4)
    NameIndex.build(unit_vectors(40_000), factory=factory, settings=quickly).save(tmp_path)
    size = (tmp_path / INDEX_FILE).stat().st_size
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        private = pool.apply(_private_bytes, (tmp_path, factory))
    assert private < size / 2
