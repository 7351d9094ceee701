"""How long callers wait, and how many are answered, by how much is asked of the server.

An open loop: calls come by chance at a given rate, whatever became of those before them, from a
tenth of what the server carries up to three times of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle

import grpc
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bioelx.cli.page import COLOURS
from bioelx.v1 import linker_pb2 as pb
from bioelx_eval.load.calls import (
    OK,
    REFUSED,
    Outcome,
    closed_loop,
    connected,
    open_loop,
    percentiles,
    sender,
)
from bioelx_eval.load.cores import named, pinned, shares
from bioelx_eval.load.draws import arrivals, requests_of
from bioelx_eval.load.findings import Bar, Findings, Grid, number
from bioelx_eval.load.setting import SEED, Setting

LOADS = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0)
"""Calls offered, by what the server carries."""
NORMAL, WORST = 0.7, 3.0
"""The load whose p99 is the normal one, and the one at which the bars are judged."""
LEAST_OF_BEST = 0.95
"""The best is the highest of all points: by chance alone the others are a little below it."""
MOST_TIMES_NORMAL = 3.0
LEAD = 0.2
"""Share of a point's time, before the rest, in which queues fill: not measured."""
DEADLINE = 20.0
"""Seconds that a caller waits at most."""
MENTIONS = 8_192
"""Mentions that the calls take in turn; the server has no cache."""


@dataclass(frozen=True, slots=True)
class Point:
    """What callers met at one load, in all passes together."""

    load: float
    offered: float
    """Calls a second that came in the time measured."""
    answered: float
    """Calls a second whose whole answer came in it."""
    refused: float
    """Share of the calls."""
    failed: float
    """Share that ended in any other way."""
    p50: float
    p95: float
    p99: float
    """Milliseconds that answered callers waited, from when their call was due."""
    lag: float
    """Milliseconds by which the generator sent late, the 99th percentile."""
    answers: int
    """That the percentiles are of; of fewer than some hundreds, a p99 is mostly chance."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The calls of one point in one pass."""

    load: float
    begins: float
    ends: float
    """Seconds of its loop between which it is measured."""
    outcomes: Sequence[Outcome]


async def measure_curve(setting: Setting) -> Findings:
    settings = setting.settings
    requests = requests_of(setting.queries(MENTIONS), settings.small)
    passes: list[Pass] = []
    mine, theirs = shares(settings.threads)
    with (
        pinned(mine),
        setting.server(threads=settings.threads, cached=False, cores=theirs) as (address, _),
    ):
        async with connected(address) as channel:
            setting.say("finding what the server carries")
            carried = await saturation(channel, requests, settings.in_flight, settings.seconds)
            rng = np.random.default_rng(SEED)
            total = settings.passes * len(LOADS)
            calls = cycle(requests)
            for number_ in range(settings.passes):
                for load in LOADS if number_ % 2 == 0 else reversed(LOADS):
                    lead = LEAD * settings.seconds
                    schedule = arrivals(load * carried, lead + settings.seconds, rng)
                    sends = (sender(channel, next(calls), DEADLINE) for _ in schedule)
                    outcomes = await open_loop(sends, schedule)
                    passes.append(Pass(load, lead, lead + settings.seconds, outcomes))
                    setting.advance(len(passes), total)
    points = [summarise([each for each in passes if each.load == load]) for load in LOADS]
    return _findings(setting, carried, points)


async def saturation(
    channel: grpc.aio.Channel, requests: Sequence[pb.LinkRequest], in_flight: int, seconds: float
) -> float:
    """Calls a second that a server answers when there are always some in flight.

    Args:
        seconds: to be measured for, about; a twentieth of it comes before, for warming up.
    """
    calls = cycle(requests)

    async def rate(count: int) -> float:
        sends = (sender(channel, next(calls), DEADLINE) for _ in range(count))
        outcomes = await closed_loop(sends, in_flight)
        answered = sum(outcome.code == OK for outcome in outcomes)
        return answered / max(outcome.ended for outcome in outcomes)

    first = await rate(2 * in_flight)
    better = await rate(max(2 * in_flight, int(first * seconds / 20)))
    return await rate(max(2 * in_flight, int(better * seconds)))


