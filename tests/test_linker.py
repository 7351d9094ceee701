"""The online journey in one process, on a real release."""

import gc
import math
import shutil
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.confidence import ConfidenceModel, Features
from bioelx.errors import FileError, InvalidRequestError
from bioelx.linker import RANKED, TAGS_KEPT, Linker, read_language
from bioelx.ranking import Window
from bioelx.release.manifest import read_manifest, write_manifest
from bioelx.types import Candidate, LinkOptions, Query, Rerank

MENTIONS = ["asthma", "Herzinfarkt", "심근경색", "kalp krizi", "fever of unknown origin", "x" * 300]


def test_a_link_explains_itself(tiny_linker: Linker) -> None:
    query = Query("数日前から頭痛があり、発熱はない。", 5, 7, "ja")
    [link] = tiny_linker.link([query]).links
    first = link.candidates[0]
    assert first.exact
    assert (first.concept.concept_id, first.concept.label) == ("wikidata:Q86", "headache")
    assert first.matched.text == first.label == "頭痛"
    assert first.label_language == "ja"
    assert first.retrieval_score == 1
    assert link.concept_id == first.concept.concept_id
    assert link.confidence == first.probability > link.candidates[1].probability
    assert sum(c.probability for c in link.candidates) <= 1 + 1e-9


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(MENTIONS), min_size=1, max_size=30), st.integers(1, 15))
def test_company_changes_nothing(tiny_linker: Linker, mentions: Sequence[str], top_k: int) -> None:
    options = LinkOptions(top_k=top_k)
    together = tiny_linker.link([Query.bare(m) for m in mentions], options).links
    for mention, link in zip(mentions, together, strict=True):
        [alone] = tiny_linker.link([Query.bare(mention)], options).links
        assert [c.concept.concept_id for c in alone.candidates] == [
            c.concept.concept_id for c in link.candidates
        ]
        assert [c.retrieval_score for c in alone.candidates] == pytest.approx(
            [c.retrieval_score for c in link.candidates], abs=1e-5
        )


def test_each_query_may_have_its_own_options(tiny_linker: Linker) -> None:
    queries = [Query.bare("asthma")] * 3
    wanted = [
        LinkOptions(top_k=2),
        LinkOptions(types=("other",), schemes=("mesh",)),
        LinkOptions(min_confidence=1.0, label_languages=("ja",)),
    ]
    two, other, sure = tiny_linker.link(queries, wanted).links
    assert len(two.candidates) == 2
    assert {t for c in other.candidates for t in c.concept.types} == {"other"}
    assert {x.partition(":")[0] for c in other.candidates for x in c.concept.xrefs} <= {"mesh"}
    assert sure.concept_id is None
    assert sure.candidates[0].label_language == "en"  # asthma has no Japanese name here


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (LinkOptions(top_k=0), "options.top_k"),
        (LinkOptions(types=("disease", "illness")), r"options.types\[1\]"),
        (LinkOptions(schemes=("icd99",)), r"options.schemes\[0\]"),
        (LinkOptions(label_languages=("klingonisch",)), r"options.label_languages\[0\]"),
        (LinkOptions(min_confidence=1.5), "options.min_confidence"),
        (LinkOptions(min_confidence=float("nan")), "options.min_confidence"),
        (LinkOptions(rerank=Rerank.ALWAYS), "options.rerank"),
    ],
)
def test_options_that_cannot_be_honoured_are_named(
    tiny_linker: Linker, options: LinkOptions, field: str
) -> None:
    with pytest.raises(InvalidRequestError, match=field):
        tiny_linker.link([Query.bare("asthma")], options)


def test_an_invisible_mention_is_refused_without_being_quoted(tiny_linker: Linker) -> None:
    with pytest.raises(InvalidRequestError, match=r"queries\[1\]: has no visible character"):
        tiny_linker.link([Query.bare("asthma"), Query.bare("\u200b \t")])


def test_an_unknown_language_is_refused(tiny_linker: Linker) -> None:
    with pytest.raises(InvalidRequestError, match=r"queries\[1\]\.language: is not a BCP 47"):
        tiny_linker.link([Query.bare("asthma", "pt-BR"), Query.bare("asthma", "klingonisch")])


class Contrary:
    """A ranker that finds the last candidate best."""

    name = "contrary"
    below = 0.9

    def __init__(self) -> None:
        self.read: list[Window] = []
        self.weighed: Sequence[Candidate] = ()

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        self.read.append(window)
        self.weighed = candidates
        return [20.0 * (i + 1 - len(candidates)) for i in range(len(candidates))]


@pytest.fixture
def contrary(tiny_linker: Linker) -> Linker:
    return Linker(
        tiny_linker.manifest,
        tiny_linker.knowledge_base,
        tiny_linker.encoder,
        tiny_linker.index,
        ConfidenceModel(-30.0, Features(28.0, 10.0, -10.0, exact=6.0), default_min_confidence=0.5),
        Contrary(),
    )


