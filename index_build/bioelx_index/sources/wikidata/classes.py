"""From the classes of Wikidata's items to BioELX's types."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from bioelx_index.kinds import WIKIDATA_CLASSES
from bioelx_index.sources import branch_types

_KNOWN = {int(qid[1:]): kind for qid, kind in WIKIDATA_CLASSES.items()}
MAX_STEPS = 8
"""How far up a class may be from one whose type is known: beyond, everything is an entity."""


def types_of_classes(
    classes: Iterable[int], superclasses: Callable[[Collection[int]], Mapping[int, Iterable[int]]]
) -> dict[int, tuple[str, ...]]:
    """The types of classes, by the nearest classes above them that `WIKIDATA_CLASSES` names;
    classes below none are left out.

    Args:
        superclasses: the classes that each of some classes is a subclass of. Asked once a level,
            for classes that are not known yet.
    """
    parents: dict[int, list[int]] = {}
    level = set(classes)
    for _ in range(MAX_STEPS + 1):
        parents.update((each, []) for each in level)
        above = superclasses(sorted(level - _KNOWN.keys()))
        for each, found in above.items():
            parents[each] = sorted(found)
        level = {up for found in above.values() for up in found} - parents.keys()
        if not level:
            break
    names = {str(each): [str(up) for up in found] for each, found in parents.items()}
    known = {str(each): kind for each, kind in _KNOWN.items()}
    return {int(each): types for each, types in branch_types(names, known).items()}
