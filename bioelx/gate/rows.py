"""The rows of a regression set: mentions, each with the concepts expected for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bioelx.errors import FileError
from bioelx.types import Query

_Curie = Annotated[str, Field(pattern="^[^:]+:.+$")]


class _Line(BaseModel):
    """A row as it is written down."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    language: Annotated[str, Field(min_length=1)]
    mention: Annotated[str, Field(min_length=1)]
    text: str = ""
    start: int = 0
    end: int | None = None
    expected: (
        Annotated[list[Annotated[str, Field(pattern="^[^:]+:.+$")]], Field(min_length=1)] | None
    )

    @model_validator(mode="before")
    @classmethod
    def _says_what_is_expected(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "expected" not in raw:
            raise ValueError("has no 'expected': give CURIEs, or null for a mention of no concept")
        return raw

    @property
    def query(self) -> Query:
        text = self.text or self.mention
        end = self.start + len(self.mention) if self.end is None else self.end
        return Query(text, self.start, end, self.language)


@dataclass(frozen=True, slots=True)
class Row:
    """One mention. Any of the `expected` CURIEs is right; empty: the mention is of no concept."""

    id: str
    query: Query
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowSet:
    """The rows of a file, and the sha256 by which they are known again."""

    rows: tuple[Row, ...]
    sha256: str


def read_rows(path: Path) -> RowSet:
    """Reads a regression set, one JSON object a line.

    Raises:
        FileError: it is missing, or a line is not such a row; the line and its field are named.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(path, error.strerror or "cannot be read") from None
    rows: dict[str, Row] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        row = _read(line, path, number)
        if row.id in rows:
            raise FileError(path, f"id {row.id!r} a second time", line=number)
        rows[row.id] = row
    if not rows:
        raise FileError(path, "holds no rows")
    return RowSet(tuple(rows.values()), hashlib.sha256(content).hexdigest())


def _read(line: bytes, path: Path, number: int) -> Row:
    try:
        said = _Line.model_validate(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise FileError(path, f"not JSON ({error})", line=number) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "row"
        raise FileError(path, f"{where}: {first['msg']}", line=number) from None
    if said.query.mention != said.mention:
        raise FileError(path, "start and end do not enclose the mention", line=number)
    return Row(said.id, said.query, tuple(said.expected or ()))
