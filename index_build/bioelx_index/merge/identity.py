"""The id of each cluster: the one it had, else its lowest QID, else its best source's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from bioelx_index.merge.arrays import Ints
from bioelx_index.merge.columns import Nodes

_UNKNOWN = np.iinfo(np.int32).max


def assign_ids(
    nodes: Nodes, roots: Ints, previous: Mapping[str, str]
) -> tuple[dict[int, str], dict[str, str | None]]:
    """Gives each cluster its id.

    A cluster keeps the previous id that is its own member; when it holds several, the best of
    them, and the others are retired. An id whose own member left the sources goes to the cluster
    that holds most of what was its.

    Args:
        roots: of each node, its cluster if it is a member of one, else -1.
        previous: CURIE -> the concept id that it had.

    Returns:
        Root -> id, and previous ids that are no more -> what replaces them.
    """
    members = np.flatnonzero(roots >= 0)
    ids = nodes.ids.take(pa.array(members)).to_pylist()
    home = dict(zip(ids, roots[members].tolist(), strict=True))
    trust = dict(zip(ids, nodes.trust[members].tolist(), strict=True))

    def preference(concept_id: str) -> tuple[int, int, str]:
        """The lowest QID first, then by the trust of the source that defines the id."""
        scheme, _, local = concept_id.partition(":")
        if scheme == "wikidata":
            return -1, int(local.removeprefix("Q")), concept_id
        return trust.get(concept_id, _UNKNOWN), 0, concept_id

    chosen: dict[int, str] = {}
    for concept_id, root in home.items():
        if root not in chosen or preference(concept_id) < preference(chosen[root]):
            chosen[root] = concept_id

    heirs = _heirs(home, previous)
    claimed: dict[int, list[str]] = defaultdict(list)
    for old, root in heirs.items():
        claimed[root].append(old)
    for root, olds in claimed.items():
        chosen[root] = min(olds, key=lambda old: (home.get(old) != root, preference(old)))
    taken = set(chosen.values())
    gone = {
        old: chosen[heirs[old]] if old in heirs else None for old in set(previous.values()) - taken
    }
    return chosen, gone


def _heirs(home: Mapping[str, int], previous: Mapping[str, str]) -> dict[str, int]:
    """The cluster that inherits each previous id: its own member's, else that of most of what was
    its; none if nothing of it is left."""
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for curie, old in previous.items():
        if curie in home:
            votes[old][home[curie]] += 1
    return {
        old: home[old] if old in home else min(counts, key=lambda root: (-counts[root], root))
        for old, counts in votes.items()
    }
