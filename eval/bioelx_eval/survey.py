"""What is to be evaluated, read once before any work starts.

A malformed file is found here and not after an hour of linking, and what was read has a fingerprint
that says later whether finished work is of the same examples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bioelx.errors import FileError
from bioelx.kb import normalise
from bioelx_eval.datasets import Dataset, Example, Skipped
from bioelx_eval.datasets.dataset import read_lines


@dataclass(frozen=True, slots=True)
class Survey:
    """A dataset, or some of its groups, as it lies on the disk."""

    dataset: Dataset
    place: Path
    """What the dataset's `locate` found."""
    groups: tuple[str, ...]
    examples: int
    skipped: Mapping[str, int]
    """Mentions that cannot be scored, by reason."""
    gold: frozenset[str]
    """The CURIEs of all examples."""
    sha256: str
    """Of all examples as they were read."""

    def read(self) -> Iterator[Example]:
        """Streams the examples that can be scored."""
        read = self.dataset.read(self.place, self.groups)
        return (each for each in read if isinstance(each, Example))


def survey(dataset: Dataset, data: Path, groups: Sequence[str] = ()) -> Survey:
    """Reads a dataset's examples through.

    Args:
        data: the folder that holds the dataset.
        groups: of the dataset; empty takes all.

    Raises:
        FileError: a file is missing or malformed.
    """
    place, groups = dataset.locate(data), tuple(groups or dataset.groups)
    digest = hashlib.sha256()
    skipped: Counter[str] = Counter()
    gold: set[str] = set()
    examples, text = 0, ""
    for each in dataset.read(place, groups):
        if isinstance(each, Skipped):
            skipped[each.reason] += 1
            continue
        examples += 1
        gold.update(each.gold)
        query = each.query
        if query.text != text:  # once for all the mentions of a document
            text = query.text
            digest.update(text.encode())
        span = (query.start, query.end, query.language)
        digest.update(
            orjson.dumps([each.id, each.group, span, each.gold, each.parts, each.covered])
        )
    return Survey(dataset, place, groups, examples, skipped, frozenset(gold), digest.hexdigest())


@dataclass(frozen=True, slots=True)
class TrainingNames:
    """The names that an encoder saw in training, normalised: what it knows is not what it finds."""

    keys: frozenset[str]
    sha256: str

    @classmethod
    def read(cls, path: Path) -> TrainingNames:
        """Reads a UTF-8 text file, plain or gzipped, with a name a line.

        Raises:
            FileError: the file is missing, damaged or holds no name.
        """
        keys = frozenset(key for _, line in read_lines(path) if (key := normalise(line)))
        if not keys:
            raise FileError(path, "holds no name")
        with path.open("rb") as stream:
            return cls(keys, hashlib.file_digest(stream, "sha256").hexdigest())
