"""The words of the project as values: concepts, names, mentions, candidates, links.

Everything here is immutable and free of behaviour beyond what its own fields imply, so that each
stage of the two journeys can pass it on without asking who else holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

TYPES = (
    "disease",
    "phenotype",
    "chemical",
    "anatomy",
    "organism",
    "gene",
    "procedure",
    "device",
    "process",
    "other",
)
"""The closed list of concept types."""


def type_mask(types: Iterable[str]) -> int:
    """Types as bits: bit i stands for `TYPES[i]`, however often it is named."""
    return sum(1 << TYPES.index(name) for name in set(types))


NAME_KINDS = ("label", "alias", "title")
"""The kinds of names, the most telling first."""


class Status(StrEnum):
    """Whether a concept may still be an answer."""

    ACTIVE = "active"
    RETIRED = "retired"


class Rerank(StrEnum):
    """When the ranker reads the context."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Name(NamedTuple):
    """A string that a source gives a concept."""

    text: str
    lang: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True)
class Concept:
    """One entry of the knowledge base, without its names."""

    concept_id: str
    label: str
    description: str = ""
    types: tuple[str, ...] = ()
    xrefs: tuple[str, ...] = ()
    status: Status = Status.ACTIVE
    replaced_by: str | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One mention as the linker reads it.

    `text[start:end]` is the mention, in code points; `text` is its document or a part of it.
    """

    text: str
    start: int
    end: int
    language: str = ""

    @classmethod
    def bare(cls, mention: str, language: str = "") -> Query:
        """A mention without a document."""
        return cls(mention, 0, len(mention), language)

    @property
    def mention(self) -> str:
        return self.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What a caller asks of a link; the defaults are the service's."""

    top_k: int = 10
    rerank: Rerank = Rerank.AUTO
    types: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    min_confidence: float | None = None
    label_languages: tuple[str, ...] = ()
    explain: bool = False
    """Say for each candidate what its probability is made of."""


class Share(NamedTuple):
    """What one piece of evidence adds to the log-odds of a candidate's probability."""

    feature: str
    value: float
    """What was seen of it."""
    log_odds: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A concept proposed for a mention, with what speaks for it."""

    concept: Concept
    matched: Name
    exact: bool
    retrieval_score: float
    retrieval_rank: int
    label: str
    label_language: str
    names: tuple[str, ...] = ()
    """More names, in the mention's language and in English: for a ranker, and told to none else."""
    ranker_log_odds: float | None = None
    probability: float = 0.0
    retrieval_probability: float = 0.0
    """What `probability` is without the ranker."""
    shares: tuple[Share, ...] = ()
    """What adds up to the log-odds of the probability, where that was asked for."""


@dataclass(frozen=True, slots=True)
class Link:
    """The decision for one mention: a concept, or NIL (`concept_id` is None)."""

    concept_id: str | None
    confidence: float
    candidates: tuple[Candidate, ...]


@dataclass(slots=True)
class Timing:
    """Seconds spent in each stage; a batch's stages are shared by all its mentions."""

    waiting: float = 0.0
    encoding: float = 0.0
    searching: float = 0.0
    ranking: float = 0.0

    def __add__(self, other: Timing) -> Timing:
        return Timing(
            self.waiting + other.waiting,
            self.encoding + other.encoding,
            self.searching + other.searching,
            self.ranking + other.ranking,
        )


@dataclass(frozen=True, slots=True)
class LinkedBatch:
    """The links of a batch of queries, in their order, and where the time went."""

    links: tuple[Link, ...]
    release: str
    timing: Timing = field(default_factory=Timing)
