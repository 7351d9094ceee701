"""Metrics as values, and the table of scores that they fill.

A metric looks at one thing: the rank of the first candidate that is right (None where none is).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Protocol

from bioelx.types import Candidate


class Metric(Protocol):
    """What a metric promises; its name is `str(metric)`."""

    def of(self, rank: int | None) -> float:
        """The value for one mention whose first right candidate has this rank, from 1."""
        ...


@dataclass(frozen=True, slots=True)
class Recall:
    """R@k: whether one of the first k candidates is right."""

    k: int

    def __str__(self) -> str:
        return f"R@{self.k}"

    def of(self, rank: int | None) -> float:
        return float(rank is not None and rank <= self.k)


def gold_rank(candidates: Iterable[Candidate], gold: Collection[str]) -> int | None:
    """The rank, from 1, of the first candidate whose id or one of whose xrefs is a gold CURIE."""
    for rank, candidate in enumerate(candidates, start=1):
        if not {candidate.concept.concept_id, *candidate.concept.xrefs}.isdisjoint(gold):
            return rank
    return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What scores need to know of one linked example."""

    group: str
    rank: int | None
    covered: bool
    """In the dataset's fixed list of covered rows; `reachable` where it has none."""
    reachable: bool
    """The release holds a concept with a gold CURIE."""
    named: bool
    """The mention is, after normalisation, a name of such a concept in the release."""


@dataclass(frozen=True, slots=True)
class Subset:
    """The outcomes over which a score is taken."""

    key: str
    title: str
    holds: Callable[[Outcome], bool]


SUBSETS = (
    Subset("covered", "Covered rows", lambda o: o.covered),
    Subset("all", "All rows", lambda o: True),
    Subset("covered_unseen", "Covered, mention not a name", lambda o: o.covered and not o.named),
    Subset("all_unseen", "All, mention not a name", lambda o: not o.named),
)
"""The unseen ones are free of overlap: what is left when look-up alone cannot answer."""


@dataclass(frozen=True, slots=True)
class Score:
    """The mean of each metric over some outcomes; None where there are none."""

    rows: int
    reachable: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SubsetScores:
    """The scores of one subset: by group, and their two means."""

    subset: Subset
    groups: dict[str, Score]
    macro: Score
    """Mean of the groups that have rows: each weighs the same."""
    micro: Score
    """Mean of all rows: each weighs the same."""


def score(
    outcomes: Collection[Outcome], metrics: Sequence[Metric], groups: Sequence[str]
) -> list[SubsetScores]:
    """Scores the outcomes over every subset; `groups` gives the order, all are listed."""
    scores = []
    for subset in SUBSETS:
        held = [outcome for outcome in outcomes if subset.holds(outcome)]
        by_group = {
            group: _score([o for o in held if o.group == group], metrics) for group in groups
        }
        micro = _score(held, metrics)
        columns = zip(*(each.values for each in by_group.values()), strict=True)
        macro = replace(micro, values=tuple(map(_mean, columns)))
        scores.append(SubsetScores(subset, by_group, macro, micro))
    return scores


def _score(outcomes: Sequence[Outcome], metrics: Sequence[Metric]) -> Score:
    values = tuple(_mean([metric.of(o.rank) for o in outcomes]) for metric in metrics)
    return Score(len(outcomes), sum(o.reachable for o in outcomes), values)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
