"""What the commands share: datasets and their groups by name."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from bioelx.settings import CHECKOUT
from bioelx_eval.datasets import DATASETS, Dataset

EXPECTED = CHECKOUT / "eval" / "expected"
"""Where the files of expected scores are: with the code that should give them."""


def parse_dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise typer.BadParameter(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    return DATASETS[name]


def groups_named(dataset: Dataset, wanted: Iterable[str]) -> list[str]:
    """The dataset's groups that are named, whole or by a word: `EMEA de`, `EMEA` or `de`."""
    groups: dict[str, None] = {}
    for name in wanted:
        held = [group for group in dataset.groups if name in (group, *group.split())]
        if not held:
            known = ", ".join(dataset.groups)
            raise typer.BadParameter(f"{name!r} is not in {dataset.title}, which has {known}")
        groups |= dict.fromkeys(held)
    return list(groups)


def published_examples(dataset: Dataset, groups: Iterable[str]) -> int | None:
    """How many examples these groups have as published; None where one is not known."""
    counts = [dataset.groups[group] for group in groups]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
