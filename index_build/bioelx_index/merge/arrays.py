"""Small things that Arrow and NumPy leave to their users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


def sorted_distinct(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The distinct values in their order (of strings, that of their code points)."""
    distinct = pc.unique(values)
    return distinct.take(pc.sort_indices(distinct))


def places(values: pa.Array | pa.ChunkedArray, distinct: pa.Array) -> Ints:
    """The place of each value in `distinct`, or -1; int32 [values]."""
    found: Ints = pc.fill_null(pc.index_in(values, value_set=distinct), -1).to_numpy()
    return found


def numbered(values: pa.Array | pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Values as places in the sorted list of those that occur."""
    distinct = sorted_distinct(values)
    return places(values, distinct), distinct


def first_of_each(*keys: npt.NDArray) -> npt.NDArray[np.int64]:
    """The places where a row differs in a key from the row before, and 0; int64 [groups]."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    differs = np.zeros(len(keys[0]), np.bool_)
    differs[0] = True
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(differs)


def pairs_within(keys: npt.NDArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All ordered pairs of different places with equal keys; `keys` are sorted."""
    starts = first_of_each(keys)
    sizes = np.diff(np.append(starts, len(keys)))
    first, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)  # of the group of each place
    one = np.repeat(np.arange(len(keys)), size)
    other = np.repeat(first, size) + np.arange(len(one)) - np.repeat(np.cumsum(size) - size, size)
    return one[one != other], other[one != other]


def tally(*columns: tuple[Ints, Sequence[str]]) -> Counter[tuple[str, ...]]:
    """Counts rows by what they stand for: each column is of places in a list of strings."""
    shape = tuple(len(values) for _, values in columns)
    if 0 in shape or not len(columns[0][0]):
        return Counter()
    flat, counts = np.unique(
        np.ravel_multi_index([numbers for numbers, _ in columns], shape), return_counts=True
    )
    rows = zip(*np.unravel_index(flat, shape), strict=True)
    found = (
        tuple(values[place] for place, (_, values) in zip(row, columns, strict=True))
        for row in rows
    )
    return Counter(dict(zip(found, counts.tolist(), strict=True)))
