"""How the small ranker is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from bioelx.toml_file import FilePath

LISTS_FILE, RANKER = "lists.parquet", "ranker"
"""What lies in the folder of a training beside settings, checkpoints, log and model: what it learns
from, and the finished ranker."""


class RankerSettings(BaseModel):
    """What `bioelx train ranker` can set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        "intfloat/multilingual-e5-small",
        description="Hugging Face model, BERT or XLM-R, that gives pieces, positions and, without "
        "an encoder, layers: a hub id or a folder.",
    )
    encoder: FilePath | None = Field(
        None,
        description="Folder of a shipped int8 encoder, trained from the same base, whose layers "
        "to begin with.",
        examples=["models/bioelx-e5-small-int8"],
    )
    origin: str = Field(
        "", description="Model that the card names as the base; empty: base, without its path."
    )
    name: str = Field("bioelx-ranker-int8", description="Of the ranker, shown to users.")
    layers: int = Field(
        6, ge=1, description="Layers, evenly chosen of the base's: half of them, half the time."
    )
    pieces: int = Field(
        80_000,
        ge=0,
        description="Pieces of the vocabulary, those that names, descriptions and contexts use "
        "most: what decides on the size of the ranker; 0 keeps all.",
    )
    window_tokens: int = Field(64, ge=8, description="Budget for a mention in its context.")
    candidate_tokens: int = Field(48, ge=8, description="Budget for a candidate.")

    names: int = Field(60_000, ge=0, description="Mentions made of names, over all languages.")
    ambiguous: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of these that are names of several concepts, which only a context "
        "tells apart.",
    )
    bare: float = Field(
        0.2, ge=0, le=1, description="Share of mentions made of names that have no context."
    )
    quoted: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of mentions made of names that stand in another concept's description, "
        "where some does mention the concept.",
    )
    passages: FilePath | None = Field(
        None,
        description="Parquet of definitions in more languages, columns curie, lang, text "
        "(python -m bioelx_index.train.ranker.passages).",
        examples=["passages.parquet"],
    )
    bc5cdr: FilePath | None = Field(
        None,
        description="Folder that holds BC5CDR, whose train part is learnt from and whose dev part "
        "it is judged by; the test part is never read.",
        examples=["benchmarks"],
    )
    bc5cdr_share: float = Field(0.3, ge=0, le=1, description="Share of BC5CDR in what is drawn.")
    held_out: float = Field(
        0.05, gt=0, lt=1, description="Share of the concepts that nothing is told of."
    )
    judged: int = Field(1000, ge=1, description="Mentions of each kind that it is judged by.")

    steps: int = Field(3000, ge=1, description="Steps of the optimiser.")
    batch: int = Field(16, ge=1, description="Mentions in a step.")
    candidates: int = Field(
        8,
        ge=2,
        description="Candidates of a mention that a step reads: the right one and the best of the "
        "others.",
    )
    rate: float = Field(1e-4, gt=0, description="Learning rate after its warm-up.")
    head_rate: float = Field(
        2e-3, gt=0, description="Learning rate of what the base does not have: segments and head."
    )
    warm_up_steps: int = Field(100, ge=0, description="Steps in which the rate rises.")
    decay: float = Field(0.3, ge=0, le=1, description="Share of the steps, the last, it falls in.")
    seed: int = Field(20261130, description="Of all that is drawn.")
    checkpoint_steps: int = Field(100, ge=1, description="Steps between two checkpoints.")
    judge_steps: int = Field(500, ge=1, description="Steps between two looks at held-out mentions.")
    bf16: Literal["auto", "on", "off"] = Field(
        "auto", description="bfloat16 products; auto: where the processor or GPU has them."
    )
    embeddings: bool = Field(
        False, description="Train the table of pieces too, not only the layers."
    )
