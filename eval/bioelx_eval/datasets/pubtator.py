"""PubTator: titles and abstracts of PubMed with their mentions (BC5CDR, MedMentions).

A document is, up to an empty line,

    PMID|t|title
    PMID|a|abstract
    PMID, start, end, mention, type, ids and, in some corpora, parts: between tabs

Offsets count code points in the title, one space and the abstract. A line whose second column is
a word (`CID` in BC5CDR) relates two concepts and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bioelx.errors import FileError
from bioelx.types import Query
from bioelx_eval.datasets.dataset import encloses, read_lines

_TEXT = re.compile(r"([0-9]+)\|([ta])\|(.*)")
_OFFSET = re.compile("[0-9]+")


class Annotation(NamedTuple):
    """One mention in its document."""

    line: int
    query: Query
    type: str
    ids: str  # as published
    parts: str  # as published; empty where there is no such column


class Document(NamedTuple):
    """One title with its abstract."""

    pmid: str
    annotations: list[Annotation]


def read_documents(path: Path) -> Iterator[Document]:
    """Streams the documents of a file, plain or gzipped.

    Raises:
        FileError: the file is missing, malformed or cut off, or holds a document twice or none.
    """
    seen: set[str] = set()
    block: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        if line:
            block.append((number, line))
        elif block:
            document = _document(path, block)
            if document.pmid in seen:
                raise FileError(path, f"document {document.pmid} again", line=block[0][0])
            seen.add(document.pmid)
            yield document
            block = []
    if block:
        raise FileError(path, "no empty line after the document: cut off", line=block[-1][0])
    if not seen:
        raise FileError(path, "holds no document", line=1)


def _document(path: Path, block: Sequence[tuple[int, str]]) -> Document:
    number = block[0][0]
    try:
        title, abstract = (_TEXT.fullmatch(line) for _, line in block[:2])
        if not title or not abstract or (title[2], abstract[2]) != ("t", "a"):
            raise ValueError
    except ValueError:
        raise FileError(path, "needs PMID|t|title, then PMID|a|abstract", line=number) from None
    pmid, text = title[1], f"{title[3]} {abstract[3]}"
    if abstract[1] != pmid:
        raise FileError(path, "belongs to another document", line=number + 1)
    annotations = []
    seen: set[str] = set()
    for number, line in block[2:]:
        columns = line.split("\t")
        try:
            if columns[0] != pmid:
                raise ValueError("belongs to another document")
            if line in seen:
                raise ValueError("stands in the document twice")
            seen.add(line)
            if len(columns) == 4 and columns[1].isalpha():
                continue
            annotations.append(_annotation(text, number, columns))
        except ValueError as error:
            raise FileError(path, str(error), line=number) from None
    return Document(pmid, annotations)


def _annotation(text: str, number: int, columns: Sequence[str]) -> Annotation:
    if len(columns) not in (6, 7):
        raise ValueError(f"has {len(columns)} columns between tabs, not 6 or 7")
    _, start, end, mention, kind, ids, *parts = columns
    if not (_OFFSET.fullmatch(start) and _OFFSET.fullmatch(end)):
        raise ValueError("an offset is no number")
    if not encloses(text, int(start), int(end), mention):
        raise ValueError("the offsets do not enclose the mention")
    return Annotation(number, Query(text, int(start), int(end), "en"), kind, ids, "".join(parts))
