"""Faults as callers see them, over gRPC: each has its answer, and no call waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from bioelx.client import AsyncClient, document, link_request
from bioelx.errors import OverloadedError, ServiceError
from bioelx.linker import Linker
from bioelx.retries import NO_RETRIES
from bioelx.service.admission import Admission
from bioelx.service.cache import Cache
from bioelx.service.calls import CallGuard
from bioelx.service.engine import Engine, Engines
from bioelx.service.metrics import CallMetrics
from bioelx.service.pipeline import Pipeline
from bioelx.service.replies import link_reply
from bioelx.service.servicer import Servicer
from bioelx.service.stats import engine_stats
from bioelx.service.switch import SwitchRecord
from bioelx.settings import Limits
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import add_EntityLinkerServicer_to_server

LIMITS = Limits(batch_tokens=32, queue_tokens=400)


class Server:
    """A server in this process, whose parts a test can reach."""

    def __init__(self, linker: Linker) -> None:
        self.engines, self.admission = Engines(), Admission(LIMITS)
        self.registry = CollectorRegistry()
        self.engines.activate(Engine(linker, Cache(2**20)))
        self.pipeline = Pipeline(batch_tokens=LIMITS.batch_tokens, served=self.admission.served)
        self.servicer = Servicer(
            self.engines, self.pipeline, self.admission, SwitchRecord(), LIMITS
        )

    @property
    def stats(self):
        return engine_stats(self.engines, self.pipeline, self.admission)


@pytest.fixture
async def server(linker) -> Server:
    return Server(linker)


@pytest.fixture
async def client(server: Server, linker) -> AsyncIterator[AsyncClient]:
    running = grpc.aio.server(interceptors=[CallGuard([CallMetrics(server.registry)])])
    add_EntityLinkerServicer_to_server(server.servicer, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    async with AsyncClient(f"127.0.0.1:{port}", retries=NO_RETRIES) as opened:
        yield opened
    linker.go.set()
    await running.stop(None)
    await server.servicer.close()
    await server.pipeline.close()


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_mention_without_memory_has_an_error_in_its_place(client, linker, tiny_linker):
    guilty = tiny_linker.tokenise(["wart"])[0]

    def refuse(tokens: Sequence[Sequence[int]]) -> None:
        if guilty in tokens:
            raise MemoryError

    linker.before_embedding = refuse
    reply = await client.link([document("flu and wart", (0, 3), (8, 12)), document("wart")])
    flu, wart = reply.documents[0].links
    assert flu.candidates
    assert wart.error.field == "documents[0].mentions[1]"
    assert reply.documents[1].links[0].error.field == "documents[1].text"
    assert "memory" in wart.error.message
    with pytest.raises(ServiceError) as caught:
        await client.search("wart")
    assert caught.value.code == "RESOURCE_EXHAUSTED"


async def test_a_lost_thread_costs_its_batch_an_error_and_nobody_else(client, server, linker, hang):
    linker.before_embedding = hang
    lost = asyncio.create_task(client.link([document("flu")]))
    await until(lambda: hang.threads)
    others = [asyncio.create_task(client.search(f"ailment {i}")) for i in range(5)]
    await until(lambda: server.stats.pipeline.waiting_tokens)
    hang.kill_first()
    with pytest.raises(ServiceError) as caught:
        await lost
    hang.let_go()
    assert caught.value.code == "UNAVAILABLE"
    for other in others:
        assert (await other).candidates
    assert server.stats.pipeline.workers_replaced == 1
    assert server.stats.tokens == 0


async def test_a_request_that_the_server_fails_at_does_not_end_its_stream(
    client, server, linker, tiny_linker, caplog
):
    guilty = tiny_linker.tokenise(["wart"])[0]

    def fail(tokens: Sequence[Sequence[int]]) -> None:
        if guilty in tokens:
            raise ValueError("wart")

    linker.before_embedding = fail
    asked = {"1": "flu", "2": "wart", "3": "plague", "4": "wart", "5": "asthma"}
    requests = [link_request([document(text)], id=id) for id, text in asked.items()]
    with caplog.at_level("ERROR"):
        replies = {reply.id: reply async for reply in client.link_stream(requests)}
        with pytest.raises(ServiceError) as alone:
            await client.link([document("wart")])
    assert set(replies) == set(asked)
    for id, reply in replies.items():
        if asked[id] == "wart":
            assert not reply.error.field
            assert reply.error.message.startswith("INTERNAL: ")
            assert "wart" not in str(reply)
            assert not reply.documents
        else:
            assert reply.documents[0].links[0].candidates
    assert alone.value.code == "INTERNAL"
    logged = [record.fields["exception"] for record in caplog.records if record.msg == "failed"]
    assert logged == ["ValueError"] * 3
    failed = "bioelx_stream_requests_failed_total"
    assert server.registry.get_sample_value(failed, {"code": "INTERNAL"}) == 2
    assert server.registry.get_sample_value(failed, {"code": "UNAVAILABLE"}) == 0


async def test_a_stream_outlives_a_lost_thread_and_the_request_may_come_again(client, linker, hang):
    lost = asyncio.Event()
    linker.before_embedding = hang

    async def requests() -> AsyncIterator[pb.LinkRequest]:
        yield link_request([document("flu")], id="first")
        await lost.wait()
        yield link_request([document("flu")], id="again")

    stream = client.link_stream(requests())
    first = asyncio.create_task(anext(stream))
    await until(lambda: hang.threads)
    hang.kill_first()
    reply = await first
    assert (reply.id, reply.error.field) == ("first", "")
    assert reply.error.message.startswith("UNAVAILABLE: ")
    hang.let_go()
    lost.set()
    (again,) = [reply async for reply in stream]
    assert again.id == "again"
    assert again.documents[0].links[0].candidates


async def test_overload_is_told_at_once_with_a_delay(client, server, linker):
    linker.go.clear()
    tasks = [
        asyncio.create_task(client.link([document(f"ailment {i} {j}") for j in range(20)]))
        for i in range(4)
    ]
    done, _ = await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert all(isinstance(each.exception(), OverloadedError) for each in done)
    assert done
    assert server.stats.rejected >= len(done)
    linker.go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, OverloadedError) for each in answers) == server.stats.rejected
    assert any(not isinstance(each, Exception) for each in answers)
    assert server.stats.tokens == 0


async def test_a_caller_who_is_gone_takes_nothing_up(client, server, linker):
    linker.go.clear()
    running = asyncio.create_task(client.search("flu"))
    await until(lambda: linker.embedded)
    gone = asyncio.create_task(client.link([document(f"ailment {i}") for i in range(10)]))
    await until(lambda: server.stats.pipeline.waiting_tokens)
    gone.cancel()
    await until(lambda: not server.stats.pipeline.waiting_tokens)
    linker.go.set()
    await running
    await until(lambda: not server.stats.tokens)
    assert linker.embedded == [1]


async def test_a_stream_waits_where_a_call_is_turned_away(client, server):
    async def requests():
        for i in range(12):
            yield link_request([document(f"malady {i} {j}") for j in range(20)], id=str(i))

    replies = {reply.id async for reply in client.link_stream(requests())}
    assert replies == {str(i) for i in range(12)}
    assert server.stats.rejected == 0


async def test_a_large_reply_leaves_the_event_loop_nothing_to_write(server, monkeypatch):
    written_in: list[str] = []

    def write(*arguments: Any) -> bytes:
        written_in.append(threading.current_thread().name)
        return link_reply(*arguments)

    monkeypatch.setattr("bioelx.service.servicer.link_reply", write)
    for mentions in (60, 2):
        asked = link_request([document("flu")] * mentions, top_k=20)
        reply = await server.servicer.Link(asked, Deaf())
        assert isinstance(reply, bytes)
        answered = pb.LinkReply.FromString(reply).documents
        assert [len(each.links[0].candidates) for each in answered] == [20] * mentions
    await server.pipeline.close()
    assert written_in == ["large requests_0", threading.current_thread().name]


async def test_repeated_mentions_are_counted_as_hits(client, server):
    for _ in range(3):
        await client.link_mentions(["flu", "wart"])
    (cache,) = server.stats.caches.values()
    assert (cache.hits, cache.misses) == (4, 2)
    assert server.stats.pipeline.encoding.batches == 1


class Deaf:
    """The context of a stream whose caller reads no reply."""

    def peer(self) -> str:
        return "ipv4:10.0.0.7:4711"

    def time_remaining(self) -> None:
        return None

    async def write(self, reply: pb.LinkReply) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("documents", [1, LIMITS.max_documents + 1])
async def test_what_is_large_in_a_request_is_not_held_by_the_hundred(server, linker, documents):
    large, read = pb.Document(id="x" * (2**18 // documents)), 0

    async def requests():
        nonlocal read
        for i in range(100):
            read = i + 1
            yield pb.LinkRequest(id=str(i), documents=[large] * documents)
            await asyncio.sleep(0)

    stream = asyncio.create_task(server.servicer.LinkStream(requests(), Deaf()))
    await asyncio.sleep(0.2)
    stream.cancel()
    await asyncio.wait([stream])
    await server.pipeline.close()
    assert read <= 2


async def test_who_waits_for_room_holds_no_release(server, linker, scripted, tiny_linker):
    before = server.engines.active
    server.admission.occupy("bulk", LIMITS.queue_tokens, patient=True)

    async def requests():
        yield link_request([document("flu")], id="1")
        await asyncio.Event().wait()

    context = Deaf()
    stream = asyncio.create_task(server.servicer.LinkStream(requests(), context))
    await asyncio.sleep(0.05)
    after = Engine(scripted(tiny_linker), Cache(0))
    server.engines.activate(after)
    await asyncio.wait_for(before.quiet(), 5)
    server.admission.occupy("bulk", -LIMITS.queue_tokens, patient=True)
    await until(lambda: after.linker.embedded)
    assert not linker.embedded
    stream.cancel()
    await asyncio.wait([stream])
    await server.pipeline.close()


async def test_a_stream_that_comes_just_before_the_stop_is_not_read(server):
    async def requests():
        await asyncio.Event().wait()
        yield pb.LinkRequest()

    server.servicer.drain()
    with pytest.raises(ServiceError) as caught:
        await asyncio.wait_for(server.servicer.LinkStream(requests(), Deaf()), 5)
    await server.pipeline.close()
    assert caught.value.code == "UNAVAILABLE"
