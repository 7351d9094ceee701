"""Mentions with the candidates that a release proposes for them: what a ranker learns from.

The candidates are described, and weighed by the release's confidence, as the linker does for a
ranker, so that it is trained for what it will be given. Where the knowledge base is to lack a name
of the right concept, that candidate's document lacks it too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bioelx.confidence import features_of
from bioelx.errors import FileError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.linker import NAMES_READ, RANKED, Linker
from bioelx.ranking import Window
from bioelx.search.retriever import Hit
from bioelx.types import Candidate, Concept, Name
from bioelx_index.calibrate import hits_without, lacking_texts
from bioelx_index.train.ranker.mentions import Mention

_AT_ONCE = 1024
_NEIGHBOURS = 128
_SURELY = 12.0  # log-odds beyond which a prior says no more

_STRINGS = pa.list_(pa.string())
_CANDIDATE = pa.struct(
    {
        "label": pa.string(),
        "matched": pa.string(),
        "names": _STRINGS,
        "types": _STRINGS,
        "description": pa.string(),
        "prior": pa.float32(),
        "right": pa.bool_(),
    }
)
SCHEMA = pa.schema(
    {
        "kind": pa.string(),
        "held_out": pa.bool_(),
        "language": pa.string(),
        "before": pa.string(),
        "mention": pa.string(),
        "after": pa.string(),
        "candidates": pa.list_(_CANDIDATE),
    }
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One mention and its candidates, in the order of retrieval."""

    kind: str
    window: Window
    candidates: list[Candidate]
    priors: list[float]
    """Log-odds of each by retrieval alone."""
    right: list[bool]


def mine(
    mentions: Iterable[Mention], linker: Linker, advance: Callable[[int], None]
) -> Iterator[pa.Table]:
    """The lists of the mentions, a batch at a time; a mention without candidates has none."""
    remaining = iter(mentions)
    while batch := list(islice(remaining, _AT_ONCE)):
        yield pa.Table.from_pylist(list(_mined(batch, linker)), SCHEMA)
        advance(len(batch))


def _mined(batch: Sequence[Mention], linker: Linker) -> Iterator[dict[str, Any]]:
    kb = linker.knowledge_base
    keys = [normalise(mention.window.mention) for mention in batch]
    distinct = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    vectors = linker.encoder.encode(list(distinct))[[distinct[key] for key in keys]]
    found = linker.index.search(vectors, _NEIGHBOURS)
    for mention, key, texts, scores in zip(batch, keys, found.texts, found.scores, strict=True):
        concept, lacking = -1, np.empty(0, np.int32)
        if mention.text is not None:
            (concept,) = mention.gold
            lacking = lacking_texts(kb, mention.text, kb.texts_of(concept), mention.lack)
        hits = hits_without(
            kb, key, mention.language, texts, scores, concept, lacking, top_k=RANKED
        )
        if not hits:
            continue
        probabilities = linker.confidence.probabilities(features_of(key, hits))
        hidden = {kb.texts[int(text)].as_py() for text in lacking}
        candidates = _described(kb, hits, mention.language, concept, hidden)
        right = [hit.concept_row in mention.gold for hit in hits]
        candidates = _without_passage(candidates, right, mention.shown)
        yield {
            "kind": mention.kind,
            "held_out": mention.held_out,
            "language": mention.language,
            "before": mention.window.before,
            "mention": mention.window.mention,
            "after": mention.window.after,
            "candidates": [
                _row(candidate, probability, is_right)
                for candidate, probability, is_right in zip(
                    candidates, probabilities, right, strict=True
                )
            ],
        }


