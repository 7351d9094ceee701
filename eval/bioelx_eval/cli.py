"""`bioelx eval`: the benchmarks from the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            "--language",
            help="Only this group, as `eval list` names it, or all with this word in their name; "
            "may be repeated.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="0: all cores.")] = 0,
) -> None:
    """Link a benchmark's mentions, by retrieval alone, and score the answers."""
    groups = _groups(dataset, group or dataset.groups)
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
        task = progress.add_task(dataset.title, total=_examples(dataset, groups))

        def keep(batch: Sequence[Prediction]) -> None:
            predictions.add(batch)
            progress.advance(task, len(batch))

        evaluation = evaluate(dataset, data, release, keep, groups=groups, threads=threads)
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
    entries = []
    for dataset in DATASETS.values():
        examples = _examples(dataset, dataset.groups)
        size = "examples not counted" if examples is None else f"{examples:,} examples"
        lines = [
            f"{dataset.name}: {dataset.title}, {size}, licence {dataset.licence}",
            f"groups: {', '.join(dataset.groups)}",
            f"from {dataset.origin}",
        ]
        entries.append("\n  ".join([*lines, _where(dataset, data)] if data else lines))
    typer.echo("\n\n".join(entries))


def _groups(dataset: Dataset, wanted: Iterable[str]) -> list[str]:
    """The dataset's groups that are named, whole or by a word: `EMEA de`, `EMEA` or `de`."""
    groups: dict[str, None] = {}
    for name in wanted:
        held = [group for group in dataset.groups if name in (group, *group.split())]
        if not held:
            known = ", ".join(dataset.groups)
            raise typer.BadParameter(f"{name!r} is not in {dataset.title}, which has {known}")
        groups |= dict.fromkeys(held)
    return list(groups)


def _examples(dataset: Dataset, groups: Iterable[str]) -> int | None:
    """How many examples these groups have as published; None where one is not known."""
    counts = [dataset.groups[group] for group in groups]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _where(dataset: Dataset, data: Path) -> str:
    try:
        return f"in {dataset.locate(data)}"
    except FileError:
        return f"not in {data}"
