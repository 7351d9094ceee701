"""`bioelx eval run`: link the mentions of a benchmark and score the answers."""

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
from bioelx_eval.cli.options import groups_named, parse_dataset, published_examples
from bioelx_eval.datasets import Dataset
from bioelx_eval.harness import Prediction, evaluate
from bioelx_eval.report import PredictionsFile, as_table, summary, write_report, write_scores


def run(
    dataset: Annotated[
        Dataset,
        typer.Argument(parser=parse_dataset, metavar="DATASET", help="A name in `eval list`."),
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
    groups = groups_named(dataset, group or dataset.groups)
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
        task = progress.add_task(dataset.title, total=published_examples(dataset, groups))

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
