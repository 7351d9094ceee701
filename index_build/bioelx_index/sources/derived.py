"""Names that were matched to concepts by string, kept apart from what the sources say.

Columns: concept_id, lang, text, kind, matched (the string that tied the name to the concept).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import NAME_KINDS, Name
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import parse
from bioelx_index.sources.tables import headed_rows


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads names for concepts that other sources define.

    Raises:
        FileError: a missing column, an id of no known scheme, an unknown kind.
    """
    for path in files:
        for number, row in headed_rows(path, ("concept_id", "lang", "text", "kind", "matched")):
            concept_id = parse(row["concept_id"])
            if concept_id is None:
                raise FileError(path, f"{row['concept_id']!r} is no known id", line=number)
            if row["kind"] not in NAME_KINDS:
                raise FileError(path, f"kind {row['kind']!r} is none of {NAME_KINDS}", line=number)
            yield SourceConcept(concept_id, (Name(row["text"], row["lang"], row["kind"], source),))
