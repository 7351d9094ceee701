"""`bioelx serve`."""

from __future__ import annotations

import asyncio
import inspect
import os
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from bioelx.config import CONFIG_VARIABLE, Setting, gather, settings_in
from bioelx.settings import ServerSettings


def serve(config: Path | None = None, show_config: bool = False, **given: Any) -> None:
    """Serve a release over gRPC until SIGTERM or Ctrl-C.

    Each option has a twin in the environment and one in the file that --config names: an option
    comes before the environment, the environment before the file. When the release is loaded, one
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
        bioelx serve --show-config > bioelx.toml
        bioelx serve --config bioelx.toml
    """
    flags = {option: value for option, value in given.items() if value not in (None, [])}
    effective = gather(ServerSettings, flags, config)
    if show_config:
        typer.echo(effective.as_toml(), nl=False)
        return
    from bioelx.service.logs import set_up_logs
    from bioelx.service.privacy import keep_words_in
    from bioelx.service.server import serve as run

    settings = effective.settings
    if settings.home:  # where whatever this process opens is found
        os.environ["BIOELX_HOME"] = str(settings.home)
    set_up_logs(settings.log_level)
    keep_words_in()
    asyncio.run(run(settings, _announce))


def _announce(release: str, address: str) -> None:
    print(f"serving {release} on {address}", flush=True)


def _option(setting: Setting) -> inspect.Parameter:
    """The command-line option of a setting, so that both are defined in one place."""
    annotation: Any = setting.field.annotation
    if get_origin(annotation) is tuple:  # the option is given once for each of them
        annotation = list[get_args(annotation)[0]]  # type: ignore[misc]
    return inspect.Parameter(
        setting.option,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            annotation | None,
            typer.Option(
                help=f"{setting.field.description}. "
                f"Environment: {setting.variable}; key: {setting.key}.",
                show_default=_default(setting),
            ),
        ],
    )


def _default(setting: Setting) -> str | bool:
    default = setting.field.default
    return str(default) if default is not None and default != "" else False


_CONFIG = Annotated[
    Path | None,
    typer.Option(envvar=CONFIG_VARIABLE, help="TOML file of settings."),
]
_SHOW_CONFIG = Annotated[
    bool,
    typer.Option(
        "--show-config",
        help="Print every setting, and who said it, as such a file, and do nothing else.",
    ),
]

serve.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter(
            "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_CONFIG
        ),
        inspect.Parameter(
            "show_config", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_SHOW_CONFIG
        ),
        *map(_option, settings_in(ServerSettings)),
    ]
)
