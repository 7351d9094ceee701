"""Predictions: one row for each mention, with what a release answered and whether it is right.

Everything that comes later (scores, reports, comparisons) is computed from this table alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from bioelx.kb import KnowledgeBase, normalise
from bioelx.types import Candidate, Link
from bioelx_eval.coverage import GoldConcepts, is_named
from bioelx_eval.datasets import Example
from bioelx_eval.error_kinds import error_kind

CONTEXT = 160
"""Code points kept on each side of a mention."""

_STRINGS = pa.list_(pa.string())
_CANDIDATE = pa.struct(
    {
        "part": pa.int32(),
        "concept_id": pa.string(),
        "label": pa.string(),
        "matched": pa.string(),
        "matched_lang": pa.string(),
        "matched_source": pa.string(),
        "exact": pa.bool_(),
        "types": _STRINGS,
        "score": pa.float32(),
        "retrieval_rank": pa.int32(),
        "retrieval_probability": pa.float32(),
        "ranker_log_odds": pa.float32(),
        "probability": pa.float32(),
        "right": pa.bool_(),
    }
)
PREDICTIONS_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "group": pa.string(),
        "language": pa.string(),
        "mention": pa.string(),
        "before": pa.string(),
        "after": pa.string(),
        "gold": _STRINGS,
        "gold_concepts": _STRINGS,
        "gold_labels": _STRINGS,
        "gold_types": _STRINGS,
        "covered": pa.bool_(),
        "reachable": pa.bool_(),
        "named": pa.bool_(),
        "seen": pa.bool_(),
        "rank": pa.int32(),
        "link": pa.string(),
        "confidence": pa.float32(),
        "error": pa.string(),
        "candidates": pa.list_(_CANDIDATE),
    }
)
"""
- `covered`: the dataset's fixed list of covered rows has it; `reachable` where there is no list.
- `reachable`: an active concept of the release bears a gold id; these are the `gold_concepts`,
  with their `gold_labels` and, of all together, their `gold_types`.
- `named`: the mention is, after normalisation, a name of one of them.
- `seen`: the mention is, after normalisation, among the training names.
- `rank`: of the first right candidate, from 1; null where none is right.
- `link`: the concept linked at the release's threshold; null for NIL.
- `confidence`: the probability of the first candidate; 0 where there is none.
- `error`: an `ErrorKind`; null where nothing is wrong.

Candidates stand in the order of the answer; `retrieval_rank` and `retrieval_probability` say what
retrieval alone made of each, which is the same where no ranker was asked.

A composite mention has candidates for each of its parts. Its rank is that of the worst part, its
confidence the lowest; it is linked if every part is, to their concepts joined by |.
"""


def tabulate(
    examples: Sequence[Example],
    links: Iterable[Link],
    gold: GoldConcepts,
    knowledge_base: KnowledgeBase,
    training: Collection[str] = (),
) -> pa.Table:
    """Judges the links of a batch of examples.

    Args:
        links: one for each of the queries of each example, in their order.
        training: the normalised names that the encoder was trained on.
    """
    stream = iter(links)
    rows, sizes = [], []
    candidates: list[tuple[int, Candidate, bool]] = []
    for example in examples:
        parts = list(islice(stream, len(example.queries)))
        row, right = _judge(example, parts, gold, knowledge_base, training)
        rows.append(row)
        sizes.append(sum(len(link.candidates) for link in parts))
        candidates += [
            (part, candidate, candidate.concept.concept_id in right)
            for part, link in enumerate(parts)
            for candidate in link.candidates
        ]
    columns = {
        field.name: pa.array([row[field.name] for row in rows], field.type)
        for field in PREDICTIONS_SCHEMA
        if field.name != "candidates"
    }
    offsets = pa.array(np.cumsum([0, *sizes]), pa.int32())
    columns["candidates"] = pa.ListArray.from_arrays(offsets, _candidate_column(candidates))
    return pa.table(columns, PREDICTIONS_SCHEMA)


def _judge(
    example: Example,
    parts: Sequence[Link],
    gold: GoldConcepts,
    knowledge_base: KnowledgeBase,
    training: Collection[str],
) -> tuple[dict[str, Any], set[str]]:
    """The row of an example but for its candidates, and the ids of the concepts that are right."""
    query = example.query
    key = normalise(query.mention)
    gold_rows = gold.rows(example.gold)
    concepts = sorted((gold.concept_of[row] for row in gold_rows), key=lambda c: c.concept_id)
    right = {concept.concept_id for concept in concepts}
    types = sorted({each for concept in concepts for each in concept.types})
    ranks = [_first_right(link.candidates, right) for link in parts]
    found = [rank for rank in ranks if rank is not None]
    rank = max(found) if len(found) == len(ranks) else None
    linked = [link.concept_id for link in parts if link.concept_id is not None]
    wrong_firsts = [
        link.candidates[0].concept.types
        for link, of_part in zip(parts, ranks, strict=True)
        if of_part != 1 and link.candidates
    ]
    row = {
        "id": example.id,
        "group": example.group,
        "language": query.language,
        "mention": query.mention,
        "before": query.text[max(0, query.start - CONTEXT) : query.start],
        "after": query.text[query.end : query.end + CONTEXT],
        "gold": example.gold,
        "gold_concepts": [concept.concept_id for concept in concepts],
        "gold_labels": [concept.label for concept in concepts],
        "gold_types": types,
        "covered": bool(right) if example.covered is None else example.covered,
        "reachable": bool(right),
        "named": is_named(knowledge_base, key, gold_rows),
        "seen": key in training,
        "rank": rank,
        "link": "|".join(linked) if len(linked) == len(parts) else None,
        "confidence": min(link.confidence for link in parts),
        "error": error_kind(
            has_gold=bool(example.gold),
            reachable=bool(right),
            linked=len(linked) == len(parts),
            rank=rank,
            gold_types=types,
            wrong_firsts=wrong_firsts,
        ),
    }
    return row, right


def _first_right(candidates: Iterable[Candidate], right: Collection[str]) -> int | None:
    """The rank, from 1, of the first candidate that is one of the right concepts."""
    ranks = (i for i, each in enumerate(candidates, 1) if each.concept.concept_id in right)
    return next(ranks, None)


def _candidate_column(candidates: Sequence[tuple[int, Candidate, bool]]) -> pa.StructArray:
    """One after the other: the part each is for, the candidate, and whether it is right."""
    values = {
        "part": [part for part, _, _ in candidates],
        "concept_id": [each.concept.concept_id for _, each, _ in candidates],
        "label": [each.label for _, each, _ in candidates],
        "matched": [each.matched.text for _, each, _ in candidates],
        "matched_lang": [each.matched.lang for _, each, _ in candidates],
        "matched_source": [each.matched.source for _, each, _ in candidates],
        "exact": [each.exact for _, each, _ in candidates],
        "types": [each.concept.types for _, each, _ in candidates],
        "score": [each.retrieval_score for _, each, _ in candidates],
        "retrieval_rank": [each.retrieval_rank for _, each, _ in candidates],
        "retrieval_probability": [each.retrieval_probability for _, each, _ in candidates],
        "ranker_log_odds": [each.ranker_log_odds for _, each, _ in candidates],
        "probability": [each.probability for _, each, _ in candidates],
        "right": [right for _, _, right in candidates],
    }
    columns = [pa.array(values[field.name], field.type) for field in _CANDIDATE]
    return pa.StructArray.from_arrays(columns, fields=list(_CANDIDATE))
