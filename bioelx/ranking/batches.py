"""Which of a mention's candidates a ranker reads together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_PADDING = 0.25  # share of a batch that may be padding, read for nothing


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """The numbers of texts of these lengths, each in one batch of at most so many, with those of
    like length together, so that not much of a batch is padding.
    """
    batch: list[int] = []
    filled = 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        padded = lengths[i] * (len(batch) + 1)
        if batch and (len(batch) == most or padded - filled - lengths[i] > _PADDING * padded):
            yield batch
            batch, filled = [], 0
        batch.append(i)
        filled += lengths[i]
    if batch:
        yield batch
