"""`bioelx release`: look at releases and choose the active one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from bioelx import release as store
from bioelx.cli.output import console
from bioelx.errors import NotFoundError
from bioelx.settings import releases_dir

app = typer.Typer(
    help="Look at releases and choose the active one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ReleaseId = Annotated[str, typer.Argument(help="Id or folder of a release.")]


@app.command("list")
def list_() -> None:
    """Show the finished releases, oldest first."""
    releases, active = store.list_releases(), store.active_release()
    if not releases:
        raise NotFoundError(f"no releases in {releases_dir()}: run 'bioelx build' first")
    table = Table("", "release", "concepts", "names", "encoder", "index", "MB", show_edge=False)
    for release in releases:
        manifest = store.read_manifest(store.find_release(release))
        size = sum(stamp.bytes for stamp in manifest.files.values()) / 1e6
        table.add_row(
            "active" if release == active else "",
            release,
            f"{manifest.concepts:,}",
            f"{manifest.names:,}",
            manifest.encoder.name,
            manifest.index.factory,
            f"{size:.0f}",
        )
    console().print(table)


@app.command()
def verify(release: ReleaseId) -> None:
    """Check every file of a release against its manifest."""
    manifest = store.verify_release(store.find_release(release))
    console().print(f"{manifest.id}: {len(manifest.files)} files, all as the manifest says")


@app.command()
def activate(release: ReleaseId) -> None:
    """Verify a release and make it the active one. A running server keeps the one it has."""
    store.activate(release)
    console().print(f"{release} is active")


@app.command()
def rollback() -> None:
    """Make the release active that was so before."""
    console().print(f"{store.roll_back()} is active")
