"""An encoder as a sentence-transformers folder, on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bioelx.encoding.encoder import EncoderCard
from bioelx.errors import FileError, InstallationError

try:
    import torch
    from sentence_transformers import SentenceTransformer
except ImportError:
    raise InstallationError(
        "this encoder needs torch and sentence-transformers: pip install 'bioelx[torch]'"
    ) from None


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
        return self._model.encode(
            [self.card.prefix + text for text in texts],
            batch_size=128,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
            prompt="",
        ).astype(np.float32)
