"""`bioelx eval`: the benchmarks from the command line, one file a command."""

from __future__ import annotations

import typer

from bioelx_eval.cli.auto import auto
from bioelx_eval.cli.compare import compare
from bioelx_eval.cli.expect import expect
from bioelx_eval.cli.list import list_datasets
from bioelx_eval.cli.load import load
from bioelx_eval.cli.reproduce import reproduce
from bioelx_eval.cli.run import run
from bioelx_eval.cli.speed import speed
from bioelx_eval.cli.swaps import swaps

app = typer.Typer(
    help="Run the benchmarks offline against a release.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(compare)
app.command()(auto)
app.command()(reproduce)
app.command()(expect)
app.command()(speed)
app.command()(swaps)
app.command()(load)
app.command("list")(list_datasets)

__all__ = ["app"]
