"""Wikidata, or any mirror or slice of it, over SPARQL 1.1.

First the ids of the items that belong are listed, one way to belong after the other, by ranges of
ids (their leading digits) that are narrowed until an answer holds a range whole: no OFFSET, which
skips and repeats while data change, and no ORDER BY, which costs more than all else. Every range is
counted too. Then all about the items is asked for, page by page, by naming them: the last page
costs what the first one does. A page that is too much for the endpoint is halved.

What comes out depends on the data alone: not on the size of pages, nor on faults on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from bioelx.release.manifest import utc_now
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.answer import Rows
from bioelx_index.sources.wikidata.classes import types_of_classes
from bioelx_index.sources.wikidata.endpoint import Endpoint, Manners
from bioelx_index.sources.wikidata.folder import Pull, PullFolder, open_pull, read_pull
from bioelx_index.sources.wikidata.item import Item, ItemBuilder
from bioelx_index.sources.wikidata.listing import Qids, list_group, numbers
from bioelx_index.sources.wikidata.paging import Portions, in_portions
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.vocabulary import (
    CLASSIFICATIONS,
    COMMON_NAME,
    IDENTIFIERS,
    INSTANCE_OF,
    SUBCLASS_OF,
)

ROUTE = "sparql"
PAGE_SIZE = 1_000
PAGE = "page-"
_DATES_AT_ONCE = 5_000

NEVER = -1
"""In place of a date that there is not."""

_NAME_KINDS = {
    "http://www.w3.org/2000/01/rdf-schema#label": "label",
    "http://www.w3.org/2004/02/skos/core#altLabel": "alias",
    f"http://www.wikidata.org/prop/direct/{COMMON_NAME}": "alias",
    "http://schema.org/name": "title",
}
_DESCRIPTION = "http://schema.org/description"
_MODIFIED = "http://schema.org/dateModified"
_SUPERCLASS, _SAME_AS = f"wdt:{SUBCLASS_OF}", "owl:sameAs"

_WORTH_SAYING = 5.0  # seconds of a pause


def pull(
    url: str,
    folder: Path,
    selection: Selection,
    *,
    user_agent: str,
    stages: Stages,
    page_size: int = PAGE_SIZE,
    manners: Manners | None = None,
    origin: str = "",
) -> Pull:
    """Pulls the items that belong into a folder, or goes on where a killed process stopped.

    Args:
        user_agent: name, version and contact of who pulls.
        page_size: items in a request, at most.
        manners: also how many requests are under way at once.
        origin: what is pulled from, where the URL does not say it for good.

    Raises:
        SourceError: the endpoint is down, refuses a query, keeps failing, or lists another number
            of items than it counts; or the folder is another pull's, or in use.
    """
    ask = open_endpoint(url, user_agent, stages, manners)
    recipe: dict[str, Any] = {
        "route": ROUTE,
        "origin": origin or url,
        "selection": asdict(selection),
    }
    with open_pull(folder, recipe) as unfinished:
        if unfinished is None:
            return read_pull(folder)
        started, effort = begun(unfinished), effort_of(ask, unfinished)
        listed = list_groups(ask, selection, unfinished, stages)
        qids = union(listed.values())
        fetch_pages(ask, qids, selection, unfinished, stages, effort, page_size=page_size)
        types = types_of_items(ask, unfinished, stages)
        with stages.stage("records") as stage:
            notes = {
                **effort(),
                "pages": len(unfinished.parts()),
                "listed": {name: len(found) for name, found in listed.items()},
                "gone": len(qids) - unfinished.count(),
            }
            finished = unfinished.finish(types, started=started, notes=notes, **recipe)
            stage.result = f"{finished.items:,} items, {finished.names:,} names"
        return finished


# The steps of a pull, each of which notes what it found


def open_endpoint(
    url: str, user_agent: str, stages: Stages, manners: Manners | None = None
) -> Endpoint:
    """An endpoint that says on the console why nothing happens."""

    def say(seconds: float, problem: str) -> None:
        if seconds >= _WORTH_SAYING:
            stages.console.print(
                f"  {problem}: the next request is in {seconds:,.0f} s", markup=False
            )

    return Endpoint(url, user_agent, manners=manners, on_wait=say)


def begun(unfinished: PullFolder) -> datetime:
    """When the pull began: before the first look at the data."""
    if (noted := unfinished.recall("started")) is None:
        unfinished.note("started", noted := utc_now().isoformat())
    return datetime.fromisoformat(noted)


def list_groups(
    ask: Endpoint, selection: Selection, unfinished: PullFolder, stages: Stages
) -> dict[str, Qids]:
    """The QIDs that each way to belong finds, in no order."""
    groups = selection.groups()
    listed: dict[str, Qids] = {}
    with stages.stage("list", total=len(groups)) as stage:
        for name, group in groups.items():
            found = unfinished.recall_numbers(f"listed-{name}")
            if found is None:
                found = list_group(ask, name, group)
                unfinished.note_numbers(f"listed-{name}", found)
            listed[name] = found
            stage.advance(1)
        stage.result = f"{len(union(listed.values())):,} items belong"
    return listed


def fetch_pages(
    ask: Endpoint,
    qids: Qids,
    selection: Selection,
    unfinished: PullFolder,
    stages: Stages,
    effort: Callable[[], object],
    *,
    page_size: int = PAGE_SIZE,
) -> None:
    """Keeps all about some items, ascending, in parts whose names begin with `PAGE`."""
    todo = _todo(qids, unfinished.parts(PAGE))
    done = len(qids) - len(todo)
    if done:
        stages.console.print(
            f"  goes on with the pull of {begun(unfinished):%Y-%m-%d %H:%M} UTC: {done:,} of "
            f"{len(qids):,} items done"
        )
    with stages.stage("items", total=len(qids), done=done) as stage:
        for page, items in _pages(ask, Portions(todo, page_size), selection):
            unfinished.add_part(f"{PAGE}{page[0]}-{page[-1]}", items)
            effort()
            stage.advance(len(page))
        stage.result = f"{len(unfinished.parts(PAGE)):,} pages, {unfinished.count(PAGE):,} items"


def _todo(qids: Qids, parts: Iterable[str]) -> Qids:
    """The QIDs that no part is about."""
    todo = np.ones(len(qids), bool)
    for part in parts:
        first, last = map(int, part.removeprefix(PAGE).split("-"))
        todo[np.searchsorted(qids, first) : np.searchsorted(qids, last, side="right")] = False
    return qids[todo]


def effort_of(ask: Endpoint, unfinished: PullFolder) -> Callable[[], dict[str, float]]:
    """Notes and returns, whenever it is called, what the pull took by then, with the processes
    before this one."""
    before = unfinished.recall("effort") or {}

    def note() -> dict[str, float]:
        here = {**asdict(ask.effort), "seconds": round(monotonic() - ask.opened, 1)}
        now = {name: before.get(name, 0) + value for name, value in here.items()}
        unfinished.note("effort", now)
        return now

    return note


def types_of_items(
    ask: Endpoint, unfinished: PullFolder, stages: Stages
) -> dict[int, tuple[str, ...]]:
    """BioELX's types of the classes of all items."""
    above, level = superclasses(ask), 0

    def noted(qids: Collection[int]) -> dict[int, list[int]]:
        nonlocal level
        level += 1
        pairs = unfinished.recall(f"superclasses-{level}")
        if pairs is None:
            pairs = [*above(qids).items()]
            unfinished.note(f"superclasses-{level}", pairs)
        stage.advance(len(qids))
        return dict(pairs)

    with stages.stage("classes") as stage:
        classes = unfinished.classes()
        types = types_of_classes(classes, noted)
        stage.result = f"{len(types):,} of {len(classes):,} classes have a type"
    return types


