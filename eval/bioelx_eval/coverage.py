"""What a release knows of a benchmark's gold ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb import KnowledgeBase, normalise
from bioelx.kb.tables import CONCEPTS_FILE, map_table
from bioelx.release import Manifest
from bioelx.types import Status


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a release bears ids of one scheme, and by which release it was counted."""

    release: str
    encoder: str
    encoder_fingerprint: str
    index: str
    concepts: int
    names: int
    scheme: str
    scheme_ids: int
    """Distinct ids of the scheme, among the active concepts."""
    scheme_names: int
    """Names of the concepts that have such an id."""


def coverage_of(
    folder: Path, manifest: Manifest, knowledge_base: KnowledgeBase, scheme: str
) -> Coverage:
    """Counts a release's ids of `scheme`."""
    table = map_table(folder / CONCEPTS_FILE).select(["concept_id", "xrefs", "status"])
    active = pc.equal(table["status"], Status.ACTIVE.value).combine_chunks()
    xrefs = table["xrefs"].combine_chunks()
    rows = pa.array(np.arange(len(table)))
    owners = pa.concat_arrays([rows, pc.list_parent_indices(xrefs).cast(rows.type)])
    curies = pa.concat_arrays([table["concept_id"].combine_chunks(), xrefs.flatten()])
    counted = pc.and_(pc.starts_with(curies, f"{scheme}:"), active.take(owners))
    owners, curies = owners.filter(counted), curies.filter(counted)
    return Coverage(
        release=manifest.id,
        encoder=manifest.encoder.name,
        encoder_fingerprint=manifest.encoder.fingerprint,
        index=manifest.index.factory,
        concepts=manifest.concepts,
        names=manifest.names,
        scheme=scheme,
        scheme_ids=pc.count_distinct(curies).as_py(),
        scheme_names=int(np.isin(knowledge_base.name_concept, owners.to_numpy()).sum()),
    )


def gold_rows(knowledge_base: KnowledgeBase, gold: Iterable[str]) -> set[int]:
    """The rows of the active concepts whose id or one of whose xrefs is a gold CURIE."""
    rows: set[int] = set()
    for curie in gold:
        rows.update(knowledge_base.rows_with_xref(curie))
        if (own := knowledge_base.row_of(curie)) is not None:
            rows.add(own)
    return {row for row in rows if knowledge_base.concept(row).status is Status.ACTIVE}


def is_named(knowledge_base: KnowledgeBase, mention: str, rows: set[int]) -> bool:
    """Whether the mention is, after normalisation, a name of one of these concepts."""
    text = knowledge_base.text_id(normalise(mention))
    if text is None:
        return False
    return any(
        int(knowledge_base.name_concept[name]) in rows for name in knowledge_base.name_rows(text)
    )
