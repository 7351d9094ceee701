"""The merged tables: concepts and names, sorted, as `bioelx.kb.tables` has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.types import NAME_KINDS, Status, type_mask
from bioelx_index.kinds import SCHEMES, types_in
from bioelx_index.merge.arrays import Ints, first_of_each, numbered, places, tally
from bioelx_index.merge.columns import Columns, Nodes
from bioelx_index.merge.hygiene import KEPT, REPEATED, Hygiene
from bioelx_index.merge.identity import Previous
from bioelx_index.merge.reading import Said
from bioelx_index.merge.report import Report

_OTHER = np.uint16(type_mask(["other"]))


@dataclass(frozen=True, slots=True)
class Concepts:
    """The active concepts: their ids, sorted, and of each node the place of its concept among
    them, or -1."""

    ids: pa.StringArray
    row: Ints

    @classmethod
    def of(cls, by_root: Mapping[int, str], roots: Ints) -> Concepts:
        in_order = sorted(by_root, key=by_root.__getitem__)
        place = np.full(len(roots), -1, np.int32)
        place[in_order] = np.arange(len(in_order))
        return cls(pa.array([by_root[root] for root in in_order], pa.string()), place[roots])


def names_table(
    columns: Columns, concepts: Concepts, sources: Sequence[str], rules: Hygiene, report: Report
) -> tuple[pa.Table, list[str]]:
    """The best of the equal names of each concept, and each concept's label; the fate of every
    name, and which are ambiguous, goes into the report."""
    names, words, row = columns.names, columns.words, concepts.row
    order = np.lexsort(
        (names.text, names.trust, names.kind, names.key, names.lang, row[names.node])
    )
    names = names[order]
    best = first_of_each(row[names.node], names.lang, names.key)
    kept = np.zeros(len(names), np.int32)
    kept[best] = 1
    report.fates += tally(
        (names.trust, sources), (names.lang, words.langs), (kept, [REPEATED, KEPT])
    )
    names = names[best]
    names = names[np.lexsort((names.text, names.trust, names.kind, names.lang, row[names.node]))]
    owner = row[names.node]
    shared = _concepts_of_keys(names.key, owner, len(words.keys))
    report.ambiguous = _most_shared(shared, rules.ambiguous_above, words.keys)
    table = pa.table(
        [
            concepts.ids.take(pa.array(owner)),
            words.texts.take(pa.array(names.text)),
            pa.array(words.langs, pa.string()).take(pa.array(names.lang)),
            pa.array(NAME_KINDS, pa.string()).take(pa.array(names.kind)),
            pa.array(sources, pa.string()).take(pa.array(names.trust)),
            pa.array(shared[names.key] > rules.ambiguous_above),
        ],
        schema=NAMES_SCHEMA,
    )
    foreign = names.lang != words.lang("en")
    order = np.lexsort((names.lang, names.text, names.trust, names.kind, foreign, owner))
    labels = names.text[order[first_of_each(owner[order])]]
    return table, words.texts.take(pa.array(labels)).to_pylist()


def _concepts_of_keys(key: Ints, owner: Ints, count: int) -> npt.NDArray[np.int64]:
    """How many concepts share each normal form, in whatever languages; [keys]."""
    order = np.lexsort((owner, key))
    distinct = order[first_of_each(key[order], owner[order])]
    return np.bincount(key[distinct], minlength=count)


def _most_shared(shared: npt.NDArray[np.int64], limit: int, keys: pa.StringArray) -> dict[str, int]:
    """The normal forms that more concepts than `limit` share, with how many."""
    found = np.flatnonzero(shared > limit)
    found = found[np.lexsort((found, -shared[found]))]
    return dict(zip(keys.take(pa.array(found)).to_pylist(), shared[found].tolist(), strict=True))


def concepts_table(
    columns: Columns, concepts: Concepts, labels: list[str], held: tuple[Ints, Ints]
) -> pa.Table:
    """The active concepts.

    Args:
        held: pairs of a root and a node that its cluster holds.
    """
    ids, row = concepts.ids, concepts.row
    owner, xref = row[held[0]], held[1]
    owner, xref = owner[owner >= 0], xref[owner >= 0]
    # Not its own id; nor that of what is left of an earlier concept, whose CURIE others claim now.
    other = ~np.isin(xref, places(ids, columns.nodes.ids))
    owner, xref = owner[other], xref[other]
    order = np.lexsort((xref, owner))
    owner, xref = owner[order], xref[order]
    offsets = np.searchsorted(owner, np.arange(len(ids) + 1)).astype(np.int32)
    xrefs = columns.nodes.ids.take(pa.array(xref))
    return pa.table(
        [
            ids,
            pa.array(labels, pa.string()),
            _descriptions(columns, row, len(ids)),
            _types(columns.nodes, row, ids, owner, xref),
            pa.ListArray.from_arrays(pa.array(offsets), xrefs),
            pa.repeat(Status.ACTIVE.value, len(ids)),
            pa.nulls(len(ids), pa.string()),
            _modified(columns, row, len(ids)),
        ],
        schema=CONCEPTS_SCHEMA,
    )


def _descriptions(columns: Columns, row: Ints, count: int) -> pa.Array:
    """Each concept's description by its most trusted source, or ""."""
    said = _by_row(columns.descriptions, row).sort_by(
        [("row", "ascending"), ("trust", "ascending"), ("text", "ascending")]
    )
    first = pa.array(first_of_each(said["row"].to_numpy()))
    found = pc.index_in(pa.array(np.arange(count)), said["row"].take(first).combine_chunks())
    return pc.fill_null(said["text"].take(first).combine_chunks().take(found), "")


