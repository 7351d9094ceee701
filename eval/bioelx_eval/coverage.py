"""What a release knows of a benchmark's gold ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb import KnowledgeBase
from bioelx.kb.tables import CONCEPTS_FILE, map_table
from bioelx.release import Manifest
from bioelx.types import Concept, Status


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


@dataclass(frozen=True, slots=True)
class GoldConcepts:
    """The active concepts of a release that bear some of the gold ids of a dataset."""

    rows_of: Mapping[str, Sequence[int]]
    """By gold CURIE, an id or an xref of the concept."""
    concept_of: Mapping[int, Concept]

    @classmethod
    def find(cls, knowledge_base: KnowledgeBase, curies: Collection[str]) -> GoldConcepts:
        rows_of = knowledge_base.rows_bearing(curies)
        rows = sorted({row for found in rows_of.values() for row in found})
        return cls(rows_of, dict(zip(rows, knowledge_base.concepts(rows), strict=True)))

    def rows(self, gold: Iterable[str]) -> list[int]:
        """The rows of the concepts that are right where these are the gold CURIEs."""
        return sorted({row for curie in gold for row in self.rows_of.get(curie, ())})


def is_named(knowledge_base: KnowledgeBase, key: str, rows: Collection[int]) -> bool:
    """Whether `key`, a normalised mention, is a name of one of these concepts."""
    text = knowledge_base.text_id(key) if rows else None
    if text is None:
        return False
    named = knowledge_base.name_concept[knowledge_base.name_rows(text)]
    return not set(rows).isdisjoint(named.tolist())
