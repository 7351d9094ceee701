"""`bioelx build` and `bioelx update`: the offline job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bioelx.cli import suites
from bioelx.cli.output import console
from bioelx.release import active_release
from bioelx.settings import home, releases_dir

Config = Annotated[
    Path | None,
    typer.Option(help="TOML file of settings. The options here override its keys one by one."),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Print every key of such a file with its meaning and default, and do nothing else.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Key data: folder with sources.toml, which names each source, its files and its "
        "options. Default: the shipped snapshot, data/."
    ),
]
Encoder = Annotated[
    Path | None,
    typer.Option(
        help="Key encoder.folder: folder with encoder.json. Default: the shipped encoder."
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(help="Key wikidata.endpoint: SPARQL endpoint to pull Wikidata from."),
]
Wikidata = Annotated[
    Path | None,
    typer.Option(help="Key wikidata.pull: folder of a finished 'bioelx pull wikidata'."),
]
UserAgent = Annotated[
    str | None,
    typer.Option(
        envvar="BIOELX_USER_AGENT",
        help="Key wikidata.user_agent: who you are, for all but your own servers: 'Name/1.0 (mail "
        "or web address)'.",
    ),
]
Dictionary = Annotated[
    Path | None,
    typer.Option(
        help="Key dictionary: file of `CUI||name` lines, plain or .gz: the whole knowledge base, "
        "in place of the snapshot. For the protocol of XL-BEL's paper (docs/paper-protocol.md)."
    ),
]
Umls = Annotated[
    Path | None,
    typer.Option(
        help="Key umls: folder with your own UMLS: MRCONSO.RRF and MRSTY.RRF, and, if there, "
        "MRDEF.RRF, MRCUI.RRF and MRFILES.RRF; plain or .gz, whole or in parts (.aa.gz, .ab.gz)."
    ),
]
Names = Annotated[
    int | None,
    typer.Option(
        help="Key select.names: take only the most widely named concepts, up to so many names."
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Key select.types: take only concepts of this type; repeat."),
]


def build(
    config: Config = None,
    explain: Explain = False,
    data: Data = None,
    encoder: Encoder = None,
    endpoint: Endpoint = None,
    wikidata: Wikidata = None,
    user_agent: UserAgent = None,
    dictionary: Dictionary = None,
    umls: Umls = None,
    names: Names = None,
    types: Types = None,
) -> None:
    """Build and activate a release: pull, merge, train, encode, index, evaluate.

    With no options the whole shipped snapshot is built, in some 20 minutes on two cores. What a
    stage made is kept under BIOELX_HOME/cache: a build that was stopped goes on in the stage that
    it was in, and the next one does again only what has other inputs or settings. Where nothing has
    changed, the release stands, and no other is made. docs/build.md says more; docs/sources.md says
    how a source of your own (OBO, Babelon, SSSOM, UMLS) comes in by an entry in sources.toml.

    \b
    Examples:
      bioelx build
      bioelx build --explain > build.toml
      bioelx build --config build.toml
      bioelx build --names 100000 --type disease --type phenotype
      bioelx build --umls /data/umls/2026AA/META
      bioelx build --wikidata BIOELX_HOME/pulls/wikidata-sparql
      bioelx build --endpoint http://localhost:7878/query
      bioelx build --dictionary /data/umls_onto_all_lang_cased_wikimed_only_399931.txt
    """
    from bioelx_index.build import build as run

    overrides = {
        "data": data,
        "encoder.folder": encoder,
        "wikidata.endpoint": endpoint,
        "wikidata.pull": wikidata,
        "wikidata.user_agent": user_agent,
        "dictionary": dictionary,
        "umls": umls,
        "select.names": names,
        "select.types": types,
    }
    _run(run, config, overrides, explain=explain)


def update(
    config: Config = None,
    explain: Explain = False,
    data: Data = None,
    endpoint: Endpoint = None,
    wikidata: Wikidata = None,
    user_agent: UserAgent = None,
    umls: Umls = None,
    names: Names = None,
    types: Types = None,
) -> None:
    """Build the next release from what has changed since the active one.

    Give it the settings that the active release was built with. Of Wikidata only what changed is
    pulled, if that release was built from a pull and an endpoint is named; --wikidata names a newer
    pull instead; with neither, Wikidata stays as it was. All other sources are read again where
    their files have changed. The encoder is that of the active release, and only names that are new
    are encoded. A server goes on with the old release until the new one is active.

    \b
    Examples:
      bioelx update --config build.toml
      bioelx update --endpoint https://query.wikidata.org/sparql \\
        --user-agent 'MyProject/1.0 (https://my.site; me@my.site)'
      bioelx update --wikidata BIOELX_HOME/pulls/wikidata-since-20261124T160500Z
    """
    from bioelx_index.build import update as run

    overrides = {
        "data": data,
        "wikidata.endpoint": endpoint,
        "wikidata.pull": wikidata,
        "wikidata.user_agent": user_agent,
        "umls": umls,
        "select.names": names,
        "select.types": types,
    }
    _run(run, config, overrides, explain=explain)


def _run(
    job: Callable[..., Any], config: Path | None, overrides: dict[str, Any], *, explain: bool
) -> None:
    """Runs `build` or `update`, with the suites that the settings name, and sums up; or only
    explains the settings."""
    from bioelx.toml_file import explain as explanation
    from bioelx_index.places import Places
    from bioelx_index.progress import Stages
    from bioelx_index.settings import BuildSettings, read_settings
    from bioelx_index.sources.wikidata.endpoint import check_caller

    if explain:
        typer.echo(explanation(BuildSettings), nl=False)
        return
    given = {key: value for key, value in overrides.items() if value is not None}
    settings = read_settings(config, given)
    if settings.wikidata.endpoint:
        check_caller(settings.wikidata.endpoint, settings.wikidata.user_agent)
    shown = console()
    stages = Stages(shown)
    asked = settings.evaluate

    def evaluate(release: Path) -> None:
        if asked.data:
            suites.measure(release, asked.suites, asked.data, stages)

    try:
        outcome = job(settings, Places(home()), stages, evaluate)
    except KeyboardInterrupt:
        shown.print("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    manifest = outcome.manifest
    shown.print(stages.summary())
    if outcome.unchanged:
        shown.print(f"Nothing changed: release [bold]{manifest.id}[/] stands.", soft_wrap=True)
        return
    state, then = "active", "bioelx serve"
    if active_release(releases_dir()) != manifest.id:
        state = "built, not activated"
        then = f"bioelx eval run xlbel --release {manifest.id} --data DIR --out DIR"
    shown.print(
        f"[bold]{manifest.id}[/] is {state}: {manifest.concepts:,} concepts, "
        f"{manifest.names:,} names, {outcome.encoded:,} of them encoded now. Next: {then}",
        soft_wrap=True,
    )
