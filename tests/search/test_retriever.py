"""Retrieval on a real release: exact names, order, types, and the index beneath."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.errors import FileError, InstallationError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.linker import Linker
from bioelx.search import install
from bioelx.search.index import NameIndex
from bioelx.search.retriever import NEAREST, Hit, Retriever, pool
from bioelx.settings import shipped
from bioelx.types import NAME_KINDS, TYPES, Query
from bioelx_index.merge import merge, read
from bioelx_index.sources.config import read_sources
from bioelx_index.sources.registry import READERS


def retrieve(linker: Linker, mention: str, top_k: int = 10, **options: object) -> list[Hit]:
    key = normalise(mention)
    retriever = Retriever(linker.knowledge_base, linker.index)
    vectors = linker.encoder.encode([key])
    [hits] = retriever.retrieve([key], vectors, [""], top_k=top_k, **options)
    return hits


@pytest.fixture(scope="module")
def snapshot_linker(
    make_release: Callable[[pa.Table, pa.Table, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Linker:
    """A release of 3,000 random names, in a dozen languages, of the shipped snapshot."""
    wanted = ("mondo", "hpo", "doid_es", "nando", "hpo_translations")
    sources = [s for s in read_sources(shipped("data")) if s.name in wanted]
    records = [(s.name, r) for s in sources for r in READERS[s.reader](s.name, s.files)]
    merged = merge(read(records, [s.name for s in sources]))
    sample = np.sort(np.random.default_rng(7).permutation(len(merged.names))[:3000])
    release = make_release(
        merged.concepts, merged.names.take(sample), tmp_path_factory.mktemp("releases")
    )
    return Linker.open(release, threads=1)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), top_k=st.integers(1, 20))
def test_a_name_of_the_knowledge_base_finds_its_concepts(
    snapshot_linker: Linker, data: st.DataObject, top_k: int
) -> None:
    kb = snapshot_linker.knowledge_base
    row = data.draw(st.integers(0, kb.name_count - 1))
    spelling = data.draw(st.sampled_from([str, str.upper, str.title, "  {}\u200b ".format]))
    mention = spelling(kb.name(row).text)
    text = kb.text_id(normalise(mention))
    if text is None:  # upper case is no way back for every script: "ı" and "i" meet there
        return
    named = {int(kb.name_concept[r]) for r in kb.name_rows(text)}
    hits = retrieve(snapshot_linker, mention, top_k)
    exact = {hit.concept_row for hit in hits if hit.exact}
    assert all(hit.score == 1 for hit in hits if hit.exact)
    assert exact == named if len(named) <= top_k else len(exact) == top_k
    assert all(hit.exact for hit in hits[: len(exact)])


@settings(max_examples=30, deadline=None)
@given(mention=st.text(min_size=1, max_size=30), top_k=st.integers(1, 40))
def test_any_mention_gets_distinct_concepts_best_first(
    tiny_linker: Linker, mention: str, top_k: int
) -> None:
    if not normalise(mention):
        return
    hits = retrieve(tiny_linker, mention, top_k)
    assert len({hit.concept_row for hit in hits}) == len(hits) == top_k
    order = [(hit.exact, hit.score) for hit in hits]
    assert order == sorted(order, reverse=True)


def by_hand(
    kb: KnowledgeBase, scored: Mapping[int, float], exact: int | None, language: str
) -> list[Hit]:
    """What `pool` promises, one name after the other."""
    found: dict[int, list[tuple[object, ...]]] = {}
    for text, score in {**scored, **({} if exact is None else {exact: 1.0})}.items():
        for row in kb.name_rows(text):
            name = kb.name(row)
            foreign = name.lang.split("-")[0] != language
            order = (text != exact, -score, foreign, NAME_KINDS.index(name.kind), row)
            found.setdefault(int(kb.name_concept[row]), []).append(order)
    best = {concept: min(orders) for concept, orders in found.items()}
    ranked = sorted(best, key=lambda c: (best[c][:-1], -len(kb.names_of(c)), c))
    nearest = list(dict.fromkeys([*([] if exact is None else [exact]), *scored]))[:NEAREST]
    return [
        Hit(
            c,
            best[c][-1],
            -best[c][1],
            not best[c][0],
            sum(c in kb.name_concept[list(kb.name_rows(text))] for text in nearest),
        )
        for c in ranked
    ]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_pooling_keeps_its_order(tiny_linker: Linker, data: st.DataObject) -> None:
    kb = tiny_linker.knowledge_base
    texts = st.integers(0, len(kb.texts) - 1)
    scores = st.sampled_from([1.0, 0.75, 0.5])  # many are equal
    scored = data.draw(st.dictionaries(texts, scores, max_size=60))
    exact = data.draw(st.none() | texts)
    language = data.draw(st.sampled_from(["en", "de", "ja", ""]))
    found = pool(
        kb,
        np.array([*scored, -1], np.int64),
        np.array([*scored.values(), 0], np.float32),
        exact,
        language,
        top_k=10,
    )
    assert found == by_hand(kb, scored, exact, language)[:10]


@pytest.mark.parametrize("wanted", TYPES)
def test_only_concepts_of_the_wanted_type(tiny_linker: Linker, wanted: str) -> None:
    kb = tiny_linker.knowledge_base
    of_type = {r for r in range(kb.concept_count) if wanted in kb.concept(r).types}
    active = of_type & set(kb.name_concept.tolist())
    hits = retrieve(tiny_linker, "heart", top_k=10, types=(wanted,))
    assert {hit.concept_row for hit in hits} <= active
    assert len(hits) == min(10, len(active))
    for times in (2, 256):
        assert retrieve(tiny_linker, "heart", top_k=10, types=(wanted,) * times) == hits


def test_all_concepts_are_found_when_all_are_asked_for(tiny_linker: Linker) -> None:
    kb = tiny_linker.knowledge_base
    named = len(set(kb.name_concept.tolist()))
    assert len(retrieve(tiny_linker, "heart", top_k=100)) == min(100, named)


@pytest.mark.parametrize("factory", ["Flat", "HNSW32,SQ8"])
def test_every_kind_of_index_finds_a_vector_and_obeys_the_filter(
    tmp_path: Path, tiny_linker: Linker, factory: str
) -> None:
    kb = tiny_linker.knowledge_base
    vectors = tiny_linker.encoder.encode(kb.texts.to_pylist())
    NameIndex.build(vectors, factory=factory).save(tmp_path)
    index = NameIndex.open(tmp_path, factory)
    assert (index.text_count, index.dimension) == vectors.shape
    sample = np.arange(0, len(vectors), 7)
    found = index.search(vectors[sample], 10)
    assert np.mean(found.texts[:, 0] == sample) > 0.95
    allowed = np.zeros(len(vectors), bool)
    allowed[::5] = True
    found = index.search(vectors[sample], 10, allowed)
    assert set((found.texts[found.texts >= 0] % 5).tolist()) == {0}


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"index\.faiss: no such file"):
        NameIndex.open(tmp_path, "Flat")
    (tmp_path / "index.faiss").write_bytes(b"IxFI\x00")
    with pytest.raises(FileError, match=r"index\.faiss: not a whole FAISS index"):
        NameIndex.open(tmp_path, "Flat")


class _Installed:
    def __init__(self, name: str) -> None:
        self.metadata = {"Name": name}


@pytest.mark.parametrize(
    ("packages", "message"),
    [([], r"pip install 'bioelx\[cpu\]'"), (["faiss-cpu", "faiss-gpu"], "pip uninstall -y")],
)
def test_no_faiss_or_two_name_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, packages: list[str], message: str
) -> None:
    monkeypatch.setattr(install, "distributions", lambda: map(_Installed, packages))
    with pytest.raises(InstallationError, match=message):
        install.check_faiss()


def test_of_equal_names_that_of_the_better_known_concept_comes_first(
    make_release: Callable[[pa.Table, pa.Table, Path], Path], tmp_path: Path
) -> None:
    named = {
        "mesh:D000001": [("MI", "en", "alias")],
        "mesh:D000002": [("MI", "en", "alias"), ("heart attack", "en", "label")],
        "mesh:D000003": [("MI", "en", "label")],
        "mesh:D000004": [("MI", "de", "label"), *((f"name {i}", "de", "alias") for i in range(9))],
    }
    concepts = [
        {
            "concept_id": i,
            "label": "",
            "description": "",
            "types": [],
            "xrefs": [],
            "status": "active",
        }
        for i in named
    ]
    names = [
        {
            "concept_id": i,
            "text": text,
            "lang": lang,
            "kind": kind,
            "source": "test",
            "ambiguous": False,
        }
        for i, of_concept in named.items()
        for text, lang, kind in of_concept
    ]
    release = make_release(
        pa.Table.from_pylist(concepts, CONCEPTS_SCHEMA),
        pa.Table.from_pylist(names, NAMES_SCHEMA),
        tmp_path,
    )
    [link] = Linker.open(release, threads=1).link([Query.bare("mi", "en")]).links
    exact = [c.concept.concept_id for c in link.candidates if c.exact]
    assert exact == ["mesh:D000003", "mesh:D000002", "mesh:D000001", "mesh:D000004"]
