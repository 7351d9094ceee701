"""What an index finds of what exact search finds, and the builds that are refused for it."""

from pathlib import Path

import numpy as np
import pytest

from bioelx.errors import BioelxError
from bioelx.linker import Linker
from bioelx.search.index import NameIndex
from bioelx.settings import IndexSettings
from bioelx_index.recall import (
    HeldOut,
    check_recall,
    exact_cosines,
    held_out,
    measure_recall,
)

CPU = IndexSettings(device="cpu", ef_search=10, nprobe=1)


def test_queries_are_names_as_people_write_them(tiny_linker: Linker) -> None:
    kb, encoder = tiny_linker.knowledge_base, tiny_linker.encoder
    queries = held_out(kb, encoder, 60)
    assert queries.vectors.shape == (60, encoder.card.dimension)
    own = tiny_linker.index.vectors()[queries.texts]
    cosines = (own * queries.vectors).sum(axis=1)
    assert 0.8 < np.median(cosines) < 0.9999
    languages = {kb.name(kb.name_rows(int(text))[0]).lang for text in queries.texts}
    assert len(languages) > 10
    again = held_out(kb, encoder, 60)
    assert np.array_equal(again.texts, queries.texts)
    assert np.array_equal(again.vectors, queries.vectors)


def recall_by_hand(index: NameIndex, vectors: np.ndarray, queries: HeldOut, k: int) -> float:
    shares = []
    for own, query in zip(queries.texts, queries.vectors, strict=True):
        exact = [t for t in np.argsort(-(vectors @ query)) if t != own][:k]
        [found] = index.search(query[None], k + 1).texts
        shares.append(len(set(exact) & set([t for t in found if t != own][:k])) / k)
    return float(np.mean(shares))


@pytest.mark.parametrize("factory", ["Flat", "HNSW4,SQ8", "IVF16,SQ8"])
def test_recall_is_that_of_the_others_nearest_names(factory: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    own = rng.choice(600, 40, replace=False)
    noisy = vectors[own] + 0.05 * rng.normal(size=(40, 24)).astype(np.float32)
    queries = HeldOut(own, noisy / np.linalg.norm(noisy, axis=1, keepdims=True))
    index = NameIndex.build(vectors, factory=factory, settings=CPU)
    recall = measure_recall(index, vectors, queries, exact_cosines(vectors, queries))
    # One more is fetched for each of the two, so that at 10 the index sees 51.
    assert recall.at_50 == pytest.approx(recall_by_hand(index, vectors, queries, 50), abs=0.01)
    if factory == "Flat":
        assert recall == (1, 1)
    elif factory.startswith("IVF"):
        assert recall.at_10 < 0.9
        with pytest.raises(BioelxError, match=r"\(IVF16,SQ8, nprobe 1\) finds.*INDEX_NPROBE"):
            check_recall(recall, index, 0.9)
    else:
        with pytest.raises(BioelxError, match=r"efSearch 10\) finds.*BIOELX_INDEX_EF_SEARCH"):
            check_recall(recall._replace(at_50=0.2), index, 0.3)


def test_equal_names_are_equally_right() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0] * 30 + [1] * 30 + [2] * 60]
    queries = HeldOut(np.array([0, 30]), np.eye(3, dtype=np.float32)[:2])
    index = NameIndex.build(vectors, factory="HNSW32,SQ8", settings=CPU)
    recall = measure_recall(index, vectors, queries, exact_cosines(vectors, queries))
    assert recall.at_10 == 1


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_handful_of_names(count: int) -> None:
    vectors = np.eye(8, dtype=np.float32)[:count]
    queries = HeldOut(np.arange(count), vectors)
    index = NameIndex.build(vectors, factory="Flat", settings=CPU)
    assert measure_recall(index, vectors, queries, exact_cosines(vectors, queries)) == (1, 1)


def test_a_build_that_finds_too_little_is_refused(
    small_snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    from bioelx_index.build import build
    from bioelx_index.places import Places
    from bioelx_index.progress import Stages
    from bioelx_index.settings import BuildSettings

    monkeypatch.setenv("BIOELX_INDEX_FACTORY", "IVF8,SQ4")
    monkeypatch.setenv("BIOELX_INDEX_NPROBE", "1")
    settings, places = BuildSettings(data=small_snapshot), Places(tmp_path)
    stages = Stages(Console(quiet=True))
    with pytest.raises(BioelxError, match=r"IVF8,SQ4, nprobe 1.*BIOELX_INDEX_MIN_RECALL is 0\.95"):
        build(settings, places, stages)
    # No release, no draft, nothing active: only the lock that builds take turns by.
    assert [path.name for path in places.releases.iterdir()] == [".lock"]
    monkeypatch.setenv("BIOELX_INDEX_MIN_RECALL", "0.01")
    settings = BuildSettings(data=small_snapshot)
    stamp = build(settings, places, stages).manifest.index
    assert (stamp.factory, stamp.parameters, stamp.device) == ("IVF8,SQ4", {"nprobe": 1}, "cpu")
    assert 0.01 < stamp.recall_at_10 < 0.95
    assert stamp.recall_at_50 is not None
