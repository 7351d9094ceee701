"""`bioelx token`: who may call a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from bioelx.cli.output import console, print_json
from bioelx.errors import BioelxError
from bioelx.service.caller import Role
from bioelx.service.security.tokens import Grant, add, new_token, read_grants
from bioelx.service.security.tokens import revoke as take_back

app = typer.Typer(
    help="Say who may call a server: make tokens, list them, revoke them.\n\n"
    "Callers stand in one file, which `bioelx serve --tokens FILE` reads, and reads again when it "
    "has changed: what is made or revoked here holds from the next call on. The file has no "
    "tokens in it, only what is needed to recognise one (SHA-256).\n\n"
    "To renew a token, make another of the same name, give it to the caller, and revoke the old "
    "one by its id.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[
    Path,
    typer.Option("--tokens", envvar="BIOELX_TOKENS", help="The file of callers."),
]


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(help="Whose it is: letters, digits, and . _ @ : / -; goes into logs.")
    ],
    tokens: File,
    role: Annotated[
        Role, typer.Option(help="link: link and search. admin: switch releases too.")
    ] = Role.LINK,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until it expires. Default: never.")
    ] = None,
    mentions_per_minute: Annotated[
        int | None, typer.Option(min=1, help="What all calls of that name may ask. Default: all.")
    ] = None,
    calls_in_flight: Annotated[
        int | None, typer.Option(min=1, help="Calls of that name at a time. Default: any number.")
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(
            help="Make no token: the caller is whoever has a client certificate with this common "
            "name or alternative name (bioelx serve --tls-client-ca)."
        ),
    ] = None,
) -> None:
    """Add a caller, and print the token: once, it is kept nowhere.

    The token alone goes to standard output; what else there is to say, to standard error.

    \b
    Examples:
        bioelx token new ward-3 --tokens tokens.json > ward-3.token
        bioelx token new nightly --tokens tokens.json --days 90 --mentions-per-minute 60000
        bioelx token new operator --tokens tokens.json --role admin
        bioelx token new ward-4 --tokens tokens.json --certificate ward-4.hospital.example
    """
    token, digest = (None, None) if certificate else new_token()
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        grant = Grant(
            name=name,
            role=role,
            sha256=digest,
            certificate=certificate,
            created=now,
            expires=None if days is None else now + timedelta(days=days),
            mentions_per_minute=mentions_per_minute,
            calls_in_flight=calls_in_flight,
        )
    except (ValidationError, OverflowError) as error:
        raise BioelxError(_problem(error)) from None
    add(grant, tokens)
    until = f"until {grant.expires:%Y-%m-%d %H:%M} UTC" if grant.expires else "until it is revoked"
    known = "the certificate" if certificate else "the token"
    typer.echo(f"{known} {grant.id} of {name} has the role {role} {until}", err=True)
    if token:
        typer.echo("keep it now: it is shown only once", err=True)
        typer.echo(token)


@app.command("list")
def list_(
    tokens: File,
    as_json: Annotated[bool, typer.Option("--json", help="JSON in place of a table.")] = False,
) -> None:
    """Show who may call, until when, and how much.

    \b
    Examples:
        bioelx token list --tokens tokens.json
    """
    grants = read_grants(tokens).callers
    if as_json:
        for grant in grants:
            print_json({"id": grant.id, **grant.model_dump(mode="json", exclude={"sha256"})})
        return
    table = Table("id", "name", "role", "known by", "made", "expires", show_edge=False)
    for column in ("mentions/min", "calls"):
        table.add_column(column, justify="right")
    now = datetime.now(UTC)
    for grant in grants:
        expired = grant.expires is not None and grant.expires <= now
        table.add_row(
            grant.id,
            grant.name,
            grant.role,
            escape(f"certificate {grant.certificate}") if grant.certificate else "token",
            f"{grant.created:%Y-%m-%d}",
            "expired" if expired else f"{grant.expires:%Y-%m-%d}" if grant.expires else "",
            f"{grant.mentions_per_minute:,}" if grant.mentions_per_minute else "",
            f"{grant.calls_in_flight:,}" if grant.calls_in_flight else "",
        )
    console().print(table)


@app.command()
def revoke(
    known_as: Annotated[
        str,
        typer.Argument(metavar="NAME_OR_ID", help="A name, of all its tokens; or an id."),
    ],
    tokens: File,
) -> None:
    """Take tokens back: servers refuse them from the next call, or request of a stream, on.

    \b
    Examples:
        bioelx token revoke ward-3 --tokens tokens.json
        bioelx token revoke 1f9a03bc --tokens tokens.json
    """
    for grant in take_back(known_as, tokens):
        console().print(f"{grant.id} of {grant.name} is revoked")


def _problem(error: ValidationError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return "--days: too many"
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{first['loc'][0]}: {first['msg']}"