# What every route that asks an endpoint needs


def list_items(ask: Endpoint, selection: Selection) -> Qids:
    """The QIDs of all items that belong, ascending.

    Raises:
        SourceError: as `Endpoint`, or a range lists another number of items than it counts.
    """
    return union(list_group(ask, name, group) for name, group in selection.groups().items())


def fetch(
    ask: Endpoint, qids: Sequence[int], selection: Selection, *, page_size: int = PAGE_SIZE
) -> list[Item]:
    """Those of the items that exist, by ascending QID. Redirects do not.

    Raises:
        SourceError: as `Endpoint`.
    """
    portions = Portions(union([np.asarray(qids, np.int64)]), page_size)
    found = (item for _, items in _pages(ask, portions, selection) for item in items)
    return sorted(found, key=lambda item: item.qid)


def superclasses(ask: Endpoint) -> Callable[[Collection[int]], dict[int, list[int]]]:
    """What `types_of_classes` asks: the classes that each of some classes is a subclass of."""
    return lambda qids: _targets(ask, qids, _SUPERCLASS)


def redirects(ask: Endpoint, qids: Collection[int]) -> dict[int, int]:
    """Which of the items were merged into another one, and into which."""
    return {qid: targets[0] for qid, targets in _targets(ask, qids, _SAME_AS).items()}


