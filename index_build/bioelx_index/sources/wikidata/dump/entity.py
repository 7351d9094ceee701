"""From an entity as Wikibase's JSON has it to an `Item`, the one that SPARQL would give.

https://doc.wikimedia.org/Wikibase/master/php/docs_topics_json.html describes the JSON. An empty
object comes as `[]`: it is a PHP array without members.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bioelx_index.sources.wikidata.item import Item, ItemBuilder
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.vocabulary import (
    CLASSIFICATIONS,
    COMMON_NAME,
    IDENTIFIERS,
    INSTANCE_OF,
    SUBCLASS_OF,
    wikipedia_language,
)

Entity = Mapping[str, Any]

# What anything unlike an entity raises on the way through it.
MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError)

_ITEM_ID = re.compile(r"Q([1-9]\d{0,17})")


def qid_of(entity: Entity) -> int | None:
    """The number of an item; None for properties and lexemes."""
    found = _ITEM_ID.fullmatch(entity["id"])
    return int(found[1]) if found else None


def superclasses_of(entity: Entity) -> list[int]:
    """The items that an item is a subclass of."""
    return [*_items(entity, SUBCLASS_OF)]


def belongs(entity: Entity, selection: Selection, classes: Collection[int]) -> bool:
    """Whether an item is selected.

    Args:
        classes: the selected trees: their roots and all that is below.
    """
    if selection.everything:
        return True
    claims = entity["claims"] or {}
    if any(prop in claims and any(_truthy(claims[prop])) for prop in selection.properties):
        return True
    if not classes:
        return False
    return qid_of(entity) in classes or any(qid in classes for qid in _items(entity, INSTANCE_OF))


def item_of(entity: Entity, selection: Selection) -> Item:
    """What is kept of an item.

    Raises:
        one of `MISSHAPEN`: the entity is not as Wikibase has it.
    """
    item = ItemBuilder(int(entity["id"][1:]))
    for label in _members(entity, "labels"):
        item.add_name(label["value"], label["language"], "label")
    for aliases in _members(entity, "aliases"):
        for alias in aliases:
            item.add_name(alias["value"], alias["language"], "alias")
    for link in _members(entity, "sitelinks"):
        if language := wikipedia_language(link["site"]):
            item.add_name(link["title"], language, "title")
    for value in _values(entity, COMMON_NAME):
        item.add_name(value["text"], value["language"], "alias")
    if descriptions := entity["descriptions"]:
        item.description = descriptions.get("en", {"value": ""})["value"]
    for prop in (INSTANCE_OF, SUBCLASS_OF):
        for qid in _items(entity, prop):
            item.add_class(qid)
    for prop in (*IDENTIFIERS, *CLASSIFICATIONS):
        for value in _values(entity, prop):
            item.add_identifier(prop, value)
    if modified := entity.get("modified"):
        item.modified = datetime.fromisoformat(modified)
    return item.build(selection)


def _members(entity: Entity, name: str) -> Iterable[Any]:
    return (entity.get(name) or {}).values()


def _items(entity: Entity, prop: str) -> Iterator[int]:
    """The items that are values of a property."""
    for value in _values(entity, prop):
        if found := _ITEM_ID.fullmatch(value["id"]):
            yield int(found[1])


def _values(entity: Entity, prop: str) -> Iterator[Any]:
    """The known ones among the values of a property that `wdt:` has."""
    claims = entity["claims"]
    if claims and prop in claims:
        for snak in _truthy(claims[prop]):
            if snak["snaktype"] == "value":
                yield snak["datavalue"]["value"]


def _truthy(statements: Iterable[Any]) -> Iterator[Any]:
    """What the statements of the best rank say, if it is not that there is no value: a value, or
    that there is some, unknown one."""
    ranked = [(statement["rank"], statement["mainsnak"]) for statement in statements]
    best = "preferred" if any(rank == "preferred" for rank, _ in ranked) else "normal"
    for rank, snak in ranked:
        if rank == best and snak["snaktype"] != "novalue":
            yield snak
