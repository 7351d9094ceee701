"""Disjoint sets of nodes: each holds one id of a primary scheme, and one kind of thing."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import and_

import numpy as np

from bioelx_index.kinds import SCHEMES, kinds_of_thing, type_mask
from bioelx_index.merge.arrays import Ints
from bioelx_index.merge.columns import Columns, Nodes
from bioelx_index.merge.report import Report

TWO_IDS = "two ids of"
TWO_KINDS = "two kinds of thing"


class Clusters:
    """What was joined so far. A cluster is known by its *root*, the first of its nodes."""

    def __init__(self, columns: Columns, report: Report) -> None:
        nodes = columns.nodes
        self._nodes, self._report = nodes, report
        self._parent = array("i", range(len(nodes)))
        self._kinds = array("H", _kinds(nodes).tolist())
        self._weight = array("i", np.bincount(columns.names.node, minlength=len(nodes)).tolist())
        self._umls = nodes.schemes.index("umls") if "umls" in nodes.schemes else -1
        self._held: dict[int, Counter[int]] = {}  # of roots that were joined: ids by scheme

    def root(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    def roots(self) -> Ints:
        """The root of every node."""
        return np.fromiter(map(self.root, range(len(self._parent))), np.int32, len(self._parent))

    def members(self) -> Ints:
        """The root of each node that a source describes, where its cluster has a name; else -1."""
        roots = self.roots()
        return np.where(self._nodes.described & (self.weights()[roots] > 0), roots, -1)

    def weights(self) -> Ints:
        """How many names the cluster of each root came with; meaningless for other nodes."""
        return np.array(self._weight, np.int32)

    def join(self, one: int, other: int, evidence: str) -> str:
        """Joins the clusters of two nodes, or counts and returns why not."""
        a, b = sorted((self.root(one), self.root(other)))
        if a == b:
            return ""
        if obstacle := self._obstacle(a, b):
            self._report.conflicts.append((self._nodes.id(one), self._nodes.id(other), obstacle))
            return obstacle
        self._report.joins[evidence] += 1
        held = self._ids(a) + self._ids(b)
        self._held.pop(b, None)
        self._held[a] = held
        self._parent[b] = a
        self._kinds[a] |= self._kinds[b]
        self._weight[a] += self._weight[b]
        return ""

    def alike(self, roots: Sequence[int], *, all_known: bool) -> bool:
        """Whether nothing tells the clusters apart: one kind of thing (known of each, or of one
        at least), and no two of them hold ids of one primary scheme or of UMLS."""
        held = Counter(scheme for root in roots for scheme in self._ids(root))
        kinds = [self._kinds[root] for root in roots if all_known or self._kinds[root]]
        return max(held.values(), default=0) <= 1 and bool(kinds and reduce(and_, kinds))

    def _ids(self, root: int) -> Counter[int]:
        """How many ids of each primary scheme, and of UMLS, the cluster holds."""
        if root in self._held:
            return self._held[root]
        scheme = int(self._nodes.scheme[root])
        return Counter([scheme] if self._nodes.exclusive[root] or scheme == self._umls else [])

    def _obstacle(self, a: int, b: int) -> str:
        in_b = self._ids(b)
        for scheme in self._ids(a):
            if scheme != self._umls and scheme in in_b:
                return f"{TWO_IDS} {self._nodes.schemes[scheme]}"
        if self._kinds[a] and self._kinds[b] and not self._kinds[a] & self._kinds[b]:
            return TWO_KINDS
        return ""


def _kinds(nodes: Nodes) -> Ints:
    """The kinds of thing of each node, as bits: by what the sources say of it, or by its scheme
    where none describes it."""
    of_scheme = [type_mask([SCHEMES[s]] if s in SCHEMES else []) for s in nodes.schemes]
    masks = np.where(nodes.described, nodes.types, np.array(of_scheme, np.uint16)[nodes.scheme])
    distinct, places = np.unique(masks, return_inverse=True)
    return np.array([kinds_of_thing(int(mask)) for mask in distinct], np.int32)[places]
