"""The Spanish translation of the Human Disease Ontology."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.types import Name
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse
from bioelx_index.sources.tables import headed_rows

_KINDS = {
    "rdfs:label": "label",
    "oboInOwl:hasExactSynonym": "alias",
    "oboInOwl:hasRelatedSynonym": "alias",
}
_COLUMNS = ("source_id", "predicate", "translation_text", "translation_lang")


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads translated labels and exact or related synonyms. Definitions are passed over, and
    with them the lines that their stray line ends tore apart: such a piece has no known id.

    Raises:
        FileError: a missing column or a row with too many cells.
    """
    for path in files:
        for _, row in headed_rows(path, _COLUMNS):
            kind = _KINDS.get(row["predicate"])
            concept_id = parse(row["source_id"])
            if kind and concept_id and row["translation_text"]:
                name = Name(row["translation_text"], row["translation_lang"], kind, source)
                yield SourceConcept(concept_id, (name,))
