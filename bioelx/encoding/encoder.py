"""What every encoder promises, and how one is opened from its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import orjson

from bioelx.cards import read_stamped
from bioelx.errors import FileError

CARD_FILE = "encoder.json"
HELD_OUT_FILE = "held_out.txt"
"""Normalised names, one a line, that the encoder was never told: to judge it, and links, by."""
SCHEMA = 1


class Encoder(Protocol):
    """Turns texts into vectors whose dot product is their similarity."""

    card: EncoderCard
    device: str
    """cpu or cuda."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encodes normalised texts; float32 [len(texts), card.dimension], rows of unit norm.

        A text's vector does not depend on the texts beside it (int8: to 1e-3).
        """
        ...

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The first half of `encode`: token ids of each text. Their number is what it costs."""
        ...

    def embed(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """The second half of `encode`, in a thread of its own if need be.

        Raises:
            MemoryError: there is none for so much at once.
        """
        ...


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """What `encoder.json` says of an encoder.

    `fingerprint` names the function from text to vector: two encoders with the same one give the
    same vectors, so vectors may be cached under it and an index checked against it.
    """

    name: str
    format: str  # onnx or torch
    dimension: int
    max_tokens: int
    prefix: str
    base: str
    fingerprint: str


_FIELDS = {
    "name": str,
    "format": str,
    "dimension": int,
    "max_tokens": int,
    "prefix": str,
    "base": str,
}


def read_card(folder: Path) -> EncoderCard:
    """Reads and checks an encoder's card against the files beside it.

    Raises:
        FileError: a file is missing, or differs from what the card says of it.
    """
    card, files = read_stamped(folder / CARD_FILE, SCHEMA, _FIELDS, "an encoder")
    files.pop(HELD_OUT_FILE, None)  # plays no part in what a text's vector is
    said = orjson.dumps([card, files], option=orjson.OPT_SORT_KEYS)
    return EncoderCard(**card, fingerprint=hashlib.sha256(said).hexdigest()[:16])


def read_held_out(folder: Path) -> list[str]:
    """The names that an encoder's training held out; none if it says nothing of that."""
    path = folder / HELD_OUT_FILE
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def open_encoder(folder: Path, *, threads: int = 0) -> Encoder:
    """Opens the encoder in `folder` for its format.

    Args:
        threads: for one call of `encode`; 0 takes all cores.

    Raises:
        FileError: the folder is not a whole encoder.
        InstallationError: the format needs a package that is not installed.
    """
    card = read_card(folder)
    if card.format == "onnx":
        from bioelx.encoding.onnx import OnnxEncoder

        return OnnxEncoder(folder, card, threads=threads)
    if card.format == "torch":
        from bioelx.encoding.torch import TorchEncoder

        return TorchEncoder(folder, card, threads=threads)
    raise FileError(folder / CARD_FILE, f"unknown format {card.format!r}: onnx or torch")
