"""What the commands share: things by their names, and folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from bioelx.errors import BioelxError, FileError
from bioelx_eval.datasets import DATASETS, Dataset
from bioelx_eval.scores import SUBSETS, Subset


def parse_dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise typer.BadParameter(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    return DATASETS[name]


def parse_subset(key: str) -> Subset:
    for subset in SUBSETS:
        if subset.key == key:
            return subset
    known = ", ".join(subset.key for subset in SUBSETS)
    raise typer.BadParameter(f"unknown subset {key!r}; known are {known}")


def make_folder(path: Path) -> Path:
    """Makes the folder, unless it is there.

    Raises:
        FileError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(path, f"cannot be made a folder ({error.strerror})") from None
    return path


def check_torch_model(torch_model: Path | None, cache: Path | None) -> None:
    """Refuses what the script in torch could not begin with.

    Raises:
        BioelxError: there is a cache for its vectors and no model.
        FileError: there is no such model.
    """
    if cache and not torch_model:
        raise BioelxError("--cache keeps the vectors of --torch-model: give both")
    if torch_model and not torch_model.is_dir():
        raise FileError(torch_model, "no such folder")


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
