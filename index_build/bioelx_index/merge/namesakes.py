"""Joining what equal names tie and nothing tells apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from bioelx_index.merge.arrays import first_of_each
from bioelx_index.merge.clusters import Clusters
from bioelx_index.merge.columns import Columns
from bioelx_index.merge.names import Names

# The shortest label that joins, by language; shorter ones are too often abbreviations.
_MIN_LENGTH = {"": 5, "ja": 3, "zh": 3, "ko": 3}


def join_by_names(columns: Columns, clusters: Clusters) -> None:
    """Joins concepts that no xref joins when their labels in a language are equal, or one's
    English label is the other's synonym, they are one kind of thing, no primary scheme or UMLS
    tells them apart, and no third concept of that name stands in the way."""
    names, words = columns.names, columns.words
    lengths = pc.utf8_length(words.keys).to_numpy()
    shortest = np.array([_MIN_LENGTH.get(lang, _MIN_LENGTH[""]) for lang in words.langs], int)
    names = names[lengths[names.key] >= shortest[names.lang]]
    for nodes in _namesakes(names[names.kind == 0]):
        _join(clusters, nodes, "equal label", all_known=False)
    english = names[names.lang == words.lang("en")]
    labels = np.unique(english.key[english.kind == 0])
    for nodes in _namesakes(english[np.isin(english.key, labels)]):
        _join(clusters, nodes, "label equals synonym", all_known=True)


def _namesakes(names: Names) -> Iterator[list[int]]:
    """The nodes of each name that several have, in the order of languages and names."""
    names = names[np.lexsort((names.node, names.key, names.lang))]
    names = names[first_of_each(names.lang, names.key, names.node)]
    starts = first_of_each(names.lang, names.key)
    for nodes in np.split(names.node, starts[1:]):
        if len(nodes) > 1:
            yield nodes.tolist()


def _join(clusters: Clusters, nodes: list[int], evidence: str, *, all_known: bool) -> None:
    roots = sorted({clusters.root(node) for node in nodes})
    if len(roots) > 1 and clusters.alike(roots, all_known=all_known):
        for other in roots[1:]:
            clusters.join(roots[0], other, evidence)
