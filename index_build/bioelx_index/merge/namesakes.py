"""Joining what equal names tie and nothing tells apart.

Four rules, in this order. Names that are too short to mean one thing take no part.

1. *Equal labels* in any language, and
2. *a label that is a synonym* of the other, in English: of all concepts of that name, if they are
   one kind of thing, and no scheme, UMLS included, tells any two of them apart. A Wikidata item
   that nothing identifies does not stand in the way of the others.
3. *The label of an item that nothing identifies* (Wikidata has doubles of its own): the item joins
   the one other concept with that label. Only where namesakes are rare: every species has a
   "lens" and a "catalase", and there is one "corneal disease".
4. *Most names in common*: two concepts that share at least two names, two thirds of all that the
   one with fewer names has, in spite of two Wikidata items, if each has no other such twin.

Two ids of Wikidata are the weakest of signs that two things are two: the items have many editors,
and doubles are merged as they are found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from bioelx.types import type_mask
from bioelx_index.kinds import kinds_of_thing
from bioelx_index.merge.arrays import Bools, Ints, first_of_each, pairs_within
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import Columns
from bioelx_index.merge.names import Names
from bioelx_index.merge.schemes import WIKIDATA

# The shortest name that joins, by language; shorter ones are too often abbreviations.
_MIN_LENGTH = {"": 5, "ja": 3, "zh": 3, "ko": 3}
_DISTINCTIVE = kinds_of_thing(type_mask(["disease", "phenotype", "procedure"]))
"""Kinds of thing that have few namesakes."""
_MOST = 2 / 3
_MANY = 8
"""A name that more concepts than this share says nothing about any two of them."""


def join_by_names(columns: Columns, clusters: Clusters) -> None:
    """Joins by all four rules."""
    names = _long_enough(columns)
    labels = names[names.kind == 0]
    english = names[names.lang == columns.words.lang("en")]
    synonyms = english[np.isin(english.key, english.key[english.kind == 0])]
    unidentified = _unidentified(columns)
    for nodes in _namesakes(labels):
        _join_alike(clusters, nodes, "equal label", unidentified, all_known=False)
    for nodes in _namesakes(synonyms):
        _join_alike(clusters, nodes, "label equals synonym", unidentified, all_known=True)
    for nodes in _namesakes(_main_labels(labels, columns)):
        _join_doubles(clusters, nodes, unidentified, columns.nodes.scheme_place(WIKIDATA))
    _join_twins(clusters, names, unidentified, columns.nodes.scheme_place(WIKIDATA))


def _long_enough(columns: Columns) -> Names:
    names, words = columns.names, columns.words
    lengths = pc.utf8_length(words.keys).to_numpy()
    shortest = np.array([_MIN_LENGTH.get(lang, _MIN_LENGTH[""]) for lang in words.langs], int)
    return names[lengths[names.key] >= shortest[names.lang]]


def _unidentified(columns: Columns) -> Bools:
    """Which nodes are Wikidata items that no claim ties to anything; [nodes]."""
    nodes, claims = columns.nodes, columns.claims
    found = (nodes.scheme == nodes.scheme_place(WIKIDATA)) & nodes.described
    found[claims.subject] = found[claims.target] = False
    return found


def _main_labels(labels: Names, columns: Columns) -> Names:
    """The English labels, and those in other languages of what has none in English."""
    english = labels.lang == columns.words.lang("en")
    has_english = np.zeros(len(columns.nodes), np.bool_)
    has_english[labels.node[english]] = True
    return labels[english | ~has_english[labels.node]]


def _namesakes(names: Names) -> Iterator[list[int]]:
    """The nodes of each name that several have, in the order of languages and names."""
    names = names[np.lexsort((names.node, names.key, names.lang))]
    names = names[first_of_each(names.lang, names.key, names.node)]
    starts = first_of_each(names.lang, names.key)
    for nodes in np.split(names.node, starts[1:]):
        if len(nodes) > 1:
            yield nodes.tolist()


def _join_alike(
    clusters: Clusters, nodes: list[int], evidence: str, unidentified: Bools, *, all_known: bool
) -> None:
    roots = sorted({clusters.root(node) for node in nodes})
    identified = [root for root in roots if not (unidentified[root] and clusters.single(root))]
    for group in (roots, identified):
        if len(group) > 1 and clusters.alike(group, all_known=all_known):
            for other in group[1:]:
                clusters.join(group[0], other, evidence)
            break


def _join_doubles(clusters: Clusters, nodes: list[int], unidentified: Bools, wikidata: int) -> None:
    roots = sorted({clusters.root(node) for node in nodes})
    doubles = [root for root in roots if unidentified[root] and clusters.single(root)]
    others = [root for root in roots if root not in doubles]
    if len(others) == 1:
        for double in doubles:
            kinds = clusters.kinds(others[0]) & _DISTINCTIVE
            if kinds & (clusters.kinds(double) or kinds):
                clusters.join(others[0], double, "label of a double", despite=wikidata)


def _join_twins(clusters: Clusters, names: Names, unidentified: Bools, wikidata: int) -> None:
    one, other = _sharing_most(names, clusters.roots())
    partners = Counter(np.concatenate([one, other]).tolist())
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        if partners[a] == partners[b] == 1:
            known = not any(unidentified[root] and clusters.single(root) for root in (a, b))
            if clusters.alike([a, b], all_known=known, despite=wikidata):
                clusters.join(a, b, "most names in common", despite=wikidata)


def _sharing_most(names: Names, roots: Ints) -> tuple[Ints, Ints]:
    """Pairs of roots, sorted, that have most names in common, in whatever languages."""
    rows = np.unique(names.key.astype(np.int64) * len(roots) + roots[names.node])
    key, root = rows // len(roots), rows % len(roots)
    count = np.bincount(root, minlength=len(roots))
    few = np.bincount(key)[key] <= _MANY if len(key) else key < 0
    one, other = pairs_within(key[few])
    one, other = root[few][one], root[few][other]
    pairs, shared = np.unique((one * len(roots) + other)[one < other], return_counts=True)
    one, other = pairs // len(roots), pairs % len(roots)
    enough = (shared > 1) & (shared >= _MOST * np.minimum(count[one], count[other]))
    return one[enough].astype(np.int32), other[enough].astype(np.int32)
