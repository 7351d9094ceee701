"""`bioelx serve`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from bioelx.settings import Limits, ServerSettings, read_settings


def serve(**given: Any) -> None:
    """Serve a release over gRPC until SIGTERM or Ctrl-C.

    Each option has a twin in the environment; the option wins. When the release is loaded, one
    line on standard output says so; logs go to standard error, a JSON object a line.

    When another release becomes active (bioelx build, bioelx release activate or rollback), the
    server loads it beside the one that answers, tries it, and switches without dropping a call; one
    that fails is refused, which bioelx info tells.

    Beyond this machine it listens only with TLS, and only for callers who show a token (bioelx
    token --help) or a client certificate: docs/serving.md.

    \b
    Examples:
        bioelx serve
        bioelx serve --port 0 --threads 2
        bioelx serve --admin --keep-loaded 1
        bioelx serve --host 0.0.0.0 --tls-certificate server.pem --tls-key server.key \\
            --tokens tokens.json
        BIOELX_PORT=9000 bioelx serve --release 20261123T074500Z-1a2b3c4d
    """
    from bioelx.service.logs import set_up_logs
    from bioelx.service.privacy import keep_words_in
    from bioelx.service.server import serve as run

    settings = _settings(given)
    set_up_logs(settings.log_level)
    keep_words_in()
    asyncio.run(run(settings, _announce))


def _announce(release: str, address: str) -> None:
    print(f"serving {release} on {address}", flush=True)


def _settings(given: dict[str, Any]) -> ServerSettings:
    """The settings of the options that were given; pydantic-settings adds the environment's."""
    given = {name: value for name, value in given.items() if value is not None}
    of_limits = {name: given.pop(name) for name in Limits.model_fields if name in given}
    return read_settings(ServerSettings, limits=read_settings(Limits, **of_limits), **given)


def _options(settings: type[BaseSettings]) -> list[inspect.Parameter]:
    """A command-line option for each plain field, so that both are defined in one place."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                field.annotation | None,  # type: ignore[operator]
                typer.Option(
                    help=f"{field.description}. Environment: BIOELX_{name.upper()}.",
                    show_default=str(field.default) or False,
                ),
            ],
        )
        for name, field in settings.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]


serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [*_options(ServerSettings), *_options(Limits)]
)
