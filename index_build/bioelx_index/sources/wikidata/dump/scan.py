"""What is wanted of a block of a dump: a look at its bytes tells which lines to parse at all.

A property that an item has stands in its line as ``"P486":``, and so it does in the few lines where
it only qualifies or supports another statement. So a regular expression over the whole block finds
the lines worth parsing, at the speed of reading; what they say is then looked at properly. All
other lines are only looked at from outside: an entity begins with ``{`` and ends with ``}``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from bioelx_index.sources.wikidata.dump.entity import (
    MISSHAPEN,
    Entity,
    belongs,
    item_of,
    qid_of,
    superclasses_of,
)
from bioelx_index.sources.wikidata.folder import table_of
from bioelx_index.sources.wikidata.item import Item
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.vocabulary import SUBCLASS_OF

_NEWLINE, _COMMA, _OPEN, _CLOSE = b"\n,{}"
_ITEM_VALUE = re.compile(rb'"id": ?"Q(\d+)"')


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no entity."""

    line: int
    offset: int
    """Of its first byte, like `line` from 0 at the beginning of what was scanned."""
    problem: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found in a block."""

    items: pa.Table
    """Those that belong, as rows of a pull."""
    edges: npt.NDArray[np.int64]
    """Which items are subclasses of which, [n, 2]."""
    lines: int
    entities: int
    """Lines that are no bracket and not empty."""
    parsed: int
    malformed: list[Malformed] = field(default_factory=list)
    opening: bool = False
    """Whether the first line is the bracket that opens the array."""
    closing: Malformed | None = None
    """The bracket that closes the array, if it is the last line that is not empty."""
    newest: datetime | None = None
    """The latest change of an item that belongs."""


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for.

    Items of `selection`, if any; its trees are given by `classes`, all the classes that are in
    them. And, with `edges`, which classes are subclasses of which.
    """

    selection: Selection | None
    classes: frozenset[int] = frozenset()
    edges: bool = False


class Scanner:
    """Scans blocks for a search."""

    def __init__(self, search: Search) -> None:
        self._search = search
        properties = set(search.selection.properties) if search.selection else set()
        if search.edges:
            properties.add(SUBCLASS_OF)
        numbers = "|".join(sorted(name[1:] for name in properties))
        # Without properties, one that nothing matches.
        self._property = re.compile(f'"P(?:{numbers})":'.encode() if numbers else b"(?!)")
        self._classes = frozenset(str(qid).encode() for qid in search.classes)

    def __call__(self, block: memoryview) -> Scan:
        lines = _Lines(block)
        malformed = lines.malformed()
        items: list[Item] = []
        edges: list[tuple[int, int]] = []
        candidates = self._candidates(block, lines)
        for line in candidates:
            try:
                entity = orjson.loads(lines.entity(line))
                if qid := qid_of(entity):
                    self._take(qid, entity, items, edges)
            except MISSHAPEN as error:
                malformed.append(lines.at(line, _problem(error)))
        return Scan(
            items=table_of(items),
            edges=np.array(edges, np.int64).reshape(-1, 2),
            lines=len(lines),
            entities=int(lines.is_entity.sum()) + len(lines.others),
            parsed=len(candidates),
            malformed=sorted(malformed, key=lambda each: each.line),
            opening=lines.opening,
            closing=lines.closing,
            newest=max((item.modified for item in items if item.modified), default=None),
        )

    def _take(
        self, qid: int, entity: Entity, items: list[Item], edges: list[tuple[int, int]]
    ) -> None:
        search = self._search
        if search.selection and belongs(entity, search.selection, search.classes):
            items.append(item_of(entity, search.selection))
        if search.edges:
            edges.extend((qid, above) for above in superclasses_of(entity))

    def _candidates(self, block: memoryview, lines: _Lines) -> list[int]:
        """The lines of entities that may hold what is looked for, ascending."""
        if self._search.selection and self._search.selection.everything:
            return np.flatnonzero(lines.is_entity).tolist()
        places = [match.start() for match in self._property.finditer(block)]
        if self._classes:
            places += [m.start() for m in _ITEM_VALUE.finditer(block) if m[1] in self._classes]
        found = np.unique(np.searchsorted(lines.ends, places, side="right"))
        return found[lines.is_entity[found]].tolist()


class _Lines:
    """The lines of a block, as far as they can be told from outside."""

    def __init__(self, block: memoryview) -> None:
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        if len(data) and data[-1] != _NEWLINE:
            ends = np.append(ends, len(data))
        self._block = block
        self._starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
        self.ends = ends
        first, last = data[self._starts], data[ends - 1]
        self._stops = ends - (last == _COMMA)  # of entities, without the comma
        filled = ends > self._starts
        self.is_entity = filled & (first == _OPEN) & (data[self._stops - 1] == _CLOSE)
        self.others = np.flatnonzero(filled & ~self.is_entity).tolist()
        """Lines that are no entity; the brackets of the array are taken out."""
        self.opening = self.others[:1] == [0] and self.text(0) == b"["
        if self.opening:
            del self.others[0]
        self.closing = None
        last_filled = np.flatnonzero(filled)[-1:].tolist()
        if last_filled == self.others[-1:] and last_filled and self.text(last_filled[0]) == b"]":
            self.closing = self.at(self.others.pop(), "the array ends here, not the file")

    def __len__(self) -> int:
        return len(self.ends)

    def text(self, line: int) -> bytes:
        return bytes(self._block[self._starts[line] : self.ends[line]])

    def entity(self, line: int) -> memoryview:
        return self._block[self._starts[line] : self._stops[line]]

    def at(self, line: int, problem: str) -> Malformed:
        return Malformed(line, int(self._starts[line]), problem)

    def malformed(self) -> list[Malformed]:
        return [self.at(line, "no JSON object from { to }") for line in self.others]


def _problem(error: Exception) -> str:
    if isinstance(error, orjson.JSONDecodeError):
        return f"{error.msg}, {error.pos:,} characters into the line"
    return f"not as Wikibase has entities ({type(error).__name__}: {error})"
