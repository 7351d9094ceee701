"""A small cross-encoder as ranker: an int8 ONNX graph on the CPU, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from bioelx.errors import FileError
from bioelx.graphs import open_graph, run_graph
from bioelx.ranking.batches import batches
from bioelx.ranking.card import read_below, read_card
from bioelx.ranking.pairs import PairBuilder, Pieces
from bioelx.ranking.window import Window
from bioelx.types import Candidate

MODEL_FILE, TOKENIZER_FILE = "model.onnx", "tokenizer.json"
INPUTS = ("input_ids", "attention_mask", "segments")
_BATCH = 16  # candidates read together: bounds the memory, whatever top_k a caller asks for


class OnnxRanker:
    """Runs `model.onnx`: input_ids, attention_mask, segments int64 [n, t] -> log_odds float32 [n].

    Args:
        folder: with `ranker.json` and the files that it names.
        threads: 0 takes all cores.

    Raises:
        FileError: a file is missing, damaged, or not what the card says.
    """

    device = "cpu"

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        card = read_card(folder)
        self.name = card.name
        self.below = read_below(str(folder))
        self._session = open_graph(folder / MODEL_FILE, threads=threads)
        if found := {each.name for each in self._session.get_inputs()} ^ set(INPUTS):
            raise FileError(folder / MODEL_FILE, f"not a cross-encoder (input {min(found)})")
        try:
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            self._pairs = PairBuilder(
                tokenizer,
                window_tokens=card.window_tokens,
                candidate_tokens=card.candidate_tokens,
            )
        except Exception as error:  # tokenizers raises bare Exception
            raise FileError(folder / TOKENIZER_FILE, f"not a tokenizer ({error})") from None

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        """See `Ranker.log_odds`."""
        head = self._pairs.head(window)
        pairs = [head + self._pairs.tail(candidate) for candidate in candidates]
        log_odds = [0.0] * len(pairs)
        for batch in batches([len(pair.ids) for pair in pairs], _BATCH):
            for i, score in zip(batch, self._scores([pairs[i] for i in batch]), strict=True):
                log_odds[i] = score
        return log_odds

    def _scores(self, pairs: Sequence[Pieces]) -> list[float]:
        """As `_run`; in halves, where there is no memory for all at once."""
        try:
            return self._run(pairs)
        except MemoryError:
            if len(pairs) == 1:
                raise
        half = len(pairs) // 2
        return self._scores(pairs[:half]) + self._scores(pairs[half:])

    def _run(self, pairs: Sequence[Pieces]) -> list[float]:
        shape = len(pairs), max(len(pair.ids) for pair in pairs)
        feed = {name: np.zeros(shape, np.int64) for name in INPUTS}
        for row, (ids, segments) in enumerate(pairs):
            read = slice(len(ids))
            feed["input_ids"][row, read] = ids
            feed["attention_mask"][row, read] = 1
            feed["segments"][row, read] = segments
        scores: list[float] = run_graph(self._session, "log_odds", feed).tolist()
        return scores
