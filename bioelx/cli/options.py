"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from bioelx.client import Options
from bioelx.credentials import Credentials
from bioelx.settings import read_settings


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


def unicode(argument: str) -> str:
    """An argument as it is, if its bytes were UTF-8: Python smuggles others in as surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("not UTF-8") from None
    return argument


Server = Annotated[
    str,
    typer.Option(
        envvar="BIOELX_SERVER",
        help="Address of a server, host:port. Without it a release is opened in this process.",
    ),
]
Release = Annotated[str, typer.Option(help="Release id or folder; empty: the active one.")]
Language = Annotated[str, typer.Option(help="Language where the input names none: de, pt-BR.")]
TopK = Annotated[
    int | None,
    typer.Option(min=1, help="Candidates for a mention. Default: the server's (10, if not set)."),
]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only this type; repeat.")]
Schemes = Annotated[list[str] | None, typer.Option("--scheme", help="Only xrefs of it; repeat.")]
LabelLanguages = Annotated[
    list[str] | None, typer.Option("--label-language", help="Language of labels; repeat.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Say what each confidence is made of.")]
Format = Annotated[
    Output | None, typer.Option("--output", help="Default: a table on a terminal, else JSON.")
]


_CREDENTIALS = {
    "ca": "--ca",
    "client_certificate": "--client-certificate",
    "client_key": "--client-key",
    "token_file": "--token-file",
}
"""Files only: a token on a command line is seen by all who may list processes."""


def with_credentials(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, in place of its parameter `credentials`, the options they are made from."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        files = {name: file for name in _CREDENTIALS if (file := given.pop(name)) is not None}
        # The option wins, as everywhere, over a token in the environment.
        environment = {"token": None} if "token_file" in files else {}
        command(**given, credentials=read_settings(Credentials, **files, **environment))

    signature = inspect.signature(command, eval_str=True)
    kept = [each for name, each in signature.parameters.items() if name != "credentials"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option(
                    option,
                    help=f"For --server: {Credentials.model_fields[name].description}. "
                    f"Environment: BIOELX_{name.upper()}.",
                ),
            ],
        )
        for name, option in _CREDENTIALS.items()
    ]
    run.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    return run


def link_options(server: str, release: str, **given: object) -> Options:
    """The options that were given; a server is asked for its release, a linker was opened so."""
    if server:
        given["release"] = release
    return cast(Options, {k: v for k, v in given.items() if v not in (None, "", [])})
