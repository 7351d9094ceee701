"""The journey of a small ranker: contexts -> candidates -> base model -> training -> export.

What a kill costs is the steps since the last checkpoint; the same command goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments

from bioelx.errors import BioelxError, FileError
from bioelx.kb import KnowledgeBase
from bioelx.linker import Linker
from bioelx.ranking import Window
from bioelx.ranking.onnx import INPUTS, OnnxRanker
from bioelx.ranking.pairs import PairBuilder
from bioelx.types import Candidate
from bioelx_index.progress import Stage, Stages
from bioelx_index.train.export import read_parent
from bioelx_index.train.history import last_checkpoint, write_history
from bioelx_index.train.ranker import mentions as kinds
from bioelx_index.train.ranker.export import export_ranker
from bioelx_index.train.ranker.judge import GAIN, judge
from bioelx_index.train.ranker.lists import Choice, Lists, mine, read_lists, write_lists
from bioelx_index.train.ranker.mentions import Contexts, Mention, made_of_names, of_bc5cdr
from bioelx_index.train.ranker.model import CrossEncoder, from_base, list_loss, save
from bioelx_index.train.ranker.model_card import write_model_card
from bioelx_index.train.ranker.passages import Passage, read_passages
from bioelx_index.train.ranker.settings import LISTS_FILE, RANKER, RankerSettings
from bioelx_index.train.restore import read_weights
from bioelx_index.train.running import (
    WEIGHT_DECAY,
    Clock,
    ShowProgress,
    arguments_of,
    first_step,
    is_first_process,
    keep_settings,
    train_on,
)
from bioelx_index.train.settings import MODEL
from bioelx_index.train.vocabulary import cut

BASE = "base"
_OF_NAMES = (kinds.OWN, kinds.QUOTED, kinds.BARE, kinds.AMBIGUOUS)
_JUDGED = (*_OF_NAMES, kinds.JUDGED_CORPUS)
_LEVELLED_BY = 32  # mentions whose scores are zero on average when a training begins


def train_ranker(release: Path, settings: RankerSettings, out: Path, stages: Stages) -> Path:
    """Trains a ranker, or goes on where an earlier call was stopped.

    Args:
        release: whose knowledge base is learnt from, and whose index proposes candidates.
        out: folder of the training: settings, lists, checkpoints, loss curve, model, ranker.

    Returns:
        The folder of the finished ranker, with its card.

    Raises:
        FileError: a file is missing or not what it should be.
        BioelxError: `out` holds a training with other settings, or there is nothing to learn from.
    """
    keep_settings(settings, out)
    if (out / RANKER).is_dir():
        return out / RANKER
    lists = _mine(release, settings, out, stages)
    with stages.stage("base model") as stage:
        base = _base(release, settings, out)
        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        pairs = _pairs(tokenizer, settings)
        encoder = read_weights(settings.encoder) if settings.encoder else None
        parent = read_parent(base)
        model = from_base(parent, encoder, settings.layers, pairs.longest, settings.seed)
        for name, weights in model.named_parameters():
            weights.requires_grad = settings.embeddings or "word_embeddings" not in name
        trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
        stage.result = f"{settings.layers} layers, {trained:,} weights to train"
    judged = _judged(lists, settings)
    with stages.stage("train", total=settings.steps, done=first_step(out)) as stage:
        history = _train(model, lists, judged, pairs, settings, out, stage)
        stage.result = f"{settings.steps:,} steps of {settings.batch} mentions"
    if not is_first_process():
        return out / RANKER
    write_history(history, out, f"eval_{GAIN}", "held-out mentions, gain in R@1")
    with stages.stage("export") as stage:
        save(model, out / MODEL)
        ranker, size = _export(release, judged, tokenizer, settings, out)
        stage.result = f"{ranker}, {size / 1e6:.1f} MB"
    return ranker


def _mine(release: Path, settings: RankerSettings, out: Path, stages: Stages) -> Lists:
    """The lists to learn from and to be judged by; they are made once."""
    path = out / LISTS_FILE
    if not path.exists():
        linker = Linker.open(release)
        kb = linker.knowledge_base
        with stages.stage("contexts") as stage:
            passages = read_passages(settings.passages) if settings.passages else []
            found = list(_mentions(kb, passages, settings))
            stage.result = f"{len(found):,} mentions, {len(passages):,} passages"
        with stages.stage("candidates", total=len(found)) as stage:
            write_lists(mine(found, linker, stage.advance), path)
    lists = read_lists(path)
    if not len(lists.of(_OF_NAMES, held_out=False)):
        raise BioelxError("no mention to learn from")
    return lists


def _mentions(
    kb: KnowledgeBase, passages: Sequence[Passage], settings: RankerSettings
) -> Iterator[Mention]:
    yield from made_of_names(kb, Contexts(kb, passages), settings)
    if settings.bc5cdr:
        yield from of_bc5cdr(kb, settings.bc5cdr, "train")
        judged = list(of_bc5cdr(kb, settings.bc5cdr, "dev"))
        yield from judged[:: max(1, len(judged) // settings.judged)][: settings.judged]


def _judged(lists: Lists, settings: RankerSettings) -> list[Lists]:
    """Held-out mentions of each kind."""
    found = [lists.of([kind], held_out=True).first(settings.judged) for kind in _JUDGED]
    return [each for each in found if len(each)]


def _base(release: Path, settings: RankerSettings, out: Path) -> Path:
    """The base's folder, its vocabulary cut to what the texts of the release need."""
    folder = Path(settings.base)
    if not folder.is_dir():
        try:
            folder = Path(
                snapshot_download(settings.base, allow_patterns=["*.json", "*.safetensors"])
            )
        except (OSError, HfHubHTTPError, HFValidationError) as error:
            raise BioelxError(f"base {settings.base}: cannot be opened ({error})") from None
    if not settings.pieces:
        return folder
    target = out / BASE
    if not (target / "tokenizer.json").exists():  # written last
        cut(folder, _texts(KnowledgeBase.open(release), out), settings.pieces, target)
    return target


