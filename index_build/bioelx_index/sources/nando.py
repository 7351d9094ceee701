"""The Nanbyo Disease Ontology (rare diseases in Japan), in Turtle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyoxigraph as ox

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import SCHEMES
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse
from bioelx_index.sources.files import open_text

_SKOS = "http://www.w3.org/2004/02/skos/core#"
_KINDS = {
    "http://www.w3.org/2000/01/rdf-schema#label": "label",
    f"{_SKOS}prefLabel": "label",
    f"{_SKOS}altLabel": "alias",
}
_DESCRIPTION = "http://purl.org/dc/terms/description"
_DEPRECATED = "http://www.w3.org/2002/07/owl#deprecated"
# NANDO states its links to Mondo as close matches, the same thing seen by another authority. One
# that is the only link of its concept and of its object may join them, as any other claim may.
_MATCHES = {f"{_SKOS}closeMatch", f"{_SKOS}exactMatch"}


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads labels and synonyms in Japanese, its kana and English, and the links to Mondo.

    Raises:
        FileError: not Turtle (with the line).
    """
    for path in files:
        subjects: dict[str, list[ox.Triple]] = defaultdict(list)
        for triple in _triples(path):
            if isinstance(triple.subject, ox.NamedNode) and (
                concept_id := parse(triple.subject.value)
            ):
                subjects[concept_id].append(triple)
        for concept_id, triples in subjects.items():
            yield _concept(source, concept_id, triples)


def _concept(source: str, concept_id: str, triples: list[ox.Triple]) -> SourceConcept:
    names, matches, description, status = [], [], "", Status.ACTIVE
    for triple in triples:
        predicate, value = triple.predicate.value, triple.object
        if isinstance(value, ox.NamedNode):
            if predicate in _MATCHES and (match := parse(value.value)):
                matches.append(match)
        elif isinstance(value, ox.Literal):
            if kind := _KINDS.get(predicate):
                names.append(Name(value.value, value.language or "en", kind, source))
            elif predicate == _DESCRIPTION and value.language == "en":
                description = value.value
            elif predicate == _DEPRECATED and value.value == "true":
                status = Status.RETIRED
    return SourceConcept(
        concept_id,
        tuple(names),
        description=description,
        types=(SCHEMES["nando"],),
        equivalent=tuple(matches),
        status=status,
    )


def _triples(path: Path) -> Iterator[ox.Triple]:
    with open_text(path) as stream:
        text = stream.read()
    try:
        for quad in ox.parse(text, format=ox.RdfFormat.TURTLE):
            yield quad.triple
    except SyntaxError as error:
        raise FileError(path, f"not Turtle: {error.msg}", line=error.lineno) from None
