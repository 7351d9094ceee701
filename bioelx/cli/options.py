"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, cast

import typer

from bioelx.client import Options


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
TopK = Annotated[int | None, typer.Option(min=1, help="Candidates for a mention.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only this type; repeat.")]
Schemes = Annotated[list[str] | None, typer.Option("--scheme", help="Only xrefs of it; repeat.")]
LabelLanguages = Annotated[
    list[str] | None, typer.Option("--label-language", help="Language of labels; repeat.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Say what each confidence is made of.")]
Format = Annotated[
    Output | None, typer.Option("--output", help="Default: a table on a terminal, else JSON.")
]


def link_options(server: str, release: str, **given: object) -> Options:
    """The options that were given; a server is asked for its release, a linker was opened so."""
    if server:
        given["release"] = release
    return cast(Options, {k: v for k, v in given.items() if v not in (None, "", [])})
