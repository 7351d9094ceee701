"""What every line of the table is asked: one part of a knowledge base, the mentions of XL-BEL that
an open knowledge base can answer, and names held out in 20 languages.

Every name is compared, so that an index has no part in the result.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.errors import BioelxError, FileError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, NAMES_SCHEMA, map_table, prepare
from bioelx.search.retriever import pool
from bioelx.types import Status
from bioelx_eval.datasets import DATASETS, Example
from bioelx_index.train.ablation.methods import Method
from bioelx_index.train.heldout import Trial, nearest_names, read_trial, recalls
from bioelx_index.train.names import Names, read_titles, read_words
from bioelx_index.train.settings import TrainSettings

SCHEME = "umls"
DEPTH = 20  # concepts that are looked at
_NAMES = 1000  # fetched for a mention: those of more than DEPTH concepts


@dataclass(frozen=True)
class Mention:
    """What is asked, in normal form, and the concepts of which any is right, as rows."""

    id: str
    text: str
    language: str
    gold: frozenset[int]
    taught: bool
    """It is among the names, titles or words that some training of the table draws from."""


@dataclass(frozen=True)
class Answers:
    """What one line answered."""

    ranks: tuple[int, ...]
    """Of the first right concept for each mention, from 1; 0 where none is among DEPTH."""
    held_out: Mapping[str, float]
    """Recalls of held-out names, as `bioelx_index.train.heldout.recalls` names them."""


@dataclass(frozen=True)
class Questions:
    """All that a line is asked."""

    knowledge_base: KnowledgeBase
    mentions: tuple[Mention, ...]
    held_out: Trial

    @cached_property
    def names(self) -> list[str]:
        """Of the knowledge base, by text id."""
        return self.knowledge_base.texts.to_pylist()

    @cached_property
    def texts(self) -> list[str]:
        """Whatever an encoder has to encode, each text once."""
        asked = (mention.text for mention in self.mentions)
        trial = (self.held_out.held_out.texts, self.held_out.candidates.texts)
        return sorted({*self.names, *asked, *trial[0], *trial[1]})

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal questions."""
        kb, trial = self.knowledge_base, self.held_out
        said = orjson.dumps([self.texts, [(m.id, m.text, sorted(m.gold)) for m in self.mentions]])
        numbers = (kb.name_text, kb.name_concept, trial.held_out.concepts)
        digest = hashlib.sha256(said)
        for each in (*numbers, trial.candidates.concepts):
            digest.update(np.ascontiguousarray(each).tobytes())
        return digest.hexdigest()

    def answer(self, method: Method, *, look_up: bool) -> Answers:
        """Asks a method, with exact look-up beside it or without."""
        vectors = method(self.names, [mention.text for mention in self.mentions])
        texts, scores = nearest_names(vectors[1], vectors[0], _NAMES)
        ranks = [
            self._rank(mention, *near, look_up=look_up)
            for mention, near in zip(self.mentions, zip(texts, scores, strict=True), strict=True)
        ]
        trial = self.held_out
        # Nothing to look up there: what is held out is no name of what it is looked for in.
        candidates, held_out = method(
            trial.candidates.texts.tolist(), trial.held_out.texts.tolist()
        )
        return Answers(tuple(ranks), recalls(trial, held_out, candidates))

    def _rank(
        self,
        mention: Mention,
        texts: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float32],
        *,
        look_up: bool,
    ) -> int:
        kb = self.knowledge_base
        equal = kb.text_id(mention.text) if look_up else None
        hits = pool(kb, texts, scores, equal, mention.language, top_k=DEPTH)
        return next((at for at, hit in enumerate(hits, 1) if hit.concept_row in mention.gold), 0)


