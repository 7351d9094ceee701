"""`bioelx release`: look at releases, compare them, choose the active one, take old ones away."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from bioelx import release as store
from bioelx.cli import suites
from bioelx.cli.changes import listing, show_changes
from bioelx.cli.gate import show_outcome
from bioelx.cli.output import console, print_json
from bioelx.errors import BioelxError, FileError, NotFoundError
from bioelx.gate import check
from bioelx.release.manifest import MANIFEST_FILE, utc_now
from bioelx.release.pieces import bytes_freed, bytes_on_disk
from bioelx.settings import GateSettings, read_settings, releases_dir

app = typer.Typer(
    help="Look at releases, compare them, choose the active one, take old ones away.\n\n"
    "A release is an immutable folder in BIOELX_HOME/releases; the file `current` there names the "
    "active one, which servers and commands take unless told otherwise.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ReleaseId = Annotated[str, typer.Argument(help="Id or folder of a release.")]
OrActive = Annotated[str, typer.Argument(help="Id or folder; empty: the active one.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON in place of a table.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the finished releases, oldest first.

    `of its own` is what the disk would get back without the release: files that another one holds
    too are stored once.
    """
    root = releases_dir()
    releases = store.list_releases()
    if not releases:
        raise NotFoundError(f"no releases in {root}: run 'bioelx build' first")
    rows = [_row(root / release) for release in releases]
    if as_json:
        for row in rows:
            print_json(row)
        return
    table = Table(show_edge=False)
    for column in ("", "release", "age"):
        table.add_column(column)
    for column in ("concepts", "names", "size", "of its own"):
        table.add_column(column, justify="right")
    for column in ("encoder", "index", "parent"):
        table.add_column(column)
    for row in rows:
        if "error" in row:
            table.add_row(row["state"], row["id"], "", "", "", "", "", escape(row["error"]))
            continue
        table.add_row(
            row["state"],
            row["id"],
            _age(utc_now() - datetime.fromisoformat(row["created"])),
            f"{row['concepts']:,}",
            f"{row['names']:,}",
            decimal(row["bytes"]),
            decimal(row["bytes_of_its_own"]),
            row["encoder"],
            row["index"],
            row["parent"] or "",
        )
    shown = console()
    shown.print(table)
    shown.print(f"{decimal(bytes_on_disk(root / each for each in releases))} on the disk in all")


def _row(folder: Path) -> dict[str, Any]:
    """What the list says of a release, also of one that cannot be read."""
    root = folder.parent
    said = {"id": folder.name, "state": _state(folder.name)}
    try:
        manifest = store.read_manifest(folder)
    except FileError as error:
        return {**said, "error": str(error)}
    return {
        **said,
        "created": manifest.created.isoformat(),
        "parent": manifest.parent,
        "concepts": manifest.concepts,
        "names": manifest.names,
        "bytes": sum(stamp.bytes for stamp in manifest.files.values()),
        "bytes_of_its_own": bytes_freed([folder], root) - bytes_freed([], root),
        "encoder": manifest.encoder.name,
        "index": manifest.index.factory,
    }


def _state(release: str) -> str:
    if release == store.active_release():
        return "active"
    return "previous" if release == store.previous_release() else ""


def _age(since: timedelta) -> str:
    """The age in its largest unit: `3 d`."""
    seconds = max(0, int(since.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


@app.command()
def show(release: OrActive = "", as_json: AsJson = False) -> None:
    """Show what a release was made from and what it holds."""
    folder = store.find_release(release)
    manifest = store.read_manifest(folder)
    if as_json:
        print_json(orjson.loads((folder / MANIFEST_FILE).read_bytes()))
        return
    shown = console()
    about = Table.grid(padding=(0, 2))
    about.add_row("release", f"{manifest.id} {_state(folder.name)}")
    about.add_row("made", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC")
    about.add_row("parent", manifest.parent or "none")
    about.add_row("holds", f"{manifest.concepts:,} concepts, {manifest.names:,} names")
    encoder, index = manifest.encoder, manifest.index
    about.add_row(
        "encoder", f"{encoder.name}, {encoder.dimension} dimensions, {encoder.fingerprint}"
    )
    about.add_row(
        "index",
        f"{index.factory}, {index.vectors:,} vectors, recall@10 {index.recall_at_10:.4f}",
    )
    shown.print(about)
    sources = Table("source", "snapshot", "licence", "sha256", show_edge=False)
    for source in manifest.sources:
        told = (source.name, source.snapshot, source.licence, source.sha256[:12])
        sources.add_row(*map(escape, told))
    files = Table("file", "size", "sha256", show_edge=False)
    for name, stamp in manifest.files.items():
        files.add_row(escape(name), decimal(stamp.bytes), stamp.sha256[:12])
    for table in (sources, files):
        shown.print()
        shown.print(table)


@app.command()
def verify(
    releases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RELEASE]...", help="Ids or folders; none: the active one."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All releases.")] = False,
) -> None:
    """Check every file of a release against its manifest, and the manifest against itself.

    A release with one byte changed is refused, and its file named; the exit status is then 1.
    """
    bad = 0
    for release in store.list_releases() if every else releases or [""]:
        folder = store.find_release(release)
        try:
            with Console(stderr=True).status(f"reading {folder.name}"):
                manifest = store.verify_release(folder)
        except FileError as error:
            if not every:
                raise
            bad += 1
            console().print(f"[red]✗[/] {escape(str(error))}", soft_wrap=True)
        else:
            console().print(f"{manifest.id}: {len(manifest.files)} files, all as the manifest says")
    if bad:
        raise BioelxError(f"{bad} releases are damaged: build again, or copy them from elsewhere")


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="Id or folder of a release.")],
    b: Annotated[str, typer.Argument(help="Of the one after it; empty: the active one.")] = "",
    sample: Annotated[int, typer.Option(min=0, help="How many changes of a kind to show.")] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="All changes, a JSON object a line, in place of tables.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File to write all changes to, a JSON object a line.")
    ] = None,
) -> None:
    """Show which concepts and names came, went or moved from release A to release B.

    A concept is retired when it went and B still knows its id; with it stands its successor. A name
    moved when one concept lost it and another got it. Names are compared after normalisation.

    \b
    Examples:
      bioelx release diff 20261123T074500Z-1a2b3c4d
      bioelx release diff OLD NEW --out changes.jsonl
    """
    from bioelx.kb.changes import compare

    before, after = store.find_release(a), store.find_release(b)
    manifests = store.read_manifest(before), store.read_manifest(after)
    with Console(stderr=True).status("comparing"):
        changes = compare(before, after)
    if out:
        try:
            with out.open("wb") as stream:
                stream.writelines(listing(changes))
        except OSError as error:
            raise FileError(out, error.strerror or "cannot be written") from None
    if as_json:
        for line in listing(changes):
            typer.echo(line, nl=False)
        return
    show_changes(changes, *manifests, sample, console())
    if out:
        console().print(f"All changes: {out}", soft_wrap=True)