def _described(
    kb: KnowledgeBase, hits: Sequence[Hit], language: str, lacks: int, hidden: set[str]
) -> list[Candidate]:
    """The hits as candidates with the names that a ranker reads.

    Args:
        lacks: row of the concept without the names that are `hidden`, in normal form; a label among
            them gives way to the name that matched.
    """
    rows = [hit.concept_row for hit in hits]
    concepts, matched = kb.concepts(rows), kb.names([hit.name_row for hit in hits])
    tags = dict.fromkeys((language.split("-")[0], "en"))
    # More than are read, of one that lacks some.
    names = [kb.best_names(rows, tag, NAMES_READ + len(hidden)) for tag in tags]
    found = []
    for rank, (hit, concept, match, *named) in enumerate(
        zip(hits, concepts, matched, *names, strict=True), start=1
    ):
        gone = hidden if hit.concept_row == lacks else set()
        told = [[name for name in of if normalise(name) not in gone][:NAMES_READ] for of in named]
        label = match.text if normalise(concept.label) in gone else concept.label
        found.append(
            Candidate(
                concept=replace(concept, label=label),
                matched=match,
                exact=hit.exact,
                retrieval_score=hit.score,
                retrieval_rank=rank,
                label=label,
                label_language="",
                names=tuple(chain.from_iterable(told)),
            )
        )
    return found


def _without_passage(
    candidates: Sequence[Candidate], right: Sequence[bool], shown: str
) -> list[Candidate]:
    """The candidates, no description of which repeats what the context shows.

    Where that leaves a right one without any, all others lose theirs: else the one without would
    be known by it.
    """
    if not shown:
        return list(candidates)
    found = [
        replace(each, concept=_described_by(each.concept, _less(each.concept.description, shown)))
        for each in candidates
    ]
    lost = any(
        is_right and before.concept.description and not after.concept.description
        for before, after, is_right in zip(candidates, found, right, strict=True)
    )
    if lost:
        return [replace(each, concept=_described_by(each.concept, "")) for each in found]
    return found


def _less(description: str, shown: str) -> str:
    return " ".join(description.replace(shown, " ").split())


def _described_by(concept: Concept, description: str) -> Concept:
    return replace(concept, description=description)


def _row(candidate: Candidate, probability: float, right: bool) -> dict[str, Any]:
    return {
        "label": candidate.concept.label,
        "matched": candidate.matched.text,
        "names": candidate.names,
        "types": candidate.concept.types,
        "description": candidate.concept.description,
        "prior": log_odds_of(probability),
        "right": right,
    }


def log_odds_of(probability: float) -> float:
    bounded = min(max(probability, 1e-12), 1 - 1e-12)
    return min(max(math.log(bounded) - math.log1p(-bounded), -_SURELY), _SURELY)


class Lists:
    """Lists in memory, each made a `Choice` when it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, at: int) -> Choice:
        row = self._table.slice(at, 1).to_pylist()[0]
        found = row["candidates"]
        return Choice(
            kind=row["kind"],
            window=Window(row["before"], row["mention"], row["after"]),
            candidates=[_candidate(rank, each) for rank, each in enumerate(found, start=1)],
            priors=[each["prior"] for each in found],
            right=[each["right"] for each in found],
        )

    def of(self, kinds: Sequence[str], *, held_out: bool) -> Lists:
        """Those of some kinds that are held out, or are not."""
        held = np.array(self._table["held_out"].to_pylist(), bool) == held_out
        wanted = np.isin(np.array(self._table["kind"].to_pylist(), object).astype(str), kinds)
        return Lists(self._table.filter(pa.array(held & wanted)).combine_chunks())

    def first(self, count: int) -> Lists:
        return Lists(self._table.slice(0, count))

    @property
    def kinds(self) -> list[str]:
        """The kinds that occur, sorted."""
        return sorted(set(self._table["kind"].to_pylist()))


def _candidate(rank: int, row: dict[str, Any]) -> Candidate:
    concept = Concept("", row["label"], row["description"], tuple(row["types"]))
    matched = Name(row["matched"], "", "", "")
    return Candidate(concept, matched, False, 0.0, rank, "", "", tuple(row["names"]))


def write_lists(tables: Iterable[pa.Table], path: Path) -> None:
    """Writes the lists; the file appears when it is whole."""
    draft = path.with_suffix(".part")
    with pq.ParquetWriter(draft, SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
    draft.replace(path)


def read_lists(path: Path) -> Lists:
    """Raises FileError where the file is damaged or of another kind."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise FileError(path, f"not a whole Parquet file ({error})") from None
    if not table.schema.equals(SCHEMA):
        raise FileError(path, "not the lists of a training: remove it")
    return Lists(table.combine_chunks())
