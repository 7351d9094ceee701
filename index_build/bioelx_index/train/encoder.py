"""The journey of an encoder: names -> held-out names -> base model -> training -> export.

Stage one of BioELX (arXiv 2605.27380): SapBERT's self-alignment (Liu et al. 2021) on names in all
languages. What a kill costs is the steps since the last checkpoint; the same command goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Features, IterableDataset, Value
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from transformers import TrainerCallback, TrainerControl, TrainerState

from bioelx.encoding import open_encoder
from bioelx.encoding.encoder import HELD_OUT_FILE
from bioelx.errors import BioelxError
from bioelx_index.progress import Stage, Stages
from bioelx_index.train.export import Bits, export, write_card
from bioelx_index.train.heldout import held_out_file, read_trial, untold
from bioelx_index.train.history import write_history
from bioelx_index.train.judge import HeldOutEvaluator
from bioelx_index.train.loss import AlignmentLoss, TeacherLoss
from bioelx_index.train.memory import KeepMemory, RefreshMemory
from bioelx_index.train.names import (
    read_titles,
    read_words,
    speaking,
    without_near_duplicates,
)
from bioelx_index.train.running import (
    Clock,
    ShowProgress,
    arguments_of,
    first_step,
    is_first_process,
    keep_settings,
    train_on,
)
from bioelx_index.train.sampler import Sampler
from bioelx_index.train.settings import CHECKPOINTS, ENCODER, MODEL, TrainSettings
from bioelx_index.vectors import encode_names

STABLE = "stable"
_BEFORE = {"near_duplicates": True, "transliterated": False}
"""What trainings did before these keys came in."""
MAX_TOKENS = 64  # of what the exported encoder reads


@dataclass(frozen=True)
class Data:
    """What is drawn from, and what is held out of it."""

    sampler: Sampler
    evaluator: HeldOutEvaluator | None
    held_out: Sequence[str]


def train_encoder(
    tables: Path, settings: TrainSettings, out: Path, stages: Stages, cache: Path | None = None
) -> Path:
    """Trains an encoder, or goes on where an earlier call was stopped.

    Args:
        tables: folder with names.arrow, such as a release.
        out: folder of the training: settings, checkpoints, loss curve, model, encoder.
        cache: of vectors, where a teacher's are kept; by default within `out`.

    Returns:
        The folder of the finished encoder, with its card. Of several processes that train together,
        as torchrun starts them, the first alone writes it.

    Raises:
        FileError: a file is missing or not what it should be.
        BioelxError: `out` holds a training with other settings, or there is nothing to learn from.
    """
    keep_settings(settings, out, _BEFORE)
    if (out / ENCODER).is_dir():
        return out / ENCODER
    with stages.stage("names") as stage:
        data = read_data(tables, settings, stage)
    with stages.stage("base model") as stage:
        model = open_base(settings)
        stage.result = f"{settings.base}, {_trained(model):,} weights to train"
    first = first_step(out)
    loss = _loss(model, data, settings, cache or out / "vectors", first, stages)
    with stages.stage("train", total=settings.steps, done=first) as stage:
        history = _train(model, data, loss, settings, out, stage)
        stage.result = f"{settings.steps:,} steps of {settings.batch} names"
    if not is_first_process():
        return out / ENCODER
    write_history(history, out)
    with stages.stage("export") as stage:
        model.save_pretrained(str(out / MODEL))
        encoder = _export(model, data.held_out, settings, out)
        stage.result = str(encoder)
    return encoder


def read_data(tables: Path, settings: TrainSettings, stage: Stage) -> Data:
    """Reads the names and titles; the names that are held out are those of the base, if it says so,
    and else the same for equal seeds."""
    names, known, trial = read_trial(tables, settings, untold([Path(settings.base)]))
    held_out = trial.held_out
    evaluator = HeldOutEvaluator(trial, settings.prefix) if len(held_out) else None
    if not settings.near_duplicates:  # of what is learnt from: held out are the same as ever
        known = without_near_duplicates(known)
    titles = None
    if settings.titles and settings.titles_share:
        titles = read_titles(settings.titles, names, settings.titles_items, settings.longest)
    if settings.words:
        known += read_words(settings.words, held_out, settings.longest)
    if settings.languages:
        known = speaking(known, settings.languages)
        titles = speaking(titles, settings.languages) if titles is not None else None
    stage.result = f"{len(known):,} names, {len(held_out):,} more held out" + (
        f", {len(titles):,} titles" if titles is not None else ""
    )
    return Data(Sampler(known, titles, settings), evaluator, held_out.texts.tolist())


def open_base(settings: TrainSettings) -> SentenceTransformer:
    """Opens the base model, without dropout: there are more pairs than steps.

    Raises:
        BioelxError: it is neither a folder nor a hub's.
    """
    on_cpu = not torch.cuda.is_available()
    try:
        model = SentenceTransformer(
            settings.base,
            device="cpu" if on_cpu else None,
            # torch's fused attention is made for long texts: names of ten pieces cost a fifth more.
            model_kwargs={"attn_implementation": "eager"} if on_cpu else None,
        )
    except (OSError, ValueError) as error:
        raise BioelxError(f"base {settings.base}: cannot be opened ({error})") from None
    model.max_seq_length = settings.max_pieces
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name, weights in model.named_parameters():
        if "word_embeddings" in name:
            weights.requires_grad = settings.embeddings
    return model


def _loss(
    model: SentenceTransformer,
    data: Data,
    settings: TrainSettings,
    cache: Path,
    first: int,
    stages: Stages,
) -> torch.nn.Module:
    dimension = model.get_embedding_dimension()
    if settings.teacher is None:
        return AlignmentLoss(model, settings, dimension)
    teacher = open_encoder(settings.teacher)
    if teacher.card.dimension != dimension:
        raise BioelxError(
            f"teacher {settings.teacher}: is {teacher.card.dimension} wide, the base {dimension}"
        )
    names = data.sampler.names
    rows = names.label_rows()
    texts = list(dict.fromkeys(names.texts[rows]))
    with stages.stage("teacher", total=len(texts)) as stage:
        vectors, encoded = encode_names(texts, teacher, cache, stage.advance)
        stage.result = f"{teacher.card.name}: {len(rows):,} labels, {encoded:,} of them encoded"
    at = {text: row for row, text in enumerate(texts)}
    labels = torch.from_numpy(vectors[[at[text] for text in names.texts[rows]]])
    concepts = torch.from_numpy(names.concepts[rows])
    return TeacherLoss(model, settings, concepts, labels, first)


def _train(
    model: SentenceTransformer,
    data: Data,
    loss: torch.nn.Module,
    settings: TrainSettings,
    out: Path,
    stage: Stage,
) -> list[dict[str, Any]]:
    """Trains `model` to its last step and returns what was logged on the way."""
    first = first_step(out)
    arguments = _arguments(settings, out, judged=data.evaluator is not None)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=_dataset(data.sampler, settings, first, arguments.world_size),
        loss=loss,
        evaluator=data.evaluator,
        callbacks=[
            ShowProgress(stage),
            Clock(),
            *_of_memory(loss, data, settings, out / CHECKPOINTS),
            _KeepStable(settings, out),
        ],
    )
    return train_on(trainer, out)


def _of_memory(
    loss: torch.nn.Module, data: Data, settings: TrainSettings, checkpoints: Path
) -> list[TrainerCallback]:
    """What keeps the memory of a loss that has one, and fills it anew if that is asked for."""
    if not isinstance(loss, AlignmentLoss) or not len(loss.memory):
        return []
    kept: list[TrainerCallback] = [KeepMemory(loss.memory, checkpoints)]
    if settings.refresh_steps:
        kept.append(RefreshMemory(loss.memory, data.sampler.names, settings))
    return kept


def _arguments(
    settings: TrainSettings, out: Path, *, judged: bool
) -> SentenceTransformerTrainingArguments:
    return SentenceTransformerTrainingArguments(
        **arguments_of(settings, out, judged=judged),
        # The pairs of a step follow from its number: nothing has to be read to be passed over.
        ignore_data_skip=True,
        # Each of several processes reads and pads a batch of its own.
        accelerator_config={"dispatch_batches": False},
    )


def _dataset(
    sampler: Sampler, settings: TrainSettings, first: int, processes: int
) -> IterableDataset:
    """Names and their concepts, a draw's after another's, from step `first` on; in a step each
    process takes a draw."""

    draw = sampler.names_of if settings.teacher else sampler.pairs_of

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(first * processes, settings.steps * processes):
            texts, concepts = draw(number)
            for text, concept in zip(texts, concepts.tolist(), strict=True):
                yield {"name": settings.prefix + text, "label": concept}

    features = Features({"name": Value("string"), "label": Value("int64")})
    return IterableDataset.from_generator(rows, features=features)


class _KeepStable(TrainerCallback):
    """Keeps the checkpoint before the learning rate falls: from there a training is prolonged."""

    def __init__(self, settings: TrainSettings, out: Path) -> None:
        self._last_stable = settings.steps - round(settings.decay * settings.steps)
        self._out = out

    def on_step_end(self, _: Any, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        if state.global_step == self._last_stable:
            control.should_save = True

    def on_save(self, _: Any, state: TrainerState, __: TrainerControl, **___: Any) -> None:
        if state.global_step == self._last_stable and state.is_world_process_zero:
            checkpoint = self._out / CHECKPOINTS / f"checkpoint-{state.global_step}"
            shutil.copytree(checkpoint, self._out / STABLE, dirs_exist_ok=True)


def _export(
    model: SentenceTransformer, held_out: Sequence[str], settings: TrainSettings, out: Path
) -> Path:
    """int8 ONNX for what has a small table of pieces; else the model itself, for torch."""
    draft = out / f"{ENCODER}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    (out / MODEL / HELD_OUT_FILE).write_bytes(held_out_file(held_out))
    base = Path(settings.base).name if Path(settings.base).is_dir() else settings.base
    base = settings.origin or base
    said = {"name": settings.name, "base": base, "prefix": settings.prefix}
    if settings.export == "onnx":
        export(out / MODEL, draft, **said, max_tokens=MAX_TOKENS, table_bits=Bits.FOUR)
    else:
        shutil.copytree(out / MODEL, draft)
        dimension = model.get_embedding_dimension()
        files = [str(path.relative_to(draft)) for path in draft.rglob("*") if path.is_file()]
        write_card(draft, files, **said, format="torch", dimension=dimension, max_tokens=MAX_TOKENS)
    draft.rename(out / ENCODER)
    return out / ENCODER


def _trained(model: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