def _modified(columns: Columns, row: Ints, count: int) -> pa.Array:
    """When each concept was last changed, or null."""
    said = _by_row(columns.modified, row)
    latest = np.full(count, np.iinfo(np.int64).min, np.int64)
    np.maximum.at(latest, said["row"].to_numpy(), said["time"].cast(pa.int64()).to_numpy())
    seconds = pa.array(latest, mask=latest == np.iinfo(np.int64).min)
    return seconds.cast(pa.timestamp("s", tz="UTC"))


def _by_row(table: pa.Table, row: Ints) -> pa.Table:
    found = table.append_column("row", pa.array(row[table["node"].to_numpy()].astype(np.int64)))
    return found.filter(pc.greater_equal(found["row"], 0))


def _types(nodes: Nodes, row: Ints, ids: pa.StringArray, owner: Ints, xref: Ints) -> pa.Array:
    """What the sources say each concept is, or what its ids imply where none says more than
    `other`."""
    masks = np.zeros(len(ids), np.uint16)
    members = np.flatnonzero(nodes.described & (row >= 0))
    np.bitwise_or.at(masks, row[members], nodes.types[members])
    own, schemes = numbered(pc.replace_substring_regex(ids, ":.*", ""))
    implied = _implied(schemes.to_pylist())[own]
    np.bitwise_or.at(implied, owner, _implied(nodes.schemes)[nodes.scheme[xref]])
    vague = (masks == 0) | (masks == _OTHER)
    masks[vague] |= np.where(implied, implied, _OTHER)[vague]
    return pa.array(map(types_in, masks.tolist()), pa.list_(pa.string()), size=len(ids))


def _implied(schemes: Sequence[str]) -> npt.NDArray[np.uint16]:
    masks = [type_mask([SCHEMES[scheme]] if scheme in SCHEMES else []) for scheme in schemes]
    return np.array(masks, np.uint16)


def retired_table(
    gone: Mapping[str, str | None], said: Said, previous: Previous, active: pa.Table
) -> pa.Table:
    """Concepts that are no more, with the active concept that stands for each."""
    heirs = active.filter(pc.is_in(active["concept_id"], pa.array(gone.values(), pa.string())))
    labels = dict(zip(*(heirs[name].to_pylist() for name in ("concept_id", "label")), strict=True))

    def label(concept_id: str, replaced_by: str | None) -> str:
        own = said.retired.get(concept_id)
        last = own.label if own else ""
        return last or previous.labels.get(concept_id) or labels.get(replaced_by or "", concept_id)

    rows: list[dict[str, object]] = [
        {
            "concept_id": concept_id,
            "label": label(concept_id, replaced_by),
            "description": "",
            "types": [],
            "xrefs": [],
            "status": Status.RETIRED.value,
            "replaced_by": replaced_by,
        }
        for concept_id, replaced_by in gone.items()
    ]
    return pa.Table.from_pylist(rows, CONCEPTS_SCHEMA)


def sole_holders(concepts: pa.Table, wanted: Iterable[str]) -> dict[str, str]:
    """Of those CURIEs that one active concept alone holds as xref, that concept."""
    lists = concepts["xrefs"].combine_chunks()
    held = pc.is_in(lists.flatten(), value_set=pa.array(wanted, pa.string()))
    owners = concepts["concept_id"].take(pc.list_parent_indices(lists).filter(held)).to_pylist()
    found: dict[str, str] = {}
    shared = set()
    for xref, owner in zip(lists.flatten().filter(held).to_pylist(), owners, strict=True):
        if found.setdefault(xref, owner) != owner:
            shared.add(xref)
    return {xref: owner for xref, owner in found.items() if xref not in shared}


def ids_by_scheme(active: pa.Table) -> Counter[str]:
    """How many distinct ids of each scheme the concepts hold, their own included."""
    xrefs = active["xrefs"].combine_chunks().flatten()
    held = pa.chunked_array([*active["concept_id"].chunks, xrefs])
    prefixes = pc.replace_substring_regex(pc.unique(held), ":.*", "")
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(prefixes).to_pylist()})
