"""Uberon as two tables: terms (id, name) and cross-references (id, xref)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.kinds import SCHEMES
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse
from bioelx_index.sources.tables import headed_rows


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads whichever of the two tables each file is, by its header.

    Raises:
        FileError: a missing column, or an id that is none of Uberon's.
    """
    for path in files:
        for number, row in headed_rows(path, ("uberon_id",)):
            concept_id = parse(row["uberon_id"])
            if concept_id is None:
                raise FileError(path, f"{row['uberon_id']!r} is no Uberon id", line=number)
            if label := row.get("uberon_name"):
                name = Name(label, "en", "label", source)
                yield SourceConcept(concept_id, (name,), types=(SCHEMES["uberon"],))
            elif xref := parse(row.get("xref", "")):
                yield SourceConcept(concept_id, equivalent=(xref,))
