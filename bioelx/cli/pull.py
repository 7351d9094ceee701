"""`bioelx pull`: collect a source once, for any number of builds."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from bioelx.cli.output import console
from bioelx.errors import BioelxError
from bioelx.release import find_release
from bioelx.settings import home

ACTIVE = "active"


class Changes(StrEnum):
    """How a pull of changes finds what was edited."""

    MODIFIED = "modified"
    EVENTS = "events"


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
    dump: Annotated[
        Path | None,
        typer.Option(
            help="Dump to read in place of an endpoint: latest-all.json, or packed as .bz2, .gz or "
            ".zst."
        ),
    ] = None,
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
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that read a dump. Default: as many as there are cores."
        ),
    ] = None,
    dumped: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Day (UTC) on which the making of the dump began. Default: the date in its name, "
            "else a week before the last change in it.",
        ),
    ] = None,
    malformed_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of the lines of a dump, that may be malformed."),
    ] = 1e-4,
    since: Annotated[
        str,
        typer.Option(
            help="Pull only what changed since the pull that this release was built from: its id, "
            f"its folder, or '{ACTIVE}'."
        ),
    ] = "",
    base: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the earlier pull. Default: looked for in BIOELX_HOME/pulls by the "
            "release's manifest."
        ),
    ] = None,
    changes: Annotated[
        Changes,
        typer.Option(
            help="What tells which items were edited: 'modified', their dates at the endpoint; "
            "'events', Wikimedia's stream of changes."
        ),
    ] = Changes.MODIFIED,
    events: Annotated[
        str, typer.Option(help="URL of the stream of page changes. Default: Wikimedia's.")
    ] = "",
    window: Annotated[
        float, typer.Option(min=0, help="Days that the stream is sure to keep its events.")
    ] = 7,
    patience: Annotated[
        float,
        typer.Option(min=0, help="Seconds that the endpoint gets to take in what the stream told."),
    ] = 600,
) -> None:
    """Pull the biomedical part of Wikidata: its items' names, descriptions, xrefs and types.

    By default those items belong that UMLS, MeSH, DOID, HPO, MONDO, ICD, Orphanet, OMIM, ChEBI,
    DrugBank, ATC, GO, Uberon, FMA or SNOMED CT identifies; cas, ncbigene, ncbitaxon and uniprot are
    schemes that add millions more.

    Three routes lead to the same records: an endpoint (--endpoint), a dump on disk (--dump), and
    what changed since the pull that a release was built from (--since, with --endpoint).

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
      All of it from a dump, with no network:
        bioelx pull wikidata --dump latest-all.json.gz
      Then:
        bioelx build --wikidata BIOELX_HOME/pulls/wikidata-sparql
      Later, what changed since the active release, and only that:
        bioelx pull wikidata --since active --endpoint https://query.wikidata.org/sparql \\
          --user-agent 'MyProject/1.0 (https://my.site; me@my.site)'
    """
    from bioelx_index.progress import Stages
    from bioelx_index.sources.wikidata.changes import pull_changes
    from bioelx_index.sources.wikidata.dump import pull_dump
    from bioelx_index.sources.wikidata.endpoint import Manners
    from bioelx_index.sources.wikidata.events import STREAM, Stream
    from bioelx_index.sources.wikidata.folder import PULL_FILE
    from bioelx_index.sources.wikidata.sparql import pull

    _check_route(endpoint, dump, bool(since or base), changes, events)
    wanted = _selection(selection, scheme, tree, language, only_schemes)
    earlier = _earlier(since, base)
    selected = bool(selection or scheme or tree or language or only_schemes)
    if earlier and selected and wanted.fingerprint != earlier.selection.fingerprint:
        raise BioelxError(
            f"the selection is not that of {earlier.folder}, which a pull of changes keeps: leave "
            "it out, or pull anew without --since"
        )
    folder = out or home() / "pulls" / _name(dump, earlier)
    shown = console()
    stages = Stages(shown)
    asking: dict[str, Any] = {
        "user_agent": user_agent,
        "stages": stages,
        "page_size": page_size,
        "manners": Manners(at_once=parallel),
    }
    finished_before = (folder / PULL_FILE).exists()
    try:
        if dump:
            cores = workers or os.cpu_count() or 1
            pull_dump(
                dump,
                folder,
                wanted,
                workers=cores,
                stages=stages,
                dumped=dumped.replace(tzinfo=UTC) if dumped else None,
                malformed_share=malformed_share,
            )
        elif earlier:
            stream = None
            if changes is Changes.EVENTS:
                stream = Stream(events or STREAM, user_agent, window=timedelta(days=window))
            pull_changes(earlier, endpoint, folder, stream=stream, patience=patience, **asking)
        else:
            pull(endpoint, folder, wanted, **asking)
    except KeyboardInterrupt:
        shown.print("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    if finished_before:
        shown.print(
            "It was finished before. To pull anew, remove its folder or name another --out."
        )
    _summarise(folder)


def _check_route(
    endpoint: str, dump: Path | None, since: bool, changes: Changes, events: str
) -> None:
    if bool(endpoint) == bool(dump):
        raise BioelxError("name where to pull from: either --endpoint URL or --dump FILE")
    if dump and since:
        raise BioelxError("--since and --base ask an endpoint: name one, and no --dump")
    if changes is Changes.EVENTS and not since:
        raise BioelxError("--changes events: only with --since or --base")
    if events and changes is not Changes.EVENTS:
        raise BioelxError("--events: only with --changes events")


def _selection(
    file: Path | None,
    schemes: list[str] | None,
    trees: list[str] | None,
    languages: list[str] | None,
    only_schemes: bool,
) -> Any:
    """What a file and the options select together."""
    from bioelx_index.sources.wikidata.selection import Selection, SelectionFile, read_selection

    read = read_selection(file) if file else SelectionFile()
    return Selection.of(
        schemes=[*read.schemes, *(schemes or ())],
        trees=[*read.trees, *(trees or ())],
        languages=[*read.languages, *(languages or ())],
        defaults=read.defaults and not only_schemes,
        everything=read.everything,
    )


def _earlier(since: str, base: Path | None) -> Any:
    """The pull to bring up to date, or None if none is named."""
    from bioelx_index.sources.wikidata.base import find_base, open_base

    if since:
        release = find_release(None if since == ACTIVE else since)
        return find_base(release, [home() / "pulls", home() / "cache" / "pulls"], folder=base)
    return open_base(base) if base else None


def _name(dump: Path | None, earlier: Any) -> str:
    if earlier:
        return f"wikidata-since-{earlier.pull.started:%Y%m%dT%H%M%SZ}"
    return "wikidata-dump" if dump else "wikidata-sparql"


def _summarise(folder: Path) -> None:
    from bioelx_index.sources.wikidata.folder import RECORDS_FILE, names_by_language, read_pull

    finished, shown = read_pull(folder), console()
    languages = names_by_language(folder / RECORDS_FILE)
    most = ", ".join(f"{code} {count:,}" for code, count in languages.most_common(10))
    counted = {
        name: value for name, value in finished.notes.items() if isinstance(value, int | float)
    }
    shown.print(
        f"[bold]{escape(str(folder))}[/]: {finished.items:,} items, {finished.retired:,} retired, "
        f"{finished.names:,} names in {len(languages)} languages ({most})"
    )
    shown.print("  " + ", ".join(f"{name} {value:,}" for name, value in counted.items()))
    if changed := finished.notes.get("changes"):
        shown.print("  " + ", ".join(f"{count:,} {name}" for name, count in changed.items()))
    if behind := finished.notes.get("behind"):
        shown.print(
            f"  The endpoint does not know yet how {len(behind):,} items changed; the next pull of "
            "changes asks for them again."
        )
    shown.print(f"Next: bioelx build --wikidata {folder}", markup=False)