def _texts(kb: KnowledgeBase, out: Path) -> Iterator[str]:
    """All that a ranker of this knowledge base may read, as far as is known: names,
    descriptions and the contexts of the training."""
    yield from (name.text for name in kb.names(range(kb.name_count)))
    yield from (concept.description for concept in kb.concepts(range(kb.concept_count)))
    lists = read_lists(out / LISTS_FILE)
    for at in range(len(lists)):
        window = lists[at].window
        yield f"{window.before} {window.after}"


def _pairs(tokenizer: Tokenizer, settings: RankerSettings) -> PairBuilder:
    return PairBuilder(
        tokenizer,
        window_tokens=settings.window_tokens,
        candidate_tokens=settings.candidate_tokens,
    )


class Draws(Dataset[Choice]):
    """The mentions of all steps, one after the other: what a step draws depends on the seed and
    its number alone."""

    def __init__(self, lists: Lists, settings: RankerSettings) -> None:
        of_corpus = lists.of([kinds.CORPUS], held_out=False)
        self._pools = [
            (settings.bc5cdr_share if len(of_corpus) else 0.0, of_corpus),
            (1.0, lists.of(_OF_NAMES, held_out=False)),
        ]
        self._settings = settings

    def __len__(self) -> int:
        return self._settings.steps * self._settings.batch

    def __getitem__(self, number: int) -> Choice:
        rng = np.random.default_rng((self._settings.seed, number))
        pool = next(pool for share, pool in self._pools if rng.random() < share)
        return fewer(pool[int(rng.integers(len(pool)))], self._settings.candidates)


def fewer(choice: Choice, count: int) -> Choice:
    """The right candidates and the best of the others, so many in all, in their order."""
    order = sorted(range(len(choice.right)), key=lambda at: (not choice.right[at], at))
    kept = sorted(order[:count])
    return Choice(
        choice.kind,
        choice.window,
        [choice.candidates[at] for at in kept],
        [choice.priors[at] for at in kept],
        [choice.right[at] for at in kept],
    )


def collate(choices: Sequence[Choice], pairs: PairBuilder) -> dict[str, Tensor]:
    """A batch: the pieces of all pairs [pairs, t], and by mention [mentions, candidates] the
    priors, which candidates are right, and which are there."""
    read = []
    for choice in choices:
        head = pairs.head(choice.window)
        read += [head + pairs.tail(candidate) for candidate in choice.candidates]
    columns = (
        [torch.tensor(pair.ids) for pair in read],
        [torch.ones(len(pair.ids), dtype=torch.long) for pair in read],
        [torch.tensor(pair.segments) for pair in read],
    )
    batch = {
        name: pad_sequence(column, batch_first=True)
        for name, column in zip(INPUTS, columns, strict=True)
    }
    priors = [torch.tensor(choice.priors) for choice in choices]
    right = [torch.tensor(choice.right) for choice in choices]
    there = [torch.ones(len(choice.right), dtype=torch.bool) for choice in choices]
    return batch | {
        "priors": pad_sequence(priors, batch_first=True),
        "right": pad_sequence(right, batch_first=True),
        "there": pad_sequence(there, batch_first=True),
    }


