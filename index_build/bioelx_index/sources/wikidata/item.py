"""What is kept of one of Wikidata's items, the same by whichever route it came."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from bioelx.types import Name, Status
from bioelx_index.sources.curie import curie
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.vocabulary import CLASSIFICATIONS, IDENTIFIERS, language_of

SOURCE = "wikidata"
_DISAMBIGUATOR = re.compile(r"\s*[(（][^()（）]*[)）]$")


@dataclass(frozen=True, slots=True)
class Item:
    """One item as its source says it, before its classes are turned into types.

    All sequences are sorted and without repetition, so that equal items are equal values.
    """

    qid: int
    names: tuple[Name, ...] = ()
    description: str = ""
    classes: tuple[int, ...] = ()
    """QIDs of what it is an instance or a subclass of."""
    equivalent: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    modified: datetime | None = None
    status: Status = Status.ACTIVE
    replaced_by: int | None = None
    """Of an item that was merged into another: that one's QID."""


@dataclass(slots=True)
class ItemBuilder:
    """Gathers what a route finds of one item; what the project has no use for is passed over.

    Values are *truthy*: of statements of one property only those of the best rank count, and
    none that is deprecated or has no value, as Wikidata's ``wdt:`` has it. That is for the route
    to see to.
    """

    qid: int
    description: str = ""
    """In English."""
    modified: datetime | None = None
    _names: set[tuple[str, str, str]] = field(default_factory=set, init=False)
    _classes: set[int] = field(default_factory=set, init=False)
    _equivalent: set[str] = field(default_factory=set, init=False)
    _related: set[str] = field(default_factory=set, init=False)

    def add_name(self, text: str, code: str, kind: str) -> None:
        """A label, alias or title (`kind`) in a language by Wikidata's code.

        A title loses its bracketed disambiguator: it tells apart articles, not things.
        """
        if kind == "title":
            text = _DISAMBIGUATOR.sub("", text)
        if text:
            self._names.add((text, language_of(code), kind))

    def add_class(self, qid: int) -> None:
        self._classes.add(qid)

    def add_identifier(self, prop: str, value: str) -> None:
        """The value of an external-id property; a malformed one says nothing."""
        if (scheme := IDENTIFIERS.get(prop)) and (xref := curie(scheme, value)):
            self._equivalent.add(xref)
        elif (scheme := CLASSIFICATIONS.get(prop)) and (xref := curie(scheme, value)):
            self._related.add(xref)

    def build(self, selection: Selection) -> Item:
        """The item, with the names in the languages that are selected."""
        names = (
            Name(text, lang, kind, SOURCE)
            for text, lang, kind in self._names
            if selection.speaks(lang)
        )
        return Item(
            self.qid,
            tuple(sorted(names)),
            self.description,
            tuple(sorted(self._classes)),
            tuple(sorted(self._equivalent)),
            tuple(sorted(self._related)),
            self.modified,
        )


def qids(numbers: Iterable[int]) -> list[str]:
    """`Q42` for 42."""
    return [f"Q{number}" for number in numbers]
