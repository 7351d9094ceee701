"""Wikidata, or any mirror or slice of it, over SPARQL 1.1.

First the ids of the items that belong are listed, one way to belong after the other, by ranges of
ids (their leading digits) that are narrowed until an answer holds a range whole: no OFFSET, which
skips and repeats while data change, and no ORDER BY, which costs more than all else. Every range is
counted too. Then all about the items is asked for, page by page, by naming them: the last page
costs what the first one does. A page that is too much for the endpoint is halved.

What comes out depends on the data alone: not on the size of pages, nor on faults on the way.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Queue
from threading import Lock, Thread

import numpy as np
import numpy.typing as npt

from bioelx.errors import SourceError
from bioelx_index.sources.wikidata.endpoint import Endpoint, Rows, TooMuchAskedError
from bioelx_index.sources.wikidata.item import Item, ItemBuilder
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.vocabulary import (
    CLASSIFICATIONS,
    COMMON_NAME,
    ENTITY,
    IDENTIFIERS,
    INSTANCE_OF,
    SUBCLASS_OF,
)

Qids = npt.NDArray[np.int64]

PAGE_SIZE = 1_000
_LISTED_AT_ONCE = 100_000
_LONGEST_QID = 12  # digits
_ASKED_TWICE = 5  # times that a range is listed and counted, until both agree
_TRIES = 3  # of a list or count, before its range is narrowed
_CLASSES_AT_ONCE = 1_000
_DATES_AT_ONCE = 2_000

NEVER = -1
"""In place of a date that there is not."""

_LABELS = ("rdfs:label", "skos:altLabel", f"wdt:{COMMON_NAME}")
_NAME_KINDS = {
    "http://www.w3.org/2000/01/rdf-schema#label": "label",
    "http://www.w3.org/2004/02/skos/core#altLabel": "alias",
    f"http://www.wikidata.org/prop/direct/{COMMON_NAME}": "alias",
    "http://schema.org/name": "title",
}
_DESCRIPTION = "http://schema.org/description"
_MODIFIED = "http://schema.org/dateModified"


# Which items belong


def list_items(ask: Endpoint, selection: Selection) -> Qids:
    """The QIDs of all items that belong, ascending.

    Raises:
        SourceError: as `Endpoint`, or a range lists another number of items than it counts.
    """
    found = [list_group(ask, *group) for group in selection.groups().items()]
    return union(found)


def union(lists: Sequence[Qids]) -> Qids:
    """The distinct numbers of several lists, ascending."""
    return np.unique(np.concatenate(lists)) if lists else np.empty(0, np.int64)


def list_group(ask: Endpoint, name: str, group: str) -> Qids:
    """The QIDs that a SPARQL group over ``?item`` finds, in no order.

    Raises:
        SourceError: as `Endpoint`, or a range lists another number of items than it counts.
    """
    found = list(_list_range(ask, name, group, ""))
    return np.array(found, np.int64)


def _list_range(ask: Endpoint, name: str, group: str, digits: str) -> Iterator[int]:
    """The QIDs that begin with these digits."""
    try:
        iris = _listed_as_counted(ask, name, group, digits)
    except TooMuchAskedError:
        if len(digits) == _LONGEST_QID:
            raise
        iris = None
    if iris is not None:
        yield from _qids(iris)
        return
    if digits:  # the one item whose id is no longer than that
        itself = ask(f"SELECT DISTINCT ?item WHERE {{ VALUES ?item {{ wd:Q{digits} }} {group} }}")
        yield from _qids(row["item"]["value"] for row in itself)
    for digit in "0123456789" if digits else "123456789":
        yield from _list_range(ask, name, group, digits + digit)


def _listed_as_counted(ask: Endpoint, name: str, group: str, digits: str) -> set[str] | None:
    """The IRIs of a range; None where there are more than one answer should hold.

    Items may come and go between the count and the list: then both are asked for again. A
    difference that stays the same is no such thing: the endpoint leaves items out.
    """
    where = group
    if digits:
        where = f'{group} FILTER(STRSTARTS(STR(?item), "{ENTITY}Q{digits}"))'
    seen: list[tuple[int, int]] = []
    for attempt in range(_ASKED_TWICE):
        time.sleep(attempt * ask.manners.pause)
        rows = ask(f"SELECT (COUNT(DISTINCT ?item) AS ?n) WHERE {{ {where} }}", tries=_TRIES)
        counted = int(rows[0]["n"]["value"])
        if counted == 0:
            return set()
        if counted > _LISTED_AT_ONCE:
            return None
        query = f"SELECT DISTINCT ?item WHERE {{ {where} }} LIMIT {_LISTED_AT_ONCE + 1}"
        iris = {row["item"]["value"] for row in ask(query, tries=_TRIES)}
        if len(iris) > _LISTED_AT_ONCE:
            return None
        if len(iris) == counted:
            return iris
        seen.append((len(iris), counted))
    moving = len(set(seen)) > 1
    if moving and abs(len(iris) - counted) <= max(1, counted // 1000):
        return iris
    where = f"{name}, ids that begin with Q{digits}" if digits else name
    raise SourceError(f"{ask.url}: {where}: lists {len(iris)} items but counts {counted}")


# All about some items


def fetch(
    ask: Endpoint, qids: Sequence[int], selection: Selection, *, page_size: int = PAGE_SIZE
) -> list[Item]:
    """Those of the items that exist, by ascending QID. Redirects do not.

    Raises:
        SourceError: as `Endpoint`.
    """
    portions = Portions([np.unique(np.asarray(qids, np.int64))], page_size)
    items = (item for page in pages(ask, portions, selection) for item in page.items)
    return sorted(items, key=lambda item: item.qid)


@dataclass(frozen=True, slots=True)
class Page:
    """What an endpoint says of some items; those that are not there have none."""

    asked: Qids
    items: list[Item]


class Portions:
    """Hands out ids in portions of what the endpoint can answer: half as many after too much was
    asked, slowly more again after good answers.

    Args:
        runs: ids, ascending; no portion spans two runs.
        largest: ids in a portion.
    """

    def __init__(self, runs: Iterable[Qids], largest: int) -> None:
        self._runs = [run for run in runs if len(run)][::-1]
        self._largest = self._size = largest
        self._lock = Lock()

    def take(self) -> Qids | None:
        with self._lock:
            if not self._runs:
                return None
            run = self._runs.pop()
            if len(run) > self._size:
                self._runs.append(run[self._size :])
            return run[: self._size]

    def too_much(self, portion: Qids) -> None:
        """Takes a portion back."""
        with self._lock:
            self._runs.append(portion)
            self._size = max(1, len(portion) // 2)

    def answered(self) -> None:
        with self._lock:
            self._size = min(self._largest, self._size + max(1, self._size // 16))

    def drop(self) -> None:
        """Hands out nothing more."""
        with self._lock:
            self._runs.clear()


def pages(
    ask: Endpoint, portions: Portions, selection: Selection, *, parallel: int = 1
) -> Iterator[Page]:
    """Asks for all portions, `parallel` at a time, and yields the answers as they come.

    Raises:
        SourceError: as `Endpoint`.
    """
    answers: Queue[Page | BaseException | None] = Queue(parallel)

    def work() -> None:
        try:
            while (portion := portions.take()) is not None:
                if (items := _ask_for(ask, portion, selection)) is None:
                    portions.too_much(portion)
                else:
                    portions.answered()
                    answers.put(Page(portion, items))
            answers.put(None)
        except BaseException as error:
            answers.put(error)

    # In daemons: whoever stops this need not wait for an answer, or for a pause to end.
    for _ in range(parallel):
        Thread(target=work, daemon=True).start()
    try:
        for _ in range(parallel):
            while (answer := answers.get()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
    finally:
        portions.drop()


def _ask_for(ask: Endpoint, qids: Qids, selection: Selection) -> list[Item] | None:
    """The items, or None if that is too much for one question and could be less."""
    try:
        rows = ask(_question(qids, selection), tries=None if len(qids) == 1 else 1)
    except TooMuchAskedError:
        if len(qids) == 1:
            raise
        return None
    return _items(rows, qids, selection)


def _question(qids: Qids, selection: Selection) -> str:
    """Asks for the items' own statements, and for those of the pages about them: Wikipedia's
    articles and, in Wikidata's dumps, the page with the item's date.

    Each of the two names the items for itself, so that an engine that works from the inside out
    never looks at all of Wikidata.
    """
    values = _values(qids)
    values_of = {*selection.properties, *IDENTIFIERS, *CLASSIFICATIONS, INSTANCE_OF, SUBCLASS_OF}
    properties = ", ".join(f"wdt:{name}" for name in sorted(values_of))
    spoken = " || ".join(f'LANGMATCHES(LANG(?o), "{each}")' for each in selection.ranges())
    in_languages = f" && ({spoken})" if spoken else ""
    return f"""
        SELECT ?item ?p ?o WHERE {{
            {{
                {values}
                ?item ?p ?o .
                FILTER(?p IN (schema:dateModified, {properties})
                    || ?p IN ({", ".join(_LABELS)}){in_languages}
                    || ?p = schema:description && LANG(?o) = "en")
            }} UNION {{
                {values}
                ?page schema:about ?item ; ?p ?o .
                FILTER(?p = schema:dateModified
                    || ?p = schema:name{in_languages}
                        && CONTAINS(STR(?page), ".wikipedia.org/wiki/"))
            }}
        }}"""


def _items(rows: Rows, qids: Qids, selection: Selection) -> list[Item]:
    statements: defaultdict[int, list[tuple[str, dict[str, str]]]] = defaultdict(list)
    for row in rows:
        statements[_qid(row["item"]["value"])].append((row["p"]["value"], row["o"]))
    return [_item(qid, statements[qid], selection) for qid in qids.tolist() if qid in statements]


def _item(qid: int, statements: list[tuple[str, dict[str, str]]], selection: Selection) -> Item:
    item = ItemBuilder(qid)
    for predicate, term in statements:
        value, is_text = term["value"], term["type"] in ("literal", "typed-literal")
        prop = predicate.rpartition("/")[2]
        if not is_text:
            # Other things than items are "some value", of which no more is known.
            if prop in (INSTANCE_OF, SUBCLASS_OF):
                for number in _qids([value]):
                    item.add_class(number)
        elif kind := _NAME_KINDS.get(predicate):
            item.add_name(value, term.get("xml:lang", ""), kind)
        elif predicate == _DESCRIPTION:
            item.description = value
        elif predicate == _MODIFIED:
            if (modified := _date(value)) and (item.modified or modified) <= modified:
                item.modified = modified
        else:
            item.add_identifier(prop, value)
    return item.build(selection)


def _date(text: str) -> datetime | None:
    with suppress(ValueError):
        date = datetime.fromisoformat(text)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None


# Classes and redirects


def superclasses(ask: Endpoint) -> Callable[[Collection[int]], dict[int, list[int]]]:
    """What `types_of_classes` asks: the classes that each of some classes is a subclass of."""
    return lambda qids: _related(ask, qids, f"wdt:{SUBCLASS_OF}")


def redirects(ask: Endpoint, qids: Collection[int]) -> dict[int, int]:
    """Which of the items were merged into another one, and into which."""
    found = _related(ask, qids, "owl:sameAs")
    return {qid: targets[0] for qid, targets in found.items()}


def _related(ask: Endpoint, qids: Collection[int], predicate: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for rows in _answers(
        ask,
        qids,
        _CLASSES_AT_ONCE,
        lambda values: f"SELECT ?item ?other WHERE {{ {values} ?item {predicate} ?other }}",
    ):
        for row in rows:
            others = found.setdefault(_qid(row["item"]["value"]), [])
            others.extend(_qids([row["other"]["value"]]))
    return {qid: sorted(set(others)) for qid, others in found.items() if others}


# When items were modified


def last_modified(ask: Endpoint, qids: Collection[int]) -> Qids:
    """When each of the items was last modified, in seconds since 1970, in the order of `qids`;
    `NEVER` for those that are not there, or have no date.

    Raises:
        SourceError: as `Endpoint`.
    """
    dates: dict[int, int] = {}
    for rows in _answers(ask, qids, _DATES_AT_ONCE, _dates_question):
        for row in rows:
            if date := _date(row["date"]["value"]):
                qid, seconds = _qid(row["item"]["value"]), int(date.timestamp())
                dates[qid] = max(seconds, dates.get(qid, NEVER))
    return np.fromiter((dates.get(int(qid), NEVER) for qid in qids), np.int64, len(qids))


def _dates_question(values: str) -> str:
    return f"""
        SELECT ?item ?date WHERE {{
            {{ {values} ?item schema:dateModified ?date }}
            UNION
            {{ {values} ?page schema:about ?item ; schema:dateModified ?date }}
        }}"""


def _answers(
    ask: Endpoint, qids: Collection[int], at_once: int, question: Callable[[str], str]
) -> Iterator[Rows]:
    """Asks a question of all items, portion by portion.

    Args:
        question: what to ask of the items of some VALUES.
    """
    portions = Portions([np.unique(np.fromiter(qids, np.int64))], at_once)
    while (portion := portions.take()) is not None:
        try:
            rows = ask(question(_values(portion)), tries=None if len(portion) == 1 else 1)
        except TooMuchAskedError:
            if len(portion) == 1:
                raise
            portions.too_much(portion)
            continue
        portions.answered()
        yield rows


def _values(qids: Qids) -> str:
    return f"VALUES ?item {{ {' '.join(f'wd:Q{qid}' for qid in qids)} }}"


def _qids(iris: Iterable[str]) -> Iterator[int]:
    """The numbers of items; lexemes, properties and blank nodes have none."""
    for iri in iris:
        number = iri.removeprefix(f"{ENTITY}Q")
        if number != iri and number.isdecimal():
            yield int(number)


def _qid(iri: str) -> int:
    return int(iri.removeprefix(f"{ENTITY}Q"))
