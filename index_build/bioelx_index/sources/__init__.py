"""Sources of knowledge. Each module reads one format and yields `SourceConcept`s, nothing else.

A source may say part of what is known of a concept (a translation file gives names only, a mapping
file xrefs only), several times and in any order: `bioelx_index.merge` puts the parts together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bioelx.types import Name, Status


@dataclass(frozen=True, slots=True)
class SourceConcept:
    """What one source says of one concept.

    `equivalent` are CURIEs that the source holds to be the same thing (they may join concepts);
    `related` are looser cross-references (broader, narrower, close: they never join anything and
    never become xrefs of the concept).
    """

    concept_id: str
    names: tuple[Name, ...] = ()
    description: str = ""
    types: tuple[str, ...] = ()
    equivalent: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    status: Status = Status.ACTIVE
    replaced_by: str | None = None
    modified: datetime | None = None


def branch_types(
    parents: Mapping[str, Sequence[str]], branches: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Types of the terms of a hierarchy, by the nearest ancestor (or the term itself) that
    `branches` names; where several are as near, all theirs. Terms below none are left out."""
    found = {}
    for term in parents:
        level, seen = [term], {term}
        while level:
            if types := {branches[node] for node in level if node in branches}:
                found[term] = tuple(sorted(types))
                break
            level = [p for node in level for p in parents.get(node, ()) if p not in seen]
            seen.update(level)
    return found
