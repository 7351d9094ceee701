"""Mentions a second: over gRPC with many calls in flight, in process, and by the user's script.

All take turns with the same mentions, and every round another begins, so that what else the machine
does hits all alike; ratios are taken within a round.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from statistics import median
from time import perf_counter

import grpc
import numpy as np

from bioelx.errors import InstallationError
from bioelx_eval.load.calls import OK, closed_loop, connected, sender
from bioelx_eval.load.cores import named, own_cores, pin, pinned, shares
from bioelx_eval.load.draws import requests_of
from bioelx_eval.load.findings import Bar, Findings, Grid, number
from bioelx_eval.load.setting import Setting
from bioelx_eval.speed.lineup import RELEASE_VECTORS, user_script, write_names
from bioelx_eval.speed.mentions import Mention
from bioelx_eval.speed.systems import Judge, System, linker_inside

DEADLINE = 600.0
BUDGET_SECONDS = 900.0
OVER_GRPC, IN_PROCESS, SCRIPT = "BioELX over gRPC", "BioELX in process", "script"
TIMES_SCRIPT, NOT_MEASURED = f"{OVER_GRPC} × {SCRIPT}", float("nan")
LEAST_OF_INSIDE, LEAST_TIMES_SCRIPT = 0.85, 5.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one way of linking did in one round."""

    mentions: int
    seconds: float
    searching: float = float("nan")
    """Seconds of these that went into the search, where that can be told."""
    failed: int = 0
    """Calls without a whole answer."""

    @property
    def rate(self) -> float:
        return self.mentions / self.seconds

    @property
    def rate_without_search(self) -> float:
        return self.mentions / (self.seconds - self.searching)


Way = Callable[[Sequence[Mention]], Awaitable[Turn]]
Turns = Mapping[str, Sequence[Turn]]


async def measure_transport(setting: Setting) -> Findings:
    """The server against the same linker in process: both on one core with one thread, and whoever
    sends the calls on another."""
    settings = setting.settings
    mine, theirs = shares(1)
    judge = Judge(setting.kb)
    rounds = _rounds(setting)
    with (
        pinned(mine),
        setting.server(threads=1, cached=False, cores=theirs) as (address, _),
        linker_inside(IN_PROCESS, setting.release, judge, threads=1) as inside,
    ):
        pin(inside.process.pid, theirs)
        async with connected(address) as channel:
            ways = {
                OVER_GRPC: over_grpc(channel, settings.mentions, settings.in_flight),
                IN_PROCESS: asked(inside, settings.mentions),
            }
            turns = await take_turns(ways, rounds, setting.advance)
    ratios = _ratios(turns, OVER_GRPC, IN_PROCESS)
    pins = (
        f"The load generator was kept on {named(mine)}, the server and the linker in process on "
        f"{named(theirs)}."
        if mine != theirs
        else "There is only one core: the load generator takes a part of it, which no ratio shows."
    )
    return Findings(
        "throughput",
        [
            f"Calls of {settings.mentions} mentions, {settings.in_flight} in flight, against "
            f"Linker.link with {settings.mentions} mentions at a time; one thread, "
            f"{len(ratios)} rounds of {settings.calls} calls, no mention twice, no cache. "
            f"Linked: {setting.described}. {pins}"
        ],
        [
            Bar(f"{OVER_GRPC} × in process", median(ratios), least=LEAST_OF_INSIDE),
            _none_failed(turns),
        ],
        [_table(turns, {"× in process": IN_PROCESS})],
        _figures(turns),
    )


async def measure_script(setting: Setting) -> Findings:
    """The server against the script that a user would write, and BioELX in process beside."""
    settings = setting.settings
    judge = Judge(setting.kb)
    rounds = _rounds(setting)
    async with AsyncExitStack() as stack:
        started = setting.server(threads=settings.threads, cached=False)
        address, _ = stack.enter_context(started)
        inside = linker_inside(IN_PROCESS, setting.release, judge, threads=settings.threads)
        ways = {
            OVER_GRPC: over_grpc(
                await stack.enter_async_context(connected(address)),
                settings.mentions,
                settings.in_flight,
            ),
            IN_PROCESS: asked(stack.enter_context(inside), settings.mentions),
        }
        script, about = baseline(setting, stack, judge)
        if script:
            ways[SCRIPT] = asked(script, settings.mentions, settings.script_mentions)
        turns = await take_turns(ways, rounds, setting.advance)
    described = [
        f"Calls of {settings.mentions} mentions, {settings.in_flight} in flight, against batches "
        f"of {settings.mentions} in process and in the script; {len(turns[OVER_GRPC])} rounds of "
        f"{settings.calls} calls, no mention twice, no cache. {threads_of(settings.threads)} "
        f"Linked: {setting.described}.",
        about,
    ]
    bases, times = {"× in process": IN_PROCESS}, NOT_MEASURED
    if script:
        bases["× script"] = SCRIPT
        times = median(_ratios(turns, OVER_GRPC, SCRIPT))
        without = median(
            own.rate_without_search / its.rate_without_search
            for own, its in zip(turns[IN_PROCESS], turns[SCRIPT], strict=True)
        )
        described.append(
            f"Without search: BioELX in process is {number(without)} times as fast as the script, "
            "each without what it spends on its search."
        )
    bars = [Bar(TIMES_SCRIPT, times, least=LEAST_TIMES_SCRIPT), _none_failed(turns)]
    return Findings("script", described, bars, [_table(turns, bases)], _figures(turns))


