"""The knowledge base of a release: concepts and names, memory-mapped and searched in place."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.errors import FileError
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, map_table
from bioelx.types import NAME_KINDS, TYPES, Concept, Name, Status, type_mask

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_STATUS = {status.value: status for status in Status}
_LABEL_KINDS = ("label", "title", "alias")
"""The kinds of names by how well they serve as a label."""


class KnowledgeBase:
    """Concepts by row, names by row, and the ways from one to the other.

    A *text* is a distinct normalised name; its id numbers its vector in the index. One text may
    name several concepts, and a concept has several names.
    """

    def __init__(self, concepts: pa.Table, names: pa.Table) -> None:
        """Takes tables as `bioelx.kb.tables.prepare` makes them."""
        self._concept_columns = {c: _whole(concepts[c]) for c in concepts.column_names}
        self._concept_ids = self._concept_columns["concept_id"]
        columns = {c: _whole(names[c]) for c in names.column_names}
        self._name_texts = columns["text"]
        self._name_parts = {c: _Codes.of(columns[c]) for c in ("lang", "kind", "source")}
        self.texts: pa.StringArray = columns["key"].dictionary
        """Normalised names by text id, sorted."""
        self.name_concept: Int32 = columns["concept_id"].indices.to_numpy()
        """Concept row of each name row."""
        self.name_text: Int32 = columns["key"].indices.to_numpy()
        """Text id of each name row; ascending."""
        starts = np.searchsorted(self.name_text, np.arange(len(self.texts) + 1))
        self._text_start: Int32 = starts.astype(np.int32)

    @classmethod
    def open(cls, folder: Path) -> KnowledgeBase:
        """Opens the tables in `folder`, a release.

        Raises:
            FileError: a table is missing, damaged, or does not fit the other.
        """
        concepts, names = map_table(folder / CONCEPTS_FILE), map_table(folder / NAMES_FILE)
        try:
            knowledge_base = cls(concepts, names)
        except (KeyError, AttributeError) as error:
            raise FileError(folder / NAMES_FILE, f"not a release's table ({error})") from None
        if not _whole(names["concept_id"]).dictionary.equals(knowledge_base._concept_ids):
            raise FileError(folder / NAMES_FILE, f"does not belong to {CONCEPTS_FILE} beside it")
        return knowledge_base

    @property
    def concept_count(self) -> int:
        return len(self._concept_ids)

    @property
    def name_count(self) -> int:
        return len(self._name_texts)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._name_parts["lang"].values)

    @cached_property
    def schemes(self) -> tuple[str, ...]:
        """Prefixes of all concept ids and xrefs."""
        prefixes = set()
        for curies in (self._concept_ids, self._xrefs.flatten()):
            if len(curies):
                prefixes.update(
                    pc.unique(pc.replace_substring_regex(curies, ":.*", "")).to_pylist()
                )
        return tuple(sorted(prefixes))

    # Concepts

    def concept_id(self, row: int) -> str:
        return self._concept_ids[row].as_py()

    def concept(self, row: int) -> Concept:
        return self.concepts([row])[0]

    def concepts(self, rows: Sequence[int]) -> list[Concept]:
        """The concepts of several rows; far quicker than one by one."""
        taken = {
            name: column.take(pa.array(rows, pa.int64())).to_pylist()
            for name, column in self._concept_columns.items()
        }
        for name, convert in (("types", tuple), ("xrefs", tuple), ("status", _STATUS.get)):
            taken[name] = map(convert, taken[name])
        return list(map(Concept, *(taken[field.name] for field in fields(Concept))))

    def row_of(self, concept_id: str) -> int | None:
        """The row of a concept, active or retired."""
        row = bisect_left(_Strings(self._concept_ids), concept_id)
        found = row < self.concept_count and self.concept_id(row) == concept_id
        return row if found else None

    def successor(self, row: int) -> int:
        """The row of the concept that took a retired one's place: `replaced_by` as far as it leads.
        Of any other concept the row itself.
        """
        passed = {row}
        while (after := self.concept(row).replaced_by) is not None:
            following = self.row_of(after)
            if following is None or following in passed:
                break
            passed.add(row := following)
        return row

    def rows_with_xref(self, curie: str) -> list[int]:
        """Rows of the concepts that carry `curie` among their xrefs, in order of their ids."""
        xrefs, owners, order = self._xref_order
        found = []
        at = bisect_left(_Strings(xrefs, order), curie)
        while at < len(order) and xrefs[int(order[at])].as_py() == curie:
            found.append(int(owners[order[at]]))
            at += 1
        return sorted(found)

    def rows_bearing(self, curies: Collection[str]) -> dict[str, list[int]]:
        """The rows of the active concepts that have each of `curies` for id or among their xrefs,
        in order of their ids; without the CURIEs that none has. One look at the whole table.
        """
        wanted = pa.array(sorted(curies), pa.string())
        active = pc.equal(self._concept_columns["status"], Status.ACTIVE.value)
        every_row = np.arange(self.concept_count, dtype=np.int32)
        owners = pc.list_parent_indices(self._xrefs).to_numpy().astype(np.int32)
        rows: dict[str, set[int]] = defaultdict(set)
        for values, of_row in ((self._concept_ids, every_row), (self._xrefs.flatten(), owners)):
            held = pc.and_(pc.is_in(values, value_set=wanted), active.take(pa.array(of_row)))
            found = of_row[held.to_numpy(zero_copy_only=False)].tolist()
            for curie, row in zip(values.filter(held).to_pylist(), found, strict=True):
                rows[curie].add(row)
        return {curie: sorted(found) for curie, found in rows.items()}

    def label(self, row: int, languages: Sequence[str]) -> tuple[str, str]:
        """The label of one concept (see `labels`)."""
        return self.labels([row], languages)[0]

    def labels(self, rows: Sequence[int], languages: Sequence[str]) -> list[tuple[str, str]]:
        """Each concept's name in the first of `languages` that it has, with that language.

        Labels go before titles and aliases; `zh-Hant-TW` falls back to `zh-Hant`, and that to `zh`.
        Without any, the concept's own label (`und` where its language is unknown).
        """
        chain = [part for language in languages for part in _with_fallbacks(language)]
        lang, kind = self._name_parts["lang"], self._name_parts["kind"]
        names, of_row = self._names_of_rows(np.asarray(rows, np.int64))
        place = lang.places(chain)[lang.codes[names]]
        order = place * len(_LABEL_KINDS) + kind.places(_LABEL_KINDS)[kind.codes[names]]
        best = _first_least(order, of_row)
        best = best[place[best] < len(chain)]
        texts = self._name_texts.take(pa.array(names[best])).to_pylist()
        found = {
            at: (text, chain[wanted])
            for at, text, wanted in zip(
                of_row[best].tolist(), texts, place[best].tolist(), strict=True
            )
        }
        without = [at for at in range(len(rows)) if at not in found]
        found.update(zip(without, self._own_labels([rows[at] for at in without]), strict=True))
        return [found[at] for at in range(len(rows))]

    def _own_labels(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """The concepts' own labels, each with the language of a name that equals it."""
        own = self._concept_columns["label"].take(pa.array(rows, pa.int64()))
        names, of_row = self._names_of_rows(np.asarray(rows, np.int64))
        texts = self._name_texts.take(pa.array(names))
        equal = pc.equal(texts, own.take(pa.array(of_row))).to_numpy(zero_copy_only=False)
        names, of_row = names[equal], of_row[equal]
        first = _first_least(np.zeros(len(names), np.int64), of_row)
        found = self._name_parts["lang"].decoded(names[first])
        languages = dict(zip(of_row[first].tolist(), found, strict=True))
        return [(label, languages.get(at, "und")) for at, label in enumerate(own.to_pylist())]

    def _names_of_rows(self, concept_rows: Int64) -> tuple[Int32, Int64]:
        """The name rows of several concepts one after the other, and of each the place of its
        concept in `concept_rows`.
        """
        order, starts = self._names_by_concept
        positions, of_concept = _spans(starts, concept_rows)
        return order[positions], of_concept

    # Names

    def name(self, row: int) -> Name:
        return self.names([row])[0]

    def names(self, rows: Sequence[int]) -> list[Name]:
        """The names of several rows; far quicker than one by one."""
        at = np.asarray(rows, np.int64)
        texts = self._name_texts.take(pa.array(at)).to_pylist()
        parts = (self._name_parts[part].decoded(at) for part in ("lang", "kind", "source"))
        return list(map(Name, texts, *parts))

    def names_of(self, concept_row: int) -> list[Name]:
        """All names of a concept."""
        return self.names(self._names_of_rows(np.array([concept_row]))[0].tolist())

    def texts_of(self, concept_row: int) -> Int32:
        """The text ids of all names of a concept; one that it has in several languages repeated."""
        return self.name_text[self._names_of_rows(np.array([concept_row]))[0]]

    def best_names(self, concept_rows: Sequence[int], language: str, most: int) -> list[list[str]]:
        """Of each concept up to `most` names in a language, of whatever region: its label first,
        then its title, then aliases.
        """
        names, of_row = self._names_of_rows(np.asarray(concept_rows, np.int64))
        foreign, kind = self.preference(names.astype(np.int64), language)
        own = np.flatnonzero(~foreign)
        own = own[np.lexsort((kind[own], of_row[own]))]  # stable: then by the name itself
        place = np.arange(len(own)) - np.searchsorted(of_row[own], of_row[own])
        own = own[place < most]
        texts = self._name_texts.take(pa.array(names[own])).to_pylist()
        found: list[list[str]] = [[] for _ in concept_rows]
        for row, text in zip(of_row[own].tolist(), texts, strict=True):
            found[row].append(text)
        return found

    @cached_property
    def names_per_concept(self) -> Int32:
        """How many names each concept row has."""
        return np.bincount(self.name_concept, minlength=self.concept_count).astype(np.int32)

    def preference(self, name_rows: Int64, language: str) -> tuple[npt.NDArray[np.bool_], Int64]:
        """Orders names of equal score, the smallest first: those in `language`, then by kind.

        Returns:
            of each name whether it is in another language, and the place of its kind.
        """
        lang, kind = self._name_parts["lang"], self._name_parts["kind"]
        foreign = self._primary_subtags != language.split("-")[0]
        return foreign[lang.codes[name_rows]], self._kind_places[kind.codes[name_rows]]

    @cached_property
    def _primary_subtags(self) -> npt.NDArray[np.str_]:
        """Of each language: `pt` for `pt-BR`."""
        values = self._name_parts["lang"].values
        return np.array([language.split("-")[0] for language in values], np.str_)

    @cached_property
    def _kind_places(self) -> Int64:
        return self._name_parts["kind"].places(NAME_KINDS)

    # Texts

    def text_id(self, key: str) -> int | None:
        """The text equal to `key`, a normalised name."""
        text = bisect_left(_Strings(self.texts), key)
        return text if text < len(self.texts) and self.texts[text].as_py() == key else None

    def name_rows(self, text_id: int) -> range:
        """The rows of the names whose normal form is this text."""
        return range(int(self._text_start[text_id]), int(self._text_start[text_id + 1]))

    def rows_of_texts(self, texts: Int64) -> tuple[Int64, Int64]:
        """The name rows of several texts one after the other, and of each its place in `texts`."""
        return _spans(self._text_start, texts)

    def texts_of_types(self, types: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which texts name at least one concept of one of `types`; bool [texts]."""
        wanted = np.uint16(type_mask(types))
        of_names = (self.concept_types[self.name_concept] & wanted) != 0
        return np.logical_or.reduceat(of_names, self._text_start[:-1])

    @cached_property
    def concept_types(self) -> npt.NDArray[np.uint16]:
        """Bit mask of the types of each concept row; bit i stands for `TYPES[i]`."""
        column = self._concept_columns["types"]
        codes = pc.index_in(column.flatten(), value_set=pa.array(TYPES))
        bits = np.left_shift(1, codes.fill_null(TYPES.index("other")).to_numpy()).astype(np.uint16)
        masks = np.zeros(self.concept_count, np.uint16)
        np.bitwise_or.at(masks, pc.list_parent_indices(column).to_numpy(), bits)
        return masks

    @property
    def _xrefs(self) -> pa.ListArray:
        return self._concept_columns["xrefs"]

    @cached_property
    def _xref_order(self) -> tuple[pa.StringArray, Int32, npt.NDArray[np.uint64]]:
        xrefs = self._xrefs.flatten()
        owners = pc.list_parent_indices(self._xrefs).to_numpy()
        return xrefs, owners, pc.sort_indices(xrefs).to_numpy()

    @cached_property
    def _names_by_concept(self) -> tuple[Int32, Int32]:
        order = np.argsort(self.name_concept, kind="stable").astype(np.int32)
        rows = np.arange(self.concept_count + 1)
        starts = np.searchsorted(self.name_concept, rows, sorter=order)
        return order, starts.astype(np.int32)


@dataclass(frozen=True)
class _Codes:
    """A dictionary-encoded column with its few distinct values in Python's hands."""

    values: list[str]
    codes: Int32

    @classmethod
    def of(cls, column: pa.DictionaryArray) -> _Codes:
        return cls(column.dictionary.to_pylist(), column.indices.to_numpy())

    def decoded(self, rows: Int64) -> list[str]:
        return [self.values[code] for code in self.codes[rows].tolist()]

    def places(self, order: Sequence[str]) -> Int64:
        """By code, where the value first stands in `order`; its length for those not in it."""
        place = {value: i for i, value in reversed(list(enumerate(order)))}
        return np.array([place.get(value, len(order)) for value in self.values], np.int64)


class _Strings:
    """Lets `bisect` look into an Arrow array without making a list of it."""

    def __init__(self, values: pa.StringArray, order: npt.NDArray[np.uint64] | None = None) -> None:
        self._values, self._order = values, order

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, at: int) -> str:
        return self._values[at if self._order is None else int(self._order[at])].as_py()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def _with_fallbacks(language: str) -> Iterator[str]:
    """`zh-Hant-TW`, `zh-Hant`, `zh`."""
    while language:
        yield language
        language = language.rpartition("-")[0]


def _spans(starts: Int32, which: npt.NDArray[np.integer]) -> tuple[Int64, Int64]:
    """The numbers from starts[i] up to starts[i + 1] for each i of `which`, and of each of them the
    place of its i in `which`.
    """
    counts = starts[which + 1] - starts[which]
    of_which = np.repeat(np.arange(len(which)), counts)
    before = np.cumsum(counts) - counts
    return np.arange(len(of_which)) + (starts[which] - before)[of_which], of_which


def _first_least(order: Int64, of_group: Int64) -> Int64:
    """The position of the first of the least values in each group that has any; groups ascend."""
    if not len(order):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.diff(of_group, prepend=-1))
    return np.minimum.reduceat(order * len(order) + np.arange(len(order)), starts) % len(order)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece; as `write_table` writes one batch this copies nothing."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.combine_chunks()
