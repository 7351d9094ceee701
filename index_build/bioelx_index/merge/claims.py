"""Joining by what the sources claim: which cross-references are good enough, and in which order.

Sources cross-reference loosely: Crohn's colitis carries the id of Crohn's disease. A claim "concept
A is X" therefore joins only if it is *mutually unique* (A claims one id of X's scheme in that
source, and no other concept of the source claims X) or if *names agree*: the English label of A is
a name of X or the other way round, or, where no source names X (a UMLS id), of another concept
that claims X. Claims are taken in order of evidence: equal labels first, then shared names, then
uniqueness alone; what a claim would bring together against the rules of `clusters` is refused and
noted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bioelx_index.merge.arrays import Bools, Ints, first_of_each, pairs_within
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import Columns
from bioelx_index.merge.schemes import WIKIDATA

UNIQUE, SHARED_NAME, EQUAL_LABEL = "unique xref", "xref and shared name", "xref and equal label"
_BY_AGREEMENT = (UNIQUE, SHARED_NAME, EQUAL_LABEL)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for each claim; all [claims]."""

    agreement: Ints  # 2: equal labels, 1: a label among the names, 0: no names agree
    unique: Bools  # mutually unique
    listed: Ints  # how many ids of the target's scheme the source gives the subject

    @property
    def good(self) -> Bools:
        """Which claims may join."""
        return self.unique | (self.agreement > 0)


def weigh(columns: Columns) -> Evidence:
    """Weighs each claim by itself."""
    claims, scheme = columns.claims, columns.nodes.scheme
    listed = _counts(claims.trust, claims.subject, scheme[claims.target])
    received = _counts(claims.trust, scheme[claims.subject], claims.target)
    return Evidence(_agreement(columns), (listed == 1) & (received == 1), listed)


def join_by_claims(columns: Columns, evidence: Evidence, clusters: Clusters) -> None:
    """Joins what the good claims join, the best evidence first."""
    claims, nodes = columns.claims, columns.nodes
    # Ontologies link one to one by their editors' care; Wikidata has many editors.
    late = nodes.scheme[claims.subject] == nodes.scheme_place(WIKIDATA)
    order = np.lexsort(
        (claims.target, claims.subject, claims.trust, ~evidence.unique, late, -evidence.agreement)
    )
    for claim in order[evidence.good[order]].tolist():
        reason = _BY_AGREEMENT[evidence.agreement[claim]]
        clusters.join(int(claims.subject[claim]), int(claims.target[claim]), reason)


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
    claimants where no source names the target; [claims]."""
    claims, spelling = columns.claims, _Spelling(columns)
    order = np.lexsort((claims.subject, claims.target))
    subject, target = claims.subject[order], claims.target[order]
    pairs = first_of_each(target, subject)  # several sources may make one claim
    of_claim = np.repeat(np.arange(len(pairs)), np.diff(np.append(pairs, len(order))))
    subject, target = subject[pairs], target[pairs]

    level = spelling.agreement(subject, target)
    nameless = np.flatnonzero(~spelling.named[target])
    one, other = pairs_within(target[nameless])
    witnessed = spelling.agreement(subject[nameless[one]], subject[nameless[other]])
    np.maximum.at(level, nameless[one], witnessed)
    found = np.empty(len(claims), np.int32)
    found[order] = level[of_claim]
    return found


class _Spelling:
    """The English label of each node, and all names of each, by their normal forms."""

    def __init__(self, columns: Columns) -> None:
        names, count = columns.names, len(columns.nodes)
        self._keys = max(1, len(columns.words.keys))
        self._known = np.unique(names.node.astype(np.int64) * self._keys + names.key)
        self.named = np.bincount(names.node, minlength=count) > 0
        self._label = np.full(count, -1, np.int32)
        labels = names[columns.english_labels()]
        order = np.lexsort((labels.key, labels.text, labels.trust, labels.node))
        best = order[first_of_each(labels.node[order])]
        self._label[labels.node[best]] = labels.key[best]

    def agreement(self, one: Ints, other: Ints) -> Ints:
        """2 where two nodes have one label, 1 where one's label is a name of the other, else 0."""
        ours, theirs = self._label[one], self._label[other]
        shared = self._has(other, ours) | self._has(one, theirs)
        return np.where((ours >= 0) & (ours == theirs), 2, shared).astype(np.int32)

    def _has(self, node: Ints, key: Ints) -> Bools:
        return (key >= 0) & _contains(self._known, node.astype(np.int64) * self._keys + key)


def _contains(ordered: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> Bools:
    """Which of `wanted` stand in `ordered`, a sorted list."""
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    found: Bools = ordered[np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)] == wanted
    return found
