"""The cross-encoder in torch, and its loss.

The score of a pair begins as what the encoder would say: the cosine of the mention, as it stands in
its window, and the candidate. Training bends both, and adds what the first piece has seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from bioelx.errors import BioelxError
from bioelx.ranking.pairs import CANDIDATE, MENTION, SEGMENTS
from bioelx_index.train.export import Floats, Parent
from bioelx_index.train.ranker.export import HEAD

_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"
_SCALE = 60.0  # of the cosine at the beginning: those of a mention's candidates differ by 0.02
_SEGMENTS_APART = 0.2  # at the beginning, in spreads of the positions
_ABSENT = 0.0  # log-odds of "none of them" in the loss, by which the others are measured


class CrossEncoder(nn.Module):
    """ids, mask, segments [n, t] -> log-odds [n]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.body = BertModel(config, add_pooling_layer=False)
        hidden = config.hidden_size
        self.likeness = nn.Parameter(torch.full((hidden,), _SCALE))
        self.first = nn.Parameter(torch.zeros(hidden))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor) -> Tensor:
        states = self.body(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=segments
        ).last_hidden_state.float()
        mention = _sum(states, segments == MENTION)
        candidate = _sum(states, segments == CANDIDATE)
        return (mention * candidate) @ self.likeness + states[:, 0] @ self.first + self.bias


def _sum(states: Tensor, chosen: Tensor) -> Tensor:
    """The direction of the sum of the chosen states."""
    return nn.functional.normalize((states * chosen[..., None]).sum(1), dim=-1)


def list_loss(log_odds: Tensor, right: Tensor, there: Tensor) -> Tensor:
    """Cross-entropy of a softmax over the candidates of each mention and "none of them", whose
    log-odds are 0.

    So a score means something by itself, which a softmax over the candidates alone would not give,
    and a mention without a right candidate teaches too. Where several are right, their share counts
    together.

    Args:
        log_odds: retrieval's and the ranker's together, [mentions, candidates].
        right, there: which are right, and which are no padding, bool [mentions, candidates].
    """
    scores = log_odds.masked_fill(~there, -torch.inf)
    scores = torch.cat([scores, scores.new_full((len(scores), 1), _ABSENT)], 1)
    wanted = torch.cat([right, ~right.any(1, keepdim=True)], 1)
    hit = scores.masked_fill(~wanted, -torch.inf)
    return (scores.logsumexp(1) - hit.logsumexp(1)).mean()


def from_base(
    base: Parent, encoder: Mapping[str, Floats] | None, layers: int, longest: int, seed: int
) -> CrossEncoder:
    """A cross-encoder that begins with some layers of a base, or of an encoder trained from it.

    Args:
        encoder: tensors under the names of transformers' BertModel, as `restore.weights` gives.
        longest: pieces of a pair.

    Raises:
        BioelxError: the base has fewer layers or positions than are asked for, or the encoder is
            none of its kind.
    """
    tensors = dict(base.tensors)
    config = base.config
    first = base.first_position
    places = tensors[_POSITIONS][first:] + tensors[_TYPES][0]
    if longest > len(places):
        raise BioelxError(f"base: reads {len(places)} pieces, and a pair may have {longest}")
    if encoder is not None:
        mine = {name: each for name, each in encoder.items() if name.startswith("encoder.layer.")}
        known = {n: t.shape for n, t in tensors.items() if n.startswith("encoder.layer.")}
        if {name: each.shape for name, each in mine.items()} != known:
            raise BioelxError("encoder: its layers are not those of the base")
        norms = {n: t for n, t in encoder.items() if n.startswith("embeddings.LayerNorm.")}
        tensors |= mine | norms
        own = encoder[_POSITIONS]
        places = np.concatenate([own, places[len(own) :]])
    tensors[_POSITIONS] = np.ascontiguousarray(places[:longest])
    # The segments begin almost alike: what they mean is learnt.
    spread = _SEGMENTS_APART * places.std()
    drawn = np.random.default_rng(seed).normal(0, spread, (SEGMENTS, places.shape[1]))
    tensors[_TYPES] = drawn.astype(np.float32)
    total = config["num_hidden_layers"]
    if layers > total:
        raise BioelxError(f"layers: the base has {total}")
    chosen = [round((number + 1) * total / layers) - 1 for number in range(layers)]
    model = CrossEncoder(
        BertConfig(
            vocab_size=len(tensors["embeddings.word_embeddings.weight"]),
            hidden_size=config["hidden_size"],
            num_hidden_layers=layers,
            num_attention_heads=config["num_attention_heads"],
            intermediate_size=config["intermediate_size"],
            max_position_embeddings=longest,
            type_vocab_size=SEGMENTS,
            layer_norm_eps=config["layer_norm_eps"],
            pad_token_id=config["pad_token_id"],
            # More is to be learnt than there are steps for.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    state = {}
    for name in model.body.state_dict():
        source = name
        if name.startswith("encoder.layer."):
            _, _, number, rest = name.split(".", 3)
            source = f"encoder.layer.{chosen[int(number)]}.{rest}"
        state[name] = torch.from_numpy(tensors[source].copy())  # the files may be mapped
    model.body.load_state_dict(state)
    return model


def save(model: CrossEncoder, folder: Path) -> None:
    """Writes config.json and model.safetensors, BERT's own with the head's tensors beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = model.body.config.to_dict()
    config |= {"model_type": "bert", "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tensors = {name: _array(each) for name, each in model.body.state_dict().items()}
    for name in ("likeness", "first", "bias"):
        tensors[f"{HEAD}.{name}"] = _array(getattr(model, name).detach())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _array(tensor: Tensor) -> Floats:
    return np.ascontiguousarray(tensor.float().cpu().numpy())
