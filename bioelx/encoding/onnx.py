"""An encoder as an ONNX graph on the CPU, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from bioelx.encoding.encoder import EncoderCard
from bioelx.errors import FileError
from bioelx.graphs import open_graph, run_graph

_BATCH_TOKENS = 1024  # padded tokens in one run: large enough for the cores, small enough to cache


class OnnxEncoder:
    """Runs `model.onnx`: input_ids, attention_mask int64 [n, t] -> embedding float32 [n, dim]."""

    device = "cpu"

    def __init__(self, folder: Path, card: EncoderCard, *, threads: int = 0) -> None:
        self.card = card
        self._session = open_graph(folder / "model.onnx", threads=threads)
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
        for rows in _batches([len(ids) for ids in tokens]):
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


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Splits rows, sorted by length, into batches of about `_BATCH_TOKENS` padded tokens."""
    batches: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches and (len(batches[-1]) + 1) * lengths[row] <= _BATCH_TOKENS:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
