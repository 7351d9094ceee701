"""A part of a knowledge base, chosen by how widely its concepts are named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def select(
    concepts: pa.Table,
    names: pa.Table,
    *,
    names_budget: int | None,
    types: Sequence[str] = (),
    per_language: int = 2,
) -> tuple[pa.Table, pa.Table]:
    """Keeps the active concepts of some types that are named most widely.

    Concepts are ranked by the number of sources that name them, then of languages, then of names,
    ties by id, and taken in that order until the next one's names would go over the budget. Of
    each, the first names in every language are kept (`bioelx_index.merge` puts the best first).
    The rule looks at nothing else: neither at what a name says nor at any text to be linked.

    Args:
        concepts, names: merged tables (see `bioelx.kb.tables`).
        names_budget: the most names that the part may have; None takes all names.
        types: the types of which a concept has one at least; empty takes all concepts.
        per_language: the most names that a concept keeps in one language under a budget.

    Returns:
        The chosen rows of both tables, in their order; with a concept also the retired ids that it
        replaces, so that they stay known.
    """
    wanted = {
        row["concept_id"]
        for row in concepts.select(["concept_id", "types", "status"]).to_pylist()
        if row["status"] == "active" and not (types and set(types).isdisjoint(row["types"]))
    }
    if names_budget is None:
        chosen_ids = pa.array(sorted(wanted), pa.string())
        return _with_retired(concepts, chosen_ids), _of(names, chosen_ids)
    languages: dict[str, Counter[str]] = defaultdict(Counter)
    sources: dict[str, set[str]] = defaultdict(set)
    places: dict[str, list[int]] = defaultdict(list)
    columns = (names[column].to_pylist() for column in ("concept_id", "lang", "source"))
    for place, (concept_id, lang, source) in enumerate(zip(*columns, strict=True)):
        if concept_id in wanted:
            sources[concept_id].add(source)
            languages[concept_id][lang] += 1
            if languages[concept_id][lang] <= per_language:
                places[concept_id].append(place)

    def rank(concept_id: str) -> tuple[int, int, int, str]:
        known = languages[concept_id]
        return -len(sources[concept_id]), -len(known), -known.total(), concept_id

    chosen: list[str] = []
    kept: list[int] = []
    for concept_id in sorted(places, key=rank):
        if len(kept) + len(places[concept_id]) > names_budget:
            break
        chosen.append(concept_id)
        kept += places[concept_id]
    kept_names = names.take(pa.array(sorted(kept), pa.int64()))
    return _with_retired(concepts, pa.array(chosen, pa.string())), kept_names


def _with_retired(concepts: pa.Table, concept_ids: pa.Array) -> pa.Table:
    chosen = pc.is_in(concepts["concept_id"], value_set=concept_ids)
    return concepts.filter(pc.or_(chosen, pc.is_in(concepts["replaced_by"], value_set=concept_ids)))


def _of(table: pa.Table, concept_ids: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["concept_id"], value_set=concept_ids))
