"""What every ranker promises, and how one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from bioelx.ranking.window import Window
from bioelx.types import Candidate

Precision = Literal["auto", "float32", "bfloat16"]


class Ranker(Protocol):
    """Judges whether candidates are what a mention means in its context."""

    name: str

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        """The log-odds that each candidate is meant, in the candidates' order.

        A candidate's value does not depend on the others.

        Raises:
            MemoryError: there is none, even for one candidate at a time.
        """
        ...


def open_ranker(model: str, *, threads: int = 0, precision: Precision = "auto") -> Ranker:
    """Opens a reranker by the folder or hub id of a causal language model.

    Args:
        threads: of its computations; 0 takes all cores.
        precision: of its weights; "auto" is bfloat16 on a GPU and float32 on a CPU.

    Raises:
        InstallationError: torch or transformers is not installed.
        FileError: the folder holds no such model.
    """
    from bioelx.ranking.qwen import QwenRanker

    return QwenRanker(model, threads=threads, precision=precision)
