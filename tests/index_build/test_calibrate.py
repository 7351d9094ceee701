"""A confidence fitted on names held out of a real knowledge base."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from bioelx.confidence import CONSIDERED, ConfidenceModel
from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import prepare
from bioelx.linker import Linker
from bioelx.search.index import NameIndex
from bioelx.search.retriever import Retriever
from bioelx_index import calibrate
from bioelx_index.calibrate import (
    Lack,
    Trial,
    fit_confidence,
    hits_without,
    lacking_texts,
    simulate,
    unlearnt,
)

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def vectors(tiny_linker: Linker) -> Vectors:
    return tiny_linker.index.vectors()


@pytest.fixture(scope="module")
def trials(tiny_linker: Linker, vectors: Vectors) -> list[Trial]:
    rng = np.random.default_rng(0)
    kb, index, encoder = tiny_linker.knowledge_base, tiny_linker.index, tiny_linker.encoder
    return list(simulate(kb, index, vectors, encoder, rng))


@pytest.fixture(scope="module")
def model(tiny_linker: Linker, vectors: Vectors) -> ConfidenceModel:
    kb, index, encoder = tiny_linker.knowledge_base, tiny_linker.index, tiny_linker.encoder
    return fit_confidence(kb, index, vectors, encoder)


def test_simulated_mentions_are_of_all_kinds(trials: list[Trial], tiny_linker: Linker) -> None:
    assert len(trials) == tiny_linker.knowledge_base.name_count
    assert np.mean([trial.nil for trial in trials]) == pytest.approx(0.3, abs=0.03)
    for trial in trials:
        assert len(trial.features) == len(trial.right) <= CONSIDERED
        assert sum(trial.right) <= (not trial.nil)
    found = [trial for trial in trials if not trial.nil]
    there = [any(t.right) and t.features[t.right.index(True)].exact > 0 for t in found]
    assert 0.15 < np.mean(there) < 0.5  # neither mistaken nor held out
    assert np.mean([any(trial.right) for trial in found]) > 0.6


def test_names_that_the_encoder_has_learnt_are_stood_in_for(
    tiny_linker: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kb = tiny_linker.knowledge_base
    rows, rng = np.arange(kb.name_count), np.random.default_rng(0)
    assert unlearnt(kb, rows, (), rng).tolist() == rows.tolist()
    languages = np.array([name.lang.split("-")[0] for name in kb.names(rows.tolist())])
    texts = np.array(kb.texts.to_pylist())[kb.name_text]
    never_told = [str(texts[languages == language][0]) for language in ("de", "fi")]
    few = unlearnt(kb, rows, never_told, rng)
    np.testing.assert_array_equal(few, rows)  # two names do not speak for a language
    monkeypatch.setattr(calibrate, "_ENOUGH", 1)
    taken = unlearnt(kb, rows, [*never_told, "no name at all"], rng)
    assert (languages[taken] == languages).all()
    concepts_of: dict[str, set[int]] = {}
    for text, concept in zip(texts.tolist(), kb.name_concept.tolist(), strict=True):
        concepts_of.setdefault(text, set()).add(concept)
    shared = np.array([len(concepts_of[text]) > 1 for text in texts.tolist()])
    exchanged = ~shared & np.isin(languages, languages[np.isin(texts, never_told)])
    assert 0 < exchanged.sum() < len(rows)
    assert np.isin(texts[taken[exchanged]], never_told).all()
    np.testing.assert_array_equal(taken[~exchanged], rows[~exchanged])


@pytest.mark.parametrize("lack", Lack)
def test_a_held_out_name_is_as_if_it_had_never_been_there(
    tiny_linker: Linker, tiny_tables: tuple[pa.Table, pa.Table], vectors: Vectors, lack: Lack
) -> None:
    kb, index = tiny_linker.knowledge_base, tiny_linker.index
    rows = np.random.default_rng(0).choice(kb.name_count, 15, replace=False)
    for row in rows.tolist():
        concept, text = int(kb.name_concept[row]), int(kb.name_text[row])
        key, language = kb.texts[text].as_py(), kb.name(row).lang
        lacking = lacking_texts(kb, text, kb.texts_of(concept), lack)
        found = index.search(vectors[[text]], 128)
        held_out = hits_without(
            kb, key, language, found.texts[0], found.scores[0], concept, lacking
        )

        gone = {(kb.concept_id(concept), kb.texts[each].as_py()) for each in lacking.tolist()}
        smaller = without(tiny_tables, gone)
        places = {each: place for place, each in enumerate(kb.texts.to_pylist())}
        kept = vectors[[places[each] for each in smaller.texts.to_pylist()]]
        really = Retriever(smaller, NameIndex.build(kept)).retrieve(
            [key], vectors[[text]], [language], top_k=CONSIDERED
        )[0]

        assert [hit.exact for hit in held_out] == [hit.exact for hit in really]
        assert [hit.score for hit in held_out] == pytest.approx(
            [hit.score for hit in really], abs=1e-6
        )
        agreeing = {smaller.concept_id(hit.concept_row): hit.agreeing for hit in really}
        for hit in held_out:
            if hit.concept_row != concept and kb.concept_id(hit.concept_row) in agreeing:
                assert hit.agreeing == agreeing[kb.concept_id(hit.concept_row)]
        truth = {kb.concept_id(concept)}
        assert truth & {kb.concept_id(hit.concept_row) for hit in held_out} == truth & {
            smaller.concept_id(hit.concept_row) for hit in really
        }


def without(tables: tuple[pa.Table, pa.Table], gone: set[tuple[str, str]]) -> KnowledgeBase:
    """A knowledge base of these tables without some names, by concept id and normal form."""
    concepts, names = prepare(*tables)
    keys = zip(names["concept_id"].to_pylist(), names["key"].to_pylist(), strict=True)
    kept = names.filter(pa.array([each not in gone for each in keys])).drop_columns("key")
    decoded = [
        column.combine_chunks().dictionary_decode()
        if pa.types.is_dictionary(column.type)
        else column
        for column in kept.columns
    ]
    return KnowledgeBase(*prepare(concepts, pa.table(decoded, kept.column_names)))


def test_the_fit_is_measured_on_concepts_that_it_has_not_seen(model: ConfidenceModel) -> None:
    assert model.fit is not None
    assert 700 < model.fit.mentions < 1200  # half of 241 concepts with 1,908 names
    assert 0.2 < model.fit.nil < 0.4
    assert model.fit.ece < 0.1  # a thousand mentions: chance alone makes some 0.03
    assert model.fit.brier < 0.2
    assert min(model.fit.nil_precision, model.fit.nil_recall) > 0.5


def test_what_is_right_is_found_more_probable(model: ConfidenceModel, trials: list[Trial]) -> None:
    probable = [
        (probability, is_right)
        for trial in trials
        for probability, is_right in zip(
            model.probabilities(trial.features), trial.right, strict=True
        )
    ]
    right, wrong = ([p for p, r in probable if r == which] for which in (True, False))
    assert np.mean(right) > np.mean(wrong) + 0.4
    assert model.weights.lead > 0
    assert model.weights.lag < 0


def test_a_fitted_model_opens_as_it_was(model: ConfidenceModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert ConfidenceModel.open(tmp_path) == model
