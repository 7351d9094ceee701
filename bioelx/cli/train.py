"""`bioelx train`: learn an encoder from the names of a knowledge base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx.errors import InstallationError
from bioelx.release import find_release
from bioelx.settings import home

app = typer.Typer(
    help="Train the models that serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    pass


@app.command()
def encoder(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the training. Default: BIOELX_HOME/trainings/encoder."),
    ] = None,
    release: Annotated[
        str, typer.Option(help="Release whose names to learn from. Default: the active one.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file of settings; those given by --set go before it."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE, a setting as in the file; may be repeated."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List all settings with their defaults, and stop.")
    ] = False,
) -> None:
    """Train an encoder on names: SapBERT's self-alignment, in all languages at once.

    Pairs of names of one concept are drawn, balanced over languages; the nearest wrong names are
    what each is told apart from. Held-out names in 20 languages are looked at on the way. A
    training that was stopped goes on from its last checkpoint at the same command. The folder gets
    training.png (loss and held-out names), model/ (for sentence-transformers) and encoder/, which
    'bioelx build --encoder' takes.

    \b
    Examples:
      bioelx train encoder --set base=e5-cut --set steps=500 --out trainings/try
      bioelx train encoder --config paper.toml     (docs/training.md has the paper's settings)
      torchrun --nproc-per-node 4 -m bioelx train encoder --config paper.toml
    """
    from bioelx.toml_file import explain as explanation
    from bioelx_index.train.settings import TrainSettings, read_settings

    if explain:
        typer.echo(explanation(TrainSettings), nl=False)
        return
    settings = read_settings(config, setting or ())
    try:
        from bioelx_index.train.encoder import train_encoder
    except ImportError as error:
        raise InstallationError(
            f"training needs {error.name}: pip install 'bioelx[train]'"
        ) from None
    from bioelx_index.progress import Stages

    folder, cache = out or home() / "trainings" / "encoder", home() / "cache" / "vectors"
    stages = Stages(console())
    trained = train_encoder(find_release(release), settings, folder, stages, cache)
    if trained.is_dir():  # of several processes only the first writes it
        console().print(f"[bold]{trained}[/] is ready. Next: bioelx build --encoder {trained}")
