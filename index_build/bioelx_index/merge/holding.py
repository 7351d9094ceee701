"""Who holds an id that names no concept of its own.

The concept that it joined, and those whose names agree although a primary scheme splits what the
id holds together. An id that joined none is held by the concept that most sources give it to, then
the more trusted source's, then the one with more names. Whoever else claims it does not get it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bioelx_index.merge.arrays import Bools, Ints, first_of_each
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import Columns


def held_ids(
    columns: Columns, clusters: Clusters, considered: Bools, split: Sequence[tuple[int, int]]
) -> tuple[Ints, Ints]:
    """Pairs (root, node that its cluster holds), sorted; int32 [pairs] each.

    Args:
        considered, split: what `join_by_claims` returned.
    """
    roots = clusters.roots()
    settled = considered | columns.nodes.described
    own = np.flatnonzero(settled)
    by_vote = _elected(columns, clusters, roots, ~settled & ~columns.nodes.exclusive)
    shared = np.array(split, np.int32).reshape(-1, 2)
    root = np.concatenate([roots[own], roots[shared[:, 0]], by_vote[0]])
    node = np.concatenate([own, shared[:, 1], by_vote[1]])
    pairs = np.unique(root.astype(np.int64) * len(roots) + node)
    return (pairs // len(roots)).astype(np.int32), (pairs % len(roots)).astype(np.int32)


def _elected(columns: Columns, clusters: Clusters, roots: Ints, free: Bools) -> tuple[Ints, Ints]:
    """The root whose claim to each of the `free` nodes is best, and that node."""
    claims = columns.claims[free[columns.claims.target]]
    root = roots[claims.subject]
    order = np.lexsort((claims.trust, root, claims.target))
    root, target, trust = root[order], claims.target[order], claims.trust[order]
    distinct = first_of_each(target, root, trust)
    root, target, trust = root[distinct], target[distinct], trust[distinct]
    claimants = first_of_each(target, root)  # their first row has the most trusted source
    sources = np.diff(np.append(claimants, len(root)))
    root, target, trust = root[claimants], target[claimants], trust[claimants]
    order = np.lexsort((root, -clusters.weights()[root], trust, -sources, target))
    best = order[first_of_each(target[order])]
    return root[best], target[best]
