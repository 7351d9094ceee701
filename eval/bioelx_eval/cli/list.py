"""`bioelx eval list`: which benchmarks there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.errors import FileError
from bioelx_eval.cli.options import published_examples
from bioelx_eval.datasets import DATASETS, Dataset


def list_datasets(
    data: Annotated[Path | None, typer.Option(help="Folder to look for the datasets in.")] = None,
) -> None:
    """Show the benchmarks: where they come from, their licence and size."""
    entries = []
    for dataset in DATASETS.values():
        examples = published_examples(dataset, dataset.groups)
        size = "examples not counted" if examples is None else f"{examples:,} examples"
        lines = [
            f"{dataset.name}: {dataset.title}, {size}, licence {dataset.licence}",
            f"groups: {', '.join(dataset.groups)}",
            f"from {dataset.origin}",
        ]
        entries.append("\n  ".join([*lines, _where(dataset, data)] if data else lines))
    typer.echo("\n\n".join(entries))


def _where(dataset: Dataset, data: Path) -> str:
    try:
        return f"in {dataset.locate(data)}"
    except FileError:
        return f"not in {data}"
