"""Translations of ontologies: Babelon tables and ROBOT templates of synonyms.

https://monarch-initiative.github.io/babelon/ and https://robot.obolibrary.org/template
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import last_part, parse
from bioelx_index.sources.options import Language, Options
from bioelx_index.sources.tables import headed_rows

_UNTRANSLATED = "NOT_TRANSLATED"
_STATUSES = ("OFFICIAL", "CANDIDATE", "UNDER_REVIEW", _UNTRANSLATED)
# hasExactSynonym as oboInOwl has it, exactSynonym as Babelon's own examples do.
_SYNONYM = re.compile(r"(?:has)?(Exact|Related)Synonym", re.IGNORECASE)
_TEMPLATE = re.compile(r"AL (\S+)@(\S+)(?: SPLIT=(\S))?")


class BabelonOptions(Options):
    """Which translations are taken."""

    statuses: tuple[Literal["OFFICIAL", "CANDIDATE", "UNDER_REVIEW"], ...] = (
        *("OFFICIAL", "CANDIDATE", "UNDER_REVIEW"),
    )
    """States of a translation that are good enough; a row that names none is a candidate."""
    scopes: tuple[Literal["EXACT", "RELATED"], ...] = ("EXACT", "RELATED")
    """Scopes of the synonyms that are names."""
    language: Language | None = None
    """The language of all names, where a file states it wrongly or not at all."""


def read(
    source: str, files: Sequence[Path], options: BabelonOptions | None = None
) -> Iterator[SourceConcept]:
    """Reads ``*.synonyms.*`` as templates and all else as Babelon: labels and synonyms. Passed
    over are definitions, what is not translated, and translations that are not exact.

    Raises:
        FileError: a missing column, an unreadable template, a subject that is no id, a row that
            states no language.
    """
    options = options or BabelonOptions()
    for path in files:
        part = _template if ".synonyms." in path.name else _babelon
        yield from part(source, path, options)


def _babelon(source: str, path: Path, options: BabelonOptions) -> Iterator[SourceConcept]:
    columns = ("subject_id", "predicate_id", "translation_language", "translation_value")
    for number, row in headed_rows(path, columns):
        kind = _kind(row["predicate_id"], options)
        text = row["translation_value"]
        status = row.get("translation_status") or "CANDIDATE"
        if status not in _STATUSES:
            message = f"translation_status {status!r} is none of {', '.join(_STATUSES)}"
            raise FileError(path, message, line=number)
        exact = (row.get("translation_precision") or "EXACT").upper() == "EXACT"
        if kind and text and exact and status in options.statuses:
            language = options.language or row["translation_language"]
            if not language:
                raise FileError(path, "no translation_language", line=number)
            yield SourceConcept(_subject(path, number, row), (Name(text, language, kind, source),))


def _template(source: str, path: Path, options: BabelonOptions) -> Iterator[SourceConcept]:
    template = None
    for number, row in headed_rows(path, ("subject_id", "translation_value")):
        text = row["translation_value"]
        if template is None:
            template = _TEMPLATE.fullmatch(text)
            if template is None:
                raise FileError(path, f"{text!r} is no template of a synonym", line=number)
            predicate, stated, split = template.groups()
            kind, language = _kind(predicate, options), options.language or stated
        elif kind and text and _UNTRANSLATED not in row.values():
            texts = text.split(split) if split else [text]
            names = tuple(Name(part, language, kind, source) for part in texts)
            yield SourceConcept(_subject(path, number, row), names)


def _kind(predicate: str, options: BabelonOptions) -> str | None:
    """The kind of name that a predicate such as `rdfs:label` gives, if it gives one."""
    name = last_part(predicate)
    if name == "label":
        return name
    synonym = _SYNONYM.fullmatch(name)
    return "alias" if synonym and synonym[1].upper() in options.scopes else None


def _subject(path: Path, number: int, row: dict[str, str]) -> str:
    subject = parse(row["subject_id"])
    if subject is None:
        raise FileError(path, f"subject_id {row['subject_id']!r} is no known id", line=number)
    return subject
