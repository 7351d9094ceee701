"""`bioelx train`: learn an encoder, or a small ranker, from a knowledge base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bioelx.cli.output import console
from bioelx.errors import needing
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


Release = Annotated[
    str, typer.Option(help="Release whose names to learn from. Default: the active one.")
]
Config = Annotated[
    Path | None, typer.Option(help="TOML file of settings; those given by --set go before it.")
]
Given = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE, a setting as in the file; may be repeated."),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="List all settings with their defaults, and stop.")
]


@app.command()
def encoder(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the training. Default: BIOELX_HOME/trainings/encoder."),
    ] = None,
    release: Release = "",
    config: Config = None,
    setting: Given = None,
    explain: Explain = False,
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
    settings = read_settings(config, setting or (), TrainSettings)
    with needing("train", "training"):
        from bioelx_index.train.encoder import train_encoder
    from bioelx_index.progress import Stages

    folder, cache = out or home() / "trainings" / "encoder", home() / "cache" / "vectors"
    stages = Stages(console())
    trained = train_encoder(find_release(release), settings, folder, stages, cache)
    if trained.is_dir():  # of several processes only the first writes it
        console().print(f"[bold]{trained}[/] is ready. Next: bioelx build --encoder {trained}")


@app.command()
def ranker(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the training. Default: BIOELX_HOME/trainings/ranker."),
    ] = None,
    release: Release = "",
    config: Config = None,
    setting: Given = None,
    explain: Explain = False,
) -> None:
    """Train a small cross-encoder that ranks on machines without a GPU.

    Names of the release are put into definitions and descriptions as mentions, the release proposes
    candidates for each, and the ranker learns to weigh them by the context. Concepts that are held
    out are looked at on the way. A training that was stopped goes on from its last checkpoint at
    the same command. The folder gets training.png (loss and held-out mentions), model/ and ranker/,
    which --ranker takes.

    \b
    Examples:
      bioelx train ranker --config docs/ranker.toml --out trainings/ranker
      bioelx train ranker --set steps=200 --set names=5000 --out trainings/try
    """
    from bioelx.toml_file import explain as explanation
    from bioelx_index.train.ranker.settings import RankerSettings
    from bioelx_index.train.settings import read_settings

    if explain:
        typer.echo(explanation(RankerSettings), nl=False)
        return
    settings = read_settings(config, setting or (), RankerSettings)
    with needing("train", "training"):
        from bioelx_index.train.ranker.train import train_ranker
    from bioelx_index.progress import Stages

    folder = out or home() / "trainings" / "ranker"
    trained = train_ranker(find_release(release), settings, folder, Stages(console()))
    if trained.is_dir():  # of several processes only the first writes it
        console().print(f"[bold]{trained}[/] is ready. Next: bioelx serve --ranker {trained}")
