"""How an encoder is trained; each ingredient of the augmentation is a switch of its own."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bioelx.errors import BioelxError
from bioelx.toml_file import FilePath, fault, read_file

M = TypeVar("M", bound=BaseModel)

LANGUAGES = (
    *("de", "en", "es", "fi", "ja", "ko", "ru", "th", "tr", "zh"),
    *("ar", "cs", "fr", "hu", "it", "nl", "pl", "pt", "sv", "uk"),
)
"""Those that held-out names are taken from: the ten of XL-BEL, and ten more."""

SETTINGS_FILE = "settings.json"
CHECKPOINTS, MODEL, ENCODER = "checkpoints", "model", "encoder"
"""What lies in the folder of a training: of a finished one a model for sentence-transformers, and
the encoder that serves."""


class TrainSettings(BaseModel):
    """What `bioelx train encoder` and `[encoder.training]` of a build can set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        "intfloat/multilingual-e5-small",
        description="Hugging Face or sentence-transformers model: a hub id or a folder.",
    )
    origin: str = Field(
        "", description="Model that the card names as the base; empty: base, without its path."
    )
    name: str = Field("bioelx-encoder", description="Of the encoder, shown to users.")
    export: Literal["onnx", "torch"] = Field(
        "onnx",
        description="What serves: int8 for any processor, without torch, or the model itself.",
    )
    steps: int = Field(2000, ge=1, description="Steps of the optimiser.")
    batch: int = Field(256, ge=4, multiple_of=2, description="Names in a step: pairs, twice.")
    rate: float = Field(3e-4, gt=0, description="Learning rate after its warm-up.")
    warm_up_steps: int = Field(50, ge=0, description="Steps in which the rate rises.")
    decay: float = Field(0.2, ge=0, le=1, description="Share of the steps, the last, it falls in.")
    seed: int = Field(20261124, description="Of all that is drawn.")
    longest: int = Field(
        45,
        ge=4,
        description="Letters of the longest names learnt from: systematic names of "
        "chemicals are longer, and few.",
    )
    max_pieces: int = Field(24, ge=4, description="Pieces of a name that training reads.")
    prefix: str = Field("", description="Put before every name, at training and after.")
    checkpoint_steps: int = Field(100, ge=1, description="Steps between two checkpoints.")
    judge_steps: int = Field(500, ge=1, description="Steps between two looks at held-out names.")
    bf16: Literal["auto", "on", "off"] = Field(
        "auto", description="bfloat16 products; auto: where the processor or GPU has them."
    )
    embeddings: bool = Field(
        False, description="Train the table of pieces too, not only the layers."
    )

    loss: Literal["multi-similarity", "softmax"] = Field(
        "multi-similarity",
        description="SapBERT's (Wang et al. 2019), or a softmax over the candidates (NT-Xent).",
    )
    temperature: float = Field(0.03, gt=0, description="Of the softmax.")

    languages: tuple[str, ...] = Field(
        (), description="Train on names in these languages only, such as en; empty: in all."
    )
    balance: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Languages are drawn by their number of names to this power: 1 as they come, "
        "0 all alike.",
    )
    cross_lingual: bool = Field(
        True, description="Prefer a partner in another language to one in the same."
    )
    perturbed: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of names that are perturbed; of pairs, a name with its perturbed self: "
        "typing errors, inflection, word order, spaces, diacritics, Latin letters. Concepts with "
        "one name always make such pairs, unless it is 0.",
    )
    transliterated: bool = Field(
        True,
        description="Write perturbed names in Latin letters too, where their script has a way.",
    )
    near_duplicates: bool = Field(
        False,
        description="Learn also from names that differ from one of another concept only in signs, "
        "diacritics or an English plural.",
    )
    titles: FilePath | None = Field(
        None,
        description="Parquet of general titles, columns item, lang, title: bitext to mix in.",
        examples=["titles.parquet"],
    )
    titles_items: int = Field(
        60_000, ge=1, description="Items whose titles are taken: those with most languages."
    )
    titles_share: float = Field(0.3, ge=0, le=1, description="Share of pairs that are titles.")
    words: FilePath | None = Field(
        None,
        description="Parquet of words and their translations, columns item, lang, title, drawn as "
        "the names are: glossaries, everyday words of the body.",
        examples=["words.parquet"],
    )
    teacher: FilePath | None = Field(
        None,
        description="Folder of an encoder, with encoder.json, to whose vectors of the concepts' "
        "labels names are drawn to, in place of pairs (Reimers and Gurevych 2020): half the work "
        "a name, and every label to be told apart from. It has to be as wide as the base.",
        examples=["models/teacher"],
    )
    memory: int = Field(
        65_536,
        ge=0,
        description="Concepts whose vectors are remembered, to mine hard negatives from; 0: none.",
    )
    hard_negatives: int = Field(
        8, ge=1, description="Nearest remembered vectors that a name is told apart from."
    )
    refresh_steps: int = Field(
        0,
        ge=0,
        description="Steps after which the memory is filled anew with the concepts' labels, by the "
        "model as it stands; 0: it holds what the latest steps have read.",
    )
    held_out: int = Field(100, ge=0, description="Names of each language that nothing is told of.")


def read_settings(config: Path | None, given: Sequence[str], model: type[M]) -> M:
    """Settings of a training from a TOML file and from KEY=VALUE strings, which go before it.

    Raises:
        FileError: the file is no TOML, or a key in it does not exist or fit; the key is named.
        BioelxError: one given is unknown or its value is refused; the message names it.
    """
    values = read_file(config, model).model_dump(exclude_unset=True) if config else {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals:
            raise BioelxError(f"--set {each}: give KEY=VALUE")
        values[key.strip()] = _value(value.strip())
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BioelxError(f"training settings: {fault(error, model)}") from None


def _value(text: str) -> Any:
    """A value as TOML writes it; what is no TOML is taken for a string without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
