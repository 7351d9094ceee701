"""`bioelx cache`: what builds keep for later ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.table import Table

from bioelx.cli.output import console
from bioelx.settings import home

app = typer.Typer(
    help="Look at what builds keep for later ones, and remove what is not needed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def show() -> None:
    """Show what BIOELX_HOME/cache holds: vectors of names, pulls, and results of stages."""
    from bioelx_index.holdings import holdings
    from bioelx_index.places import Places

    held = holdings(Places(home()))
    console().print(_table(held))
    console().print(f"{sum(each.bytes for each in held) / 1e6:,.1f} MB in all")


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove what no build can use: vectors of encoders that no release has, pulls that no release
    was made from, and results that were not used lately. Builds wait meanwhile."""
    from bioelx_index.holdings import holdings
    from bioelx_index.holdings import prune as remove
    from bioelx_index.places import Places

    places = Places(home())
    gone = [each for each in holdings(places) if not each.needed] if dry_run else remove(places)
    size = sum(each.bytes for each in gone) / 1e6
    console().print(_table(gone))
    console().print(f"{size:,.1f} MB {'would go' if dry_run else 'are gone'}")


def _table(held: Iterable[Any]) -> Table:
    table = Table("kind", "name", "", "needed", show_edge=False)
    table.add_column("MB", justify="right")
    for each in held:
        needed = "yes" if each.needed else "no"
        table.add_row(each.kind, each.name, each.note, needed, f"{each.bytes / 1e6:,.1f}")
    return table
