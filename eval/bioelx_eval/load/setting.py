"""What every part of the measurement is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bioelx.kb import KnowledgeBase
from bioelx.types import Query
from bioelx_eval.datasets import Dataset
from bioelx_eval.load.cores import pin
from bioelx_eval.speed.lineup import Entrants
from bioelx_eval.speed.mentions import Mention, distinct_mentions, from_dataset
from bioelx_eval.speed.systems import running_server

SEED = 20261130
NO_CACHE = {"BIOELX_CACHE_BYTES": "0"}
"""For a server that has to work for every mention."""


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What to measure."""

    release: str = ""
    dataset: Dataset | None = None
    """Whose mentions to link first; None: names with a typing error only."""
    data: Path = Path()
    """Where the dataset is."""
    torch_model: Path | None = None
    """The encoder's fp32 parent, for the script; without it BioELX in process stands in for it."""
    cache: Path | None = None
    """Folder that keeps the script's own vectors; without it the script takes the release's."""
    mentions: int = 32
    """In a call of the throughput, the script and the Zipf part."""
    in_flight: int = 16
    rounds: int = 10
    calls: int = 32
    """In a round of the throughput and the script part."""
    script_mentions: int = 64
    """That the script links in a round."""
    distinct: int = 50_000
    draws: int = 200_000
    exponent: float = 1.0
    """Of Zipf's law."""
    small: int = 4
    """Mentions in a call of the curve and of the soak."""
    seconds: float = 15.0
    """A point of the curve, in each of its passes."""
    passes: int = 2
    """How often each point of the curve has its turn."""
    minutes: float = 20.0
    """Of the soak."""
    swap_seconds: float = 30.0
    """From one swap of the soak to the next."""
    threads: int = 0
    """Of the server, and of what it is compared with, where nothing else is said; 0: all cores."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A release with its mentions, what is wanted, and who is told how far it has got."""

    settings: LoadSettings
    release: Path
    kb: KnowledgeBase
    folder: Path
    """For what is needed only while measuring."""
    say: Callable[[str], None] = field(default=lambda doing: None)
    advance: Callable[[float, float], None] = field(default=lambda done, total: None)

    @property
    def entrants(self) -> Entrants:
        settings = self.settings
        return Entrants((), settings.torch_model, settings.cache, settings.threads)

    def mentions(self, count: int) -> list[Mention]:
        """So many that differ after normalisation, in an order by chance."""
        self.say("choosing mentions")
        rng = Random(SEED)  # noqa: S311  (a sample, no secret)
        settings, first = self.settings, []
        if settings.dataset:
            first = from_dataset(settings.dataset, settings.data, self.kb, count, rng)
        chosen = distinct_mentions(self.kb, count, rng, first)
        rng.shuffle(chosen)
        return chosen

    def queries(self, count: int) -> list[Query]:
        return [mention.query for mention in self.mentions(count)]

    @contextmanager
    def server(
        self, *options: str, threads: int, cached: bool, cores: tuple[int, ...] = ()
    ) -> Iterator[tuple[str, int]]:
        """A server of the release: its address and the id of its process.

        Args:
            cached: it may answer from its cache.
            cores: that it is kept on; none: any.
        """
        self.say("starting the server")
        with running_server(
            ["--release", str(self.release), *options],
            threads=threads,
            environment={} if cached else NO_CACHE,
        ) as (address, pid):
            if cores:
                pin(pid, cores)
            yield address, pid

    @property
    def described(self) -> str:
        """The mentions, in words."""
        dataset = self.settings.dataset
        names = "names of the release, each with a typing error"
        return f"mentions of {dataset.title} in their context and {names}" if dataset else names
