"""A stream in which few mentions come often, as in real documents: what the cache is worth.

The stream is dealt in parts, and after each the script, which has no cache, links a few mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np

from bioelx.linker import Linker
from bioelx.types import Link, LinkOptions, Query, Rerank
from bioelx.v1 import linker_pb2 as pb
from bioelx_eval.load.calls import OK, closed_loop, connected, sender
from bioelx_eval.load.draws import request_of, zipf_draws
from bioelx_eval.load.findings import Bar, Findings, Grid, number
from bioelx_eval.load.setting import SEED, Setting
from bioelx_eval.load.throughput import (
    DEADLINE,
    IN_PROCESS,
    NOT_MEASURED,
    SCRIPT,
    TIMES_SCRIPT,
    Turn,
    asked,
    baseline,
    threads_of,
)
from bioelx_eval.speed.inside import TOP_K
from bioelx_eval.speed.systems import Judge, linker_inside

LEAST_TIMES_SCRIPT = 20.0
SAMPLE = 200
"""Answers compared with those of a linker without a cache."""
TOLERANCE = 1e-3
"""That a retrieval score may differ by: in another batch, an int8 score is off by no more."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A mention of the stream and what the server said of it."""

    query: Query
    link: pb.Link


async def measure_zipf(setting: Setting) -> Findings:
    settings = setting.settings
    judge = Judge(setting.kb)
    mentions = setting.mentions(settings.distinct + settings.script_mentions * settings.rounds)
    pool, others = mentions[: settings.distinct], mentions[settings.distinct :]
    rng = np.random.default_rng(SEED)
    drawn = zipf_draws(settings.draws, settings.distinct, settings.exponent, rng)
    sampled = frozenset(rng.choice(settings.draws, min(SAMPLE, settings.draws), replace=False))
    kept: list[Answered] = []

    async with AsyncExitStack() as stack:
        script, about = baseline(setting, stack, judge)
        title = SCRIPT if script else IN_PROCESS
        other = asked(
            script
            or stack.enter_context(
                linker_inside(title, setting.release, judge, threads=settings.threads)
            ),
            settings.mentions,
        )
        started = setting.server(threads=settings.threads, cached=True)
        address, _ = stack.enter_context(started)
        channel = await stack.enter_async_context(connected(address))
        await other(others[: settings.mentions])  # to warm up; of the server only its cache is cold
        stream: list[Turn] = []
        base: list[Turn] = []
        for part in np.array_split(np.arange(settings.draws), settings.rounds):
            sends = []
            for at in range(0, len(part), settings.mentions):
                numbers = part[at : at + settings.mentions]
                queries = [pool[drawn[each]].query for each in numbers]
                wanted = [place for place, each in enumerate(numbers) if each in sampled]
                keep = _Keeper(queries, wanted, kept)
                sends.append(sender(channel, request_of(queries), DEADLINE, keep))
            outcomes = await closed_loop(sends, settings.in_flight)
            failed = sum(outcome.code != OK for outcome in outcomes)
            stream.append(Turn(len(part), max(each.ended for each in outcomes), failed=failed))
            few = others[len(base) * settings.script_mentions :][: settings.script_mentions]
            base.append(await other(few))
            setting.advance(len(stream), settings.rounds)

    setting.say("comparing with answers without a cache")
    wrong = differing(kept, Linker.open(setting.release, threads=settings.threads or 1))
    times = _rate(stream) / _rate(base)
    different = len(np.unique(drawn))
    return Findings(
        "zipf",
        [
            f"{settings.draws:,} draws from {settings.distinct:,} distinct mentions "
            f"({different:,} of them came up) by Zipf's law with s = {settings.exponent:g}, in "
            f"calls of {settings.mentions}, {settings.in_flight} in flight, to a server whose "
            f"cache is empty at first; dealt in {settings.rounds} parts, after each of which the "
            f"{title} links {settings.script_mentions} mentions. All draws by all their "
            f"seconds are {number(times)} times the rate of the {title}. "
            f"{threads_of(settings.threads)} Drawn: {setting.described}.",
            about,
        ],
        [
            Bar(TIMES_SCRIPT, times if script else NOT_MEASURED, least=LEAST_TIMES_SCRIPT),
            Bar("calls without a whole answer", sum(turn.failed for turn in stream), most=0),
            Bar(f"of {len(kept)} answers, not those without a cache", wrong, most=0),
            Bar("answers compared", len(kept), least=min(SAMPLE, settings.draws)),
        ],
        [
            Grid(
                ("part", "mentions/s of the stream", f"mentions/s, {title}"),
                [
                    [f"{place}", number(own.rate), number(its.rate)]
                    for place, (own, its) in enumerate(zip(stream, base, strict=True), start=1)
                ],
            )
        ],
        {
            "draws": settings.draws,
            "distinct": settings.distinct,
            "came_up": different,
            "compared_with": title,
            "rates": [turn.rate for turn in stream],
            "rates_compared_with": [turn.rate for turn in base],
            "times": times,
        },
    )


def differing(answers: Sequence[Answered], linker: Linker) -> int:
    """How many answers are not what a linker says that has no cache: other concepts or names, in
    another order, or scores that are off by more than `TOLERANCE`."""
    options = LinkOptions(top_k=TOP_K, rerank=Rerank.NEVER)
    links = linker.link([each.query for each in answers], options).links if answers else ()
    return sum(not _same(each.link, link) for each, link in zip(answers, links, strict=True))


def _same(said: pb.Link, own: Link) -> bool:
    if (said.concept_id or None) != own.concept_id or len(said.candidates) != len(own.candidates):
        return False
    return all(
        (one.concept_id, one.matched.text) == (other.concept.concept_id, other.matched.text)
        and abs(one.retrieval_score - other.retrieval_score) <= TOLERANCE
        for one, other in zip(said.candidates, own.candidates, strict=True)
    )


class _Keeper:
    """Keeps the links of some mentions of a call."""

    def __init__(
        self, queries: Sequence[Query], wanted: Sequence[int], kept: list[Answered]
    ) -> None:
        self._queries, self._wanted, self._kept = queries, wanted, kept

    def __call__(self, reply: pb.LinkReply) -> None:
        if len(reply.documents) == len(self._queries):
            self._kept += [
                Answered(self._queries[place], reply.documents[place].links[0])
                for place in self._wanted
            ]


def _rate(turns: Sequence[Turn]) -> float:
    return sum(turn.mentions for turn in turns) / sum(turn.seconds for turn in turns)
