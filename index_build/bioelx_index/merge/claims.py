"""Joining by what the sources claim: which cross-references are good enough, and in which order.

Sources cross-reference loosely: Crohn's colitis carries the id of Crohn's disease. A claim "concept
A is X" therefore joins only if it is *mutually unique* (A claims one id of X's scheme in that
source, and no other concept of the source claims X) or if *names agree*: the English label of A is
a name of X or the other way round, or, where no source names X (a UMLS id), of another concept
that claims X. Claims are taken in order of evidence: equal labels first, then shared names, then
uniqueness alone; what a claim would bring together against the rules of `clusters` is refused and
counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bioelx_index.merge.arrays import Bools, Ints, first_of_each
from bioelx_index.merge.clusters import TWO_IDS, Clusters
from bioelx_index.merge.columns import Claims, Columns, Nodes

EVIDENCE = ("unique xref", "xref and shared name", "xref and equal label")


def join_by_claims(columns: Columns, clusters: Clusters) -> tuple[Bools, list[tuple[int, int]]]:
    """Joins what the claims join.

    Returns:
        Which nodes a claim that is good enough is about, and claims (subject, target) whose names
        agree though a primary scheme splits what the target holds together.
    """
    claims, nodes = columns.claims, columns.nodes
    level = _agreement(columns)
    alone = _mutually_unique(claims, nodes)
    # Ontologies link one to one by their editors' care; Wikidata has many editors.
    late = np.array([s == "wikidata" for s in nodes.schemes], np.bool_)[
        nodes.scheme[claims.subject]
    ]
    order = np.lexsort((claims.target, claims.subject, claims.trust, ~alone, late, -level))
    order = order[alone[order] | (level[order] > 0)]
    split = []
    for claim in order.tolist():
        subject, target = int(claims.subject[claim]), int(claims.target[claim])
        obstacle = clusters.join(subject, target, EVIDENCE[level[claim]])
        if level[claim] and obstacle.startswith(TWO_IDS) and not nodes.exclusive[target]:
            split.append((subject, target))
    considered = np.zeros(len(nodes), np.bool_)
    considered[claims.subject[order]] = considered[claims.target[order]] = True
    return considered, split


def _mutually_unique(claims: Claims, nodes: Nodes) -> Bools:
    """Which claims are, in their source, the subject's only one of the target's scheme, and the
    target's only one by a concept of the subject's scheme."""
    made = _counts(claims.trust, claims.subject, nodes.scheme[claims.target])
    received = _counts(claims.trust, nodes.scheme[claims.subject], claims.target)
    return (made == 1) & (received == 1)


def _counts(*keys: Ints) -> Ints:
    """How many rows have the same keys as this one; [rows]."""
    order = np.lexsort(keys)
    starts = first_of_each(*(key[order] for key in keys))
    sizes = np.diff(np.append(starts, len(order)))
    counts = np.empty(len(order), np.int32)
    counts[order] = np.repeat(sizes, sizes)
    return counts


def _agreement(columns: Columns) -> Ints:
    """How far the names of each claim's subject agree with those of its target, or of the other
    claimants where no source names the target: 2 for equal labels, 1 for a label among the
    names, else 0; [claims]."""
    claims, spelling = columns.claims, _Spelling(columns)
    order = np.lexsort((claims.subject, claims.target))
    subject, target = claims.subject[order], claims.target[order]
    pairs = first_of_each(target, subject)  # several sources may make one claim
    of_claim = np.repeat(np.arange(len(pairs)), np.diff(np.append(pairs, len(order))))
    subject, target = subject[pairs], target[pairs]

    level = spelling.agreement(subject, target)
    nameless = np.flatnonzero(~spelling.named[target])
    one, other = _within_groups(target[nameless])
    np.maximum.at(
        level,
        nameless[one],
        spelling.agreement(subject[nameless[one]], subject[nameless[other]]),
    )
    found = np.empty(len(claims), np.int32)
    found[order] = level[of_claim]
    return found


def _within_groups(keys: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All ordered pairs of different places with equal keys; `keys` are sorted."""
    starts = first_of_each(keys)
    sizes = np.diff(np.append(starts, len(keys)))
    first = np.repeat(starts, sizes)  # of the group of each place
    size = np.repeat(sizes, sizes)
    one = np.repeat(np.arange(len(keys)), size)
    offset = np.arange(len(one)) - np.repeat(np.cumsum(size) - size, size)
    other = first[one] + offset
    return one[one != other], other[one != other]


class _Spelling:
    """The English label of each node, and all names of each, by their normal forms."""

    def __init__(self, columns: Columns) -> None:
        names, count = columns.names, len(columns.nodes)
        self._keys = len(columns.words.keys)
        self._known = np.unique(names.node.astype(np.int64) * self._keys + names.key)
        self.named = np.bincount(names.node, minlength=count) > 0
        self._label = np.full(count, -1, np.int32)
        labels = names[_is_english_label(columns)]
        order = np.lexsort((labels.key, labels.text, labels.trust, labels.node))
        best = order[first_of_each(labels.node[order])]
        self._label[labels.node[best]] = labels.key[best]

    def agreement(self, one: Ints, other: Ints) -> Ints:
        """2 where two nodes have one label, 1 where one's label is a name of the other, else 0."""
        ours, theirs = self._label[one], self._label[other]
        shared = self._has(other, ours) | self._has(one, theirs)
        return np.where((ours >= 0) & (ours == theirs), 2, shared).astype(np.int32)

    def _has(self, node: Ints, key: Ints) -> Bools:
        wanted = node.astype(np.int64) * self._keys + key
        at = np.minimum(np.searchsorted(self._known, wanted), max(0, len(self._known) - 1))
        return (key >= 0) & (self._known[at] == wanted) if len(self._known) else key > key


def _is_english_label(columns: Columns) -> Bools:
    return (columns.names.kind == 0) & (columns.names.lang == columns.words.lang("en"))
