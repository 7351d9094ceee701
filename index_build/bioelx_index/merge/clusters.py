"""Disjoint sets of nodes: each holds so many ids of a primary scheme, and one kind of thing."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_

import numpy as np

from bioelx.types import type_mask
from bioelx_index.kinds import SCHEMES, kinds_of_thing
from bioelx_index.merge.arrays import Ints
from bioelx_index.merge.columns import Columns, Nodes
from bioelx_index.merge.schemes import LIMITS

TOO_MANY = "too many ids of"
TWO_KINDS = "two kinds of thing"
_NONE: Mapping[int, int] = {}


class Clusters:
    """What was joined so far. A cluster is known by its *root*, the first of its nodes."""

    def __init__(self, columns: Columns) -> None:
        nodes = columns.nodes
        self._nodes = nodes
        self.joined: dict[str, array[int]] = defaultdict(lambda: array("i"))
        """By evidence, the nodes of each join, one after the other."""
        self.refused: dict[str, array[int]] = defaultdict(lambda: array("i"))
        """By reason, those of each join that was refused."""
        self._parent = array("i", range(len(nodes)))
        self._size = array("i", [1]) * len(nodes)
        self._kinds = array("H", _kinds(nodes).tolist())
        self._weight = array("i", np.bincount(columns.names.node, minlength=len(nodes)).tolist())
        self._umls = nodes.scheme_place("umls")
        self._limit = [LIMITS.get(scheme, 1) for scheme in nodes.schemes]
        self._alone = [{scheme: 1} for scheme in range(len(nodes.schemes))]
        self._held: dict[int, Mapping[int, int]] = {}  # of roots that were joined: ids by scheme

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

    def kinds(self, root: int) -> int:
        """The kinds of thing that the cluster is said to be, as bits."""
        return self._kinds[root]

    def single(self, root: int) -> bool:
        """Whether nothing was joined to the node."""
        return self._size[root] == 1

    def join(self, one: int, other: int, evidence: str, *, despite: int = -1) -> None:
        """Joins the clusters of two nodes, or notes why not; ids of the scheme `despite` do not
        stand in the way."""
        a, b = sorted((self.root(one), self.root(other)))
        if a == b:
            return
        if obstacle := self._obstacle(a, b, despite):
            self.refused[obstacle].extend((one, other))
            return
        self.joined[evidence].extend((one, other))
        held = Counter(self._ids(a))
        held.update(self._ids(b))
        self._held.pop(b, None)
        self._held[a] = held
        self._parent[b] = a
        self._size[a] += self._size[b]
        self._kinds[a] |= self._kinds[b]
        self._weight[a] += self._weight[b]

    def alike(self, roots: Sequence[int], *, all_known: bool, despite: int = -1) -> bool:
        """Whether nothing tells the clusters apart: they are one kind of thing (known of each, or
        of one at least), and no two hold more ids of a scheme than a concept may, UMLS included;
        ids of the scheme `despite` are not looked at."""
        kinds = [self._kinds[root] for root in roots if all_known or self._kinds[root]]
        if not kinds or not reduce(and_, kinds):
            return False
        holders = Counter(scheme for root in roots for scheme in self._ids(root))
        return not any(
            sum(self._ids(root).get(scheme, 0) for root in roots) > self._limit[scheme]
            for scheme, count in holders.items()
            if count > 1 and scheme != despite
        )

    def _ids(self, root: int) -> Mapping[int, int]:
        """How many ids of each primary scheme, and of UMLS, the cluster holds."""
        if root in self._held:
            return self._held[root]
        scheme = int(self._nodes.scheme[root])
        counts = self._nodes.limited[root] or scheme == self._umls
        return self._alone[scheme] if counts else _NONE

    def _obstacle(self, a: int, b: int, despite: int) -> str:
        ours, theirs = self._ids(a), self._ids(b)
        for scheme in sorted(ours.keys() & theirs.keys() - {self._umls, despite}):
            if ours[scheme] + theirs[scheme] > self._limit[scheme]:
                return f"{TOO_MANY} {self._nodes.schemes[scheme]}"
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
