"""Bulk work through one stream: memory on both sides, slow readers, callers that vanish."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from bioelx.client import AsyncClient, Client, document, link_request
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub

DISTINCT = 400
"""Mentions that are not equal: they come again, and the cache has them."""
PER_REQUEST = 50


def memory(pid: int) -> float:
    """Resident memory of a process, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def requests(mentions: int, first: int = 0) -> Iterator[pb.LinkRequest]:
    """Requests of `PER_REQUEST` mentions each; the id tells which mentions."""
    for start in range(first, first + mentions, PER_REQUEST):
        documents = [
            document(f"ailment {i % DISTINCT}", id=str(i))
            for i in range(start, start + PER_REQUEST)
        ]
        yield link_request(documents, id=str(start), top_k=3, rerank="never")


def expected(client: Client) -> list[pb.Link]:
    links = []
    for start in range(0, DISTINCT, PER_REQUEST):
        asked = [f"ailment {i}" for i in range(start, start + PER_REQUEST)]
        links += client.link_mentions(asked, top_k=3, rerank="never")
    return links


def check_bulk(client: Client, server_pid: int, mentions: int) -> None:
    """Sends so many mentions in one call; every one is answered, and memory stays flat."""
    links = expected(client)
    warm_up, seen = mentions // 4, set()
    before = (0.0, 0.0)
    bad = {7 * PER_REQUEST, mentions // 2}

    def spoilt() -> Iterator[pb.LinkRequest]:
        for request in requests(mentions):
            if int(request.id) in bad:
                request.documents[3].mentions.add(start=5, end=99)
            yield request

    for reply in client.link_stream(spoilt()):
        start = int(reply.id)
        assert start not in seen
        seen.add(start)
        assert len(reply.documents) == PER_REQUEST
        for at, linked in enumerate(reply.documents):
            assert linked.document_id == str(start + at)
            (link,) = linked.links
            if start in bad and at == 3:
                assert link.error.field == "documents[3].mentions[0].end"
                continue
            alike = links[(start + at) % DISTINCT]
            assert link.concept_id == alike.concept_id
            assert link.confidence == pytest.approx(alike.confidence, abs=1e-3)
        if len(seen) * PER_REQUEST == warm_up:
            before = memory(server_pid), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    after = memory(server_pid), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert seen == set(range(0, mentions, PER_REQUEST))
    assert before[0]
    for earlier, later in zip(before, after, strict=True):
        assert later < earlier * 1.05 + 5


def test_many_mentions_in_one_call_take_no_more_memory_than_a_few(server, client):
    check_bulk(client, server.process.pid, 20_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_mentions_in_one_call_take_no_more_memory_than_a_few(server, client):
    check_bulk(client, server.process.pid, 1_000_000)


BULKY = 100_000
"""Bytes of a bulky request, and of its reply."""
BUFFERS = 64 * 2**20
"""More than the transport and the window of a stream hold at both ends."""


def bulky_requests(count: int) -> Iterator[pb.LinkRequest]:
    for i in range(count):
        yield link_request([document("flu", id="x" * BULKY)], id=str(i), top_k=1)


async def test_the_async_client_reads_requests_no_faster_than_they_are_answered(server):
    sent = received = ahead = 0

    async def asked():
        nonlocal sent
        for request in bulky_requests(1600):
            sent += 1
            yield request

    async with AsyncClient(server.address) as caller:
        async for reply in caller.link_stream(asked()):
            received += 1
            ahead = max(ahead, sent - received)
            assert len(reply.documents[0].document_id) == BULKY
    assert received == sent == 1600
    assert ahead * BULKY < BUFFERS


def test_a_slow_reader_is_read_no_further(server):
    """What is read and answered, but not yet taken by the caller, is bounded."""
    sent = 0

    def asked() -> Iterator[pb.LinkRequest]:
        nonlocal sent
        for request in bulky_requests(1600):
            sent += 1
            yield request

    with grpc.insecure_channel(server.address) as channel:
        call = EntityLinkerStub(channel).LinkStream(asked())
        next(call)
        before, last = memory(server.process.pid), -1
        while sent != last:
            last = sent
            time.sleep(2)
        assert sent * BULKY < BUFFERS
        assert memory(server.process.pid) < before + BUFFERS / 2**20
        with Client(server.address, timeout=60) as other:
            assert other.search("flu").candidates
        assert sum(1 for _ in call) == 1599
        assert sent == 1600


VANISHING = """
import itertools, os, sys
from bioelx.client import Client, document, link_request
def requests():
    for i in itertools.count():
        yield link_request([document(f"vanishing {i} {j}") for j in range(50)], id=str(i))
with Client(sys.argv[1]) as client:
    stream = client.link_stream(requests())
    next(stream)
    os._exit(1)
"""


def test_callers_that_vanish_leave_nothing_behind(start_server):
    with start_server("--batch-tokens", "64") as running, Client(running.address) as client:
        client.search("flu")
        for _ in range(3):
            gone = [
                subprocess.Popen([sys.executable, "-c", VANISHING, running.address])
                for _ in range(2)
            ]
            assert [process.wait(120) for process in gone] == [1, 1]
        deadline = time.monotonic() + 30
        while running.log.read_bytes().count(b'"method":"LinkStream"') < 6:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        threads = len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))
        # Nothing of theirs is ahead of the next caller.
        started = time.monotonic()
        client.search("an ailment that is asked for now")
        assert time.monotonic() - started < 10
        assert threads < 60
        assert running.process.poll() is None


def test_streams_and_short_calls_do_not_keep_each_other_out(start_server):
    """A bulk job never fills the queue, and is not starved by those who do."""
    with start_server("--batch-tokens", "64") as running:
        stop = threading.Event()
        latencies: list[float] = []

        def call_often() -> None:
            with Client(running.address, timeout=60) as caller:
                number = 0
                while not stop.is_set():
                    number += 1
                    started = time.monotonic()
                    assert caller.search(f"urgent question {number}").candidates
                    latencies.append(time.monotonic() - started)

        calling = threading.Thread(target=call_often)
        calling.start()
        with Client(running.address) as bulk:
            replies = [reply.id for reply in bulk.link_stream(requests(2_000))]
        stop.set()
        calling.join(60)
    assert len(replies) == 40
    assert len(latencies) > 3
