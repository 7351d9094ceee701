"""The knowledge base of a release: concepts and names, memory-mapped and searched in place."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.errors import FileError
from bioelx.kb.tables import CONCEPTS_FILE, NAMES_FILE, map_table
from bioelx.types import NAME_KINDS, TYPES, Concept, Name, Status

Int32 = npt.NDArray[np.int32]


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
        values = {name: column[row].as_py() for name, column in self._concept_columns.items()}
        values["types"], values["xrefs"] = tuple(values["types"]), tuple(values["xrefs"])
        return Concept(**{**values, "status": Status(values["status"])})

    def row_of(self, concept_id: str) -> int | None:
        """The row of a concept, active or retired."""
        row = bisect_left(_Strings(self._concept_ids), concept_id)
        found = row < self.concept_count and self.concept_id(row) == concept_id
        return row if found else None

    def rows_with_xref(self, curie: str) -> list[int]:
        """Rows of the concepts that carry `curie` among their xrefs, in order of their ids."""
        xrefs, owners, order = self._xref_order
        found = []
        at = bisect_left(_Strings(xrefs, order), curie)
        while at < len(order) and xrefs[int(order[at])].as_py() == curie:
            found.append(int(owners[order[at]]))
            at += 1
        return sorted(found)

    def stable_ids(self) -> dict[str, str]:
        """Every CURIE that stands for one active concept only -> that concept's id."""
        ids = self._concept_ids.to_pylist()
        owners = pc.list_parent_indices(self._xrefs).to_pylist()
        stable: dict[str, str] = {}
        shared = set()
        for xref, owner in zip(self._xrefs.flatten().to_pylist(), owners, strict=True):
            if stable.setdefault(xref, ids[owner]) != ids[owner]:
                shared.add(xref)
        return {c: i for c, i in stable.items() if c not in shared} | {i: i for i in ids}

    def label(self, row: int, languages: Sequence[str]) -> tuple[str, str]:
        """The concept's name in the first of `languages` that it has, with that language.

        Labels go before titles and aliases; `zh-Hant-TW` falls back to `zh-Hant`, and that to `zh`.
        Without any, the concept's own label (`und` where its language is unknown).
        """
        rows = self._name_rows_of(row)
        lang, kind = self._name_parts["lang"], self._name_parts["kind"]
        for language in languages:
            subtags = language.split("-")
            for wanted in ("-".join(subtags[:kept]) for kept in range(len(subtags), 0, -1)):
                named = rows[lang.codes[rows] == lang.code(wanted)]
                for preferred in ("label", "title", "alias"):
                    of_kind = named[kind.codes[named] == kind.code(preferred)]
                    if len(of_kind):
                        return self._name_texts[int(of_kind[0])].as_py(), wanted
        own = self._concept_columns["label"][row].as_py()
        own_rows = (int(r) for r in rows if self._name_texts[int(r)].as_py() == own)
        return own, next((lang[r] for r in own_rows), "und")

    # Names

    def name(self, row: int) -> Name:
        parts = {part: column[row] for part, column in self._name_parts.items()}
        return Name(text=self._name_texts[row].as_py(), **parts)

    def names_of(self, concept_row: int) -> list[Name]:
        """All names of a concept."""
        return [self.name(int(row)) for row in self._name_rows_of(concept_row)]

    @cached_property
    def names_per_concept(self) -> Int32:
        """How many names each concept row has."""
        return np.bincount(self.name_concept, minlength=self.concept_count).astype(np.int32)

    def preference(self, name_row: int, language: str) -> tuple[bool, int]:
        """Orders names of equal score, the smallest first: those in `language`, then by kind."""
        lang, kind = self._name_parts["lang"][name_row], self._name_parts["kind"][name_row]
        return lang.split("-")[0] != language.split("-")[0], NAME_KINDS.index(kind)

    def _name_rows_of(self, concept_row: int) -> Int32:
        order, starts = self._names_by_concept
        return order[starts[concept_row] : starts[concept_row + 1]]

    # Texts

    def text_id(self, key: str) -> int | None:
        """The text equal to `key`, a normalised name."""
        text = bisect_left(_Strings(self.texts), key)
        return text if text < len(self.texts) and self.texts[text].as_py() == key else None

    def name_rows(self, text_id: int) -> range:
        """The rows of the names whose normal form is this text."""
        return range(int(self._text_start[text_id]), int(self._text_start[text_id + 1]))

    def texts_of_types(self, types: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which texts name at least one concept of one of `types`; bool [texts]."""
        wanted = np.uint16(sum(1 << TYPES.index(t) for t in types))
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

    def __getitem__(self, row: int) -> str:
        return self.values[self.codes[row]]

    def code(self, value: str) -> int:
        """The code of `value`, or -1, which no row has."""
        return self._code_of.get(value, -1)

    @cached_property
    def _code_of(self) -> dict[str, int]:
        return {value: code for code, value in enumerate(self.values)}


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


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece; as `write_table` writes one batch this copies nothing."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return column.combine_chunks()
