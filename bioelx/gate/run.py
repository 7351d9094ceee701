"""What a release makes of a regression set, linked once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from bioelx.disk import write_whole
from bioelx.gate.rows import Row, RowSet
from bioelx.kb import KnowledgeBase
from bioelx.linker import Linker
from bioelx.types import Status

RESULT_FILE = "regression.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision of a release for one row."""

    id: str
    language: str
    known: bool
    """The release holds an expected concept, or none is expected."""
    right: bool
    """The mention was linked to an expected concept; where none is expected, to none."""
    linked: str | None
    first: str | None
    """The first candidate, linked or not."""
    confidence: float


@dataclass(frozen=True, slots=True)
class Result:
    """A release's answers to all rows, with all that decided on them."""

    release: str
    rows: str
    """The sha256 of the regression set."""
    bioelx: str
    """The version that linked."""
    answers: tuple[Answer, ...]


_ADAPTER = TypeAdapter(Result)


def answers_of(release: Path, rows: RowSet, evaluations: Path, *, threads: int = 0) -> Result:
    """The answers of a release: read, if it was asked before, else linked and written down.

    Args:
        release: its folder.
        evaluations: the folder that stands beside the releases.

    Raises:
        FileError: a file of the release is missing or damaged.
    """
    path = evaluations / release.name / RESULT_FILE
    kept = _read(path)
    if kept and (kept.release, kept.rows, kept.bioelx) == (release.name, rows.sha256, _version()):
        return kept
    linker = Linker.open(release, threads=threads)
    result = Result(release.name, rows.sha256, _version(), _link(rows.rows, linker))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(orjson.dumps(result, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), path)
    return result


def _version() -> str:
    return version("bioelx")


def _read(path: Path) -> Result | None:
    """What was kept; None where there is nothing, or nothing that this version can read."""
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _link(rows: tuple[Row, ...], linker: Linker) -> tuple[Answer, ...]:
    held = _held(linker.knowledge_base, {curie for row in rows for curie in row.expected})
    answers = []
    links = linker.link([row.query for row in rows]).links
    for row, link in zip(rows, links, strict=True):
        right = {concept_id for curie in row.expected for concept_id in held.get(curie, ())}
        answers.append(
            Answer(
                id=row.id,
                language=row.query.language,
                known=bool(right) or not row.expected,
                right=link.concept_id in right if row.expected else link.concept_id is None,
                linked=link.concept_id,
                first=link.candidates[0].concept.concept_id if link.candidates else None,
                confidence=round(link.confidence, 4),
            )
        )
    return tuple(answers)


def _held(knowledge_base: KnowledgeBase, curies: set[str]) -> dict[str, set[str]]:
    """The ids of the active concepts that stand for each CURIE: those that bear it, and for a
    retired concept its successor."""
    bearing = knowledge_base.rows_bearing(curies)
    held = {curie: set(map(knowledge_base.concept_id, rows)) for curie, rows in bearing.items()}
    for curie in curies:
        row = knowledge_base.row_of(curie)
        concept = None if row is None else knowledge_base.concept(knowledge_base.successor(row))
        if concept and concept.status is Status.ACTIVE:
            held.setdefault(curie, set()).add(concept.concept_id)
    return held
