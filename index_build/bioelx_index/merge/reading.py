"""Records of the sources -> columns. Each record is read once and let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bioelx.types import NAME_KINDS, Status, type_mask
from bioelx_index.merge.schemes import CLASSIFICATIONS
from bioelx_index.sources import SourceConcept
from bioelx_index.sources.curie import scheme_of

_BATCH = 1 << 16
_KIND = {kind: place for place, kind in enumerate(NAME_KINDS)}


@dataclass(frozen=True, slots=True)
class Retirement:
    """A source's word that an id is no more."""

    trust: int
    replaced_by: str | None
    label: str

    def weight(self) -> tuple[int, str, str]:
        """Sorts what several records say of one id, the one to believe first."""
        return self.trust, self.replaced_by or "~", self.label


@dataclass(frozen=True, slots=True)
class Said:
    """All that the sources say, in their own order. `record` is a row of `records`."""

    sources: tuple[str, ...]  # in their order of trust
    records: pa.Table  # concept: a CURIE, trust: the source's rank, types: bit i for TYPES[i]
    names: pa.Table  # record, text, lang, kind: its place in NAME_KINDS
    claims: pa.Table  # record, target: a CURIE for the same thing
    descriptions: pa.Table  # record, text
    modified: pa.Table  # record, time
    retired: Mapping[str, Retirement]  # ids that their most trusted source has given up
    counts: Counter[str]  # records by source
    names_of_retired: Counter[tuple[str, str]]  # by source and language

    def current(self, concept_id: str) -> str | None:
        """The id that stands for one that may be retired, or None if nothing replaces it."""
        seen: set[str] = set()
        while (retirement := self.retired.get(concept_id)) is not None:
            if concept_id in seen or retirement.replaced_by is None:
                return None
            seen.add(concept_id)
            concept_id = retirement.replaced_by
        return concept_id


def read(records: Iterable[tuple[str, SourceConcept]], trust: Sequence[str]) -> Said:
    """Reads what the sources say.

    Args:
        records: pairs of a source's name and what it says, in any order; none is kept.
        trust: the sources, the most trusted first.

    Raises:
        ValueError: a record of a source that that `trust` does not name.
    """
    ranks = {source: rank for rank, source in enumerate(trust)}
    concepts = _Rows(concept=pa.string(), trust=pa.int32(), types=pa.uint16())
    names = _Rows(record=pa.int32(), text=pa.string(), lang=pa.string(), kind=pa.int32())
    claims = _Rows(record=pa.int32(), target=pa.string())
    descriptions = _Rows(record=pa.int32(), text=pa.string())
    modified = _Rows(record=pa.int32(), time=pa.timestamp("s", tz="UTC"))
    retired: dict[str, Retirement] = {}
    counts: Counter[str] = Counter()
    names_of_retired: Counter[tuple[str, str]] = Counter()
    for source, record in records:
        if source not in ranks:
            raise ValueError(f"source {source!r} is not in the order of trust")
        counts[source] += 1
        if record.status is Status.RETIRED:
            label = record.names[0].text if record.names else ""
            said = Retirement(ranks[source], record.replaced_by, label)
            known = retired.get(record.concept_id, said)
            retired[record.concept_id] = min(said, known, key=Retirement.weight)
            names_of_retired.update((source, name.lang) for name in record.names)
            continue
        row = concepts.add(record.concept_id, ranks[source], type_mask(record.types))
        for text, lang, kind, _ in record.names:
            names.add(row, text, lang, _KIND[kind])
        for target in record.equivalent:
            if scheme_of(target) not in CLASSIFICATIONS:
                claims.add(row, target)
        if record.description:
            descriptions.add(row, record.description)
        if record.modified:
            modified.add(row, record.modified)
    described = concepts.table()
    return Said(
        tuple(trust),
        described,
        names.table(),
        claims.table(),
        descriptions.table(),
        modified.table(),
        _uncontradicted(retired, described),
        counts,
        names_of_retired,
    )


def _uncontradicted(retired: dict[str, Retirement], records: pa.Table) -> dict[str, Retirement]:
    """The ids that no source describes that is trusted as much as the one that retires them."""
    described = records.filter(pc.is_in(records["concept"], pa.array(retired, pa.string())))
    best: dict[str, int] = {}
    columns = (described[name].to_pylist() for name in ("concept", "trust"))
    for concept_id, trust in zip(*columns, strict=True):
        best[concept_id] = min(trust, best.get(concept_id, trust))
    return {
        concept_id: retirement
        for concept_id, retirement in retired.items()
        if concept_id not in best or retirement.trust < best[concept_id]
    }


class _Rows:
    """Rows on their way into a table, handed over to Arrow by the batch."""

    def __init__(self, **columns: pa.DataType) -> None:
        self._schema = pa.schema(columns.items())
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[tuple[object, ...]] = []

    def add(self, *row: object) -> int:
        """Adds a row and returns its number."""
        if len(self._rows) == _BATCH:
            self._flush()
        self._rows.append(row)
        return len(self._batches) * _BATCH + len(self._rows) - 1

    def table(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema)

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(c, t) for c, t in zip(columns, self._schema.types, strict=True)]
            self._batches.append(pa.record_batch(arrays, self._schema))
            self._rows = []
