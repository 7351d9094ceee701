"""Expected scores: what a command should give, and whether it did.

A file `eval/expected/NAME.yaml` holds a command (dataset and options), a fingerprint of all that
its scores depend on, the scores, and a tolerance. A score is

- OK within the tolerance, where the fingerprint is the same;
- close within the tolerance although something differs, or within twice the tolerance;
- FAIL beyond that, or where there is none.

The tolerance is never less than one row of those that a score is over. An index's own file is no
part of the fingerprint: built anew it has other bytes, as threads add to it in another order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import TypeAdapter, ValidationError

from bioelx.errors import FileError
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE
from bioelx.ranking import Precision
from bioelx.release import Manifest
from bioelx.settings import CHECKOUT
from bioelx.types import Rerank
from bioelx_eval.datasets import DATASETS
from bioelx_eval.report.files import Run
from bioelx_eval.report.table import MEANS

EXPECTED = CHECKOUT / "eval" / "expected"
"""Where the files are: with the code that should give their scores."""
SCHEMA = 1
TOLERANCE = 0.005
_HEADER = "# Written by `bioelx eval expect`, checked by `bioelx eval reproduce`.\n"
_EXAMPLES = ["id", "group", "mention", "gold", "covered"]

Scores = dict[str, dict[str, dict[str, float | None]]]
"""By subset, by group or mean, by metric."""


class Verdict(StrEnum):
    OK = "OK"
    CLOSE = "close"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Command:
    """What was run."""

    dataset: str
    groups: list[str]
    metrics: list[str]
    rerank: Rerank
    ranker: str | None
    """Its name; None for retrieval alone."""
    training_names: str | None
    """The sha256 of the file of names that the encoder saw in training, if it was given."""
    ranker_precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What must be equal for scores to be comparable."""

    encoder: str
    index: str
    """Its kind, a FAISS factory string."""
    concepts: str
    """The sha256 of the release's table of concepts."""
    names: str
    """The sha256 of its table of names."""
    examples: str
    """The sha256 of the examples, with their mentions and gold ids."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One file of expected scores."""

    schema: int
    command: Command
    fingerprint: Fingerprint
    tolerance: float
    scores: Scores


@dataclass(frozen=True, slots=True)
class Check:
    """One score beside the expected one."""

    subset: str
    column: str
    """A group or a mean."""
    metric: str
    expected: float | None
    got: float | None
    verdict: Verdict


_ADAPTER = TypeAdapter(Expected)


def expected_of(run: Run, manifest: Manifest, tolerance: float = TOLERANCE) -> Expected:
    """What a finished run gave, as what is to be expected from now on.

    Args:
        manifest: of the run's release.
    """
    options = run.scores["options"]
    everything = run.scores["scores"]["all"]
    command = Command(
        dataset=run.scores["dataset"],
        groups=list(everything["groups"]),
        metrics=list(everything["macro"]["metrics"]),
        rerank=Rerank(options["rerank"]),
        ranker=options["ranker"],
        training_names=options["training_names"],
        ranker_precision=options["ranker_precision"] or "auto",
    )
    return Expected(SCHEMA, command, fingerprint_of(run, manifest), tolerance, _values(run))


def fingerprint_of(run: Run, manifest: Manifest) -> Fingerprint:
    """All that the scores of a run depend on beside its options."""
    rows = run.predictions.select(_EXAMPLES).to_pylist()
    digest = hashlib.sha256()
    for row in rows:
        digest.update(orjson.dumps(row))
    return Fingerprint(
        encoder=manifest.encoder.fingerprint,
        index=manifest.index.factory,
        concepts=manifest.files[CONCEPTS_FILE].sha256,
        names=manifest.files[NAMES_FILE].sha256,
        examples=digest.hexdigest(),
    )


def write_expected(expected: Expected, path: Path) -> None:
    """Writes a file of expected scores, a line a group."""
    content = asdict(expected)
    content["command"]["rerank"] = expected.command.rerank.value  # YAML knows no enumerations
    text = yaml.safe_dump(
        content, default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True
    )
    path.write_text(_HEADER + text, encoding="utf-8")


def read_expected(path: Path) -> Expected:
    """Reads a file of expected scores.

    Raises:
        FileError: it is missing, no YAML, of another schema, or a field is wrong (it is named).
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            raise FileError(path, f"not a file of expected scores of schema {SCHEMA}")
        expected = _ADAPTER.validate_python(raw)
    except FileNotFoundError:
        raise FileError(path, "no such file") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8 ({error.reason})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise FileError(path, "not YAML", line=line) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(path, f"{where}: {first['msg']}") from None
    if not any(metrics for columns in expected.scores.values() for metrics in columns.values()):
        raise FileError(path, "scores: there are none")
    if expected.command.dataset not in DATASETS:
        raise FileError(path, f"command.dataset: unknown dataset {expected.command.dataset!r}")
    return expected


def differences(expected: Expected, run: Run, manifest: Manifest) -> list[str]:
    """What was not as it was for the expected scores, each in words."""
    now = expected_of(run, manifest)
    said = []
    for part in ("command", "fingerprint"):
        before, after = getattr(expected, part), getattr(now, part)
        for each in fields(before):
            was, is_now = (_short(getattr(value, each.name)) for value in (before, after))
            if getattr(before, each.name) != getattr(after, each.name):
                said.append(f"{each.name} {is_now}, expected {was}")
    return said


def check(expected: Expected, run: Run, manifest: Manifest) -> list[Check]:
    """Each expected score beside what the run gave."""
    same = not differences(expected, run, manifest)
    got = _values(run)
    checks = []
    for subset, columns in expected.scores.items():
        for column, metrics in columns.items():
            rows = _rows(run, subset, column)
            tolerance = max(expected.tolerance, 1 / rows if rows else 0)
            for metric, value in metrics.items():
                found = got.get(subset, {}).get(column, {}).get(metric)
                verdict = _verdict(value, found, tolerance, same=same)
                checks.append(Check(subset, column, metric, value, found, verdict))
    return checks


def _verdict(expected: float | None, got: float | None, tolerance: float, *, same: bool) -> Verdict:
    if expected is None or got is None:
        off = 0.0 if expected is got else float("inf")
    else:
        off = round(abs(got - expected), 9)  # 0.5 - 0.4 is more than 0.1 to a computer
    if off <= tolerance:
        return Verdict.OK if same else Verdict.CLOSE
    return Verdict.CLOSE if off <= 2 * tolerance else Verdict.FAIL


def _values(run: Run) -> Scores:
    return {
        subset: {
            column: {metric: estimate["value"] for metric, estimate in score["metrics"].items()}
            for column, score in _columns(scores)
        }
        for subset, scores in run.scores["scores"].items()
    }


def _columns(scores: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from scores["groups"].items()
    yield from ((mean, scores[mean]) for mean in MEANS)


def _rows(run: Run, subset: str, column: str) -> int:
    scores = run.scores["scores"].get(subset)
    return dict(_columns(scores)).get(column, {}).get("rows", 0) if scores else 0


def _short(value: Any) -> str:
    """A value as it is said: of a checksum the beginning."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else str(value)
