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
        typer.Option(
            help="Folder with sources.toml, which names each source, its files and its options. "
            "Default: the shipped snapshot, data/."
        ),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Folder with encoder.json. Default: the shipped encoder."),
    ] = None,
    endpoint: Annotated[
        str,
        typer.Option(
            help="SPARQL endpoint to pull Wikidata from, in place of the shipped slice; a choice "
            "of what to pull has 'bioelx pull wikidata'."
        ),
    ] = "",
    wikidata: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a finished 'bioelx pull wikidata', in place of the shipped slice."
        ),
    ] = None,
    user_agent: Annotated[
        str,
        typer.Option(
            envvar="BIOELX_USER_AGENT",
            help="Who you are, for all but your own servers: 'Name/1.0 (mail or web address)'.",
        ),
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
        typer.Option(
            help="Folder with your own UMLS: MRCONSO.RRF and MRSTY.RRF, and, if there, MRDEF.RRF, "
            "MRCUI.RRF and MRFILES.RRF; plain or .gz, whole or in parts (.aa.gz, .ab.gz)."
        ),
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
    and merged tables are kept under BIOELX_HOME/cache, and what was pulled: a build that was
    stopped goes on from there. The next one pulls anew, and encodes only names that are new.
    docs/sources.md says how a source of your own (OBO, Babelon, SSSOM, UMLS) comes in by an entry
    in sources.toml.

    \b
    Examples:
      bioelx build
      bioelx build --names 100000 --type disease --type phenotype
      bioelx build --umls /data/umls/2026AA/META
      bioelx build --wikidata BIOELX_HOME/pulls/wikidata-sparql
      bioelx build --endpoint http://localhost:7878/query
      bioelx build --dictionary /data/umls_onto_all_lang_cased_wikimed_only_399931.txt
    """
    from bioelx_index.build import BuildSettings
    from bioelx_index.build import build as run
    from bioelx_index.progress import Stages
    from bioelx_index.sources.wikidata.endpoint import check_caller

    for wanted in types or ():
        if wanted not in TYPES:
            raise BioelxError(f"--type {wanted}: unknown; known are {', '.join(TYPES)}")
    if endpoint and wikidata:
        raise BioelxError("--endpoint and --wikidata: Wikidata comes from one of the two")
    if dictionary and (data or endpoint or wikidata):
        raise BioelxError(
            "--dictionary takes the place of --data, --endpoint and --wikidata: give one of them"
        )
    if endpoint:
        check_caller(endpoint, user_agent)
    out = console()
    manifest = run(
        BuildSettings(
            data=data or shipped("data"),
            encoder=encoder or shipped("models/multilingual-e5-small-int8"),
            releases=releases_dir(),
            cache=home() / "cache",
            dictionary=dictionary,
            umls=umls,
            wikidata=wikidata,
            endpoint=endpoint,
            user_agent=user_agent,
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