def read_questions(
    tables: Path,
    benchmarks: Path,
    settings: TrainSettings,
    trainings: Iterable[TrainSettings],
    *,
    one_in: int,
) -> Questions:
    """Reads all that lines are asked.

    Args:
        tables: folder of concepts.arrow and names.arrow, such as a release.
        benchmarks: folder that holds XL-BEL with its list of covered rows.
        settings: what names are held out under, those that all trainings share.
        trainings: of the table's lines.
        one_in: of the concepts with a UMLS id that no mention asks for, one in so many is kept.

    Raises:
        FileError: a file is missing or not what it should be.
        BioelxError: the settings hold no names out.
    """
    if not settings.held_out:
        raise BioelxError("held_out has to be at least 1: every line is asked held-out names")
    examples = _covered(benchmarks)
    gold = {curie for example in examples for curie in example.gold}
    kb = part_of(tables, gold, one_in)
    rows_of = kb.rows_bearing(gold)
    names, rest, trial = read_trial(tables, settings)
    taught = {*rest.texts, *_told_beside(names, trial.held_out, trainings)}
    mentions = [
        Mention(
            example.id,
            text := normalise(example.query.mention),
            example.group,
            frozenset(row for curie in example.gold for row in rows_of.get(curie, ())),
            text in taught,
        )
        for example in examples
    ]
    return Questions(kb, tuple(mentions), trial)


def _told_beside(
    names: Names, held_out: Names, trainings: Iterable[TrainSettings]
) -> Iterator[str]:
    """The titles and words that trainings draw beside names."""
    trainings = tuple(trainings)
    titles = {
        (each.titles, each.titles_items, each.longest)
        for each in trainings
        if each.titles and each.titles_share
    }
    for path, items, longest in titles:
        yield from read_titles(path, names, items, longest).texts
    for path, longest in {(each.words, each.longest) for each in trainings if each.words}:
        yield from read_words(path, held_out, longest).texts


def part_of(tables: Path, gold: Collection[str], one_in: int) -> KnowledgeBase:
    """The active concepts with a UMLS id, by all their names: those that bear a CURIE of `gold`,
    and of the others one in so many, by a checksum of their ids: the same in every release."""
    concepts, names = map_table(tables / CONCEPTS_FILE), map_table(tables / NAMES_FILE)
    wanted = sorted(
        row for rows in KnowledgeBase.open(tables).rows_bearing(gold).values() for row in rows
    )
    keep = _with_scheme(concepts)
    keep &= np.array([not zlib.crc32(id_.encode()) % one_in for id_ in _ids(concepts)], bool)
    keep[wanted] = True
    of_names = keep[names["concept_id"].combine_chunks().indices.to_numpy()]
    chosen = names.filter(pa.array(of_names)).select(NAMES_SCHEMA.names)
    return KnowledgeBase(*prepare(concepts.filter(pa.array(keep)), chosen))


def _ids(concepts: pa.Table) -> Sequence[str]:
    return concepts["concept_id"].to_pylist()


def _with_scheme(concepts: pa.Table) -> npt.NDArray[np.bool_]:
    """Which concepts are active and have an id of SCHEME."""
    xrefs = concepts["xrefs"].combine_chunks()
    of_scheme = pc.starts_with(xrefs.flatten(), f"{SCHEME}:").to_numpy(zero_copy_only=False)
    found = pc.starts_with(concepts["concept_id"], f"{SCHEME}:").to_numpy().copy()
    found[pc.list_parent_indices(xrefs).to_numpy()[of_scheme]] = True
    return found & pc.equal(concepts["status"], Status.ACTIVE.value).to_numpy()


def _covered(benchmarks: Path) -> list[Example]:
    """The rows of XL-BEL that an open knowledge base can answer."""
    dataset = DATASETS["xlbel"]
    read = dataset.read(dataset.locate(benchmarks), tuple(dataset.groups))
    covered = [each for each in read if isinstance(each, Example) and each.covered]
    if not covered:
        raise FileError(benchmarks, "XL-BEL has no list of covered rows beside it")
    return covered
