"""What was said, with every CURIE and every string replaced by its place in a sorted list.

So millions of names fit into memory, whole columns are compared at once, and the order in which
the records came no longer shows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx_index.merge.arrays import Bools, Ints, numbered, places, sorted_distinct
from bioelx_index.merge.hygiene import Hygiene
from bioelx_index.merge.names import Names, Words, clean
from bioelx_index.merge.reading import Said
from bioelx_index.merge.report import Report
from bioelx_index.merge.schemes import limited

_NOBODY = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True)
class Nodes:
    """All CURIEs that a source describes or claims, sorted; a *node* is the place of one."""

    ids: pa.StringArray
    scheme: Ints  # its place in `schemes`
    schemes: list[str]
    limited: Bools  # whether a concept may hold only so many ids of the kind
    trust: Ints  # the rank of the most trusted source that describes it
    types: npt.NDArray[np.uint16]  # bit i for TYPES[i]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def described(self) -> Bools:
        """Which of them a source describes."""
        return self.trust < _NOBODY

    def scheme_place(self, scheme: str) -> int:
        """The place of a scheme, or -1, which no node has."""
        return self.schemes.index(scheme) if scheme in self.schemes else -1

    def id(self, node: int) -> str:
        return self.ids[int(node)].as_py()


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims that `subject` and `target` are nodes of one thing, by column; distinct, sorted by
    the rank of the source, subject and target."""

    trust: Ints
    subject: Ints
    target: Ints

    def __getitem__(self, rows: npt.NDArray) -> Claims:
        return Claims(*(getattr(self, column.name)[rows] for column in fields(self)))

    def __len__(self) -> int:
        return len(self.subject)


@dataclass(frozen=True, slots=True)
class Columns:
    """All that the sources say of what is not retired."""

    nodes: Nodes
    names: Names
    words: Words
    claims: Claims
    descriptions: pa.Table  # node, trust, text
    modified: pa.Table  # node, trust, time

    def english_labels(self) -> Bools:
        """Which names are English labels."""
        return (self.names.kind == 0) & (self.names.lang == self.words.lang("en"))


def number(said: Said, rules: Hygiene, verbatim: Collection[str], report: Report) -> Columns:
    """Numbers everything, leaves out names that break a rule (the report says which), and lets
    retired ids speak for those that replaced them."""
    heirs = {gone: said.current(gone) for gone in said.retired}
    concept, target = said.records["concept"], said.claims["target"]
    replacing = pa.array([heir for heir in heirs.values() if heir], pa.string())
    ids = sorted_distinct(pa.chunked_array([*concept.chunks, *target.chunks, replacing]))
    stands = _standing(ids, heirs)
    node, trust = stands[places(concept, ids)], said.records["trust"].to_numpy()
    names, words = clean(said.names, node, trust, rules, said.sources, verbatim, report)
    return Columns(
        nodes=_nodes(ids, node, trust, said.records["types"].to_numpy()),
        names=names,
        words=words,
        claims=_claims(said.claims["record"].to_numpy(), stands[places(target, ids)], node, trust),
        descriptions=_of_nodes(said.descriptions, node, trust),
        modified=_of_nodes(said.modified, node, trust),
    )


def _standing(ids: pa.StringArray, heirs: Mapping[str, str | None]) -> Ints:
    """The node that stands for each: itself, or what replaced it, or -1."""
    stands = np.arange(len(ids), dtype=np.int32)
    gone = places(pa.array(heirs.keys(), pa.string()), ids)
    heir = places(pa.array(heirs.values(), pa.string()), ids)
    stands[gone[gone >= 0]] = heir[gone >= 0]
    return stands


def _nodes(ids: pa.StringArray, node: Ints, trust: Ints, types: npt.NDArray) -> Nodes:
    known = node >= 0
    best = np.full(len(ids), _NOBODY, np.int32)
    np.minimum.at(best, node[known], trust[known])
    union = np.zeros(len(ids), np.uint16)
    np.bitwise_or.at(union, node[known], types[known])
    scheme, schemes = numbered(pc.replace_substring_regex(ids, ":.*", ""))
    counts = np.array([limited(identifier) for identifier in ids.to_pylist()], np.bool_)
    # What its own scheme's source does not know is no thing of its own: an id of long ago.
    described = best < _NOBODY
    speaks = np.bincount(scheme, described, len(schemes)) > 0
    counts &= described | ~speaks[scheme]
    return Nodes(ids, scheme, schemes.to_pylist(), counts, best, union)


def _claims(record: Ints, target: Ints, node: Ints, trust: Ints) -> Claims:
    subject, rank = node[record], trust[record]
    kept = (subject >= 0) & (target >= 0) & (subject != target)
    rows = np.unique(np.stack([rank, subject, target], axis=1)[kept], axis=0)
    return Claims(*rows.T.copy())


def _of_nodes(table: pa.Table, node: Ints, trust: Ints) -> pa.Table:
    """The table with node and trust in place of the record."""
    record = table["record"].to_numpy()
    columns = {"node": pa.array(node[record]), "trust": pa.array(trust[record])}
    rest = {name: table[name] for name in table.column_names if name != "record"}
    found = pa.table({**columns, **rest})
    return found.filter(pc.greater_equal(found["node"], 0))
