"""Which items belong: their ids, listed by ranges and checked against counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from bioelx.errors import SourceError
from bioelx_index.sources.wikidata.endpoint import Endpoint, TooMuchAskedError
from bioelx_index.sources.wikidata.vocabulary import ENTITY

Qids = npt.NDArray[np.int64]

LISTED_AT_ONCE = 100_000
_LONGEST_QID = 12  # digits
_ASKED_AGAIN = 5  # times that a range is counted and listed, until both agree
_TRIES = 3  # of a count or a list that is too much, before its range is narrowed


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
        iris = _listed_as_counted(ask, name, group, digits)
    except TooMuchAskedError:
        if len(digits) == _LONGEST_QID:
            raise
        iris = None
    if iris is not None:
        yield from numbers(iris)
        return
    if digits:  # the one item whose id is no longer than that
        query = f"SELECT DISTINCT ?item WHERE {{ VALUES ?item {{ wd:Q{digits} }} {group} }}"
        yield from numbers(row["item"]["value"] for row in ask(query))
    for digit in "0123456789" if digits else "123456789":
        yield from _list_range(ask, name, group, digits + digit)


def _listed_as_counted(ask: Endpoint, name: str, group: str, digits: str) -> set[str] | None:
    """The IRIs of a range; None where there are more than one answer should hold.

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
        rows = ask(f"SELECT (COUNT(DISTINCT ?item) AS ?n) WHERE {{ {where} }}", tries=_TRIES)
        counted = int(rows[0]["n"]["value"])
        if counted == 0:
            return set()
        if counted > LISTED_AT_ONCE:
            return None
        query = f"SELECT DISTINCT ?item WHERE {{ {where} }} LIMIT {LISTED_AT_ONCE + 1}"
        iris = {row["item"]["value"] for row in ask(query, tries=_TRIES)}
        if len(iris) == counted:
            return iris
        if len(iris) > LISTED_AT_ONCE:
            return None
        seen.add((len(iris), counted))
    if len(seen) > 1 and abs(len(iris) - counted) <= max(1, counted // 1000):
        return iris
    part = f" (ids that begin with Q{digits})" if digits else ""
    raise SourceError(f"{ask.url}: {name}{part}: lists {len(iris)} items but counts {counted}")


def numbers(iris: Iterable[str]) -> Iterator[int]:
    """The QIDs of items; lexemes, properties and blank nodes have none."""
    for iri in iris:
        number = iri.removeprefix(f"{ENTITY}Q")
        if number != iri and number.isdecimal():
            yield int(number)
