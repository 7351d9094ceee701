"""Average a trained model with the one it began from: what it learnt, and what it forgot by that.

After Wortsman et al. 2022 ("Robust fine-tuning of zero-shot models"): names in a dictionary's form
are all that a training sees here, and its model grows blind to others, such as inflected ones; the
weights halfway keep nearly all of what was learnt and most of what was known.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from safetensors.numpy import save_file

from bioelx.errors import BioelxError, FileError
from bioelx_index.train.export import read_parent

WEIGHTS_FILE = "model.safetensors"
UNUSED = "pooler."  # transformers makes one where there is none; no vector goes through it


def average(base: Path, trained: Path, share: float, out: Path) -> None:
    """Writes a copy of `trained` to `out` with weights = base + share * (trained - base).

    Raises:
        FileError: a folder holds no BERT or XLM-R, or the two are not of one shape.
        BioelxError: `out` is there already.
    """
    first, second = read_parent(base).tensors, read_parent(trained).tensors
    second = {name: tensor for name, tensor in second.items() if not name.startswith(UNUSED)}
    for name, tensor in second.items():
        if name not in first or first[name].shape != tensor.shape:
            raise FileError(base / WEIGHTS_FILE, f"has no {name} of the shape {tensor.shape}")
    if out.exists():
        raise BioelxError(f"{out}: is there already")
    shutil.copytree(trained, out)
    averaged = {
        # What is equal stays so to the bit: a table of pieces that was not trained.
        name: tensor
        if np.array_equal(first[name], tensor)
        else ((1 - share) * first[name] + share * tensor).astype(np.float32)
        for name, tensor in second.items()
    }
    save_file(averaged, out / WEIGHTS_FILE, metadata={"format": "pt"})


def main(
    base: Annotated[Path, typer.Option(help="Hugging Face folder that the training began from.")],
    trained: Annotated[Path, typer.Option(help="Folder model/ of the training.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    share: Annotated[float, typer.Option(min=0, max=1, help="Of the trained weights.")] = 0.5,
) -> None:
    """Average a trained model with the one it began from.

    Example: python -m bioelx_index.train.average --base e5-cut --trained trainings/mine/model
    --out averaged, then python -m bioelx_index.train.export --model averaged
    """
    average(base, trained, share, out)
    typer.echo(f"{out}: {share:.0%} of what {trained} learnt since {base}")


if __name__ == "__main__":
    typer.run(main)
