"""What training asks of the vectors: names of one concept together, all others apart.

SapBERT's self-alignment (Liu et al. 2021): in a batch of pairs the hard triplets are mined online
and weighted by the multi-similarity loss (Wang et al. 2019). Beside the batch stands a memory of
the latest vectors of many concepts, as in cross-batch memory (Wang et al. 2020): the nearest wrong
ones in it are negatives as hard as those that retrieval meets. It may be filled anew now and then
with the vectors of labels, as an index holds them (Xiong et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_metric_learning.losses import MultiSimilarityLoss, NTXentLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner, TripletMarginMiner
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from bioelx_index.train.settings import TrainSettings

ALPHA, BETA, MARGIN = 1.0, 60.0, 0.2  # SapBERT's, whose code has them
BASE = 0.5
EPSILON = 0.1  # of mining in the memory: pairs this near to the hardest of the other kind
TWINS = 0.95  # labels this near to the right one are the same thing as often as not
SHARDS = 4  # a step looks for hard negatives in one of so many parts of the teacher's labels
CHUNKS = 4  # a batch is read in so many parts, each of names of like length


class AlignmentLoss(nn.Module):
    """The loss of a batch of names and their concepts, for sentence-transformers' trainer."""

    def __init__(self, model: nn.Module, settings: TrainSettings, dimension: int) -> None:
        super().__init__()
        self.model = model
        self.memory = Memory(settings.memory, dimension)
        self._hard_negatives = settings.hard_negatives
        if settings.loss == "softmax":
            self._loss: nn.Module = NTXentLoss(temperature=settings.temperature)
            self._in_batch = self._in_memory = None
        else:
            self._loss = MultiSimilarityLoss(alpha=ALPHA, beta=BETA, base=BASE)
            self._in_batch = TripletMarginMiner(margin=MARGIN, type_of_triplets="all")
            self._in_memory = MultiSimilarityMiner(epsilon=EPSILON)

    def forward(self, features: Sequence[Mapping[str, Tensor]], concepts: Tensor) -> Tensor:
        """
        Args:
            features: one column of tokenised names, [batch, pieces].
            concepts: of the names, [batch].

        Returns:
            The loss, a scalar.
        """
        vectors = encode_by_length(self.model, features[0])
        mined = self._in_batch(vectors, concepts) if self._in_batch else None
        loss = self._loss(vectors, concepts, mined)
        remembered, of = self.memory.near(vectors.detach(), concepts, self._hard_negatives)
        if len(of):
            mined = self._in_memory(vectors, concepts, remembered, of) if self._in_memory else None
            loss = loss + self._loss(vectors, concepts, mined, remembered, of)
        self.memory.remember(vectors.detach(), concepts)
        return loss


class Memory(nn.Module):
    """The latest vector of each of the concepts last seen, as a ring: buffers of the loss, so they
    move to its device and are kept with a checkpoint."""

    vectors: Tensor
    concepts: Tensor
    seen: Tensor
    """How many vectors came in, int64 []."""

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("concepts", torch.full((size,), -1))
        self.register_buffer("seen", torch.tensor(0))

    def __len__(self) -> int:
        """How many vectors there is room for."""
        return len(self.concepts)

    def near(self, vectors: Tensor, concepts: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Returns the remembered vectors that belong with these or are near to them though they
        belong to others, and their concepts: [found, dimension], [found].

        Args:
            count: nearest wrong ones of each vector.
        """
        filled = min(int(self.seen), len(self))
        known, of = self.vectors[:filled], self.concepts[:filled]
        if not len(of):
            return known, of
        alike = torch.isin(of, concepts)
        cosines = vectors.float() @ known.T
        cosines.masked_fill_(of[None, :] == concepts[:, None], -1)
        nearest = cosines.topk(min(count, len(of)), dim=1).indices.flatten()
        alike[nearest] = True
        return known[alike], of[alike]

    def remember(self, vectors: Tensor, concepts: Tensor) -> None:
        if not len(self):
            return
        # The last of them, if there are more than find room: each place is written once.
        kept = torch.arange(
            max(0, len(concepts) - len(self)), len(concepts), device=self.seen.device
        )
        places = (self.seen + kept) % len(self)
        self.vectors[places], self.concepts[places] = vectors[kept].float(), concepts[kept]
        self.seen += len(concepts)


class TeacherLoss(nn.Module):
    """Draws every name to the vector that a teacher gives its concept's label, and away from the
    labels nearest to it (Reimers and Gurevych 2020, with a softmax in place of their distances).

    Args:
        concepts: those of the labels, ascending, int64 [labels].
        labels: the teacher's unit vectors, float32 [labels, dimension].
        first_step: where a training goes on.
    """

    concepts: Tensor
    labels: Tensor

    def __init__(
        self,
        model: nn.Module,
        settings: TrainSettings,
        concepts: Tensor,
        labels: Tensor,
        first_step: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("concepts", concepts)
        self.register_buffer("labels", labels)
        self._hard_negatives = settings.hard_negatives
        self._temperature = settings.temperature
        self._step = first_step

    def forward(self, features: Sequence[Mapping[str, Tensor]], concepts: Tensor) -> Tensor:
        """As AlignmentLoss."""
        vectors = encode_by_length(self.model, features[0])
        own = torch.searchsorted(self.concepts, concepts)
        right = self.labels[own]
        with torch.no_grad():
            among = torch.arange(
                self._step % SHARDS, len(self.labels), SHARDS, device=self.labels.device
            )
            self._step += 1
            cosines = vectors.float() @ self.labels[among].T
            nearest = cosines.topk(min(self._hard_negatives, len(among)), dim=1).indices
            others = self.labels[torch.unique(torch.cat([among[nearest.flatten()], own]))]
            same = right @ others.T > TWINS
        scores = (vectors @ others.T).masked_fill(same, -torch.inf)
        scores = torch.cat([(vectors * right).sum(1, keepdim=True), scores], 1)
        return cross_entropy(scores / self._temperature, torch.zeros_like(own))


def encode_by_length(model: nn.Module, features: Mapping[str, Any]) -> Tensor:
    """The unit vectors of tokenised names, [batch, dimension].

    Names of like length are read together, so that little padding is: a third of the work of a
    batch that is read at once.
    """
    mask = features["attention_mask"]
    lengths = mask.sum(1)
    order = torch.argsort(lengths, stable=True)
    vectors = []
    for rows in torch.tensor_split(order, min(CHUNKS, len(order))):
        longest = int(lengths[rows].max())
        part = {
            key: value[rows, :longest] if torch.is_tensor(value) and value.dim() == 2 else value
            for key, value in features.items()
        }
        vectors.append(model(part)["sentence_embedding"])
    return normalize(torch.cat(vectors)[torch.argsort(order)], dim=1)
