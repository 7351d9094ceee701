"""The stages around the real linker: in company, under faults, with the cache and without."""

from __future__ import annotations

import asyncio
import ctypes
import math
import threading
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from bioelx.errors import ServiceError
from bioelx.linker import Linker
from bioelx.ranking import Window
from bioelx.service.cache import Cache
from bioelx.service.engine import Engine
from bioelx.service.jobs import Job
from bioelx.service.links import write_link
from bioelx.service.pipeline import Pipeline
from bioelx.types import Candidate, LinkOptions, Query, Rerank
from bioelx.v1 import linker_pb2 as pb

OPTIONS = LinkOptions(top_k=3)
MENTIONS = ["flu", "wart", "Herzinfarkt", "심근경색", "kalp krizi", "a fever that nobody named"]


class Running:
    """A pipeline with one engine."""

    def __init__(self, linker: Linker, pipeline: Pipeline, cache_bytes: int) -> None:
        self.linker, self.pipeline = linker, pipeline
        self.engine = Engine(linker, Cache(cache_bytes))
        self.jobs: list[Job] = []

    async def link(
        self, *mentions: str, options: LinkOptions = OPTIONS, caller: str = "a", seconds: float = 60
    ) -> list[Any]:
        asked = self.linker.read([Query.bare(each) for each in mentions], options)
        job = self.pipeline.prepare(
            self.engine, asked, caller=caller, deadline=time.monotonic() + seconds
        )
        self.jobs.append(job)
        await self.pipeline.run(job)
        return job.answers


@asynccontextmanager
async def running(
    linker: Any, *, batch_tokens: int = 512, cache_bytes: int = 0
) -> AsyncIterator[Running]:
    pipeline = Pipeline(batch_tokens=batch_tokens, served=lambda tokens, more: None)
    try:
        yield Running(linker, pipeline, cache_bytes)
    finally:
        linker.go.set()
        async with asyncio.timeout(30):
            await pipeline.close()


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def expected(linker: Linker, *mentions: str, options: LinkOptions = OPTIONS) -> list[bytes]:
    return [
        write_link(link)
        for link in linker.link([Query.bare(each) for each in mentions], options).links
    ]


# In company


async def test_callers_share_a_batch_and_each_gets_its_own(linker, tiny_linker):
    async with running(linker) as server:
        linker.go.clear()
        first = asyncio.create_task(server.link("flu"))
        await until(lambda: linker.embedded)
        company = [
            asyncio.create_task(server.link("wart", options=LinkOptions(top_k=2), caller="b")),
            asyncio.create_task(server.link("flu", "wart", "asthma", caller="c")),
        ]
        await asyncio.sleep(0.05)
        linker.go.set()
        answers = await asyncio.gather(first, *company)
    assert linker.embedded == [1, 3]  # the second batch: what two callers ask for, once
    assert answers[0] == expected(tiny_linker, "flu")
    assert answers[1] == expected(tiny_linker, "wart", options=LinkOptions(top_k=2))
    assert answers[2] == expected(tiny_linker, "flu", "wart", "asthma")
    timing = server.jobs[1].timing
    assert timing.waiting > 0.04
    assert timing.encoding > 0
    assert timing.searching > 0


async def test_the_encoder_goes_on_while_the_batch_before_is_searched(linker):
    searching = threading.Event()

    def hold(keys: list[str]) -> None:
        if keys == ["flu"]:
            assert searching.wait(30)

    linker.before_search = hold
    async with running(linker, batch_tokens=1) as server:
        first = asyncio.create_task(server.link("flu"))
        await until(lambda: linker.searched)
        second = asyncio.create_task(server.link("wart"))
        await until(lambda: len(linker.embedded) == 2)
        assert not first.done()
        searching.set()
        await asyncio.gather(first, second)


async def test_a_small_request_does_not_wait_for_a_large_one(linker):
    async with running(linker, batch_tokens=40) as server:
        linker.go.clear()
        large = asyncio.create_task(server.link(*(f"ailment number {i}" for i in range(60))))
        await until(lambda: linker.embedded)
        small = asyncio.create_task(server.link("wart"))
        linker.go.set()
        await small
        assert not large.done()
        assert len(await large) == 60
    assert max(linker.embedded) < 20


async def test_what_a_caller_left_behind_is_not_encoded(linker):
    async with running(linker) as server:
        linker.go.clear()
        first = asyncio.create_task(server.link("flu"))
        await until(lambda: linker.embedded)
        gone = asyncio.create_task(server.link("wart", "asthma"))
        late = asyncio.create_task(server.link("plague", seconds=0.05))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(ServiceError) as caught:
            await late
        linker.go.set()
        await first
        await server.link("cough")
    assert gone.cancelled()
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert linker.searched == [["flu"], ["cough"]]
    assert linker.embedded == [1, 1]
    assert server.pipeline.stats.waiting_tokens == 0


