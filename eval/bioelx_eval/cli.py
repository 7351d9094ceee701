"""`bioelx eval`: the benchmarks from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioelx.cli.output import console
from bioelx.errors import FileError
from bioelx_eval.datasets import DATASETS, Dataset
from bioelx_eval.harness import Prediction, evaluate
from bioelx_eval.report import PredictionsFile, as_table, summary, write_report, write_scores

app = typer.Typer(
    help="Run the benchmarks offline against a release.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise typer.BadParameter(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    return DATASETS[name]


@app.command()
def run(
    dataset: Annotated[
        Dataset, typer.Argument(parser=_dataset, metavar="DATASET", help="A name in `eval list`.")
    ],
    data: Annotated[Path, typer.Option(help="Folder that holds the dataset.")],
    out: Annotated[Path, typer.Option(help="Folder for the scores, the report, the predictions.")],
    release: Annotated[str, typer.Option(help="Id or folder; empty: the active one.")] = "",
    language: Annotated[
        list[str] | None, typer.Option(help="Only this language; may be repeated.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="0: all cores.")] = 0,
) -> None:
    """Link a benchmark's mentions, by retrieval alone, and score the answers."""
    languages = tuple(dict.fromkeys(language or dataset.examples))
    if unknown := [each for each in languages if each not in dataset.examples]:
        known = ", ".join(dataset.examples)
        raise typer.BadParameter(f"{unknown[0]!r} is not in {dataset.title}, which has {known}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(out, f"cannot be made a folder ({error.strerror})") from None

    started = perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        PredictionsFile(out) as predictions,
    ):
        total = sum(dataset.examples[each] for each in languages)
        task = progress.add_task(dataset.title, total=total)

        def keep(batch: Sequence[Prediction]) -> None:
            predictions.add(batch)
            progress.advance(task, len(batch))

        evaluation = evaluate(dataset, data, release, keep, languages=languages, threads=threads)
    write_scores(evaluation, out)
    write_report(evaluation, out)

    shown = console()
    shown.print(as_table(evaluation))
    shown.print(summary(evaluation), soft_wrap=True)
    shown.print(
        f"{progress.tasks[task].completed:,.0f} mentions in "
        f"{perf_counter() - started:.0f} s; see {out}",
        soft_wrap=True,
    )


@app.command("list")
def list_datasets(
    data: Annotated[Path | None, typer.Option(help="Folder to look for the datasets in.")] = None,
) -> None:
    """Show the benchmarks: where they come from, their licence and size."""
    for dataset in DATASETS.values():
        size = f"{len(dataset.examples)} languages, {sum(dataset.examples.values()):,} examples"
        typer.echo(f"{dataset.name}: {dataset.title}, {size}, licence {dataset.licence}")
        typer.echo(f"  from {dataset.origin}")
        if data:
            typer.echo(f"  {_where(dataset, data)}")


def _where(dataset: Dataset, data: Path) -> str:
    try:
        return f"in {dataset.locate(data)}"
    except FileError:
        return f"not in {data}"
