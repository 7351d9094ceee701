"""Mappings in SSSOM tables. https://mapping-commons.github.io/sssom/"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.types import Name, Status
from bioelx_index.kinds import SCHEMES
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse, scheme_of
from bioelx_index.sources.obo import OBSOLETE
from bioelx_index.sources.tables import headed_rows

_COLUMNS = ("subject_id", "predicate_id", "object_id")
_EXACT = "skos:exactMatch"
_DENIED = "Not"
# What Mondo publishes as its cross-references: one object a subject and one subject an object.
_OWN_EXACT = {_EXACT, "oboInOwl:hasDbXref"}


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads mappings between schemes that the project knows: exact matches are equivalent, the
    rest related. What a mapping denies (``predicate_modifier`` Not) is passed over, and labels are
    left out: they are other sources' to give.

    Raises:
        FileError: a missing column or a malformed row.
    """
    for path in files:
        for _, row in headed_rows(path, _COLUMNS):
            subject, other = parse(row["subject_id"]), parse(row["object_id"])
            if subject and other and row.get("predicate_modifier") != _DENIED:
                exact = row["predicate_id"] == _EXACT
                yield SourceConcept(
                    subject,
                    equivalent=(other,) if exact else (),
                    related=() if exact else (other,),
                )


def read_own(source: str, path: Path) -> Iterator[SourceConcept]:
    """Reads the mappings that an ontology publishes of its own terms: the subjects' labels are
    its own names, its cross-references are exact. A term whose label says that it is obsolete is
    retired."""
    for _, row in headed_rows(path, _COLUMNS):
        subject, other = parse(row["subject_id"]), parse(row["object_id"])
        if subject and other and row["predicate_id"] in _OWN_EXACT:
            label = row.get("subject_label", "")
            active = not OBSOLETE.match(label)
            label = OBSOLETE.sub("", label)
            kind = SCHEMES.get(scheme_of(subject))
            yield SourceConcept(
                subject,
                (Name(label, "en", "label", source),) if label else (),
                types=(kind,) if kind and active else (),
                equivalent=(other,) if active else (),
                related=() if active else (other,),
                status=Status.ACTIVE if active else Status.RETIRED,
            )
