"""What every ranker promises, and how one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from bioelx.errors import FileError
from bioelx.ranking.card import CARD_FILE
from bioelx.ranking.window import Window
from bioelx.types import Candidate

Precision = Literal["auto", "float32", "bfloat16"]


class Ranker(Protocol):
    """Judges whether candidates are what a mention means in its context."""

    name: str
    below: float
    """`auto` asks it where retrieval's confidence in its first candidate is lower; 0: never."""

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        """The log-odds that each candidate is meant, in the candidates' order.

        A candidate's value does not depend on the others.

        Raises:
            MemoryError: there is none, even for one candidate at a time.
        """
        ...


def open_ranker(model: str, *, threads: int = 0, precision: Precision = "auto") -> Ranker:
    """Opens a reranker: a cross-encoder by its folder, which holds `ranker.json`, or a causal
    language model by its folder or hub id.

    Args:
        threads: of its computations; 0 takes all cores.
        precision: of a language model's weights; "auto" is bfloat16 on a GPU and float32 on a CPU.

    Raises:
        InstallationError: torch or transformers is not installed, and the model needs them.
        FileError: the folder holds no such model, or a cross-encoder, which knows but one
            precision, is asked for another.
    """
    if (Path(model) / CARD_FILE).is_file():
        if precision != "auto":
            raise FileError(model, f"its weights are int8, and cannot be read as {precision}")
        from bioelx.ranking.onnx import OnnxRanker

        return OnnxRanker(Path(model), threads=threads)
    from bioelx.ranking.qwen import QwenRanker

    return QwenRanker(model, threads=threads, precision=precision)
