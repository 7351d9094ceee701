"""Ontologies as OBO files: HPO, Mondo, the Disease Ontology, Uberon, CL, GO, ChEBI, EFO."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from bioelx.errors import FileError
from bioelx.types import Name, Status
from bioelx_index.kinds import BRANCHES, SCHEMES
from bioelx_index.sources import SourceConcept, branch_types
from bioelx_index.sources.curie import last_part, parse, scheme_named, scheme_of
from bioelx_index.sources.obo_format import Term, Xref, read_terms
from bioelx_index.sources.options import ConceptId, Language, Options, Prefix, TypeName

NO_NAMES = (
    *("ambiguous", "dubious", "exclude", "omim_included"),  # Mondo's
    *("allelic_requirement", "HP:0034334"),  # codes that HPO keeps among its synonyms
)
"""Types of synonyms, and marks in their brackets, that say "this is no name of the term"."""

_MARKED = {"mondo"}  # ontologies whose xrefs say how they are meant
_EXACT_MARK = "MONDO:equivalentTo"
_LOOSE_MARKS = {
    *("MONDO:relatedTo", "MONDO:otherHierarchy", "MONDO:directSiblingOf", "MONDO:typo"),
    *("MONDO:mondoIsNarrowerThanSource", "MONDO:mondoIsBroaderThanSource"),
    *("MONDO:superClassOf", "MONDO:subClassOf", "MONDO:includedEntryInOMIM"),
    *("MONDO:equivalentObsolete", "MONDO:obsoleteEquivalent", "MONDO:obsoleteEquivalentObsolete"),
}
_LOOSE_MATCHES = {"closeMatch", "relatedMatch", "broadMatch", "narrowMatch"}
OBSOLETE = re.compile(r"^obsolete[ :_]+", re.IGNORECASE)
"""What labels of retired terms begin with."""


class OboOptions(Options):
    """How an ontology's file is meant."""

    scopes: tuple[Literal["EXACT", "RELATED", "BROAD", "NARROW"], ...] = ("EXACT", "RELATED")
    """Scopes of the synonyms that are names of their term."""
    drop_synonym_types: tuple[str, ...] = NO_NAMES
    """Types of synonyms to leave out: whole or by their last part, in any case of letters."""
    type: TypeName | None = None
    """The type of terms in no branch; without it, what their scheme holds."""
    branches: dict[ConceptId, TypeName] = Field(default_factory=dict)
    """Types of branches, beside and before those of `bioelx_index.kinds.BRANCHES`."""
    prefixes: tuple[Prefix, ...] = ()
    """Prefixes of the ontology's own ids; other terms are left out. Without them, the scheme that
    the file names as its ontology, or all known ones if it names none."""
    exact_xrefs: Literal["all", "marked", "none"] | None = None
    """Which xrefs are the same thing: all (the default), those marked so as Mondo marks them (the
    default for Mondo), or none. The others are related, and so is whatever is marked as loose."""
    related_prefixes: tuple[Prefix, ...] = ()
    """Schemes whose ids are never more than related."""
    language: Language = "en"
    """The language of the names."""


def read(
    source: str, files: Sequence[Path], options: OboOptions | None = None
) -> Iterator[SourceConcept]:
    """Reads terms: names, synonyms, definitions, cross-references; SKOS matches count before
    xrefs. Obsolete terms and alternative ids are retired: the one term that an obsolete one names
    as its replacement succeeds it; several, or terms only to be considered, are related to it.

    Raises:
        FileError: a line that is no OBO; a term without an id or a name; an id of the ontology's
            own in a wrong form; no term of its own at all.
    """
    options = options or OboOptions()
    for path in files:
        ontology, stanzas = read_terms(path)
        own = options.prefixes or tuple(filter(None, [_scheme_of_ontology(ontology)]))
        # The way to a branch may lead through terms that are not the ontology's own.
        parents = {
            concept_id: [parent for name in term.parents if (parent := parse(name))]
            for term in stanzas
            if (concept_id := parse(term.term_id))
        }
        types = branch_types(parents, {**BRANCHES, **options.branches})
        for concept_id, term in _own_terms(path, stanzas, own).items():
            if term.obsolete:
                yield _retired(source, concept_id, term, options)
            else:
                yield _active(source, concept_id, term, types.get(concept_id, ()), options)
            for other in _ids(term.alt_ids):
                yield SourceConcept(other, status=Status.RETIRED, replaced_by=concept_id)


