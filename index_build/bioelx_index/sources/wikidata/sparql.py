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
from bioelx_index.sources.wikidata.classes import types_of_classes
from bioelx_index.sources.wikidata.endpoint import Endpoint, Manners, Rows
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

    def say(seconds: float, problem: str) -> None:
        if seconds >= _WORTH_SAYING:
            stages.console.print(f"  {problem}: the next request is in {seconds:,.0f} s")

    ask = Endpoint(url, user_agent, manners=manners, on_wait=say)
    recipe: dict[str, Any] = {
        "route": ROUTE,
        "origin": origin or url,
        "selection": asdict(selection),
    }
    with open_pull(folder, recipe) as unfinished:
        if unfinished is None:
            return read_pull(folder)
        started = _started(unfinished)
        before = unfinished.recall("effort") or {}
        listed = _list_groups(ask, selection, unfinished, stages)
        qids = _union(listed.values())
        todo = _todo(qids, unfinished.parts())
        done = len(qids) - sum(map(len, todo))
        if done:
            began = f"{started:%Y-%m-%d %H:%M} UTC"
            stages.console.print(
                f"  goes on with the pull of {began}: {done:,} of {len(qids):,} items done"
            )
        with stages.stage("items", total=len(qids), done=done) as stage:
            for page, items in _pages(ask, Portions(todo, page_size), selection):
                unfinished.add_part(f"page-{page[0]}-{page[-1]}", items)
                unfinished.note("effort", _effort(before, ask))
                stage.advance(len(page))
            stage.result = f"{len(unfinished.parts()):,} pages, {unfinished.count():,} items"
        types = _types(ask, unfinished, stages)
        with stages.stage("records") as stage:
            notes = {
                **_effort(before, ask),
                "pages": len(unfinished.parts()),
                "listed": {name: len(found) for name, found in listed.items()},
                "gone": len(qids) - unfinished.count(),
            }
            finished = unfinished.finish(types, started=started, notes=notes, **recipe)
            stage.result = f"{finished.items:,} items, {finished.names:,} names"
        return finished


def _started(unfinished: PullFolder) -> datetime:
    """When the pull began: before the first look at the data."""
    if (noted := unfinished.recall("started")) is None:
        unfinished.note("started", noted := utc_now().isoformat())
    return datetime.fromisoformat(noted)


def _list_groups(
    ask: Endpoint, selection: Selection, unfinished: PullFolder, stages: Stages
) -> dict[str, Qids]:
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
        stage.result = f"{len(_union(listed.values())):,} items belong"
    return listed


def _todo(qids: Qids, parts: Iterable[str]) -> list[Qids]:
    """The runs of QIDs that no part is about."""
    todo = np.ones(len(qids), bool)
    for part in parts:
        first, last = map(int, part.removeprefix("page-").split("-"))
        todo[np.searchsorted(qids, first) : np.searchsorted(qids, last, side="right")] = False
    borders = np.flatnonzero(todo[1:] != todo[:-1]) + 1
    runs = zip(np.split(qids, borders), np.split(todo, borders), strict=True)
    return [run for run, wanted in runs if wanted.all()]


def _effort(before: Mapping[str, float], ask: Endpoint) -> dict[str, float]:
    """What the pull took by now, with the processes before this one."""
    here = {**asdict(ask.effort), "seconds": round(monotonic() - ask.opened, 1)}
    return {name: before.get(name, 0) + value for name, value in here.items()}


def _types(ask: Endpoint, unfinished: PullFolder, stages: Stages) -> dict[int, tuple[str, ...]]:
    """BioELX's types of the items' classes; each level of superclasses is noted."""
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
    return _union(list_group(ask, name, group) for name, group in selection.groups().items())


def fetch(
    ask: Endpoint, qids: Sequence[int], selection: Selection, *, page_size: int = PAGE_SIZE
) -> list[Item]:
    """Those of the items that exist, by ascending QID. Redirects do not.

    Raises:
        SourceError: as `Endpoint`.
    """
    portions = Portions([_union([np.asarray(qids, np.int64)])], page_size)
    found = (item for _, items in _pages(ask, portions, selection) for item in items)
    return sorted(found, key=lambda item: item.qid)


def superclasses(ask: Endpoint) -> Callable[[Collection[int]], dict[int, list[int]]]:
    """What `types_of_classes` asks: the classes that each of some classes is a subclass of."""
    return lambda qids: _targets(ask, qids, _SUPERCLASS)


def redirects(ask: Endpoint, qids: Collection[int]) -> dict[int, int]:
    """Which of the items were merged into another one, and into which."""
    return {qid: targets[0] for qid, targets in _targets(ask, qids, _SAME_AS).items()}


def _union(lists: Iterable[Qids]) -> Qids:
    return np.unique(np.concatenate([np.empty(0, np.int64), *lists]))


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

    portions = Portions([np.unique(np.fromiter(qids, np.int64))], PAGE_SIZE)
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
