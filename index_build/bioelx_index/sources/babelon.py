"""Translations of the Human Phenotype Ontology: Babelon tables and ROBOT templates of synonyms.

https://monarch-initiative.github.io/babelon/ and https://robot.obolibrary.org/template
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse
from bioelx_index.sources.tables import headed_rows

_KINDS = {"rdfs:label": "label", "oboInOwl:hasExactSynonym": "alias"}
_UNTRANSLATED = "NOT_TRANSLATED"
_TEMPLATE = re.compile(r"AL oboInOwl:hasExactSynonym@(\S+)(?: SPLIT=(\S))?")


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads ``*.synonyms.tsv`` as templates and all else as Babelon; what is marked as not
    translated is passed over. The language is the one that the file states.

    Raises:
        FileError: a missing column, an unreadable template, a subject that is no id.
    """
    for path in files:
        yield from _template(source, path) if ".synonyms." in path.name else _babelon(source, path)


def _babelon(source: str, path: Path) -> Iterator[SourceConcept]:
    columns = ("subject_id", "predicate_id", "translation_language", "translation_value")
    for number, row in headed_rows(path, columns):
        kind = _KINDS.get(row["predicate_id"])
        text = row["translation_value"]
        if kind and text and row.get("translation_status") != _UNTRANSLATED:
            name = Name(text, row["translation_language"], kind, source)
            yield SourceConcept(_subject(path, number, row), (name,))


def _template(source: str, path: Path) -> Iterator[SourceConcept]:
    lang = split = None
    for number, row in headed_rows(path, ("subject_id", "translation_value")):
        text = row["translation_value"]
        if lang is None:
            template = _TEMPLATE.fullmatch(text)
            if template is None:
                raise FileError(path, f"{text!r} is no template of a synonym", line=number)
            lang, split = template.groups()
        elif text and _UNTRANSLATED not in row.values():
            texts = text.split(split) if split else [text]
            names = tuple(Name(part, lang, "alias", source) for part in texts)
            yield SourceConcept(_subject(path, number, row), names)


def _subject(path: Path, number: int, row: dict[str, str]) -> str:
    subject = parse(row["subject_id"])
    if subject is None:
        raise FileError(path, f"subject_id {row['subject_id']!r} is no known id", line=number)
    return subject
