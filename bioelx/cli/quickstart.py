"""`bioelx quickstart`: the main job, end to end, at small size."""

from __future__ import annotations

from typing import Annotated

import typer

from bioelx.cli.output import console


def quickstart(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the gRPC server running and say how to call it.")
    ] = False,
) -> None:
    """Build a small knowledge base, serve it, and link real mentions in ten languages.

    Starts a SPARQL server with the shipped slice of Wikidata, pulls and merges it with the shipped
    ontologies, encodes the most widely named 100,000 names, builds and activates a release, starts
    the gRPC server and links the sentences of data/quickstart/mentions.jsonl through it.

    The exit status is 0 if all of that worked and as many mentions as the kept figure
    (data/quickstart/floor.toml) have their expected concept in first place.
    """
    from bioelx_index.quickstart import quickstart as run

    if not run(console(), keep=keep):
        raise typer.Exit(1)
