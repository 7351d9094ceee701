"""The id of each cluster, and what became of the ids that there were.

A cluster keeps the id that it had, else it takes its lowest QID, else the id that its most trusted
source gives it. An id never changes its meaning: it stays with the cluster that holds its own
CURIE, and no cluster takes an id that is not a CURIE of its own unless it is what is left of the
concept that had it. An id that is given up stays known as retired, in this release and in all that
follow, with the active concept that stands for it now, if there is one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.tables import CONCEPTS_FILE, map_table
from bioelx.types import Status
from bioelx_index.merge.arrays import Ints
from bioelx_index.merge.columns import Nodes
from bioelx_index.merge.reading import Said

_UNKNOWN = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class Previous:
    """What the parent release knows of ids."""

    ids: Mapping[str, str] = field(default_factory=dict)
    """Every CURIE that stands for one active concept only, its own id included -> that id."""
    retired: Mapping[str, str | None] = field(default_factory=dict)
    """Retired ids -> the active concept that replaced each, if there is one."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of all concepts, by id."""

    @classmethod
    def of(cls, concepts: pa.Table) -> Previous:
        """Reads the table of concepts of a release, or one between the stages of a build."""
        is_active = pc.equal(concepts["status"], Status.ACTIVE.value)
        active, gone = concepts.filter(is_active), concepts.filter(pc.invert(is_active))
        owners: dict[str, str] = {}
        shared = set()
        for concept_id, xrefs in _columns(active, "concept_id", "xrefs"):
            for xref in xrefs:
                if owners.setdefault(xref, concept_id) != concept_id:
                    shared.add(xref)
        ids = {xref: owner for xref, owner in owners.items() if xref not in shared}
        own = active["concept_id"].to_pylist()
        return cls(
            ids=ids | dict(zip(own, own, strict=True)),
            retired=dict(_columns(gone, "concept_id", "replaced_by")),
            labels=dict(_columns(concepts, "concept_id", "label")),
        )

    @classmethod
    def read(cls, release: Path) -> Previous:
        """Reads the release in the folder `release`.

        Raises:
            FileError: its table of concepts is missing or damaged.
        """
        return cls.of(map_table(release / CONCEPTS_FILE))


@dataclass(frozen=True, slots=True)
class Identities:
    """The ids of the clusters, and what they inherited."""

    by_root: Mapping[int, str]
    home: Mapping[str, int]  # CURIE of a member -> the root of its cluster
    heirs: Mapping[str, int]  # a previous id -> the root of what is left of its concept

    def of_member(self, curie: str | None) -> str | None:
        """The id of the concept that a CURIE is a member of."""
        root = self.home.get(curie or "")
        return None if root is None else self.by_root[root]


def assign_ids(nodes: Nodes, roots: Ints, previous: Previous) -> Identities:
    """Gives each cluster its id.

    A cluster keeps the previous id that is its own member; when it holds several, the best of
    them. An id whose own member left the sources goes to the cluster that holds most of what was
    its.

    Args:
        roots: of each node, the root of its cluster if it is a member of one, else -1.
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
    heirs = _heirs(home, previous.ids)
    claimed: dict[int, list[str]] = defaultdict(list)
    for old, root in heirs.items():
        claimed[root].append(old)
    for root, olds in claimed.items():
        chosen[root] = min(olds, key=lambda old: (home.get(old) != root, preference(old)))
    return Identities(chosen, home, heirs)


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


def retirements(
    said: Said, previous: Previous, identities: Identities, holder: Callable[[str], str | None]
) -> dict[str, str | None]:
    """All ids that are no more -> the active concept that stands for each, or None.

    It is, the first that there is: the concept that the id's CURIE is a member of, that of what
    replaces it by a source's word, what is left of its concept, the concept that holds most of its
    xrefs alone, and what stands for the concept that replaced it in the parent release.

    Args:
        holder: the one active concept that holds a CURIE, if there is one.
    """
    active = set(identities.by_root.values())
    xrefs: dict[str, list[str]] = defaultdict(list)
    for curie, old in previous.ids.items():
        if old not in active:
            xrefs[old].append(curie)

    def successor(old: str, seen: frozenset[str] = frozenset()) -> str | None:
        if old in active:
            return old
        if found := identities.of_member(old) or identities.of_member(said.current(old)):
            return found
        if old in identities.heirs:
            return identities.by_root[identities.heirs[old]]
        votes = Counter(filter(None, map(holder, xrefs[old])))
        if votes:
            return min(votes, key=lambda concept_id: (-votes[concept_id], concept_id))
        then = previous.retired.get(old)
        return successor(then, seen | {old}) if then and then not in seen else None

    known = {*previous.ids.values(), *previous.retired, *said.retired}
    return {old: successor(old) for old in known - active}


def _columns(table: pa.Table, *names: str) -> zip:
    return zip(*(table[name].to_pylist() for name in names), strict=True)
