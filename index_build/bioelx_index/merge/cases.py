"""Some of the joins, and of those that were refused, with what the ids are called."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from bioelx_index.merge.arrays import first_of_each
from bioelx_index.merge.columns import Columns
from bioelx_index.merge.report import Cases, Pair, spread


def cases(log: Mapping[str, array[int]], columns: Columns) -> dict[str, Cases]:
    """What `Clusters` noted, the most frequent first: pairs of nodes one after the other."""
    chosen = {
        what: spread(list(zip(pairs[::2], pairs[1::2], strict=True))) for what, pairs in log.items()
    }
    shown = {node for pairs in chosen.values() for pair in pairs for node in pair}
    nodes, labels = columns.nodes, _labels(shown, columns)
    found = {
        what: Cases(
            len(log[what]) // 2,
            tuple(
                Pair(nodes.id(a), labels.get(a, ""), nodes.id(b), labels.get(b, ""))
                for a, b in pairs
            ),
        )
        for what, pairs in chosen.items()
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1].count, item[0])))


def _labels(nodes: set[int], columns: Columns) -> dict[int, str]:
    """The best name of each node that has one, if possible in English."""
    names = columns.names[np.isin(columns.names.node, list(nodes))]
    foreign = names.lang != columns.words.lang("en")
    names = names[np.lexsort((names.text, names.trust, names.kind, foreign, names.node))]
    best = names[first_of_each(names.node)]
    texts = columns.words.texts.take(pa.array(best.text)).to_pylist()
    return dict(zip(best.node.tolist(), texts, strict=True))
