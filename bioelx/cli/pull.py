"""`bioelx pull`: collect a source once, for any number of builds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx.errors import BioelxError
from bioelx.settings import home

app = typer.Typer(
    help="Pull a source into a folder that builds take.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _sources() -> None:
    """Pull a source into a folder that builds take."""


@app.command()
def wikidata(
    endpoint: Annotated[
        str, typer.Option(help="SPARQL 1.1 endpoint of Wikidata, a mirror or a part of it.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the pull. Default: BIOELX_HOME/pulls/wikidata-ROUTE."),
    ] = None,
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            help="Take items with an id of this scheme or property, too: ncbitaxon, P1234; repeat."
        ),
    ] = None,
    only_schemes: Annotated[
        bool,
        typer.Option("--only-schemes", help="Take nothing but the schemes and trees named here."),
    ] = False,
    tree: Annotated[
        list[str] | None,
        typer.Option(help="Take all below this item, too, at any depth: Q12136; repeat."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="Keep names in this language: de, zh-Hant; repeat. Default: all."),
    ] = None,
    selection: Annotated[
        Path | None,
        typer.Option(
            help="TOML file whose [selection] has schemes, trees, languages (lists), defaults and "
            "everything (true or false)."
        ),
    ] = None,
    user_agent: Annotated[
        str,
        typer.Option(
            envvar="BIOELX_USER_AGENT",
            help="Who you are, for all but your own servers: 'Name/1.0 (mail or web address)'.",
        ),
    ] = "",
    page_size: Annotated[
        int, typer.Option(min=1, max=10_000, help="Items asked for at once, at most.")
    ] = 1_000,
    parallel: Annotated[
        int,
        typer.Option(min=1, max=16, help="Requests at once. Leave it at 1 for public endpoints."),
    ] = 1,
) -> None:
    """Pull the biomedical part of Wikidata: its items' names, descriptions, xrefs and types.

    By default those items belong that UMLS, MeSH, DOID, HPO, MONDO, ICD, Orphanet, OMIM, ChEBI,
    DrugBank, ATC, GO, Uberon, FMA or SNOMED CT identifies; cas, ncbigene, ncbitaxon and uniprot are
    schemes that add millions more.

    Stopped, even killed, it goes on where it was when the same command is given again. A busy
    endpoint is obeyed: its Retry-After is waited for, however long.

    \b
    Examples:
      Wikidata itself (hours; one request at a time):
        bioelx pull wikidata --endpoint https://query.wikidata.org/sparql \\
          --user-agent 'MyProject/1.0 (https://my.site; me@my.site)'
      A mirror that QLever serves, names of four languages:
        bioelx pull wikidata --endpoint https://qlever.dev/api/wikidata \\
          --user-agent 'MyProject/1.0 (me@my.site)' \\
          --language en --language de --language ko --language th
      Drugs only, from a server of your own:
        bioelx pull wikidata --endpoint http://localhost:7878/query --out drugs \\
          --only-schemes --scheme drugbank --scheme atc --tree Q12140
      Then:
        bioelx build --wikidata BIOELX_HOME/pulls/wikidata-sparql
    """
    from bioelx_index.progress import Stages
    from bioelx_index.sources.wikidata.endpoint import Manners
    from bioelx_index.sources.wikidata.folder import PULL_FILE
    from bioelx_index.sources.wikidata.selection import Selection, SelectionFile, read_selection
    from bioelx_index.sources.wikidata.sparql import pull

    if not endpoint:
        raise BioelxError("name the endpoint to pull from: --endpoint URL")
    read = read_selection(selection) if selection else SelectionFile()
    wanted = Selection.of(
        schemes=[*read.schemes, *(scheme or ())],
        trees=[*read.trees, *(tree or ())],
        languages=[*read.languages, *(language or ())],
        defaults=read.defaults and not only_schemes,
        everything=read.everything,
    )
    folder = out or home() / "pulls" / "wikidata-sparql"
    shown = console()
    if (folder / PULL_FILE).exists():
        shown.print(f"{folder} is finished. Remove it, or name another --out, to pull anew.")
    try:
        pull(
            endpoint,
            folder,
            wanted,
            user_agent=user_agent,
            stages=Stages(shown),
            page_size=page_size,
            manners=Manners(at_once=parallel),
        )
    except KeyboardInterrupt:
        shown.print("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    _summarise(folder)


def _summarise(folder: Path) -> None:
    from bioelx_index.sources.wikidata.folder import RECORDS_FILE, names_by_language, read_pull

    finished, shown = read_pull(folder), console()
    languages = names_by_language(folder / RECORDS_FILE)
    most = ", ".join(f"{code} {count:,}" for code, count in languages.most_common(10))
    counted = {
        name: value for name, value in finished.notes.items() if isinstance(value, int | float)
    }
    shown.print(
        f"[bold]{folder}[/]: {finished.items:,} items, {finished.retired:,} retired, "
        f"{finished.names:,} names in {len(languages)} languages ({most})"
    )
    shown.print("  " + ", ".join(f"{name} {value:,}" for name, value in counted.items()))
    shown.print(f"Next: bioelx build --wikidata {folder}")
