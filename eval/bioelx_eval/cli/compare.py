"""`bioelx eval compare`: what sets two runs on one dataset apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx_eval.cli.options import make_folder, parse_subset
from bioelx_eval.compare import compare as compare_runs
from bioelx_eval.metrics import parse_metric
from bioelx_eval.report.comparison import NOTE, as_tables, headline, write_comparison
from bioelx_eval.report.files import read_run
from bioelx_eval.scores import SUBSETS

_KEYS = ", ".join(subset.key for subset in SUBSETS)


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of a run: OUT/RELEASE/DATASET.")],
    b: Annotated[Path, typer.Argument(help="Folder of another run on the same dataset.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="As for `eval run`; may be repeated. Default: R@1, R@5."),
    ] = None,
    subset: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Score over these mentions: {_KEYS}; may be repeated. Default: covered, all."
        ),
    ] = None,
    changed: Annotated[
        int, typer.Option(min=0, help="How many mentions that changed sides to show.")
    ] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.json (with all changes) and compare.md.")
    ] = None,
) -> None:
    """Show the differences between two runs, group by group, and the mentions that changed sides.

    Each difference, A less B, stands with its 95 % interval: where that leaves out zero, it is not
    the choice of mentions that makes it.

    \b
    Example:
      bioelx eval compare evaluations/OLD/xlbel evaluations/NEW/xlbel --metric R@1 --out diff
    """
    comparison = compare_runs(
        read_run(a),
        read_run(b),
        [parse_metric(name) for name in dict.fromkeys(metric or ("R@1", "R@5"))],
        [parse_subset(key) for key in dict.fromkeys(subset or ("covered", "all"))],
    )
    shown = console()
    for sentence in headline(comparison):
        shown.print(sentence, soft_wrap=True)
    for table in as_tables(comparison, changed):
        shown.print(table)
    shown.print(NOTE, soft_wrap=True)
    if out:
        write_comparison(comparison, make_folder(out), changed)
        shown.print(f"See {out}.", soft_wrap=True)
