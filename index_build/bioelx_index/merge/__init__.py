"""One concept per real thing: the parts that the sources tell of it are joined.

`read` makes columns of the sources' records; `merge` reads from top to bottom, and each step is one
call into the module that owns it. All results are independent of the order of the records.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pyarrow as pa

from bioelx_index.merge.cases import cases
from bioelx_index.merge.claims import join_by_claims, weigh
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import number
from bioelx_index.merge.holding import held_ids
from bioelx_index.merge.hygiene import RETIRED, Hygiene
from bioelx_index.merge.identity import Previous, assign_ids, retirements
from bioelx_index.merge.namesakes import join_by_names
from bioelx_index.merge.reading import Said, read
from bioelx_index.merge.report import Report
from bioelx_index.merge.tables import (
    Concepts,
    concepts_table,
    ids_by_scheme,
    names_table,
    retired_table,
    sole_holders,
)

__all__ = ["VERSION", "Hygiene", "Merged", "Previous", "Report", "Said", "merge", "read"]

VERSION = 3
"""Of the rules: with another number, what was merged before is merged anew."""


class Merged(NamedTuple):
    """Tables as `bioelx.kb.tables` has them, sorted, and the report."""

    concepts: pa.Table
    names: pa.Table
    report: Report


def merge(
    said: Said,
    *,
    rules: Hygiene | None = None,
    verbatim: Collection[str] = (),
    previous: Previous | None = None,
    join_names: bool = True,
) -> Merged:
    """Merges what the sources say into one table of concepts and one of their names.

    Args:
        said: what `read` made of the sources' records.
        rules: what is no name; by default the usual rules.
        verbatim: sources whose names are kept whatever the rules say of them.
        previous: the ids of the release before, if there was one.
        join_names: also join by names alone (see `namesakes`).
    """
    rules, previous, report = rules or Hygiene(), previous or Previous(), Report(said.counts)
    report.fates.update({(*of, RETIRED): count for of, count in said.names_of_retired.items()})
    columns = number(said, rules, verbatim, report)

    clusters = Clusters(columns)
    evidence = weigh(columns)
    join_by_claims(columns, evidence, clusters)
    if join_names:
        join_by_names(columns, clusters)
    held = held_ids(columns, evidence, clusters, report)

    identities = assign_ids(columns.nodes, clusters.members(), previous)
    concepts = Concepts.of(identities.by_root, clusters.roots())
    names, labels = names_table(columns, concepts, said.sources, rules, report)
    active = concepts_table(columns, concepts, labels, held)
    holders = sole_holders(active, previous.ids)
    gone = retirements(said, previous, identities, holders.get)
    retired = retired_table(gone, said, previous, active)

    report.joins = cases(clusters.joined, columns)
    report.conflicts = cases(clusters.refused, columns)
    report.held = ids_by_scheme(active)
    report.active, report.retired = len(active), len(retired)
    return Merged(pa.concat_tables([active, retired]).sort_by("concept_id"), names, report)
