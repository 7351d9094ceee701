"""An encoder as a sentence-transformers folder, on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioelx.encoding.encoder import EncoderCard
from bioelx.errors import FileError, needing

with needing("torch", "this encoder"):
    import torch
    from sentence_transformers import SentenceTransformer

_BATCH = 128  # texts in one run
_NO_MEMORY_ON_CPU = "DefaultCPUAllocator: can't allocate memory"  # torch has no type for it


class TorchEncoder:
    """Runs the sentence-transformers model that lies beside the card; bf16 on a GPU."""

    def __init__(self, folder: Path, card: EncoderCard, *, threads: int = 0) -> None:
        self.card = card
        if threads:
            torch.set_num_threads(threads)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model = SentenceTransformer(
                str(folder), device=self.device, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise FileError(folder, f"not a sentence-transformers folder ({error})") from None
        if self.device == "cuda":
            self._model.to(torch.bfloat16)
        self._model.max_seq_length = card.max_tokens

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """See `Encoder.encode`."""
        return self.embed(self.tokenise(texts))

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """See `Encoder.tokenise`."""
        if not texts:
            return []
        prefixed = [self.card.prefix + text for text in texts]
        tokens: list[list[int]] = self._model.tokenizer(
            prefixed, truncation=True, max_length=self.card.max_tokens
        )["input_ids"]
        return tokens

    def embed(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """See `Encoder.embed`; texts of like length run together, so little is padding."""
        vectors = np.empty((len(tokens), self.card.dimension), np.float32)
        by_length = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        for start in range(0, len(tokens), _BATCH):
            rows = by_length[start : start + _BATCH]
            try:
                vectors[rows] = self._run([tokens[row] for row in rows])
            except RuntimeError as error:
                if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY_ON_CPU in str(error):
                    raise MemoryError from error
                raise
        return vectors

    def _run(self, ids: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        padded = self._model.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        features = {name: part.to(self.device) for name, part in padded.items()}
        with torch.inference_mode():
            vectors = self._model(features)["sentence_embedding"]
        return torch.nn.functional.normalize(vectors, dim=1).float().cpu().numpy()
