"""`bioelx eval list`: which benchmarks there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.filesize import decimal
from rich.table import Table

from bioelx.cli.output import console
from bioelx.errors import FileError
from bioelx_eval.cli.options import published_examples
from bioelx_eval.datasets import DATASETS, Dataset


def list_datasets(
    data: Annotated[
        Path | None, typer.Option(help="Folder to look for the datasets in: which are there?")
    ] = None,
) -> None:
    """Show the benchmarks: where they come from, their licence, their size, and if they are here.

    \b
    Examples:
      bioelx eval list
      bioelx eval list --data DIR
    """
    shown = console()
    shown.print(_table(data))
    for origin, names in _origins().items():
        shown.print(f"{origin}\n  {', '.join(names)}", soft_wrap=True)
    if not data:
        shown.print("\nWith --data DIR: also which are in DIR, and how large they are there.")


def _table(data: Path | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0))
    table.add_column("dataset", no_wrap=True)
    table.add_column("what")
    table.add_column("groups")
    table.add_column("examples", justify="right", no_wrap=True)
    table.add_column("licence")
    if data:
        table.add_column("on disk", no_wrap=True)
    for dataset in DATASETS.values():
        examples = published_examples(dataset, dataset.groups)
        cells = [
            dataset.name,
            dataset.title,
            ", ".join(dataset.groups),
            "not counted" if examples is None else f"{examples:,}",
            dataset.licence,
        ]
        table.add_row(*cells, *([_where(dataset, data)] if data else []))
    return table


def _origins() -> dict[str, list[str]]:
    """Where datasets come from -> their names."""
    origins: dict[str, list[str]] = {}
    for dataset in DATASETS.values():
        origins.setdefault(dataset.origin, []).append(dataset.name)
    return origins


def _where(dataset: Dataset, data: Path) -> str:
    """Where in `data` the dataset is and the bytes it has there; `no` if it is not."""
    try:
        place = dataset.locate(data)
    except FileError:
        return "no"
    files = [place] if place.is_file() else [each for each in place.rglob("*") if each.is_file()]
    size = decimal(sum(each.stat().st_size for each in files))
    return f"{size}, {place.relative_to(data)}"
