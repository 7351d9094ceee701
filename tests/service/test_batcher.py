"""The batcher in front of the real linker, held back where a test needs a queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from bioelx.errors import OverloadedError
from bioelx.linker import Linker
from bioelx.service.batcher import Batcher
from bioelx.types import LinkedBatch, LinkOptions, Query

FLU, WART = Query.bare("flu"), Query.bare("wart")
OPTIONS = LinkOptions(top_k=3)


class Gate:
    """The linker behind a gate, with a record of what went through."""

    def __init__(self, linker: Linker) -> None:
        self.batches: list[list[Query]] = []
        self.open = threading.Event()
        self._linker = linker

    def link(self, queries: Sequence[Query], options: Sequence[LinkOptions]) -> LinkedBatch:
        self.batches.append(list(queries))
        assert self.open.wait(30)
        return self._linker.link(queries, options)


@asynccontextmanager
async def batching(gate: Gate, *, batch: int = 4, queue: int = 8) -> AsyncIterator[Batcher]:
    with ThreadPoolExecutor(1) as worker:
        batcher = Batcher(gate.link, worker, batch_mentions=batch, queue_mentions=queue)
        try:
            yield batcher
        finally:
            gate.open.set()
            await batcher.close()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def gate(tiny_linker: Linker) -> Gate:
    return Gate(tiny_linker)


async def test_callers_share_a_batch_and_each_gets_its_own(gate, tiny_linker):
    async with batching(gate) as batcher:
        first = asyncio.create_task(batcher.link([FLU], OPTIONS))
        await until(lambda: gate.batches)
        company = [
            asyncio.create_task(batcher.link([WART], LinkOptions(top_k=2))),
            asyncio.create_task(batcher.link([FLU, WART], OPTIONS)),
        ]
        await asyncio.sleep(0.05)
        gate.open.set()
        answers = await asyncio.gather(first, *company)
    assert gate.batches == [[FLU], [WART, FLU, WART]]
    assert answers[0].links == tiny_linker.link([FLU], OPTIONS).links
    assert answers[1].links == tiny_linker.link([WART], LinkOptions(top_k=2)).links
    assert answers[2].links == tiny_linker.link([FLU, WART], OPTIONS).links
    assert all(answer.release == tiny_linker.manifest.id for answer in answers)
    assert answers[1].timing.waiting > 0.04
    assert answers[2].timing.encoding > 0


async def test_a_small_request_does_not_wait_for_a_large_one(gate):
    async with batching(gate, queue=100) as batcher:
        large = asyncio.create_task(batcher.link([FLU] * 40, OPTIONS))
        await until(lambda: gate.batches)
        small = asyncio.create_task(batcher.link([WART], OPTIONS))
        gate.open.set()
        await small
        assert not large.done()
        assert len((await large).links) == 40
    assert max(map(len, gate.batches)) == 4


async def test_what_a_cancelled_caller_left_is_dropped(gate):
    async with batching(gate) as batcher:
        running = asyncio.create_task(batcher.link([FLU], OPTIONS))
        await until(lambda: gate.batches)
        gone = asyncio.create_task(batcher.link([WART] * 8, OPTIONS))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        stays = asyncio.create_task(batcher.link([FLU] * 8, OPTIONS))  # there is room again
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(running, stays)
    assert gone.cancelled()
    assert all(WART not in batch for batch in gate.batches)


async def test_a_full_queue_turns_callers_away_or_lets_the_patient_wait(gate):
    async with batching(gate) as batcher:
        running = asyncio.create_task(batcher.link([FLU], OPTIONS))
        await until(lambda: gate.batches)
        queued = asyncio.create_task(batcher.link([FLU] * 8, OPTIONS))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError) as caught:
            await batcher.link([WART], OPTIONS)
        assert caught.value.retry_after > 0
        patient = asyncio.create_task(batcher.link([WART], OPTIONS, patient=True))
        await asyncio.sleep(0.02)
        assert not patient.done()
        gate.open.set()
        await asyncio.gather(running, queued, patient)


async def test_a_request_larger_than_the_queue_is_answered(gate):
    gate.open.set()
    async with batching(gate) as batcher:
        assert len((await batcher.link([FLU] * 30, OPTIONS)).links) == 30
        assert (await batcher.link([], OPTIONS)).links == ()


async def test_after_a_failure_the_next_batch_is_linked(gate):
    gate.open.set()
    async with batching(gate) as batcher:
        with pytest.raises(AttributeError):
            await batcher.link([None], OPTIONS)  # type: ignore[list-item]
        assert (await batcher.link([FLU], OPTIONS)).links
