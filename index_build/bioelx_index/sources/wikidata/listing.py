"""Which items belong: their ids, listed by ranges and checked against counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import ijson
import numpy as np
import numpy.typing as npt

from bioelx.errors import SourceError
from bioelx_index.sources.wikidata.answer import Answer, rows
from bioelx_index.sources.wikidata.endpoint import Endpoint, TooMuchAskedError
from bioelx_index.sources.wikidata.vocabulary import ENTITY

Qids = npt.NDArray[np.int64]

LISTED_AT_ONCE = 1_000_000
_LONGEST_QID = 12  # digits
_ASKED_AGAIN = 5  # times that a range is counted and listed, until both agree
_TRIES = 2  # of a count or a list that is too much, before its range is narrowed


def list_group(ask: Endpoint, name: str, group: str) -> Qids:
    """The QIDs that a SPARQL group over ``?item`` finds, ascending.

    Args:
        name: what errors call the group.

    Raises:
        SourceError: as `Endpoint`, or a range lists another number of items than it counts.
    """
    return np.unique(np.fromiter(_list_range(ask, name, group, ""), np.int64))


def _list_range(ask: Endpoint, name: str, group: str, digits: str) -> Iterator[int]:
    """The QIDs that begin with these digits."""
    try:
        found = _listed_as_counted(ask, name, group, digits)
    except TooMuchAskedError:
        if len(digits) == _LONGEST_QID:
            raise
        found = None
    if found is not None:
        yield from found
        return
    if digits:  # the one item whose id is no longer than that
        query = f"SELECT DISTINCT ?item WHERE {{ VALUES ?item {{ wd:Q{digits} }} {group} }}"
        yield from numbers(row["item"]["value"] for row in ask(query))
    for digit in "0123456789" if digits else "123456789":
        yield from _list_range(ask, name, group, digits + digit)


def _listed_as_counted(ask: Endpoint, name: str, group: str, digits: str) -> Qids | None:
    """The QIDs of a range; None where there are more than one answer should hold.

    Items may come and go between the count and the list: then both are asked for again, and if
    that never ends, one in a thousand more or less is let pass. A difference that stays the same
    is no such thing: the endpoint leaves items out.
    """
    where = group
    if digits:
        where += f' FILTER(STRSTARTS(STR(?item), "{ENTITY}Q{digits}"))'
    seen = set()
    for attempt in range(_ASKED_AGAIN):
        time.sleep(attempt * ask.manners.pause)
        query = f"SELECT (COUNT(DISTINCT ?item) AS ?n) WHERE {{ {where} }}"
        counted = ask.ask(query, read_count, tries=_TRIES)
        if counted == 0:
            return np.empty(0, np.int64)
        if counted > LISTED_AT_ONCE:
            return None
        query = f"SELECT DISTINCT ?item WHERE {{ {where} }}"
        found, listed = ask.ask(query, read_list, tries=_TRIES)
        if listed == counted:
            return found
        seen.add((listed, counted))
    if len(seen) > 1 and abs(listed - counted) <= max(1, counted // 1000):
        return found
    part = f" (ids that begin with Q{digits})" if digits else ""
    raise SourceError(f"{ask.url}: {name}{part}: lists {listed} items but counts {counted}")


def read_count(answer: Answer) -> int:
    """The number `?n` that an answer is about."""
    try:
        return int(rows(answer)[0]["n"]["value"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise answer.broken(error) from None


def read_list(answer: Answer) -> tuple[Qids, int]:
    """The QIDs of a list, and the number of its rows. Only the QIDs are ever in memory: a list can
    be a hundred times as large."""
    count = 0

    def counted() -> Iterator[str]:
        nonlocal count
        for iri in ijson.items(answer, "results.bindings.item.item.value"):
            count += 1
            yield iri

    return np.fromiter(numbers(counted()), np.int64), count


def numbers(iris: Iterable[str]) -> Iterator[int]:
    """The QIDs of items; lexemes, properties and blank nodes have none."""
    for iri in iris:
        number = iri.removeprefix(f"{ENTITY}Q")
        if number != iri and number.isdecimal():
            yield int(number)
