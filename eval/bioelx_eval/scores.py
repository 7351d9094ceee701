"""The scores of a run: every metric over every subset of the rows, by group and as means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bioelx_eval.bootstrap import Estimate, estimate
from bioelx_eval.metrics import (
    Bools,
    Floats,
    Ints,
    Metric,
    Outcomes,
    all_addends,
    all_values,
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What scores need to know of the rows of a run, arrays of one length."""

    groups: Sequence[str]
    group: Ints
    """The position of each row's group in `groups`."""
    covered: Bools
    reachable: Bools
    unseen: Bools
    """The mention is neither a name of its gold concept nor among the training names."""
    outcomes: Outcomes

    @classmethod
    def of(cls, predictions: pa.Table, groups: Sequence[str]) -> Rows:
        """The rows of a table of predictions; `groups` gives the order, all are listed."""

        def column(name: str) -> np.ndarray:
            return predictions[name].combine_chunks().to_numpy(zero_copy_only=False)

        reachable = column("reachable")
        outcomes = Outcomes(
            rank=pc.fill_null(predictions["rank"], 0).to_numpy(),
            nil=~reachable,
            linked=pc.is_valid(predictions["link"]).to_numpy(),
            confidence=column("confidence").astype(np.float64),
        )
        return cls(
            groups=tuple(groups),
            group=pc.index_in(predictions["group"], value_set=pa.array(groups)).to_numpy(),
            covered=column("covered"),
            reachable=reachable,
            unseen=~(column("named") | column("seen")),
            outcomes=outcomes,
        )


@dataclass(frozen=True, slots=True)
class Subset:
    """The rows over which a score is taken."""

    key: str
    title: str
    holds: Callable[[Rows], Bools]


SUBSETS = (
    Subset("covered", "Covered rows", lambda rows: rows.covered),
    Subset("all", "All rows", lambda rows: np.ones_like(rows.covered)),
    Subset("covered_unseen", "Covered, mention unseen", lambda rows: rows.covered & rows.unseen),
    Subset("all_unseen", "All, mention unseen", lambda rows: rows.unseen),
)
"""The unseen ones are free of overlap: what is left when look-up alone cannot answer."""


@dataclass(frozen=True, slots=True)
class Score:
    """The metrics, by name, over some rows."""

    rows: int
    reachable: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class SubsetScores:
    """The scores of one subset: by group, and their two means (see `Estimates`)."""

    macro: Score
    micro: Score
    groups: dict[str, Score]


def score(rows: Rows, metrics: Sequence[Metric]) -> dict[str, SubsetScores]:
    """Scores the rows over every subset, by its key."""
    addends = all_addends(metrics, rows.outcomes)
    return {subset.key: _score(rows, subset.holds(rows), addends, metrics) for subset in SUBSETS}


def _score(rows: Rows, held: Bools, addends: Floats, metrics: Sequence[Metric]) -> SubsetScores:
    def read(sums: Floats, mentions: int) -> Floats:
        return all_values(metrics, sums, mentions)

    def of(values: Sequence[Estimate], counted: Bools) -> Score:
        named = {metric.name: value for metric, value in zip(metrics, values, strict=True)}
        return Score(int(counted.sum()), int((counted & rows.reachable).sum()), named)

    estimates = estimate(addends[held], rows.group[held], rows.groups, read)
    return SubsetScores(
        macro=of(estimates.macro, held),
        micro=of(estimates.micro, held),
        groups={
            group: of(values, held & (rows.group == code))
            for code, (group, values) in enumerate(zip(rows.groups, estimates.groups, strict=True))
        },
    )
