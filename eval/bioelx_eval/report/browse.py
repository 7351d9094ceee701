"""The errors of the runs on one dataset, packed for a page to list them.

Ten thousand errors with context and candidates are to fit in a page: examples, concepts and names
are kept once each and referred to by their position, and an error is a short array. The layout is
read by ``errors.js`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bioelx_eval.report.answers import ERROR_KINDS, SideBySide

CANDIDATES = 5
"""Shown of a mention, or of each of its parts; the first right one is shown too, if it is lower."""

KINDS = tuple(ERROR_KINDS)
Row = Mapping[str, Any]


class Positions:
    """Values, each by the position in which it was first asked for."""

    def __init__(self) -> None:
        self._positions: dict[tuple, int] = {}

    def __getitem__(self, value: tuple) -> int:
        return self._positions.setdefault(value, len(self._positions))

    def values(self) -> list[tuple]:
        return list(self._positions)


@dataclass(frozen=True, slots=True)
class Tables:
    """What errors refer to."""

    examples: Positions = field(default_factory=Positions)
    """(id, group, language, mention, before, after, gold ids)"""
    concepts: Positions = field(default_factory=Positions)
    """(id, label, types or none)"""
    names: Positions = field(default_factory=Positions)
    """(text, language, source)"""


def pack_errors(shown: SideBySide, limits: Sequence[int]) -> dict[str, Any]:
    """The errors of the runs, at most so many of each, as values of JSON."""
    tables = Tables()
    runs = []
    for answers, limit in zip(shown.answers, limits, strict=True):
        kept = choose(answers.predictions["error"], limit)
        rows = answers.predictions.take(kept).to_pylist()
        runs.append(
            {
                "label": answers.label,
                "total": answers.errors().total(),
                "errors": [_pack(row, tables) for row in rows],
            }
        )
    return {
        "groups": shown.groups,
        "kinds": KINDS,
        "examples": tables.examples.values(),
        "concepts": tables.concepts.values(),
        "names": tables.names.values(),
        "runs": runs,
    }


def share_out(limit: int, wanted: Sequence[int]) -> list[int]:
    """Shares `limit` among those who want so many: the modest get all, the others a like number."""
    shares = [0] * len(wanted)
    for done, i in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        shares[i] = min(wanted[i], limit // (len(wanted) - done))
        limit -= shares[i]
    return shares


def choose(errors: pa.ChunkedArray, limit: int) -> np.ndarray:
    """The positions of at most `limit` errors, in their order, from a column of kinds or null.

    Where they are more, rare kinds are kept whole and the others cut to a like number, evenly over
    the rows, so that something of every kind and every group can be looked at.
    """
    by_kind = [np.flatnonzero(pc.equal(errors, kind).fill_null(False)) for kind in KINDS]
    kept = [
        positions[np.arange(share) * len(positions) // max(share, 1)]
        for positions, share in zip(by_kind, share_out(limit, list(map(len, by_kind))), strict=True)
    ]
    return np.sort(np.concatenate(kept))


def _pack(row: Row, tables: Tables) -> list[Any]:
    """[example, kind, confidence, linked concepts, gold concepts, their types, candidates]"""
    texts = (row[name] for name in ("id", "group", "language", "mention", "before", "after"))
    gold = zip(row["gold_concepts"], row["gold_labels"], strict=True)
    own = {each["concept_id"]: _described(each) for each in row["candidates"]}
    linked = row["link"].split("|") if row["link"] else []
    return [
        tables.examples[(*texts, tuple(row["gold"]))],
        KINDS.index(row["error"]),
        round(row["confidence"], 3),
        [tables.concepts[own.get(link, (link, "", ""))] for link in linked],
        [tables.concepts[concept, label, ""] for concept, label in gold],
        ", ".join(row["gold_types"]),
        [_pack_candidate(*each, tables) for each in _shown_candidates(row["candidates"])],
    ]


def _shown_candidates(candidates: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    """Of each part the first ones and the first right one, with their ranks from 1."""
    for _, of_part in groupby(candidates, key=lambda each: each["part"]):
        right_is_shown = False
        for rank, each in enumerate(of_part, start=1):
            if rank <= CANDIDATES or (each["right"] and not right_is_shown):
                yield rank, each
                right_is_shown |= each["right"]


def _pack_candidate(rank: int, candidate: Row, tables: Tables) -> list[Any]:
    """[part, rank, concept, name, exact, score, ranker's log-odds, probability, right]"""
    name = (candidate["matched"], candidate["matched_lang"], candidate["matched_source"])
    log_odds = candidate["ranker_log_odds"]
    return [
        candidate["part"],
        rank,
        tables.concepts[_described(candidate)],
        tables.names[name],
        int(candidate["exact"]),
        round(candidate["score"], 3),
        None if log_odds is None else round(log_odds, 2),
        round(candidate["probability"], 3),
        int(candidate["right"]),
    ]


def _described(candidate: Row) -> tuple[str, str, str]:
    return candidate["concept_id"], candidate["label"], ", ".join(candidate["types"])
