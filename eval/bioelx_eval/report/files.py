"""`predictions.parquet` and `scores.json`: the same run gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bioelx_eval.harness import Evaluation, Prediction
from bioelx_eval.metrics import Score, SubsetScores

SCHEMA = 1
PREDICTIONS_FILE = "predictions.parquet"
SCORES_FILE = "scores.json"
PREDICTIONS_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "group": pa.string(),
        "mention": pa.string(),
        "gold": pa.list_(pa.string()),
        "covered": pa.bool_(),
        "reachable": pa.bool_(),
        "named": pa.bool_(),
        "rank": pa.int32(),
        "candidates": pa.list_(
            pa.struct(
                {
                    "part": pa.int32(),
                    "concept_id": pa.string(),
                    "label": pa.string(),
                    "matched": pa.string(),
                    "matched_lang": pa.string(),
                    "exact": pa.bool_(),
                    "score": pa.float32(),
                    "probability": pa.float32(),
                }
            )
        ),
    }
)


class PredictionsFile:
    """Writes `predictions.parquet` in a folder; it appears when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PREDICTIONS_FILE
        self._draft = self._path.with_suffix(".part")
        self._writer = pq.ParquetWriter(self._draft, PREDICTIONS_SCHEMA)

    def __enter__(self) -> PredictionsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        if kind is None:
            self._draft.replace(self._path)
        else:
            self._draft.unlink()

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Appends a batch."""
        rows = [_prediction_row(prediction) for prediction in predictions]
        self._writer.write_table(pa.Table.from_pylist(rows, PREDICTIONS_SCHEMA))


def write_scores(evaluation: Evaluation, folder: Path) -> None:
    """Writes `scores.json`: no times and no paths, so that equal runs give equal files."""
    names = [str(metric) for metric in evaluation.metrics]
    content = {
        "schema": SCHEMA,
        "dataset": evaluation.dataset.name,
        "knowledge_base": asdict(evaluation.coverage),
        "options": {"top_k": evaluation.options.top_k, "rerank": evaluation.options.rerank},
        "skipped": dict(sorted(evaluation.skipped.items())),
        "scores": {each.subset.key: _subset(each, names) for each in evaluation.scores},
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / SCORES_FILE).write_bytes(orjson.dumps(content, option=options))


def _subset(scores: SubsetScores, names: Sequence[str]) -> dict[str, Any]:
    return {
        "macro": _score(scores.macro, names),
        "micro": _score(scores.micro, names),
        "groups": {group: _score(each, names) for group, each in scores.groups.items()},
    }


def _score(score: Score, names: Sequence[str]) -> dict[str, Any]:
    values = [None if value is None else round(value, 6) for value in score.values]
    return {
        "rows": score.rows,
        "reachable": score.reachable,
        **dict(zip(names, values, strict=True)),
    }


def _prediction_row(prediction: Prediction) -> dict[str, Any]:
    example = prediction.example
    return {
        "id": example.id,
        "mention": example.query.mention,
        "gold": example.gold,
        **asdict(prediction.outcome),
        "candidates": [
            {
                "part": part,
                "concept_id": candidate.concept.concept_id,
                "label": candidate.label,
                "matched": candidate.matched.text,
                "matched_lang": candidate.matched.lang,
                "exact": candidate.exact,
                "score": candidate.retrieval_score,
                "probability": candidate.probability,
            }
            for part, candidates in enumerate(prediction.candidates)
            for candidate in candidates
        ],
    }