async def test_a_wall_clock_that_jumps_changes_nothing(linker, tiny_linker, monkeypatch):
    async with running(linker) as server:
        linker.go.clear()
        asked = asyncio.create_task(server.link("flu", seconds=20))
        await until(lambda: linker.embedded)
        now = time.time()
        for jump in (-1e7, 1e7):
            monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
            await asyncio.sleep(0.02)
            assert not asked.done()
        other = asyncio.create_task(server.link("wart", seconds=20))
        linker.go.set()
        assert [*await asked, *await other] == expected(tiny_linker, "flu", "wart")


# With the cache and without


async def test_the_cache_changes_no_answer(linker, tiny_linker):
    wanted = [
        OPTIONS,
        LinkOptions(top_k=1, types=("disease",)),
        LinkOptions(schemes=("mesh",), label_languages=("ko", "en"), explain=True),
        LinkOptions(min_confidence=1.0),
    ]
    async with running(linker, cache_bytes=2**24) as cached, running(linker) as plain:
        for _ in range(2):
            for options in wanted:
                assert await cached.link(*MENTIONS, options=options) == await plain.link(
                    *MENTIONS, options=options
                )
        asked = linker.embedded.copy()
        assert await cached.link(*MENTIONS) == expected(tiny_linker, *MENTIONS)
        stats = cached.engine.cache.snapshot()
        assert linker.embedded == asked
    assert (stats.hits, stats.misses) == (5 * len(MENTIONS), 4 * len(MENTIONS))
    assert stats.entries == (1 + len(wanted)) * len(MENTIONS)  # of each its vector, and its answers


async def test_a_vector_serves_other_options_and_languages(linker):
    async with running(linker, cache_bytes=2**24) as server:
        await server.link("flu")
        await server.link("FLU ", options=LinkOptions(top_k=5))
        assert linker.embedded == [1]
        assert len(linker.searched) == 2


class ByContext:
    """A ranker that decides by the text before the mention."""

    name = "by context"

    def __init__(self) -> None:
        self.read: list[str] = []

    def log_odds(self, window: Window, candidates: Sequence[Candidate]) -> list[float]:
        self.read.append(window.before)
        if window.before == "no memory: ":
            raise MemoryError
        sign = 1 if window.before == "first: " else -1
        return [10.0 * sign * i for i in range(len(candidates))]


async def test_what_the_ranker_read_of_one_document_is_never_an_answer_to_another(
    tiny_linker, scripted
):
    ranker = ByContext()
    linker = scripted(tiny_linker, ranker)
    options = LinkOptions(top_k=16, rerank=Rerank.ALWAYS)

    async def link(server: Running, before: str) -> bytes:
        query = Query(before + "flu", len(before), len(before) + 3)
        job = server.pipeline.prepare(server.engine, linker.read([query], options))
        await server.pipeline.run(job)
        return job.answers[0]

    async with running(linker, cache_bytes=2**24) as cached, running(linker) as plain:
        befores = ["first: ", "second: ", "first: "]
        answers = [await link(cached, before) for before in befores]
        assert answers == [await link(plain, before) for before in befores]
        assert len(cached.jobs) == 0
    assert ranker.read == befores * 2
    assert answers[0] == answers[2] != answers[1]
    assert linker.searched == [["flu"]] * 4  # once from the cached pipeline, three times without


# Faults


@pytest.mark.parametrize("stage", ["encoding", "searching"])
async def test_only_the_request_at_fault_fails(linker, tiny_linker, stage):
    wart = tiny_linker.tokenise(["wart"])[0]

    def fail(items: Sequence[Any]) -> None:
        if "wart" in items or wart in items:
            raise ValueError("wart")

    if stage == "encoding":
        linker.before_embedding = fail
    else:
        linker.before_search = fail
    async with running(linker) as server:
        linker.go.clear()
        asked = [asyncio.create_task(server.link("cough"))]
        await until(lambda: linker.embedded)
        asked += [
            asyncio.create_task(server.link(*each))
            for each in (["flu"], ["wart", "flu", "asthma"], ["plague", "asthma"])
        ]
        await asyncio.sleep(0.05)
        linker.go.set()
        cough, flu, wart, plague = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(wart, ValueError)
        # What others ask for too is not theirs to fail for, whoever asked first.
        assert [*cough, *flu, *plague] == expected(tiny_linker, "cough", "flu", "plague", "asthma")
        assert await server.link("flu") == expected(tiny_linker, "flu")


