"""Documents from lines: JSON objects, or text with marked mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, Field, ValidationError

from bioelx.errors import FileError
from bioelx.v1 import linker_pb2 as pb

_MARK = re.compile(r"\\[\\\[\]]|\[\[|\]\]")  # an escaped character, or a mark


class InputFormat(StrEnum):
    JSONL = "jsonl"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Entry:
    """A document with its line's number and id; ids of lines may repeat, those of a request not."""

    line: int
    id: str
    document: pb.Document

    def spans(self) -> list[tuple[str, int, int]]:
        """Id, start and end of each mention."""
        document = self.document
        if not document.mentions:
            return [("", 0, len(document.text))]
        return [(mention.id, mention.start, mention.end) for mention in document.mentions]


class Problems:
    """Tells of bad input as it is met, counts it, or (`strict`) stops at the first."""

    def __init__(self, source: str, *, strict: bool) -> None:
        self._source = source
        self._strict = strict
        self.count = 0

    def report(self, line: int, message: str) -> None:
        error = FileError(self._source, message, line=line)
        if self._strict:
            raise error
        typer.echo(f"bioelx: {error}", err=True)
        self.count += 1


_Id = Annotated[str, Field(coerce_numbers_to_str=True)]


class _Span(BaseModel):
    id: _Id = ""
    start: Annotated[int, Field(ge=0, lt=2**63)]
    end: Annotated[int, Field(ge=0, lt=2**63)]


class _Line(BaseModel):
    """A document with mentions, with one (`start`, `end`), or a mention alone.

    Other fields are the caller's own and are left alone.
    """

    id: _Id = ""
    text: str | None = None
    mention: str | None = None
    language: str | None = None
    mentions: list[_Span] = []
    start: int | None = None
    end: int | None = None


def read_documents(
    lines: Iterable[bytes], form: InputFormat, language: str, problems: Problems
) -> Iterator[Entry]:
    """Yields the document of each line that is one; reports the others.

    Args:
        language: of lines that name none.
    """
    parse = parse_json if form is InputFormat.JSONL else parse_marked
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = parse(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        except ValueError as error:
            problems.report(number, str(error))
            continue
        document.language = document.language or language
        entry_id = document.id
        document.ClearField("id")
        yield Entry(number, entry_id, document)


def parse_json(line: bytes) -> pb.Document:
    """Reads one of

        {"id": "a", "text": "…", "language": "de", "mentions": [{"id": "1", "start": 0, "end": 4}]}
        {"id": "a", "text": "…", "language": "de", "start": 0, "end": 4}
        {"mention": "Herzinfarkt", "language": "de"}

    with offsets in code points.

    Raises:
        ValueError: the line is none of these; the message does not quote it.
    """
    try:
        said = _Line.model_validate_json(line.rstrip())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = first["msg"].replace("at line 1 column", "at column")  # of this one line
        raise ValueError(f"{where}: {problem}" if where else problem) from None
    text = said.mention if said.text is None else said.text
    if text is None:
        raise ValueError("neither text nor mention is there")
    spans = said.mentions
    if said.start is not None or said.end is not None:
        if spans or said.text is None:
            raise ValueError("start and end belong to a text without mentions")
        try:
            spans = [_Span.model_validate({"start": said.start, "end": said.end})]
        except ValidationError:
            raise ValueError("start and end must be two numbers, 0 or greater") from None
    return pb.Document(
        id=said.id,
        text=text,
        language=said.language or "",
        mentions=(pb.Mention(id=span.id, start=span.start, end=span.end) for span in spans),
    )


def parse_marked(line: bytes) -> pb.Document:
    r"""Reads a text with mentions in double brackets: `nach [[Herzinfarkt]] 2019`.

    A backslash makes a bracket or a backslash ordinary: `\[[`. Without marks the line is a mention.

    Raises:
        ValueError: the line is not UTF-8, or its marks do not match.
    """
    try:
        marked = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start + 1})") from None
    document = pb.Document()
    text, read_to, start = "", 0, None
    for mark in _MARK.finditer(marked):
        text += marked[read_to : mark.start()]
        read_to = mark.end()
        match mark.group():
            case "[[" if start is None:
                start = len(text)
            case "]]" if start is not None:
                document.mentions.add(start=start, end=len(text))
                start = None
            case "[[" | "]]":
                raise ValueError(f"the mark at character {mark.start() + 1} has no partner")
            case escaped:
                text += escaped[1]
    if start is not None:
        raise ValueError("the last mark is not closed")
    document.text = text + marked[read_to:]
    return document


def open_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, or of standard input for `-`.

    Raises:
        FileError: the file cannot be read.
    """
    try:
        if str(path) == "-":
            yield from typer.get_binary_stream("stdin")
        else:
            with path.open("rb") as stream:
                yield from stream
    except OSError as error:
        raise FileError(path, error.strerror or "cannot be read") from None