def union(lists: Iterable[Qids]) -> Qids:
    """The distinct numbers of several lists, ascending."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *lists]))


def last_modified(ask: Endpoint, qids: Qids) -> Qids:
    """When each of the items was last modified, in seconds since 1970, in the order of `qids`;
    `NEVER` for those that are not there, or have no date.

    Raises:
        SourceError: as `Endpoint`.
    """
    dates: dict[int, int] = {}
    portions = Portions(union([qids]), _DATES_AT_ONCE)
    for _, found in in_portions(ask, portions, _dates_question, _read_dates):
        dates.update(found)
    return np.array([dates.get(qid, NEVER) for qid in qids.tolist()], np.int64)


def _dates_question(qids: Qids) -> str:
    return f"""
        SELECT ?item ?date WHERE {{
            {{ {_values(qids)} ?item schema:dateModified ?date }}
            UNION
            {{ {_values(qids)} ?page schema:about ?item ; schema:dateModified ?date }}
        }}"""


def _read_dates(_: Qids, rows: Rows) -> dict[int, int]:
    dates: dict[int, int] = {}
    for row in rows:
        if date := _date(row["date"]["value"]):
            qid = _number(row["item"])
            dates[qid] = max(int(date.timestamp()), dates.get(qid, NEVER))
    return dates


def _targets(ask: Endpoint, qids: Collection[int], predicate: str) -> dict[int, list[int]]:
    """The items that each item has under a predicate, ascending; items without are left out."""

    def question(portion: Qids) -> str:
        return f"SELECT ?item ?other WHERE {{ {_values(portion)} ?item {predicate} ?other }}"

    def read(_: Qids, rows: Rows) -> dict[int, set[int]]:
        found: defaultdict[int, set[int]] = defaultdict(set)
        for row in rows:
            for other in numbers([row["other"]["value"]]):
                found[_number(row["item"])].add(other)
        return found

    portions = Portions(union([np.fromiter(qids, np.int64)]), PAGE_SIZE)
    answers = in_portions(ask, portions, question, read)
    return {qid: sorted(others) for _, found in answers for qid, others in found.items()}


# Pages


def _pages(
    ask: Endpoint, portions: Portions, selection: Selection
) -> Iterator[tuple[Qids, list[Item]]]:
    """Each portion with those of its items that are there."""
    return in_portions(
        ask,
        portions,
        lambda qids: _question(qids, selection),
        lambda qids, rows: _items(qids, rows, selection),
    )


def _question(qids: Qids, selection: Selection) -> str:
    """Asks for the items' own statements, and for those of the pages about them: Wikipedia's
    articles and, in Wikidata's dumps, the page with the item's date.

    Each of the two names the items for itself, so that an engine that works from the inside out
    never looks at all of Wikidata.
    """
    names = {*selection.properties, *IDENTIFIERS, *CLASSIFICATIONS, INSTANCE_OF, SUBCLASS_OF}
    properties = ", ".join(f"wdt:{name}" for name in sorted(names))
    spoken = " || ".join(f'LANGMATCHES(LANG(?o), "{each}")' for each in selection.ranges())
    in_languages = f" && ({spoken})" if spoken else ""
    return f"""
        SELECT ?item ?p ?o WHERE {{
            {{
                {_values(qids)}
                ?item ?p ?o .
                FILTER(?p IN (schema:dateModified, {properties})
                    || ?p IN (rdfs:label, skos:altLabel, wdt:{COMMON_NAME}){in_languages}
                    || ?p = schema:description && LANG(?o) = "en")
            }} UNION {{
                {_values(qids)}
                ?page schema:about ?item ; ?p ?o .
                FILTER(?p = schema:dateModified
                    || ?p = schema:name{in_languages}
                        && CONTAINS(STR(?page), ".wikipedia.org/wiki/"))
            }}
        }}"""


def _items(qids: Qids, rows: Rows, selection: Selection) -> list[Item]:
    statements: defaultdict[int, list[tuple[str, dict[str, str]]]] = defaultdict(list)
    for row in rows:
        statements[_number(row["item"])].append((row["p"]["value"], row["o"]))
    return [_item(qid, statements[qid], selection) for qid in qids.tolist() if qid in statements]


def _item(qid: int, statements: Iterable[tuple[str, dict[str, str]]], selection: Selection) -> Item:
    item = ItemBuilder(qid)
    for predicate, term in statements:
        value, prop = term["value"], predicate.rpartition("/")[2]
        if prop in (INSTANCE_OF, SUBCLASS_OF):
            for number in numbers([value]):
                item.add_class(number)
        elif term["type"] not in ("literal", "typed-literal"):
            continue  # "some value", of which no more is known
        elif kind := _NAME_KINDS.get(predicate):
            item.add_name(value, term.get("xml:lang", ""), kind)
        elif predicate == _DESCRIPTION:
            item.description = value
        elif predicate == _MODIFIED:
            dates = (item.modified, _date(value))
            item.modified = max((date for date in dates if date), default=None)
        else:
            item.add_identifier(prop, value)
    return item.build(selection)


def _date(text: str) -> datetime | None:
    with suppress(ValueError):
        date = datetime.fromisoformat(text)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None


def _values(qids: Qids) -> str:
    return f"VALUES ?item {{ {' '.join(f'wd:Q{qid}' for qid in qids)} }}"


def _number(term: Mapping[str, str]) -> int:
    """The QID of a term that a question named."""
    return next(numbers([term["value"]]))