def test_the_ranker_reads_the_window_and_moves_the_order(contrary: Linker) -> None:
    query = Query("Known bronchial asthma.", 6, 22, "en")
    options = LinkOptions(top_k=5, rerank=Rerank.ALWAYS)
    [link] = contrary.link([query], options).links
    assert contrary.ranker.read == [Window("Known ", "bronchial asthma", ".")]
    assert link.candidates[0].retrieval_rank == RANKED
    assert link.candidates[0].ranker_log_odds == 0
    [never] = contrary.link([query], LinkOptions(top_k=5, rerank=Rerank.NEVER)).links
    assert [c.retrieval_rank for c in never.candidates] == [1, 2, 3, 4, 5]
    assert never.candidates[0].ranker_log_odds is None


def test_what_the_ranker_decides_does_not_depend_on_how_many_are_shown(contrary: Linker) -> None:
    query = Query("Known bronchial asthma.", 6, 22, "en")
    of = {
        top_k: contrary.link([query], LinkOptions(top_k=top_k, rerank=Rerank.ALWAYS)).links[0]
        for top_k in (1, 5, 10, 40)
    }
    for top_k, link in of.items():
        assert link.confidence == of[10].confidence
        assert len(link.candidates) == top_k
        shown = min(top_k, 10)
        assert link.candidates[:shown] == of[10].candidates[:shown]
    assert [c.retrieval_rank for c in of[40].candidates[RANKED:]] == list(range(RANKED + 1, 41))


def test_an_explanation_adds_up_with_the_ranker_and_without(contrary: Linker) -> None:
    queries = [Query("Known bronchial asthma.", 6, 22, "en"), Query.bare("kalp krizi")]
    for rerank, sources in [(Rerank.NEVER, 2), (Rerank.ALWAYS, 3)]:
        options = LinkOptions(top_k=5, rerank=rerank, explain=True)
        for link in contrary.link(queries, options).links:
            for candidate in link.candidates:
                shares = {share.feature: share for share in candidate.shares}
                assert len(shares) == len(Features._fields) + sources
                assert shares["score"].value == candidate.retrieval_score
                assert shares["exact"].value == candidate.exact
                assert "ranker" not in shares or (
                    shares["ranker"].value == candidate.ranker_log_odds
                )
                log_odds = sum(share.log_odds for share in shares.values())
                assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(
                    candidate.probability, abs=1e-8
                )
                assert shares["rivals"].log_odds <= 1e-6
    [link] = contrary.link(queries[:1]).links
    assert not link.candidates[0].shares


def test_the_ranker_reads_names_in_the_mentions_language_and_in_english(contrary: Linker) -> None:
    options = LinkOptions(rerank=Rerank.ALWAYS, label_languages=("ja",))
    [link] = contrary.link([Query.bare("Influenza", "fi")], options).links
    names = {each.concept.concept_id: each.names for each in contrary.ranker.weighed}
    assert names["tico:influenza"] == ("influenssa", "influenza")
    assert not any(candidate.names for candidate in link.candidates)


def test_the_ranker_reads_english_names_once_whatever_the_region(contrary: Linker) -> None:
    def read(language: str) -> list[tuple[str, ...]]:
        contrary.link([Query.bare("influenza", language)], LinkOptions(rerank=Rerank.ALWAYS))
        return [candidate.names for candidate in contrary.ranker.weighed]

    assert any(read("en"))
    assert read("en-US") == read("en")
    assert read("fi-FI") == read("fi") != read("en")


def test_auto_asks_the_ranker_only_in_doubt(contrary: Linker) -> None:
    for mention, asked in [("asthma", False), ("some thing that nobody named", True)]:
        contrary.ranker.read.clear()
        [link] = contrary.link([Query.bare(mention)]).links
        assert bool(contrary.ranker.read) == asked
        assert (link.candidates[0].ranker_log_odds is not None) == asked


@pytest.mark.parametrize(("below", "asked"), [(0.0, False), (1.0, True)])
def test_each_ranker_says_where_auto_asks_it(
    contrary: Linker, monkeypatch: pytest.MonkeyPatch, below: float, asked: bool
) -> None:
    monkeypatch.setattr(contrary.ranker, "below", below)
    [link] = contrary.link([Query.bare("asthma")]).links
    assert bool(contrary.ranker.read) == asked
    [never] = contrary.link([Query.bare("asthma")], LinkOptions(rerank=Rerank.NEVER)).links
    probabilities = {c.concept.concept_id: c.probability for c in never.candidates}
    for candidate in link.candidates:
        known = probabilities.get(candidate.concept.concept_id, candidate.retrieval_probability)
        assert candidate.retrieval_probability == known


@pytest.fixture
def copy(tiny_release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_release, tmp_path / tiny_release.name))


@pytest.mark.parametrize(
    "name",
    ["concepts.arrow", "names.arrow", "index.faiss", "confidence.json", "encoder/model.onnx"],
)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_release_is_refused_by_its_file(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=name):
        Linker.open(copy)


def test_an_encoder_of_other_vectors_is_refused(copy: Path) -> None:
    manifest = read_manifest(copy)
    other = replace(manifest.encoder, fingerprint="0" * 16)
    write_manifest(replace(manifest, encoder=other), copy)
    with pytest.raises(FileError, match="not the encoder of this release"):
        Linker.open(copy)


def test_language_tags_that_callers_think_up_are_not_kept():
    for i in range(TAGS_KEPT):
        read_language(f"de-x-{i}", "language")
    tracemalloc.start()
    for i in range(1000):
        assert read_language(f"deu-x-other-{i}", "language") == f"de-x-other-{i}"
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000
