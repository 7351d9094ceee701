"""Two runs on the same mentions: how far apart their scores are, and which answers changed sides.

The interval of a difference is that of the paired bootstrap: both runs are scored over the same
draws of mentions (Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation",
EMNLP), so that what is hard for both does not blur what sets them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bioelx.errors import BioelxError, FileError
from bioelx_eval.bootstrap import Estimate, estimate
from bioelx_eval.metrics import Bools, Floats, Metric, all_addends, all_values
from bioelx_eval.report.files import PREDICTIONS_FILE, Run
from bioelx_eval.scores import Rows, Subset


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of both runs, and A less B with its interval; None where it is not defined."""

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Compared:
    """The metrics, by name, over some mentions."""

    rows: int
    metrics: dict[str, Difference]


@dataclass(frozen=True, slots=True)
class SubsetComparison:
    """One subset of the mentions: by group, and as means (see `Estimates`)."""

    macro: Compared
    micro: Compared
    groups: dict[str, Compared]


@dataclass(frozen=True, slots=True)
class Change:
    """A mention that one run answers right and the other does not."""

    id: str
    group: str
    mention: str
    gold: list[str]
    a: list[dict[str, Any]]
    """What A answered: concept_id, label and probability of its first candidate, one a part."""
    b: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs make of the mentions that both have."""

    a: Run
    b: Run
    rows: int
    only_a: int
    """Mentions that B does not have."""
    only_b: int
    subsets: dict[str, SubsetComparison]
    """By the subset's key; a mention is in it that is in it in both runs."""
    right_to_wrong: list[Change]
    """Right in A, wrong in B."""
    wrong_to_right: list[Change]


def compare(a: Run, b: Run, metrics: Sequence[Metric], subsets: Sequence[Subset]) -> Comparison:
    """Compares two runs mention by mention.

    Raises:
        BioelxError: they are of different datasets, have no mention in common, or a metric looks at
            more candidates than a run has.
        FileError: a mention is not the same in both.
    """
    _check(a, b, metrics)
    places_a, places_b = _common(a, b)
    table_a, table_b = a.predictions.take(places_a), b.predictions.take(places_b)
    _check_same(table_a, table_b, b)
    groups = [
        group
        for group in a.scores["scores"]["all"]["groups"]
        if group in b.scores["scores"]["all"]["groups"]
    ]
    rows_a, rows_b = Rows.of(table_a, groups), Rows.of(table_b, groups)
    right_a, right_b = rows_a.outcomes.right, rows_b.outcomes.right
    return Comparison(
        a=a,
        b=b,
        rows=len(table_a),
        only_a=len(a.predictions) - len(table_a),
        only_b=len(b.predictions) - len(table_b),
        subsets={
            subset.key: _compare(
                rows_a, rows_b, subset.holds(rows_a) & subset.holds(rows_b), metrics
            )
            for subset in subsets
        },
        right_to_wrong=_changes(table_a, table_b, right_a & ~right_b),
        wrong_to_right=_changes(table_a, table_b, ~right_a & right_b),
    )


def _check(a: Run, b: Run, metrics: Sequence[Metric]) -> None:
    datasets = [run.scores["dataset"] for run in (a, b)]
    if datasets[0] != datasets[1]:
        raise BioelxError(
            f"{a.folder} is a run on {datasets[0]} and {b.folder} one on {datasets[1]}: "
            "only runs on one dataset can be compared"
        )
    for run in (a, b):
        top_k = run.scores["options"]["top_k"]
        for metric in metrics:
            if metric.depth > top_k:
                raise BioelxError(f"{metric.name}: {run.folder} has only {top_k} candidates")


def _common(a: Run, b: Run) -> tuple[list[int], list[int]]:
    """The rows of the mentions that both have, in A's order."""
    place_in_b = {each: i for i, each in enumerate(b.predictions["id"].to_pylist())}
    pairs = [
        (i, place_in_b[each])
        for i, each in enumerate(a.predictions["id"].to_pylist())
        if each in place_in_b
    ]
    if not pairs:
        raise BioelxError(f"{a.folder} and {b.folder} have no mention in common")
    return [i for i, _ in pairs], [i for _, i in pairs]


def _check_same(table_a: pa.Table, table_b: pa.Table, b: Run) -> None:
    for column in ("group", "mention", "gold"):
        values_a, values_b = table_a[column].to_pylist(), table_b[column].to_pylist()
        for i, (value_a, value_b) in enumerate(zip(values_a, values_b, strict=True)):
            if value_a != value_b:
                raise FileError(
                    b.folder / PREDICTIONS_FILE,
                    f"the {column} of {table_a['id'][i].as_py()} is not that in the other run: "
                    "they read different files",
                )


def _compare(
    rows_a: Rows, rows_b: Rows, held: Bools, metrics: Sequence[Metric]
) -> SubsetComparison:
    both = np.concatenate(
        [all_addends(metrics, rows.outcomes)[held] for rows in (rows_a, rows_b)], axis=1
    )

    def read(sums: Floats, mentions: int) -> Floats:
        """The metrics of A, those of B, and their differences, one after the other."""
        a, b = (all_values(metrics, each, mentions) for each in np.split(sums, 2, axis=-1))
        return np.concatenate([a, b, a - b], axis=-1)

    def of(values: Sequence[Estimate], counted: Bools) -> Compared:
        n = len(metrics)
        each = zip(metrics, values[:n], values[n : 2 * n], values[2 * n :], strict=True)
        named = {
            metric.name: Difference(a.value, b.value, less.value, less.low, less.high)
            for metric, a, b, less in each
        }
        return Compared(int(counted.sum()), named)

    estimates = estimate(both, rows_a.group[held], rows_a.groups, read)
    return SubsetComparison(
        macro=of(estimates.macro, held),
        micro=of(estimates.micro, held),
        groups={
            group: of(values, held & (rows_a.group == code))
            for code, (group, values) in enumerate(
                zip(rows_a.groups, estimates.groups, strict=True)
            )
        },
    )


def _changes(table_a: pa.Table, table_b: pa.Table, changed: Bools) -> list[Change]:
    columns = ["id", "group", "mention", "gold", "candidates"]
    of_a, of_b = (
        table.select(columns).filter(pa.array(changed)).to_pylist() for table in (table_a, table_b)
    )
    return [
        Change(
            a["id"],
            a["group"],
            a["mention"],
            a["gold"],
            _firsts(a["candidates"]),
            _firsts(b["candidates"]),
        )
        for a, b in zip(of_a, of_b, strict=True)
    ]


def _firsts(candidates: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first candidate of each part."""
    firsts: dict[int, dict[str, Any]] = {}
    for candidate in candidates:
        told = {name: candidate[name] for name in ("concept_id", "label", "probability")}
        firsts.setdefault(candidate["part"], told)
    return list(firsts.values())
