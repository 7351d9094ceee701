"""Calls over grpc.aio with plain stubs, each put down with how it ended and how long it took.

In a closed loop a call waits for the end of another, so a slow server is asked less; in an open one
it is sent when it is due, whatever became of those before it, and its latency counts from then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import grpc
import numpy as np

from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub

OK, REFUSED = "OK", "RESOURCE_EXHAUSTED"
INCOMPLETE = "INCOMPLETE"
"""An answer that lacks a link, or a link without candidates."""
CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),  # a refusal is to be counted, not to be mended
    ("grpc.use_local_subchannel_pool", 1),  # each channel is a connection of its own
]

Send = Callable[[], Awaitable[str]]
"""Makes one call and returns how it ended: OK, or what was wrong with the answer. What gRPC raises
is put down by its status."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended; times are seconds from the beginning of its loop."""

    due: float
    sent: float
    ended: float
    code: str

    @property
    def seconds(self) -> float:
        """What the caller waited, from when the call was due: a generator that lags, or a server
        that holds it up, hides nothing."""
        return self.ended - self.due


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A connection that is there before the first call, so that none pays for it."""
    async with grpc.aio.insecure_channel(address, CHANNEL) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        yield channel


def sender(
    channel: grpc.aio.Channel,
    request: pb.LinkRequest,
    deadline: float,
    keep: Callable[[pb.LinkReply], None] = lambda reply: None,
) -> Send:
    """A Link whose answer has to hold a link with candidates for each mention.

    Args:
        deadline: seconds that the call may take.
        keep: is given the answer.
    """
    stub = EntityLinkerStub(channel)

    async def send() -> str:
        reply = await stub.Link(request, timeout=deadline)
        keep(reply)
        return OK if is_complete(reply, len(request.documents)) else INCOMPLETE

    return send


def is_complete(reply: pb.LinkReply, mentions: int) -> bool:
    links = [link for document in reply.documents for link in document.links]
    return len(links) == mentions and all(link.candidates for link in links)


async def closed_loop(sends: Iterable[Send], in_flight: int) -> list[Outcome]:
    """Makes the calls, so many at a time, each of the others when one has ended."""
    outcomes: list[Outcome] = []
    waiting = iter(sends)
    begun = perf_counter()

    async def work() -> None:
        for send in waiting:
            outcomes.append(await _made(send, perf_counter() - begun, begun))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(in_flight):
            tasks.create_task(work())
    return outcomes


async def open_loop(sends: Iterable[Send], schedule: Sequence[float]) -> list[Outcome]:
    """Makes a call at each time of the schedule (seconds from now) and waits for all to end."""
    outcomes: list[Outcome] = []
    begun = perf_counter()

    async def work(send: Send, due: float) -> None:
        outcomes.append(await _made(send, due, begun))

    async with asyncio.TaskGroup() as tasks:
        for send, due in zip(sends, schedule, strict=False):
            await asyncio.sleep(max(0.0, due - (perf_counter() - begun)))
            tasks.create_task(work(send, due))
    return outcomes


async def _made(send: Send, due: float, begun: float) -> Outcome:
    sent = perf_counter() - begun
    try:
        code = await send()
    except grpc.aio.AioRpcError as error:
        code = error.code().name
    return Outcome(due, sent, perf_counter() - begun, code)


def percentiles(outcomes: Iterable[Outcome]) -> tuple[float, float, float]:
    """p50, p95 and p99 of what answered callers waited, in milliseconds; nan without any."""
    waited = [1000 * each.seconds for each in outcomes if each.code == OK]
    p50, p95, p99 = np.percentile(waited or [np.nan], (50, 95, 99)).tolist()
    return p50, p95, p99
