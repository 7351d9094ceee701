"""A server ends while it is called: each call ends too, with an answer or with a code."""

from __future__ import annotations

import asyncio
import signal
import time

import grpc
import numpy as np
import pytest

from bioelx.types import Query
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub
from bioelx_eval.load.calls import OK, closed_loop, connected, open_loop, sender
from bioelx_eval.load.draws import arrivals, request_of

UNAVAILABLE = "UNAVAILABLE"
MANY = request_of([Query.bare(f"unheard-of ailment {n}") for n in range(100)])


async def test_a_server_that_is_killed_leaves_no_call_hanging(start_server) -> None:
    """Every call that was on its way, and every one after, ends with UNAVAILABLE at once."""
    with start_server() as running:
        async with connected(running.address) as channel:
            calls = asyncio.create_task(closed_loop([sender(channel, MANY, 120)] * 6, 3))
            stream = EntityLinkerStub(channel).LinkStream()
            await stream.write(pb.LinkRequest(id="only", documents=MANY.documents))
            await asyncio.sleep(0.1)
            assert not calls.done()
            running.process.kill()
            killed = time.monotonic()
            outcomes = await calls
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert time.monotonic() - killed < 30
    assert [outcome.code for outcome in outcomes] == [UNAVAILABLE] * 6
    assert caught.value.code().name == UNAVAILABLE


async def test_a_server_that_is_told_to_stop_answers_what_it_took(start_server) -> None:
    """Calls come before, while and after it stops; none is lost, and none blames the server."""
    with start_server("--grace-seconds", "120") as running:
        async with connected(running.address) as channel:
            send = sender(channel, request_of([Query.bare("flue"), Query.bare("mygraine")]), 120)
            schedule = arrivals(15, 4, np.random.default_rng(1))
            calls = asyncio.create_task(open_loop([send] * len(schedule), schedule))
            await asyncio.sleep(1.5)
            running.process.send_signal(signal.SIGTERM)
            outcomes = await calls
        assert await asyncio.to_thread(running.process.wait, 60) == 0
    assert len(outcomes) == len(schedule)
    assert {outcome.code for outcome in outcomes} == {OK, UNAVAILABLE}
    assert all(outcome.code == OK for outcome in outcomes if outcome.due < 1)
    assert all(outcome.code == UNAVAILABLE for outcome in outcomes if outcome.due > 3)