def _scheme_of_ontology(ontology: str) -> str | None:
    """`hp` for `hp.obo`, `doid` for `doid/doid-base`."""
    return scheme_named(re.split(r"[./]", ontology)[0])


def _own_terms(path: Path, stanzas: Iterable[Term], own: Sequence[str]) -> dict[str, Term]:
    terms = {}
    for term in stanzas:
        if not term.term_id:
            raise FileError(path, "a term without 'id'", line=term.line)
        scheme = scheme_named(term.term_id.partition(":")[0])
        if scheme is None or (own and scheme not in own):
            continue
        concept_id = parse(term.term_id)
        if concept_id is None:
            message = f"{term.term_id!r} does not have the form of an id of {scheme}"
            raise FileError(path, message, line=term.line)
        if not term.name:
            raise FileError(path, "a term without 'name'", line=term.line)
        terms[concept_id] = term
    if not terms:
        raise FileError(path, f"holds no term of {', '.join(own) or 'a known scheme'}")
    return terms


def _active(
    source: str, concept_id: str, term: Term, types: tuple[str, ...], options: OboOptions
) -> SourceConcept:
    dropped = {name.casefold() for name in options.drop_synonym_types}
    synonyms = (
        synonym.text
        for synonym in term.synonyms
        if synonym.scope in options.scopes and not _spellings(synonym.marks) & dropped
    )
    exact = _xrefs(concept_id, term, options)
    return SourceConcept(
        concept_id,
        (
            Name(term.name, options.language, "label", source),
            *(Name(text, options.language, "alias", source) for text in synonyms),
        ),
        description=term.definition,
        types=types or tuple(filter(None, [options.type or SCHEMES.get(scheme_of(concept_id))])),
        equivalent=tuple(target for target, is_exact in exact.items() if is_exact),
        related=tuple(target for target, is_exact in exact.items() if not is_exact),
    )


def _xrefs(concept_id: str, term: Term, options: OboOptions) -> dict[str, bool]:
    """The ids that a term is linked to, and whether they are the same thing. What SKOS says of an
    id overrules a plain xref, and a looser word an exact one."""
    mode = options.exact_xrefs or ("marked" if scheme_of(concept_id) in _MARKED else "all")
    exact: dict[str, bool] = {}
    for xref in term.xrefs:
        if target := parse(xref.target):
            exact[target] = exact.get(target, False) or _is_exact(xref, mode)
    matches = [(last_part(predicate), parse(target)) for predicate, target in term.matches]
    exact.update({target: True for match, target in matches if target and match == "exactMatch"})
    exact.update({target: False for match, target in matches if target and match in _LOOSE_MATCHES})
    return {
        target: is_exact and scheme_of(target) not in options.related_prefixes
        for target, is_exact in exact.items()
    }


def _is_exact(xref: Xref, mode: str) -> bool:
    if mode == "none" or _LOOSE_MARKS.intersection(xref.sources):
        return False
    return mode == "all" or _EXACT_MARK in xref.sources


def _retired(source: str, concept_id: str, term: Term, options: OboOptions) -> SourceConcept:
    successors = _ids(term.replaced_by)
    only = successors[0] if len(successors) == 1 else None
    return SourceConcept(
        concept_id,
        (Name(OBSOLETE.sub("", term.name), options.language, "label", source),),
        related=_ids([*(() if only else term.replaced_by), *term.consider]),
        status=Status.RETIRED,
        replaced_by=only,
    )


def _ids(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(parse, names))))


def _spellings(marks: Iterable[str]) -> set[str]:
    return {text.casefold() for mark in marks for text in (mark, last_part(mark))}
