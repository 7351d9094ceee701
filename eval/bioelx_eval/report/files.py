"""`predictions.parquet` and `scores.json`, schema 3: the files of a run, written and read.

The same run gives the same bytes: no times, no paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bioelx.disk import write_whole
from bioelx.errors import FileError
from bioelx_eval.predictions import PREDICTIONS_SCHEMA

SCHEMA = 3
PREDICTIONS_FILE = "predictions.parquet"
SCORES_FILE = "scores.json"
_FINGERPRINT = b"bioelx.run"
_ROW_GROUP = 8192  # mentions


@dataclass(frozen=True)
class Run:
    """What one release made of one dataset, as its files hold it."""

    folder: Path
    scores: dict[str, Any]
    predictions: pa.Table


def read_run(folder: Path) -> Run:
    """Reads a finished run.

    Raises:
        FileError: there is none in the folder, a file is damaged or of another schema, or the two
            do not belong together.
    """
    scores, rows = _read_scores(folder / SCORES_FILE)
    predictions = read_predictions(folder)
    if rows != len(predictions):
        raise FileError(
            folder / SCORES_FILE,
            f"is over {rows:,} mentions, {PREDICTIONS_FILE} holds {len(predictions):,}: run again",
        )
    return Run(folder, scores, predictions)


def read_predictions(folder: Path) -> pa.Table:
    """Reads the predictions of a run.

    Raises:
        FileError: the file is missing, damaged or of another schema.
    """
    path = folder / PREDICTIONS_FILE
    try:
        predictions = pq.read_table(path)
    except FileNotFoundError:
        raise FileError(path, "no such file: not the folder of a run") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise FileError(path, f"not a whole Parquet file ({error})") from None
    predictions = predictions.replace_schema_metadata(None)
    if not predictions.schema.equals(PREDICTIONS_SCHEMA):
        raise FileError(path, f"not predictions of schema {SCHEMA}: run again")
    return predictions


def has_predictions(folder: Path, fingerprint: str) -> bool:
    """Whether the folder holds all predictions of the run with this fingerprint."""
    try:
        metadata = pq.read_metadata(folder / PREDICTIONS_FILE).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return False
    return metadata.get(_FINGERPRINT) == fingerprint.encode()


class PredictionsFile:
    """Writes `predictions.parquet` in a folder; it appears when it is whole."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / PREDICTIONS_FILE
        self._draft = self._path.with_suffix(".part")
        schema = PREDICTIONS_SCHEMA.with_metadata({_FINGERPRINT: fingerprint})
        self._writer = pq.ParquetWriter(self._draft, schema)
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> PredictionsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._write()
        self._writer.close()
        if kind is None:
            self._draft.replace(self._path)
        else:
            self._draft.unlink()

    def add(self, predictions: pa.Table) -> None:
        """Appends a batch."""
        self._waiting.append(predictions)
        if sum(map(len, self._waiting)) >= _ROW_GROUP:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting = []


def write_scores(content: Mapping[str, Any], folder: Path) -> None:
    """Writes `scores.json`; it appears when it is whole."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    said = orjson.dumps({"schema": SCHEMA, **content}, option=options)
    write_whole(said, folder / SCORES_FILE)


def _read_scores(path: Path) -> tuple[dict[str, Any], int]:
    """The scores, and over how many mentions they are."""
    try:
        scores = orjson.loads(path.read_bytes())
        if scores["schema"] != SCHEMA:
            raise FileError(path, f"schema {scores['schema']}, this version reads {SCHEMA}")
        groups = scores["scores"]["all"]["groups"]
        return scores, sum(group["rows"] for group in groups.values())
    except FileNotFoundError:
        raise FileError(path, "no such file: not the folder of a finished run") from None
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise FileError(path, f"not the scores of a run ({error!r})") from None