def summarise(passes: Sequence[Pass]) -> Point:
    """One point of its passes: calls that came, and answers that arrived, in the time measured."""
    seconds = sum(each.ends - each.begins for each in passes)
    came = [o for each in passes for o in each.outcomes if each.begins <= o.due < each.ends]
    answers = [
        o
        for each in passes
        for o in each.outcomes
        if o.code == OK and each.begins <= o.ended < each.ends
    ]
    refused = sum(outcome.code == REFUSED for outcome in came)
    failed = sum(outcome.code not in (OK, REFUSED) for outcome in came)
    lags = [1000 * (outcome.sent - outcome.due) for outcome in came]
    p50, p95, p99 = percentiles(came)
    return Point(
        load=passes[0].load,
        offered=len(came) / seconds,
        answered=len(answers) / seconds,
        refused=refused / max(1, len(came)),
        failed=failed / max(1, len(came)),
        p50=p50,
        p95=p95,
        p99=p99,
        lag=float(np.percentile(lags or [np.nan], 99)),
        answers=sum(outcome.code == OK for outcome in came),
    )


def bars_of(points: Sequence[Point]) -> list[Bar]:
    at = {point.load: point for point in points}
    best = max(point.answered for point in points)
    return [
        Bar(
            f"answered at {WORST:g} times saturation × the best",
            at[WORST].answered / best,
            least=LEAST_OF_BEST,
        ),
        Bar(
            f"p99 of the answered there × that at {NORMAL:g}",
            at[WORST].p99 / at[NORMAL].p99,
            most=MOST_TIMES_NORMAL,
        ),
        Bar(
            "share of calls that were neither answered nor refused, highest",
            max(point.failed for point in points),
            most=0,
        ),
    ]


def _findings(setting: Setting, carried: float, points: Sequence[Point]) -> Findings:
    settings = setting.settings
    normal = next(point.p99 for point in points if point.load == NORMAL)
    head = (
        "load", "offered, calls/s", "answered, calls/s", "refused, %", "failed, %",
        "answers", "p50, ms", "p95, ms", "p99, ms", f"p99, × at {NORMAL:g}", "sent late, p99 ms",
    )  # fmt: skip
    rows = [
        [
            f"{p.load:g}",
            *map(number, (p.offered, p.answered, 100 * p.refused, 100 * p.failed)),
            f"{p.answers:,}",
            *map(number, (p.p50, p.p95, p.p99, p.p99 / normal, p.lag)),
        ]
        for p in points
    ]
    return Findings(
        "curve",
        [
            f"Saturation, load 1: {number(carried)} calls/s of {settings.small} mentions, with "
            f"{settings.in_flight} always in flight. At each load calls come by a Poisson process, "
            f"{settings.passes} times {settings.seconds:g} s, after a lead of "
            f"{LEAD * settings.seconds:g} s that is not measured. A latency counts from when the "
            "call was due; percentiles are of the answered. No cache. Linked: "
            f"{setting.described}. {_placed(settings.threads)}"
        ],
        bars_of(points),
        [Grid(head, rows)],
        {"saturation": carried, "points": [asdict(point) for point in points]},
        partial(draw, points),
    )


def _placed(threads: int) -> str:
    mine, theirs = shares(threads)
    if mine == theirs:
        count = threads or len(mine)
        return f"{count} threads for the server; the load generator shares its cores."
    return f"The load generator was kept on {named(mine)}, the server on {named(theirs)}."


def draw(points: Sequence[Point]) -> Figure:
    """Latencies above, what became of the calls below, both over the load."""
    figure = Figure(figsize=(7.2, 6.4))
    above, below = figure.subplots(2, 1, sharex=True)
    loads = [point.load for point in points]
    for name, colour in zip(("p50", "p95", "p99"), COLOURS, strict=False):
        waited = [getattr(point, name) for point in points]
        above.plot(loads, waited, "o-", color=colour, label=name)
    above.set(ylabel="ms that answered callers waited", yscale="log")
    above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    above.yaxis.set_minor_formatter(NullFormatter())
    above.legend()
    below.plot(loads, [p.offered for p in points], "--", color=COLOURS[5], label="offered")
    below.plot(loads, [p.answered for p in points], "o-", color=COLOURS[2], label="answered")
    refused = [p.offered * p.refused for p in points]
    below.plot(loads, refused, "o-", color=COLOURS[4], label="refused")
    below.set(xlabel="offered load, times saturation", ylabel="calls a second")
    below.set_ylim(bottom=0)
    below.legend()
    return figure
