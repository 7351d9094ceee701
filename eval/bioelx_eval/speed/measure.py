"""Who is asked when, and what the times add up to.

Systems take turns: in each round each of them links the same few mentions, one by one and then in
batches, and every round another system begins. What else the machine does thus hits all alike, and
ratios are taken within a round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import sleep

import numpy as np

from bioelx_eval.speed.mentions import Mention
from bioelx_eval.speed.systems import Reply, System

BATCHES = {1: 4, 32: 1}
"""Mentions in a request -> one in so many of a round's mentions is linked so."""
BUDGET_SECONDS = 120
"""A system that has taken so long for one size of batch is asked no more at it: some rankers need
seconds a mention."""
WARM_UP, WARM_UP_SECONDS = 32, 5
_PAUSE = 0.05  # for threads that spin when their work is done


@dataclass(frozen=True, slots=True)
class Turn:
    """A system's replies in one round, at one size of batch."""

    replies: tuple[Reply, ...]

    @property
    def mentions(self) -> int:
        return sum(len(reply.right) for reply in self.replies)

    @property
    def seconds(self) -> float:
        return sum(reply.seconds for reply in self.replies)

    @property
    def rate(self) -> float:
        """Mentions a second."""
        return self.mentions / self.seconds

    def milliseconds(self, part: Callable[[Reply], float]) -> float:
        """What a part of the work took, for a mention."""
        return 1000 * sum(map(part, self.replies)) / self.mentions


@dataclass(frozen=True, slots=True)
class Summary:
    """A system at one size of batch."""

    requests: int
    mentions: int
    right: int
    rates: tuple[float, ...]
    """Mentions a second, by round."""
    latencies: tuple[float, float, float]
    """p50, p95 and p99 of a request, in milliseconds, over all rounds."""
    encoding: float
    searching: float
    ranking: float
    overhead: float
    """Milliseconds a mention, medians over the rounds; overhead is all that is none of these."""

    @property
    def rate(self) -> float:
        return median(self.rates)

    @property
    def recall(self) -> float:
        """R@1."""
        return self.right / self.mentions

    def times(self, other: Summary) -> float:
        """How many times the other's mentions a second: the median of the ratios in those rounds
        in which both were asked, which are the first ones."""
        return median(own / its for own, its in zip(self.rates, other.rates, strict=False))


Results = dict[str, dict[int, Summary]]
"""By the system's title and the size of the batch."""


def measure(
    systems: Sequence[System],
    rounds: Sequence[Sequence[Mention]],
    advance: Callable[[int, int], None] = lambda done, turns: None,
) -> Results:
    """Lets the systems link each round's mentions in turn.

    Args:
        advance: is told how many turns of how many are done.
    """
    turns: dict[str, dict[int, list[Turn]]] = {
        system.title: {size: [] for size in BATCHES} for system in systems
    }
    for system in systems:
        for size in BATCHES:
            _turn(system, rounds[0][:WARM_UP], size, WARM_UP_SECONDS)
    for number, mentions in enumerate(rounds):
        first = number % len(systems)
        for place, system in enumerate((*systems[first:], *systems[:first]), start=1):
            for size, one_in in BATCHES.items():
                so_far = turns[system.title][size]
                left = BUDGET_SECONDS - sum(turn.seconds for turn in so_far)
                if left > 0:
                    so_far.append(_turn(system, mentions[::one_in], size, left))
            advance(number * len(systems) + place, len(rounds) * len(systems))
    return {
        title: {size: summarise(of_size) for size, of_size in of_system.items()}
        for title, of_system in turns.items()
    }


def summarise(turns: Sequence[Turn]) -> Summary:
    replies = [reply for turn in turns for reply in turn.replies]
    latencies = [1000 * reply.seconds for reply in replies]
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)).tolist()

    def part(of: Callable[[Reply], float]) -> float:
        return median(turn.milliseconds(of) for turn in turns)

    return Summary(
        requests=len(replies),
        mentions=sum(turn.mentions for turn in turns),
        right=sum(sum(reply.right) for reply in replies),
        rates=tuple(turn.rate for turn in turns),
        latencies=(p50, p95, p99),
        encoding=part(lambda reply: reply.encoding),
        searching=part(lambda reply: reply.searching),
        ranking=part(lambda reply: reply.ranking),
        overhead=part(lambda r: r.seconds - r.encoding - r.searching - r.ranking),
    )


def _turn(system: System, mentions: Sequence[Mention], size: int, seconds: float) -> Turn:
    """Lets a system link mentions; it is asked no more once it has taken so many seconds."""
    replies: list[Reply] = []
    for start in range(0, len(mentions), size):
        replies.append(system.ask(mentions[start : start + size]))
        if sum(reply.seconds for reply in replies) > seconds:
            break
    sleep(_PAUSE)
    return Turn(tuple(replies))
