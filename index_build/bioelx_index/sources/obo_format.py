"""The terms of an OBO 1.2/1.4 file, as the file has them.

https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html

The one library that streams such files and names the line at fault, fastobo, refuses all of the
Gene Ontology's release of December 2021 for one xref with a space in it (``EC 2.7.1.190``), and
others for what nobody here reads (a creation_date of a year alone, a tag that it does not know). It
is no faster than these lines either; pronto and obonet hold a file in memory as a graph.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bioelx.errors import FileError
from bioelx_index.sources.files import read_lines

SCOPES = ("EXACT", "RELATED", "BROAD", "NARROW")

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": " ", "t": " ", "W": " "}
_SOURCE = re.compile(r'source="((?:[^"\\]|\\.)*)"')
# What may follow a value without quotes: {qualifier="value"}, then a comment.
_TAIL = re.compile(r' (?:\{[^\s="{}]+=".*|! .*)$')


class Synonym(NamedTuple):
    """`marks` are its type, if it has one, and the references in its brackets."""

    text: str
    scope: str
    marks: tuple[str, ...]


class Xref(NamedTuple):
    """`sources` are the values of its ``source`` qualifiers."""

    target: str
    sources: tuple[str, ...]


@dataclass(slots=True)
class Term:
    """One [Term] stanza; ids are spelled as in the file, text has its escapes undone. Of the
    property values only ``matches`` are kept, as (predicate, id): ``skos:exactMatch`` and such."""

    line: int
    term_id: str = ""
    name: str = ""
    definition: str = ""
    synonyms: list[Synonym] = field(default_factory=list)
    xrefs: list[Xref] = field(default_factory=list)
    matches: list[tuple[str, str]] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    alt_ids: list[str] = field(default_factory=list)
    replaced_by: list[str] = field(default_factory=list)
    consider: list[str] = field(default_factory=list)
    obsolete: bool = False


def read_terms(path: Path) -> tuple[str, list[Term]]:
    """The file's ``ontology`` tag (``""`` if it has none) and its terms, in their order.

    Raises:
        FileError: a line is neither a stanza nor ``tag: value``, or its value lacks its quotes.
    """
    ontology, terms = "", []
    term: Term | None = None
    in_header = True
    for number, line, tag, value in _lines(path):
        if not tag:
            in_header = False
            term = Term(number) if line.startswith("[Term]") else None
            if term is not None:
                terms.append(term)
        elif term is not None:
            try:
                _add(term, tag, value)
            except ValueError as error:
                raise FileError(path, f"{tag}: {error}", line=number) from None
        elif in_header and tag == "ontology":
            ontology = _first(value)
    return ontology, terms


def _lines(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yields (number, line, tag, value); the tag of a line that begins a stanza is empty."""
    for number, raw in read_lines(path):
        line = raw.strip()
        if line.startswith("["):
            yield number, line, "", ""
        elif line and not line.startswith("!"):
            tag, colon, value = line.partition(":")
            if not colon:
                raise FileError(path, "neither a stanza nor 'tag: value'", line=number)
            yield number, line, tag, value.strip()


def _add(term: Term, tag: str, value: str) -> None:
    match tag:
        case "id":
            term.term_id = _first(value)
        case "name":
            term.name = _unescaped(_TAIL.sub("", value))
        case "def":
            term.definition, _ = _quoted(value)
        case "synonym":
            term.synonyms.append(_synonym(value))
        case "xref":
            term.xrefs.append(Xref(_first(value), tuple(_SOURCE.findall(value))))
        case "property_value":
            predicate, _, target = value.partition(" ")
            if predicate.endswith("Match"):
                term.matches.append((predicate, _first(target)))
        case "is_a":
            term.parents.append(_first(value))
        case "alt_id":
            term.alt_ids.append(_first(value))
        case "replaced_by":
            term.replaced_by.append(_first(value))
        case "consider":
            term.consider.append(_first(value))
        case "is_obsolete":
            term.obsolete = _first(value) == "true"


def _synonym(value: str) -> Synonym:
    text, rest = _quoted(value)
    words, bracket, references = rest.partition("[")
    scope, *kind = words.split() or ["RELATED"]  # what the format takes for granted
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} is none of {', '.join(SCOPES)}")
    marks = references.partition("]")[0].split(",") if bracket else []
    return Synonym(text, scope, tuple(mark for mark in map(str.strip, [*kind, *marks]) if mark))


def _quoted(value: str) -> tuple[str, str]:
    """The quoted text that a value begins with, and what follows it."""
    match = _QUOTED.match(value)
    if match is None:
        raise ValueError("no text in quotation marks")
    return _unescaped(match[1]), value[match.end() :]


def _first(value: str) -> str:
    """The id that a value begins with: no id holds a space."""
    return _unescaped(value.partition(" ")[0].strip('"'))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text)
