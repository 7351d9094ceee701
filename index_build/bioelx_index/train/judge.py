"""Held-out names as sentence-transformers' trainer asks for them: an evaluator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from bioelx_index.train.heldout import FOUND, Trial, recalls
from bioelx_index.train.names import Names

_BATCH = 256


class HeldOutEvaluator(SentenceEvaluator):
    """The recalls of a trial by the model as it stands."""

    def __init__(self, trial: Trial, prefix: str) -> None:
        super().__init__()
        self._trial = trial
        self._prefix = prefix
        self.primary_metric = FOUND
        self.greater_is_better = True

    def __call__(
        self,
        model: SentenceTransformer,
        output_path: str | None = None,
        epoch: float = -1,
        steps: int = -1,
    ) -> dict[str, float]:
        held_out = self._encode(model, self._trial.held_out)
        return recalls(self._trial, held_out, self._encode(model, self._trial.candidates))

    def _encode(self, model: SentenceTransformer, names: Names) -> npt.NDArray[np.float32]:
        return model.encode(
            [self._prefix + text for text in names.texts],
            batch_size=_BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32)
