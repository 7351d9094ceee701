"""`bioelx build`: the offline job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx.errors import BioelxError
from bioelx.settings import home, releases_dir, shipped
from bioelx.types import TYPES


def build(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with sources.toml. Default: the shipped snapshot, data/."),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Folder with encoder.json. Default: the shipped encoder."),
    ] = None,
    endpoint: Annotated[
        str,
        typer.Option(
            help="SPARQL endpoint to pull Wikidata from. Default: a local server with the "
            "shipped slice."
        ),
    ] = "",
    user_agent: Annotated[
        str, typer.Option(help="How to introduce yourself to a public endpoint.")
    ] = "",
    dictionary: Annotated[
        Path | None,
        typer.Option(
            help="File of `CUI||name` lines, plain or .gz: the whole knowledge base, in place of "
            "the snapshot. For the protocol of XL-BEL's paper (docs/paper-protocol.md)."
        ),
    ] = None,
    umls: Annotated[
        Path | None,
        typer.Option(help="Folder with your own MRCONSO.RRF, MRSTY.RRF and MRDEF.RRF, or .gz."),
    ] = None,
    names: Annotated[
        int | None,
        typer.Option(min=1, help="Take only the most widely named concepts, up to so many names."),
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Take only concepts of this type; repeat.")
    ] = None,
) -> None:
    """Build and activate a release: pull, merge, encode, index.

    With no options the whole shipped snapshot is built, in some 20 minutes on two cores. Vectors
    and merged tables are kept under BIOELX_HOME/cache: a build that was stopped goes on from
    there, and the next one encodes only names that are new.

    \b
    Examples:
      bioelx build
      bioelx build --names 100000 --type disease --type phenotype
      bioelx build --umls /data/umls/2026AA/META
      bioelx build --dictionary /data/umls_onto_all_lang_cased_wikimed_only_399931.txt
      bioelx build --endpoint https://query.example.org/sparql --user-agent 'NAME (mail@host)'
    """
    from bioelx_index.build import USER_AGENT, BuildSettings
    from bioelx_index.build import build as run
    from bioelx_index.progress import Stages

    for wanted in types or ():
        if wanted not in TYPES:
            raise BioelxError(f"--type {wanted}: unknown; known are {', '.join(TYPES)}")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise BioelxError(f"--endpoint {endpoint}: not an http or https URL")
    if dictionary and (data or endpoint):
        raise BioelxError("--dictionary takes the place of --data and --endpoint: give one of them")
    out = console()
    manifest = run(
        BuildSettings(
            data=data or shipped("data"),
            encoder=encoder or shipped("models/multilingual-e5-small-int8"),
            releases=releases_dir(),
            cache=home() / "cache",
            dictionary=dictionary,
            umls=umls,
            endpoint=endpoint,
            user_agent=user_agent or USER_AGENT,
            names_budget=names,
            types=tuple(types or ()),
        ),
        Stages(out),
    )
    state, then = "active", "bioelx serve"
    if dictionary:
        state = "built, not activated"
        then = f"bioelx eval run xlbel --release {manifest.id} --data DIR --out DIR"
    out.print(
        f"[bold]{manifest.id}[/] is {state}: {manifest.concepts:,} concepts, "
        f"{manifest.names:,} names. Next: {then}",
        soft_wrap=True,
    )
