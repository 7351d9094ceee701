"""The merged tables: concepts and names, sorted, as `bioelx.kb.tables` has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.kb.tables import CONCEPTS_SCHEMA, NAMES_SCHEMA
from bioelx.types import NAME_KINDS, Status
from bioelx_index.kinds import SCHEMES, type_mask, types_in
from bioelx_index.merge.arrays import Ints, first_of_each, numbered, places, tally
from bioelx_index.merge.columns import Columns, Nodes
from bioelx_index.merge.hygiene import REPEATED
from bioelx_index.merge.reading import Said
from bioelx_index.merge.report import KEPT, Report

_OTHER = np.uint16(type_mask(["other"]))


def names_table(
    columns: Columns, row: Ints, ids: pa.StringArray, sources: Sequence[str], report: Report
) -> tuple[pa.Table, list[str]]:
    """The best of the equal names of each concept, and each concept's label; the fate of every
    name goes into the report.

    Args:
        row: of each node, the place of its concept in `ids`, which are sorted; or -1.
    """
    names, words = columns.names, columns.words
    order = np.lexsort(
        (names.text, names.trust, names.kind, names.key, names.lang, row[names.node])
    )
    names = names[order]
    best = first_of_each(row[names.node], names.lang, names.key)
    fate = np.zeros(len(names), np.int32)
    fate[best] = 1
    report.fates += tally(
        (names.trust, sources), (names.lang, words.langs), (fate, [REPEATED, KEPT])
    )
    names = names[best]
    names = names[np.lexsort((names.text, names.trust, names.kind, names.lang, row[names.node]))]
    owner = row[names.node]
    table = pa.table(
        [
            ids.take(pa.array(owner)),
            words.texts.take(pa.array(names.text)),
            pa.array(words.langs, pa.string()).take(pa.array(names.lang)),
            pa.array(NAME_KINDS, pa.string()).take(pa.array(names.kind)),
            pa.array(sources, pa.string()).take(pa.array(names.trust)),
        ],
        schema=NAMES_SCHEMA,
    )
    foreign = names.lang != words.lang("en")
    order = np.lexsort((names.lang, names.text, names.trust, names.kind, foreign, owner))
    labels = names.text[order[first_of_each(owner[order])]]
    return table, words.texts.take(pa.array(labels)).to_pylist()


def concepts_table(
    columns: Columns, row: Ints, ids: pa.StringArray, labels: list[str], held: tuple[Ints, Ints]
) -> pa.Table:
    """The active concepts.

    Args:
        row, ids: as in `names_table`.
        held: pairs of a root and a node that its cluster holds, sorted.
    """
    owner, xref = row[held[0]], held[1]
    owner, xref = owner[owner >= 0], xref[owner >= 0]
    other = xref != places(ids, columns.nodes.ids)[owner]
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
    latest = _by_row(columns.modified, row).group_by("row").aggregate([("time", "max")])
    rows = latest["row"].combine_chunks()
    return latest["time_max"].combine_chunks().take(pc.index_in(pa.array(np.arange(count)), rows))


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
    said: Said,
    gone: dict[str, str | None],
    nodes: Nodes,
    row: Ints,
    ids: pa.StringArray,
    labels: Sequence[str],
) -> pa.Table:
    """Concepts that are no more, by the word of the sources or of `assign_ids`, with the active
    concept that replaces each."""
    heirs = {old: heir for old in said.retired if (heir := said.current(old))}
    at = row[places(pa.array(heirs.values(), pa.string()), nodes.ids)]
    replaced = dict(zip(heirs, ids.take(pa.array(at, mask=at < 0)).to_pylist(), strict=True))
    found = gone | {old: replaced.get(old) for old in said.retired}
    label_of = dict(zip(ids.to_pylist(), labels, strict=True))
    rows = []
    for concept_id, replaced_by in found.items():
        if concept_id not in label_of:
            own = said.retired.get(concept_id)
            of_heir = label_of[replaced_by] if replaced_by else ""
            rows.append(
                {
                    "concept_id": concept_id,
                    "label": own.label if own and own.label else of_heir or concept_id,
                    "description": "",
                    "types": [],
                    "xrefs": [],
                    "status": Status.RETIRED.value,
                    "replaced_by": replaced_by,
                }
            )
    return pa.Table.from_pylist(rows, CONCEPTS_SCHEMA)
