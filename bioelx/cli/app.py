"""`bioelx`: finds the command, starts it, and puts its errors into one line.

A command's module is imported when the command is run: that keeps the start quick, and what runs
online free of what the offline job and the evaluation need.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer

from bioelx.errors import BioelxError

COMMANDS = {
    "quickstart": ("bioelx.cli.quickstart:quickstart", "Build a small release, serve it, link."),
    "serve": ("bioelx.cli.serve:serve", "Serve a release over gRPC."),
    "link": ("bioelx.cli.link:link", "Link mentions of a file or of standard input."),
    "search": ("bioelx.cli.lookup:search", "Find concepts by name."),
    "concept": ("bioelx.cli.lookup:concept", "Show a concept with its names."),
    "info": ("bioelx.cli.lookup:info", "Show what a server or a release is."),
    "pull": ("bioelx.cli.pull:app", "Pull a source into a folder that builds take."),
    "build": ("bioelx.cli.build:build", "Build a release from sources."),
    "train": ("bioelx.cli.train:app", "Train an encoder or a ranker on a release."),
    "update": ("bioelx.cli.build:update", "Build the next release from what has changed."),
    "cache": ("bioelx.cli.cache:app", "Look at what builds keep, and remove what is not needed."),
    "release": ("bioelx.cli.release:app", "List, activate, verify and roll back releases."),
    "token": ("bioelx.cli.token:app", "Say who may call a server: make and revoke tokens."),
    "eval": ("bioelx_eval.cli:app", "Evaluate a release."),
}

app = typer.Typer(
    help="BioELX links biomedical mentions in any language to concepts.\n\n"
    "Each command explains itself: bioelx COMMAND --help.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("bioelx"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def _register(name: str, target: str, help_text: str) -> None:
    @app.command(
        name,
        help=help_text,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def start(context: typer.Context) -> None:
        module, _, attribute = target.partition(":")
        _as_app(getattr(import_module(module), attribute))(
            args=context.args, prog_name=f"bioelx {name}"
        )


def _as_app(command: Any) -> typer.Typer:
    """A group as it is, a function as an app of one command."""
    if isinstance(command, typer.Typer):
        return command
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command()(command)
    return alone


for _name, (_target, _help) in COMMANDS.items():
    _register(_name, _target, _help)


def main() -> None:
    """Runs `bioelx`; exits with 1 after an error and with 2 after a wrong use."""
    try:
        app()
    except BioelxError as error:
        print(f"bioelx: {error}", file=sys.stderr)
        sys.exit(1)
