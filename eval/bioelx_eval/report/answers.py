"""The runs on one dataset, side by side: what plots, tables and words of a report look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from bioelx_eval.auto import AutoCurve
from bioelx_eval.datasets import DATASETS, Dataset
from bioelx_eval.error_kinds import ErrorKind
from bioelx_eval.metrics import Bools
from bioelx_eval.report.auto import curve_of
from bioelx_eval.report.files import Run
from bioelx_eval.report.table import MEANS
from bioelx_eval.scores import SUBSETS, Rows

ERROR_KINDS = {
    ErrorKind.NOT_COVERED: "the release holds no concept with a gold id",
    ErrorKind.NOT_RETRIEVED: "it holds one, but not among the candidates",
    ErrorKind.WRONG_TYPE: "a right one stands below one of another type",
    ErrorKind.RANKED_BELOW: "a right one stands below one of its own type",
    ErrorKind.LINKED_NIL: "the mention has no concept, and was linked",
}
"""The kinds in the order of the online journey, and what each means."""


class Interval(NamedTuple):
    """A score from 0 to 1 with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Answers:
    """What one release made of a dataset."""

    label: str
    """What the release is called beside the others."""
    run: Run

    @property
    def scores(self) -> dict[str, Any]:
        return self.run.scores

    @property
    def predictions(self) -> pa.Table:
        return self.run.predictions

    @property
    def groups(self) -> list[str]:
        return list(self.scores["scores"]["all"]["groups"])

    @property
    def metrics(self) -> list[str]:
        return list(self.scores["scores"]["all"]["macro"]["metrics"])

    @cached_property
    def rows(self) -> Rows:
        """The predictions as arrays."""
        return Rows.of(self.predictions, self.groups)

    @cached_property
    def subsets(self) -> dict[str, Bools]:
        """Which rows each subset of the scores holds."""
        return {subset.key: subset.holds(self.rows) for subset in SUBSETS}

    @cached_property
    def auto(self) -> AutoCurve | None:
        """When to ask the ranker, of a run that asked it always."""
        return curve_of(self.run)

    def errors(self, group: str | None = None) -> Counter[str]:
        """The errors among all rows, or those of a group, by kind."""
        kinds = self.predictions["error"]
        if group is not None:
            kinds = kinds.filter(pc.equal(self.predictions["group"], group))
        return Counter(kinds.drop_null().to_pylist())

    def count(self, what: str, subset: str, column: str) -> int | None:
        """The `rows`, or the `reachable` ones, of a group or mean; None where it was not run."""
        held = self._held(subset, column)
        return held[what] if held else None

    def score(self, metric: str, subset: str, column: str) -> Interval:
        """A score of a group or mean."""
        held = self._held(subset, column)
        score = held["metrics"].get(metric) if held else None
        return Interval(**score) if score else Interval(None, None, None)

    def _held(self, subset: str, column: str) -> dict[str, Any] | None:
        of_subset = self.scores["scores"][subset]
        return of_subset[column] if column in MEANS else of_subset["groups"].get(column)


@dataclass(frozen=True)
class SideBySide:
    """The runs on one dataset; releases in the order in which they were given."""

    dataset: Dataset
    answers: Sequence[Answers]

    @property
    def groups(self) -> list[str]:
        """All groups of the runs, in their order."""
        return list(dict.fromkeys(group for each in self.answers for group in each.groups))

    @property
    def metrics(self) -> list[str]:
        """All metrics of the runs, in their order."""
        return list(dict.fromkeys(metric for each in self.answers for metric in each.metrics))


def side_by_side(runs: Sequence[Run]) -> list[SideBySide]:
    """The runs by dataset, in the order in which each first occurs."""
    by_dataset: dict[str, list[Run]] = {}
    for run in runs:
        by_dataset.setdefault(run.scores["dataset"], []).append(run)
    return [
        SideBySide(DATASETS[name], [*map(Answers, _labels(of_dataset), of_dataset)])
        for name, of_dataset in by_dataset.items()
    ]


def _labels(runs: Sequence[Run]) -> list[str]:
    """The releases' ids, with what else tells the runs apart where these do not."""
    labels = [run.scores["knowledge_base"]["release"] for run in runs]
    further = (
        [f"rerank {run.scores['options']['rerank']}" for run in runs],
        [run.folder.name for run in runs],
        [f"run {number}" for number in range(1, len(runs) + 1)],
    )
    for words in further:
        times = Counter(labels)
        labels = [
            f"{label}, {word}" if times[label] > 1 else label
            for label, word in zip(labels, words, strict=True)
        ]
    return labels
