"""One concept per real thing: the parts that the sources tell of it are joined.

`merge` reads from top to bottom, and each step is one call into the module that owns it. All
results are independent of the order of the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from bioelx_index.merge.arrays import Ints
from bioelx_index.merge.claims import join_by_claims, weigh
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import number
from bioelx_index.merge.holding import held_ids
from bioelx_index.merge.hygiene import language_tag
from bioelx_index.merge.identity import assign_ids
from bioelx_index.merge.namesakes import join_by_names
from bioelx_index.merge.reading import read
from bioelx_index.merge.report import Report
from bioelx_index.merge.schemes import limited
from bioelx_index.merge.tables import concepts_table, names_table, retired_table
from bioelx_index.sources import SourceConcept

__all__ = ["Merged", "Report", "language_tag", "limited", "merge"]


class Merged(NamedTuple):
    """Tables as `bioelx.kb.tables` has them, sorted, and the report."""

    concepts: pa.Table
    names: pa.Table
    report: Report


def merge(
    records: Iterable[tuple[str, SourceConcept]],
    *,
    trust: Sequence[str],
    previous: Mapping[str, str] | None = None,
    join_names: bool = True,
) -> Merged:
    """Merges what the sources say into one table of concepts and one of their names.

    Args:
        records: pairs of a source's name and what it says, in any order; read once, not kept.
        trust: the sources, the most trusted first.
        previous: the previous release's ids: each concept id, and each xref, to its concept id.
        join_names: also join by names alone (see `join_by_names`).

    Raises:
        ValueError: a record of a source that `trust` does not name.
    """
    report = Report()
    said = read(records, trust, report)
    columns = number(said, trust, report)

    clusters = Clusters(columns, report)
    evidence = weigh(columns)
    join_by_claims(columns, evidence, clusters)
    if join_names:
        join_by_names(columns, clusters)
    held = held_ids(columns, evidence, clusters, report)

    roots = clusters.roots()
    by_root, gone = assign_ids(columns.nodes, clusters.members(), previous or {})
    ids, row = _ordered(by_root, roots)
    names, labels = names_table(columns, row, ids, trust, report)
    concepts = concepts_table(columns, row, ids, labels, held)
    retired = retired_table(said, gone, columns.nodes, row, ids, labels)
    return Merged(pa.concat_tables([concepts, retired]).sort_by("concept_id"), names, report)


def _ordered(by_root: Mapping[int, str], roots: Ints) -> tuple[pa.StringArray, Ints]:
    """The ids of all concepts in their order, and the place of each node's concept, or -1."""
    in_order = sorted(by_root, key=by_root.__getitem__)
    place = np.full(len(roots), -1, np.int32)
    place[in_order] = np.arange(len(in_order))
    return pa.array([by_root[root] for root in in_order], pa.string()), place[roots]
