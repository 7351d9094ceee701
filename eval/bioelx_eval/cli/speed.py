"""`bioelx eval speed`: how fast a release links, beside what a user would do without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioelx.cli.options import Release
from bioelx.cli.output import console
from bioelx_eval.cli.options import check_torch_model, make_folder, parse_dataset
from bioelx_eval.speed.lineup import Entrants
from bioelx_eval.speed.report import describe, tables, write_speed
from bioelx_eval.speed.run import SpeedSettings, measure_speed


def speed(
    release: Release = "",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds the dataset. Without it names with a typing error are linked."
        ),
    ] = None,
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="Whose mentions to link: a name in `eval list`.")
    ] = "xlbel",
    out: Annotated[
        Path | None, typer.Option(help="Folder for speed.json and speed.md. Default: none.")
    ] = None,
    ranker: Annotated[
        list[str] | None,
        typer.Option(help="Folder or hub id of a reranker to measure too; may be repeated."),
    ] = None,
    torch_model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the encoder's fp32 parent, for the script in torch; without it that "
            "is left out."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the script's own vectors, which it encodes once (an hour for 690,000 "
            "names). Without it the script is given the release's."
        ),
    ] = None,
    names: Annotated[
        int | None,
        typer.Option(min=1, help="Take so many of the names at random, for all systems alike."),
    ] = None,
    mentions: Annotated[int, typer.Option(min=1, help="Mentions in a round.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="How often each system has its turn.")] = 20,
    threads: Annotated[int, typer.Option(min=0, help="For each system; 0: all cores.")] = 0,
) -> None:
    """Measure mentions a second and latencies, in process, over gRPC, and beside other ways.

    The other ways are the script that a user would write (sentence-transformers in torch fp32, an
    exact FAISS index) and scispaCy's (character 3-grams). All run in processes of their own and
    take turns with the same mentions, so that noise hits all alike.

    \b
    Examples:
      bioelx eval speed --threads 1
      bioelx eval speed --data DIR --torch-model FOLDER --ranker FOLDER --out OUT
    """
    check_torch_model(torch_model, cache)
    if out:
        make_folder(out)
    settings = SpeedSettings(
        release=release,
        dataset=parse_dataset(dataset) if data else None,
        data=data or Path(),
        names=names,
        mentions=mentions,
        rounds=rounds,
        entrants=Entrants(tuple(ranker or ()), torch_model, cache, threads),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)

        def advance(done: int, turns: int) -> None:
            progress.update(task, description="measuring", completed=done, total=turns)

        measured = measure_speed(
            settings, lambda doing: progress.update(task, description=doing), advance
        )
    shown = console()
    for paragraph in describe(measured.setting):
        shown.print(paragraph, soft_wrap=True, markup=False)
    for table in tables(measured.results, measured.baselines):
        shown.print(table)
    if out:
        write_speed(measured.results, measured.setting, measured.baselines, out)
        shown.print(f"See {out}.", soft_wrap=True)