@app.command()
def activate(
    release: ReleaseId,
    force: Annotated[
        bool, typer.Option("--force", help="Activate it without the gate, if it is whole.")
    ] = False,
    suite: Annotated[
        list[str] | None,
        typer.Option(help="A benchmark of `bioelx eval list` that it must pass too; repeat."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder that holds the benchmarks of --suite.")
    ] = None,
    gate_margin: Annotated[
        float | None,
        typer.Option(
            help="Share of mentions by which it may be worse than its parent, 0.02 for two points. "
            "Environment: BIOELX_GATE_MARGIN. Default: 0.02."
        ),
    ] = None,
    gate_max_gone: Annotated[
        float | None,
        typer.Option(
            help="Share of the mentions whose concept may be gone from it. "
            "Environment: BIOELX_GATE_MAX_GONE. Default: 0.1."
        ),
    ] = None,
    gate_rows: Annotated[
        Path | None,
        typer.Option(
            help="Regression set, one JSON object a line (docs/releases.md). "
            "Environment: BIOELX_GATE_ROWS. Default: data/regression.jsonl."
        ),
    ] = None,
) -> None:
    """Put a release through the gate, verify every file of it, and make it the active one.

    The gate links a regression set of some 200 mentions in ten languages with the release and with
    its parent (where it has none: with the active one), compares the answers mention by mention,
    and refuses a release that is worse by more than the margin. Mentions whose concept is not in
    the release stand apart. What a release answered is kept in BIOELX_HOME/evaluations.

    A server with the release in its sight swaps to it by itself; see docs/swap.md.

    \b
    Examples:
      bioelx release activate 20261123T074500Z-1a2b3c4d
      bioelx release activate NEW --suite xlbel --data /data/benchmarks
      bioelx release activate NEW --force
    """
    if bool(suite) != bool(data):
        raise typer.BadParameter("--suite NAME and --data DIR need each other")
    if force and suite:
        raise typer.BadParameter("--force goes without the gate, and so without --suite")
    if not force:
        given = {
            "gate_margin": gate_margin,
            "gate_max_gone": gate_max_gone,
            "gate_rows": gate_rows,
        }
        settings = read_settings(
            GateSettings, **{name: value for name, value in given.items() if value is not None}
        )
        _pass_gate(release, settings, suite or [], data)
    console().print(f"{store.activate(release)} is active", soft_wrap=True)


def _pass_gate(release: str, settings: GateSettings, named: list[str], data: Path | None) -> None:
    """Raises: BioelxError: the release is refused; says why."""
    with Console(stderr=True).status("opening") as status:
        outcome = check(release, settings=settings, say=status.update)
    shown = console()
    show_outcome(outcome, shown)
    refusals = [outcome.refusal] if outcome.refusal else []
    if named and data and outcome.baseline:
        refusals += suites.refusals(named, data, outcome, settings.gate_margin, shown)
    if refusals:
        raise BioelxError(
            f"{outcome.release} is refused: {'; '.join(refusals)}. Nothing was changed; "
            "--force activates it all the same"
        )


@app.command()
def rollback() -> None:
    """Make the release active again that was so before, after checking its files.

    There is no gate on the way back. A second rollback goes forward again.
    """
    console().print(f"{store.roll_back()} is active", soft_wrap=True)


@app.command()
def prune(
    keep: Annotated[
        int, typer.Option(min=0, help="How many of the newest releases stay.")
    ] = store.KEEP,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> None:
    """Remove old releases, and what builds that were killed left behind.

    The active release, the one before it and the newest ones stay. A running build is left alone,
    and so are BIOELX_HOME/evaluations: they say how a release was that is gone.

    \b
    Examples:
      bioelx release prune --dry-run
      bioelx release prune --keep 1
    """
    pruned = store.prune(keep=keep, dry_run=dry_run)
    shown = console()
    would = "would be removed" if dry_run else "removed"
    for release in pruned.removed:
        shown.print(f"{release} {would}")
    shown.print(
        f"{len(pruned.removed)} releases and {pruned.drafts} drafts of dead builds {would}, "
        f"{decimal(pruned.bytes)} {'would be ' if dry_run else ''}freed; "
        f"{len(pruned.kept)} releases stay",
        soft_wrap=True,
    )
