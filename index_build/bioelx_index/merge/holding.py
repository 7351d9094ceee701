"""Who holds an id that names no concept of its own, as UMLS's do where its files are not read.

Several concepts may be said to be what such an id stands for. One of them gets it: the one that
most sources give it to on good evidence (see `claims`), where a concept that has an id of the
scheme to itself needs one source more; then the one whose names agree best, then the more trusted
source's, then the one with more names. Another concept holds it too if it has no id of the scheme
to itself and one's label is the other's name: there the scheme puts together what others keep
apart.

Where a source lists several ids of a scheme for a concept, some of them are for narrower things.
One that nothing else speaks for is left out if there are more than two and the concept has a better
one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from bioelx_index.merge.arrays import Bools, Ints, first_of_each
from bioelx_index.merge.claims import Evidence
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import Columns
from bioelx_index.merge.report import Report

_MOST_UNSUPPORTED = 2


def held_ids(
    columns: Columns, evidence: Evidence, clusters: Clusters, report: Report
) -> tuple[Ints, Ints]:
    """Pairs (root, node that its cluster holds), sorted; int32 [pairs] each."""
    nodes, roots = columns.nodes, clusters.roots()
    shareable = ~nodes.described & ~nodes.limited
    joined = np.zeros(len(nodes), np.bool_)
    joined[columns.claims.subject[evidence.good]] = True
    joined[columns.claims.target[evidence.good]] = True
    own = np.flatnonzero((joined | nodes.described) & ~shareable)
    bids = _bids(columns, evidence, roots, shareable)
    held = _winners(bids, clusters.weights())
    held |= _sharing(bids, held, columns, roots)
    report.unsupported = Counter(nodes.schemes[s] for s in bids.scheme[held & (bids.good == 0)])
    root = np.concatenate([roots[own], bids.root[held]])
    node = np.concatenate([own, bids.target[held]])
    order = np.lexsort((node, root))
    return root[order].astype(np.int32), node[order].astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Bids:
    """Clusters that an id is claimed for, by column; sorted by target and root."""

    target: Ints
    root: Ints
    scheme: Ints  # of the target
    sources: Ints  # how many give it to the cluster
    good: Ints  # how many of them on good evidence
    agreement: Ints
    trust: Ints  # the rank of the most trusted
    settled: Bools  # whether the cluster has an id of the scheme to itself, on good evidence


def _bids(columns: Columns, evidence: Evidence, roots: Ints, shareable: Bools) -> _Bids:
    nodes = columns.nodes
    open_to_bids = shareable[columns.claims.target]
    claims, good = columns.claims[open_to_bids], evidence.good[open_to_bids]
    agreement, listed = evidence.agreement[open_to_bids], evidence.listed[open_to_bids]
    root, scheme = roots[claims.subject], nodes.scheme[claims.target]

    place = root.astype(np.int64) * len(nodes.schemes) + scheme
    loose = ~good & (listed > _MOST_UNSUPPORTED) & np.isin(place, place[good])
    rows = np.lexsort((claims.trust, root, claims.target))
    rows = rows[~loose[rows]]
    target, root, trust, place = claims.target[rows], root[rows], claims.trust[rows], place[rows]

    by_source = first_of_each(target, root, trust)
    backed = np.maximum.reduceat(good[rows].astype(np.int32), by_source)
    by_bid = first_of_each(target[by_source], root[by_source])
    first = by_source[by_bid]
    target, root, trust, place = target[first], root[first], trust[first], place[first]
    backers = np.add.reduceat(backed, by_bid)
    bidders = np.diff(np.append(first_of_each(target), len(target)))
    alone = np.repeat(bidders, bidders) == 1
    return _Bids(
        target=target,
        root=root,
        scheme=nodes.scheme[target],
        sources=np.diff(np.append(by_bid, len(by_source))),
        good=backers,
        agreement=np.maximum.reduceat(agreement[rows], first),
        trust=trust,
        settled=~alone & np.isin(place, place[alone & (backers > 0)]),
    )


def _winners(bids: _Bids, weights: Ints) -> Bools:
    """Which bids win; one for each target."""
    order = np.lexsort(
        (
            bids.root,
            -weights[bids.root],
            bids.trust,
            -bids.sources,
            -bids.agreement,
            bids.settled - bids.good,
            bids.target,
        )
    )
    won = np.zeros(len(order), np.bool_)
    won[order[first_of_each(bids.target[order])]] = True
    return won


def _sharing(bids: _Bids, won: Bools, columns: Columns, roots: Ints) -> Bools:
    """Which other bids hold their target beside the winner."""
    winner = np.repeat(bids.root[won], np.diff(np.append(first_of_each(bids.target), len(won))))
    eligible = ~won & (bids.agreement > 0) & (bids.good > 0) & ~bids.settled
    found = np.zeros(len(won), np.bool_)
    if eligible.any():
        label = _Labels(columns, roots)
        for bid in np.flatnonzero(eligible).tolist():
            found[bid] = label.names(int(bids.root[bid]), int(winner[bid]))
    return found


class _Labels:
    """English labels and all names of clusters, by their normal forms."""

    def __init__(self, columns: Columns, roots: Ints) -> None:
        labels = columns.names[columns.english_labels()]
        self._labels = _ByRoot(roots[labels.node], labels.key)
        self._names = _ByRoot(roots[columns.names.node], columns.names.key)

    def names(self, one: int, other: int) -> bool:
        """Whether a label of one cluster is a name of the other."""
        return bool(
            np.isin(self._labels[one], self._names[other]).any()
            or np.isin(self._labels[other], self._names[one]).any()
        )


class _ByRoot:
    def __init__(self, root: Ints, key: Ints) -> None:
        order = np.argsort(root, kind="stable")
        self._root, self._key = root[order], key[order]

    def __getitem__(self, root: int) -> Ints:
        start, end = np.searchsorted(self._root, [root, root + 1])
        return self._key[start:end]