class RankerTrainer(Trainer):
    """transformers' trainer with this loss, these draws, and this way of judging."""

    judged: Sequence[Lists]
    pairs: PairBuilder

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        scores = model(**{name: inputs[name] for name in INPUTS})
        there = inputs["there"]
        # Retrieval's log-odds and the ranker's add up when a release serves, so they do here: what
        # is learnt is what retrieval does not know.
        both = inputs["priors"].masked_scatter(there, inputs["priors"][there] + scores)
        return list_loss(both, inputs["right"], there)

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return SequentialSampler(self.train_dataset)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        model = self.model
        model.eval()

        def log_odds(window: Window, candidates: Sequence[Candidate]) -> list[float]:
            choice = Choice("", window, list(candidates), [0.0] * len(candidates), [])
            choice.right.extend([False] * len(candidates))
            batch = self._prepare_inputs(collate([choice], self.pairs))
            with torch.inference_mode(), self.autocast_smart_context_manager():
                scores: list[float] = model(**{name: batch[name] for name in INPUTS}).tolist()
            return scores

        found = _judge_all(self.judged, log_odds)
        model.train()
        found = {f"eval_{name}": value for name, value in found.items()}
        self.log(found)
        return found


def _judge_all(judged: Iterable[Lists], log_odds: Any) -> dict[str, float]:
    of_kinds = [judge(lists, log_odds) for lists in judged]
    scores = {name: value for each in of_kinds for name, value in each.items()}
    return scores | {GAIN: float(np.mean([each[GAIN] for each in of_kinds])) if of_kinds else 0.0}


def _train(
    model: CrossEncoder,
    lists: Lists,
    judged: Sequence[Lists],
    pairs: PairBuilder,
    settings: RankerSettings,
    out: Path,
    stage: Stage,
) -> list[dict[str, Any]]:
    """Trains `model` to its last step and returns what was logged on the way."""
    draws = Draws(lists, settings)
    if last_checkpoint(out) is None:
        level(model, [draws[number] for number in range(min(_LEVELLED_BY, len(draws)))], pairs)
    trainer = RankerTrainer(
        model=model,
        args=TrainingArguments(
            **arguments_of(settings, out, judged=bool(judged)),
            remove_unused_columns=False,
        ),
        data_collator=lambda choices: collate(choices, pairs),
        train_dataset=draws,
        eval_dataset=lists,  # type: ignore[arg-type]  # only to be there: `evaluate` is ours
        optimizers=(_optimizer(model, settings), None),
        callbacks=[ShowProgress(stage), Clock()],
    )
    trainer.judged, trainer.pairs = judged, pairs
    return train_on(trainer, out)


def level(model: CrossEncoder, choices: Sequence[Choice], pairs: PairBuilder) -> None:
    """Shifts the scores so that they are zero on average: a ranker begins without an opinion on
    how likely a candidate is at all, which retrieval has."""
    with torch.inference_mode():
        scores = [
            model(**{name: batch[name] for name in INPUTS})
            for batch in (collate([choice], pairs) for choice in choices)
        ]
    model.bias.data -= torch.cat(scores).mean()


def _optimizer(model: CrossEncoder, settings: RankerSettings) -> torch.optim.Optimizer:
    """What the base lacks is learnt faster than what it has."""
    own: list[nn.Parameter] = []
    of_base: list[nn.Parameter] = []
    for name, weights in model.named_parameters():
        if weights.requires_grad:
            new = not name.startswith("body.") or "token_type" in name
            (own if new else of_base).append(weights)
    groups = [{"params": of_base, "lr": settings.rate}, {"params": own, "lr": settings.head_rate}]
    return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)


def _export(
    release: Path,
    judged: Sequence[Lists],
    tokenizer: Tokenizer,
    settings: RankerSettings,
    out: Path,
) -> tuple[Path, int]:
    """Exports the model, and judges what comes of it, in int8, for its card."""
    draft = out / f"{RANKER}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    base = Path(settings.base).name if Path(settings.base).is_dir() else settings.base
    base = settings.origin or base
    try:
        size = export_ranker(
            read_parent(out / MODEL),
            tokenizer,
            draft,
            name=settings.name,
            base=base,
            window_tokens=settings.window_tokens,
            candidate_tokens=settings.candidate_tokens,
        )
    except KeyError as error:
        raise FileError(out / MODEL, f"lacks {error}") from None
    scores = _judge_all(judged, OnnxRanker(draft).log_odds)
    write_model_card(draft, release, settings, base, scores, size)
    draft.rename(out / RANKER)
    return out / RANKER, size
