"""`bioelx eval auto`: choose where `rerank=auto` asks a ranker, and write it down beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx.errors import BioelxError, FileError
from bioelx.ranking.card import AutoThreshold, write_auto
from bioelx_eval.report.auto import COLUMNS, curve_of, rows, words
from bioelx_eval.report.files import read_run
from bioelx_eval.report.table import new_table, title

_FOR_CHOICES = "-dev"  # how the names of datasets end that choices may be made on


def auto(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run with --rerank always.")
    ],
    ranker: Annotated[
        Path | None,
        typer.Option(help="Folder of the run's ranker, to write the threshold into."),
    ] = None,
) -> None:
    """Find the confidence of retrieval below which the ranker is worth asking.

    It is the one that needs the fewest calls, of at most 40 % of the mentions, to keep 95 % of what
    asking for every mention gains; where that gain's interval is not above zero, the ranker is not
    to be asked. With --ranker it is written to auto.json in the ranker's folder, which a server
    reads. Choices are made on a dataset's dev part, never on a test set.

    \b
    Examples:
      bioelx eval run bc5cdr-dev --data DIR --rerank always --ranker FOLDER --out OUT
      bioelx eval auto OUT/RELEASE/bc5cdr-dev --ranker FOLDER
    """
    finished = read_run(run)
    curve = curve_of(finished)
    if curve is None:
        raise BioelxError(f"{run}: is no run with --rerank always")
    shown = console()
    table = new_table(f"{title(finished)}: when to ask the ranker", COLUMNS)
    for at, row in enumerate(rows(curve), start=1):
        table.add_row(str(at), *row)
    shown.print(table)
    shown.print(words(curve), soft_wrap=True)
    if ranker is None:
        return
    dataset, options = finished.scores["dataset"], finished.scores["options"]
    if not dataset.endswith(_FOR_CHOICES):
        raise BioelxError(f"{run}: is a run of {dataset}, and choices are made on a dev part")
    if options["ranker"] != ranker.resolve().name:
        raise FileError(ranker, f"is not the ranker of the run, {options['ranker']}")
    if not ranker.is_dir():
        raise FileError(ranker, "no such folder")
    release = finished.scores["knowledge_base"]["release"]
    chosen = curve.chosen
    write_auto(
        AutoThreshold(chosen.below, dataset, release, chosen.calls, chosen.kept or 0.0), ranker
    )
    shown.print(f"Written to {ranker}.", soft_wrap=True)