async def test_what_the_encoder_has_no_memory_for_at_once_it_does_in_parts(linker, tiny_linker):
    def refuse(tokens: Sequence[Sequence[int]]) -> None:
        if len(tokens) > 2:
            raise MemoryError

    linker.before_embedding = refuse
    async with running(linker) as server:
        assert await server.link(*MENTIONS) == expected(tiny_linker, *MENTIONS)
    assert linker.embedded == [6, 3, 1, 2, 3, 1, 2]


async def test_what_was_tried_in_vain_is_freed_before_the_next_try(linker):
    tried: list[weakref.ref[Any]] = []

    def refuse(tokens: Sequence[Sequence[int]]) -> None:
        assert all(before() is None for before in tried)
        large = np.zeros(1000)
        tried.append(weakref.ref(large))
        if len(tokens) > 1:
            raise MemoryError

    linker.before_embedding = refuse
    async with running(linker) as server:
        assert len(await server.link("flu", "wart")) == 2
    assert len(tried) == 3


async def test_a_mention_without_memory_fails_alone(linker, tiny_linker):
    guilty = tiny_linker.tokenise(["wart"])[0]

    def refuse(tokens: Sequence[Sequence[int]]) -> None:
        if guilty in tokens:
            raise MemoryError

    linker.before_embedding = refuse
    async with running(linker) as server:
        before, without, after = await server.link("flu", "wart", "plague")
    assert [before, after] == expected(tiny_linker, "flu", "plague")
    assert isinstance(without, MemoryError)


async def test_a_mention_that_the_ranker_has_no_memory_for_fails_alone(tiny_linker, scripted):
    linker = scripted(tiny_linker, ByContext())
    texts = ["first: ", "no memory: ", "second: "]
    queries = [Query(text + "flu", len(text), len(text) + 3) for text in texts]
    mentions = linker.read(queries, LinkOptions(rerank=Rerank.ALWAYS))
    async with running(linker) as server:
        answers = await server.pipeline.link(server.engine, mentions)
    assert [type(answer) for answer in answers] == [bytes, MemoryError, bytes]
    assert pb.Link.FromString(answers[2]).candidates[0].HasField("ranker_log_odds")


@pytest.mark.parametrize("stage", [0, 1])
async def test_a_thread_that_dies_is_replaced_and_its_callers_hear_of_it(
    linker, tiny_linker, stage, hang
):
    if stage:
        linker.before_search = hang
    else:
        linker.before_embedding = hang
    async with running(linker) as server:
        worker = server.pipeline.workers[stage]
        first = asyncio.create_task(server.link("flu"))
        await until(lambda: hang.threads)
        second = asyncio.create_task(server.link("wart"))
        await asyncio.sleep(0.05)
        assert hang.threads == [worker.ident]
        hang.kill_first()
        with pytest.raises(ServiceError) as caught:
            await asyncio.wait_for(first, 30)
        hang.let_go()
        assert await asyncio.wait_for(second, 30) == expected(tiny_linker, "wart")
        assert await server.link("plague") == expected(tiny_linker, "plague")
        assert worker.ident != hang.threads[0]
        assert server.pipeline.stats.workers_replaced == 1
    assert caught.value.code == "UNAVAILABLE"


async def test_a_stage_goes_on_where_the_system_gives_no_more_threads(
    linker, tiny_linker, monkeypatch, caplog
):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def die(_: object) -> None:
        raise SystemExit

    async with running(linker) as server:
        await server.link("flu")
        monkeypatch.setattr(threading.Thread, "start", refuse)
        linker.before_embedding = die
        for _ in range(2):
            with pytest.raises(ServiceError) as caught:
                await asyncio.wait_for(server.link("wart"), 30)
            assert caught.value.code == "UNAVAILABLE"
        linker.before_embedding = lambda tokens: None
        assert await asyncio.wait_for(server.link("wart"), 30) == expected(tiny_linker, "wart")
        monkeypatch.undo()
        assert server.pipeline.stats.workers_replaced == 2
    assert [record.msg for record in caplog.records].count("worker not replaced") == 2


async def test_an_idle_thread_that_dies_is_replaced_too(linker, tiny_linker):
    async with running(linker) as server:
        await server.link("flu")
        for worker in server.pipeline.workers:
            dying = worker.ident
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(dying or 0), ctypes.py_object(SystemExit)
            )
        answered = await asyncio.gather(
            *(server.link(mention) for mention in MENTIONS), return_exceptions=True
        )
        again = await asyncio.gather(*(server.link(mention) for mention in MENTIONS))
        assert server.pipeline.stats.workers_replaced == 2  # no one has called the ranker's
    for mention, first, second in zip(MENTIONS, answered, again, strict=True):
        assert second == expected(tiny_linker, mention)
        assert first == second or getattr(first, "code", "") == "UNAVAILABLE"


async def test_a_deadline_may_be_infinite(linker):
    async with running(linker) as server:
        assert len(await server.link("flu", seconds=math.inf)) == 1
