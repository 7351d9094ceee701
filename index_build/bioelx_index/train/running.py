"""What the trainings have in common while they run: settings, progress, clock, precision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import orjson
import torch
from pydantic import BaseModel
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from bioelx.disk import write_whole
from bioelx.errors import BioelxError, FileError
from bioelx_index.progress import Stage
from bioelx_index.train.history import NAMES, SECONDS, last_checkpoint, step_of
from bioelx_index.train.ranker.settings import RankerSettings
from bioelx_index.train.settings import CHECKPOINTS, SETTINGS_FILE, TrainSettings

LOG_STEPS = 10
WEIGHT_DECAY = 0.01


def keep_settings(
    settings: BaseModel, out: Path, before: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Writes the settings beside the checkpoints, which are of no other training.

    Args:
        before: what trainings did before a key came in, by the key.

    Raises:
        FileError: what stands there are no settings.
        BioelxError: it holds a training with other settings.
    """
    path = out / SETTINGS_FILE
    said = settings.model_dump(mode="json")
    if path.exists():
        try:
            earlier = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise FileError(path, f"not a training's settings ({error})") from None
        # A key that was not there yet counts as what trainings did without it.
        earlier = type(settings)().model_dump(mode="json") | dict(before) | earlier
        differ = sorted(key for key in earlier if said.get(key) != earlier[key])
        if differ:
            raise BioelxError(
                f"{out}: holds a training with another {', '.join(differ)}: take another folder, "
                "or its settings"
            )
        return
    if is_first_process():
        out.mkdir(parents=True, exist_ok=True)
        # Other processes may be waiting for the whole.
        write_whole(orjson.dumps(said, option=orjson.OPT_INDENT_2), path)


def first_step(out: Path) -> int:
    """The step that a training in `out` goes on from; 0 for none."""
    checkpoint = last_checkpoint(out)
    return step_of(checkpoint) if checkpoint else 0


def is_first_process() -> bool:
    """Whether this process is the only one, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def arguments_of(
    settings: TrainSettings | RankerSettings, out: Path, *, judged: bool
) -> dict[str, Any]:
    """What transformers' TrainingArguments are given in every training."""
    return {
        "output_dir": str(out / CHECKPOINTS),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.batch,
        "learning_rate": settings.rate,
        # Level until the last steps, so that a training can be prolonged from before them.
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {
            "num_decay_steps": round(settings.decay * settings.steps),
            "decay_type": "1-sqrt",
        },
        "warmup_steps": settings.warm_up_steps,
        "weight_decay": WEIGHT_DECAY,
        "seed": settings.seed,
        "use_cpu": not torch.cuda.is_available(),  # transformers wants to be told before bf16
        "bf16": settings.bf16 == "on" or (settings.bf16 == "auto" and has_bf16()),
        "logging_steps": LOG_STEPS,
        "save_steps": settings.checkpoint_steps,
        "save_total_limit": 2,
        "eval_strategy": "steps" if judged else "no",
        "eval_steps": settings.judge_steps,
        "disable_tqdm": True,
        "report_to": "none",
    }


def train_on(trainer: Trainer, out: Path) -> list[dict[str, Any]]:
    """Trains from the last checkpoint in `out` to the last step; returns what was logged.

    Raises:
        BioelxError: it was stopped before.
    """
    checkpoint = last_checkpoint(out)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < trainer.args.max_steps:
        raise BioelxError(f"stopped at step {trainer.state.global_step}; the same command goes on")
    return trainer.state.log_history


def has_bf16() -> bool:
    """Whether this machine computes in bfloat16 faster than in float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class ShowProgress(TrainerCallback):
    """Shows the steps as they are done."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._stage.advance(1)


class Clock(TrainerCallback):
    """Adds to each line of the log how long the training took up to it, over all its runs, and the
    names that it saw: the log is kept in the checkpoints."""

    def on_train_begin(self, _: Any, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        earlier = max((line.get(SECONDS, 0.0) for line in state.log_history), default=0.0)
        self._began = perf_counter() - earlier

    def on_log(
        self,
        arguments: TrainingArguments,
        state: TrainerState,
        _: TrainerControl,
        **__: Any,
    ) -> None:
        of_a_step = arguments.train_batch_size * arguments.world_size
        state.log_history[-1][SECONDS] = round(perf_counter() - self._began, 1)
        state.log_history[-1][NAMES] = state.global_step * of_a_step
