"""The memory of hard negatives, through a training: kept with its checkpoints, and refreshed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback, TrainerState

from bioelx_index.train.loss import Memory
from bioelx_index.train.names import Names
from bioelx_index.train.settings import TrainSettings

_FILE = "memory.safetensors"
_BATCH = 256


class KeepMemory(TrainerCallback):
    """Keeps the memory with each checkpoint, and takes it from there when a training goes on."""

    def __init__(self, memory: Memory, checkpoints: Path) -> None:
        self._memory = memory
        self._checkpoints = checkpoints

    def on_save(self, _: Any, state: TrainerState, *__: Any, **___: Any) -> None:
        if state.is_world_process_zero:
            draft = self._file(state).with_suffix(".draft")
            save_file(self._memory.state_dict(), draft)
            draft.replace(self._file(state))

    def on_train_begin(self, _: Any, state: TrainerState, *__: Any, **___: Any) -> None:
        # Killed between a checkpoint and its memory, a training begins to remember anew.
        if state.global_step and self._file(state).exists():
            self._memory.load_state_dict(load_file(self._file(state)))

    def _file(self, state: TrainerState) -> Path:
        return self._checkpoints / f"checkpoint-{state.global_step}" / _FILE


class RefreshMemory(TrainerCallback):
    """Fills the memory with labels as the model encodes them now: the current index, as far as
    there is room, from which the next steps mine their negatives."""

    def __init__(self, memory: Memory, names: Names, settings: TrainSettings) -> None:
        self._memory = memory
        self._names = names
        self._labels = names.label_rows()
        self._settings = settings

    def on_step_end(
        self, _: Any, state: TrainerState, *__: Any, model: SentenceTransformer, **___: Any
    ) -> None:
        if state.global_step % self._settings.refresh_steps:
            return
        rng = np.random.default_rng((self._settings.seed, state.global_step))
        room = min(len(self._memory), len(self._labels))
        labels = self._names.take(rng.choice(self._labels, room, replace=False))
        was_training = model.training
        vectors = model.encode(
            [self._settings.prefix + text for text in labels.texts],
            batch_size=_BATCH,
            normalize_embeddings=True,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        model.train(was_training)
        concepts = torch.from_numpy(labels.concepts).to(vectors.device)
        self._memory.remember(vectors, concepts)
