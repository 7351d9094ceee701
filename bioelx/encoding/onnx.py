"""An encoder as an ONNX graph on the CPU, without torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bioelx.encoding.encoder import EncoderCard
from bioelx.errors import FileError
from bioelx.graphs import open_graph, run_graph

_BATCH_TOKENS = 1024  # padded tokens in one run: large enough for the cores, small enough to cache
# Padding that costs one thread as much as one more run. More threads share the padding; what a run
# costs beside its tokens (small operators, one after another) they do not share.
_RUN_TOKENS = 12


class OnnxEncoder:
    """Runs `model.onnx`: input_ids, attention_mask int64 [n, t] -> embedding float32 [n, dim]."""

    device = "cpu"

    def __init__(self, folder: Path, card: EncoderCard, *, threads: int = 0) -> None:
        self.card = card
        self._session = open_graph(folder / "model.onnx", threads=threads)
        self._run_tokens = _RUN_TOKENS * (threads or os.cpu_count() or 1)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exception
            raise FileError(folder / "tokenizer.json", f"not a tokenizer ({error})") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(card.max_tokens)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Encoder.encode`."""
        return self.embed(self.tokenise(texts))

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """See `Encoder.tokenise`."""
        prefix = self.card.prefix
        encodings = self._tokenizer.encode_batch_fast([prefix + text for text in texts])
        return [encoding.ids for encoding in encodings]

    def embed(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """See `Encoder.embed`; texts of like length run together, so little is padding."""
        vectors = np.empty((len(tokens), self.card.dimension), np.float32)
        for rows in _batches([len(ids) for ids in tokens], self._run_tokens):
            vectors[rows] = self._run([tokens[row] for row in rows])
        return vectors

    def _run(self, ids: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        longest = max(map(len, ids))
        input_ids = np.zeros((len(ids), longest), np.int64)
        attention_mask = np.zeros_like(input_ids)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = tokens
            attention_mask[row, : len(tokens)] = 1
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        return run_graph(self._session, "embedding", feed)


def _batches(lengths: Sequence[int], run_tokens: int) -> list[list[int]]:
    """Splits rows, sorted by length, into batches of at most `_BATCH_TOKENS` padded tokens (or one
    row), so that padded tokens and `run_tokens` for each batch are fewest."""
    rows = sorted(range(len(lengths)), key=lengths.__getitem__)
    # Rows of one length stay in one group, so that the plan for many texts takes no longer.
    ends = [n for n in range(1, len(rows)) if lengths[rows[n - 1]] < lengths[rows[n]]]
    ends = [0, *ends, len(rows)] if rows else [0]
    costs, befores = [0], [0]  # by group: the least up to its end, the last one not run with it
    for end in ends[1:]:
        most = _most_rows(longest := lengths[rows[end - 1]])
        found = [
            cost + (end - start) * longest + -(-(end - start) // most) * run_tokens
            for cost, start in zip(costs, ends, strict=False)  # the groups so far
        ]
        costs.append(min(found))
        befores.append(found.index(costs[-1]))
    batches: list[list[int]] = []
    group = len(ends) - 1
    while group:
        start, end = ends[befores[group]], ends[group]
        most = _most_rows(lengths[rows[end - 1]])
        batches += [rows[first : min(first + most, end)] for first in range(start, end, most)]
        group = befores[group]
    return batches


def _most_rows(longest: int) -> int:
    return max(1, _BATCH_TOKENS // longest)
