"""Ways to compare names, each as vectors whose dot product says how alike two names are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from bioelx.encoding import Encoder
from bioelx.encoding.encoder import read_card
from bioelx_index.train.heldout import Vectors
from bioelx_index.vectors import encode_names


class Method(Protocol):
    """Names and mentions -> their unit vectors, both dense or both sparse."""

    def __call__(
        self, names: Sequence[str], mentions: Sequence[str]
    ) -> tuple[Vectors, Vectors]: ...


def exact(names: Sequence[str], mentions: Sequence[str]) -> tuple[Vectors, Vectors]:
    """One dimension a name: only equal texts have anything in common."""
    vectoriser = CountVectorizer(analyzer=lambda text: [text], dtype=np.float32)
    return vectoriser.fit_transform(names), vectoriser.transform(mentions)


def trigrams(names: Sequence[str], mentions: Sequence[str]) -> tuple[Vectors, Vectors]:
    """Character 3-grams within words weighed by TF-IDF, with scispaCy's settings (Neumann et al.,
    BioNLP 2019), which asks an approximate index where this compares every name."""
    rarest = 10 if len(names) > 10_000 else 1  # of few names none has a 3-gram that ten share
    vectoriser = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), min_df=rarest, dtype=np.float32
    )
    return vectoriser.fit_transform(names), vectoriser.transform(mentions)


def encoded(
    encoder: Encoder, texts: Sequence[str], cache: Path, advance: Callable[[int], None]
) -> Method:
    """An encoder's vectors, made here for all `texts` that names and mentions will be among.

    Args:
        cache: folder of stores of vectors; what a killed run made is found there.
        advance: is called with the number of texts done since the last call.
    """
    vectors, _ = encode_names(texts, encoder, cache, advance)
    at = {text: row for row, text in enumerate(texts)}

    def method(names: Sequence[str], mentions: Sequence[str]) -> tuple[Vectors, Vectors]:
        return vectors[[at[text] for text in names]], vectors[[at[text] for text in mentions]]

    return method


def open_parent(model: Path, export: Path, threads: int) -> Encoder:
    """The model that an encoder was exported from: in fp32 on a CPU, in bf16 on a GPU."""
    from bioelx.encoding.torch import TorchEncoder

    weights = hashlib.sha256()
    for path in sorted(model.rglob("*.safetensors")):
        weights.update(path.read_bytes())
    card = replace(
        read_card(export), name=model.parent.name, format="torch",
        fingerprint=weights.hexdigest()[:16],
    )  # fmt: skip
    return TorchEncoder(model, card, threads=threads)
