"""Live is told from ready, each service apart, and a worker that is stuck is noticed."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bioelx.service.cache import Cache
from bioelx.service.engine import Engine
from bioelx.service.health import (
    LIVE,
    NOT_SERVING,
    SERVER,
    SERVING,
    UNKNOWN,
    Health,
    watch_work,
)
from bioelx.service.pipeline import Pipeline
from bioelx.types import LinkOptions, Query

LINKER, ADMIN = "bioelx.v1.EntityLinker", "bioelx.v1.ReleaseAdmin"


@pytest.fixture
async def health():
    return Health([LINKER])


@pytest.fixture
async def stub(health):
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(None)


async def all_of(stub) -> list[int]:
    asked = (health_pb2.HealthCheckRequest(service=name) for name in (LIVE, SERVER, LINKER))
    return [(await stub.Check(each)).status for each in asked]


async def test_it_is_live_before_it_is_ready_and_after(health, stub):
    assert await all_of(stub) == [SERVING, NOT_SERVING, NOT_SERVING]
    health.is_ready()
    assert await all_of(stub) == [SERVING, SERVING, SERVING]
    health.set_live(False)
    assert await all_of(stub) == [NOT_SERVING, NOT_SERVING, NOT_SERVING]
    health.set_live(True)
    health.drain()
    assert await all_of(stub) == [SERVING, NOT_SERVING, NOT_SERVING]


async def test_a_service_that_is_not_offered_is_not_found(health, stub):
    health.is_ready()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service=ADMIN))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=ADMIN))
    assert (await watch.read()).status == UNKNOWN


async def test_watchers_hear_of_changes_and_have_a_last_word(health, stub):
    ready = stub.Watch(health_pb2.HealthCheckRequest(service=LINKER))
    live = stub.Watch(health_pb2.HealthCheckRequest(service=LIVE))
    assert (await ready.read()).status == NOT_SERVING
    assert (await live.read()).status == SERVING
    health.is_ready()
    assert (await ready.read()).status == SERVING
    health.drain()
    assert (await ready.read()).status == NOT_SERVING
    assert await ready.read() is grpc.aio.EOF
    assert await live.read() is grpc.aio.EOF


@pytest.mark.parametrize("stage", ["embed", "search"])
async def test_a_stuck_stage_makes_the_server_not_live_until_it_goes_on(
    health, tiny_linker, monkeypatch, stage
):
    health.is_ready()
    let_go = threading.Event()
    work = getattr(tiny_linker, stage)

    def stuck(*arguments):
        assert let_go.wait(60)
        return work(*arguments)

    pipeline = Pipeline(batch_tokens=64, served=lambda tokens, more: None)
    engine = Engine(tiny_linker, Cache(0))
    mentions = tiny_linker.read([Query.bare("influenza", "en")], LinkOptions())
    watching = asyncio.create_task(watch_work(health, pipeline.progress, limit=1))
    try:
        await pipeline.link(engine, mentions)
        assert health.status(LIVE) == SERVING
        monkeypatch.setattr(tiny_linker, stage, stuck)
        linking = asyncio.create_task(pipeline.link(engine, mentions))
        await until(lambda: health.status(LIVE) == NOT_SERVING)
        assert health.status(LINKER) == NOT_SERVING
        let_go.set()
        assert isinstance((await linking)[0], bytes)
        await until(lambda: health.status(LINKER) == SERVING)
    finally:
        let_go.set()
        watching.cancel()
        await pipeline.close()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)