def baseline(setting: Setting, stack: AsyncExitStack, judge: Judge) -> tuple[System | None, str]:
    """The user's script, started, or None where it cannot run; and what is to be said of it."""
    setting.say("starting the script that a user would write")
    names = write_names(setting.kb, setting.folder)
    try:
        script = stack.enter_context(user_script(setting.entrants, setting.release, names, judge))
    except InstallationError as error:
        return None, f"Left out: the script that a user would write ({error})."
    vectors = "vectors that it encoded itself" if setting.settings.cache else RELEASE_VECTORS
    return script, f"The script's index (IndexFlatIP) holds {vectors}."


def over_grpc(channel: grpc.aio.Channel, size: int, in_flight: int) -> Way:
    """Calls of `size` mentions, so many at a time."""

    async def link(mentions: Sequence[Mention]) -> Turn:
        requests = requests_of([each.query for each in mentions], size)
        outcomes = await closed_loop(
            (sender(channel, request, DEADLINE) for request in requests), in_flight
        )
        failed = sum(outcome.code != OK for outcome in outcomes)
        return Turn(len(mentions), max(each.ended for each in outcomes), failed=failed)

    return link


def asked(system: System, size: int, most: int | None = None) -> Way:
    """A script in its own process with batches of `size`, by its own clock.

    Args:
        most: mentions of a round that it links; None: all.
    """

    async def link(mentions: Sequence[Mention]) -> Turn:
        mentions = mentions[:most]
        replies = [system.ask(mentions[at : at + size]) for at in range(0, len(mentions), size)]
        return Turn(
            len(mentions),
            sum(reply.seconds for reply in replies),
            sum(reply.searching for reply in replies),
        )

    return link


async def take_turns(
    ways: Mapping[str, Way],
    rounds: Sequence[Sequence[Mention]],
    advance: Callable[[float, float], None],
    seconds: float = BUDGET_SECONDS,
) -> dict[str, list[Turn]]:
    """Lets each way link every round's mentions; the first round is for warming up.

    Args:
        seconds: after which no other round begins, if there was one to be counted.
    """
    begun = perf_counter()
    turns: dict[str, list[Turn]] = {title: [] for title in ways}
    for number_, mentions in enumerate(rounds):
        if number_ > 1 and perf_counter() - begun > seconds:
            break
        order = list(ways.items())
        first = number_ % len(order)
        for place, (title, link) in enumerate((*order[first:], *order[:first]), start=1):
            turn = await link(mentions)
            if number_:
                turns[title].append(turn)
            advance(number_ * len(order) + place, len(rounds) * len(order))
    return turns


def threads_of(threads: int) -> str:
    cores = len(own_cores())
    return f"{threads or f'All of {cores}'} threads each; the load generator shares the cores."


def _rounds(setting: Setting) -> list[list[Mention]]:
    """The mentions of each round, after those of a short one for warming up."""
    settings = setting.settings
    warm_up = settings.mentions * settings.in_flight
    size = settings.mentions * settings.calls
    mentions = iter(setting.mentions(warm_up + settings.rounds * size))
    return [
        list(islice(mentions, warm_up)),
        *(list(islice(mentions, size)) for _ in range(settings.rounds)),
    ]


def _ratios(turns: Turns, one: str, other: str) -> list[float]:
    pairs = zip(turns[one], turns[other], strict=True)
    return [own.rate / its.rate for own, its in pairs]


def _none_failed(turns: Turns) -> Bar:
    failed = sum(turn.failed for of_way in turns.values() for turn in of_way)
    return Bar("calls without a whole answer", failed, most=0)


def _table(turns: Turns, bases: Mapping[str, str]) -> Grid:
    rows = []
    for title, of_way in turns.items():
        rates = [turn.rate for turn in of_way]
        ratios = [_ratios(turns, title, base) for base in bases.values()]
        rows.append(
            [title, f"{sum(turn.mentions for turn in of_way):,}", *map(_spread, (rates, *ratios))]
        )
    head = ("", "mentions", "mentions/s, median (quartiles)")
    return Grid((*head, *(f"{base}, median (quartiles)" for base in bases)), rows)


def _spread(values: Sequence[float]) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75)).tolist()
    return f"{number(middle)} ({number(low)}–{number(high)})"


def _figures(turns: Turns) -> dict[str, object]:
    return {
        "rates": {title: [turn.rate for turn in of_way] for title, of_way in turns.items()},
        "rates_without_search": {
            title: [turn.rate_without_search for turn in of_way]
            for title, of_way in turns.items()
            if title != OVER_GRPC
        },
        "mentions": {title: sum(turn.mentions for turn in t) for title, t in turns.items()},
    }
