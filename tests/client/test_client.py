"""Clients against servers of gRPC's own that fail as told, over the wire."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bioelx.channel import SERVICE
from bioelx.client import AsyncClient, Client, link_request
from bioelx.credentials import Credentials
from bioelx.errors import BioelxError, InvalidRequestError, OverloadedError, ServiceError
from bioelx.retries import NO_RETRIES
from bioelx.service.status import status_of
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import (
    EntityLinkerServicer,
    ReleaseAdminServicer,
    add_EntityLinkerServicer_to_server,
    add_ReleaseAdminServicer_to_server,
)

Fault = BioelxError | grpc.StatusCode


class Faulty(EntityLinkerServicer, ReleaseAdminServicer):
    """Fails with its faults in turn, then answers with its name."""

    def __init__(self, name: str = "", *faults: Fault) -> None:
        self.name = name
        self.faults = list(faults)
        self.called: list[float] = []
        self.peers: set[str] = set()
        self.left: list[float] = []
        self.hold: threading.Event | None = None

    def _next(self, context: grpc.ServicerContext) -> None:
        self.called.append(time.monotonic())
        self.peers.add(context.peer())
        self.left.append(context.time_remaining())
        if self.hold:
            self.hold.wait(30)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, grpc.StatusCode):
                context.abort(fault, "as told")
            context.abort_with_status(status_of(fault))

    def Info(self, request: pb.InfoRequest, context: grpc.ServicerContext) -> pb.InfoReply:  # noqa: N802
        self._next(context)
        return pb.InfoReply(release=self.name)

    def Rollback(  # noqa: N802
        self, request: pb.RollbackReleaseRequest, context: grpc.ServicerContext
    ) -> pb.ActivateReleaseReply:
        self._next(context)
        return pb.ActivateReleaseReply()

    def LinkStream(  # noqa: N802
        self, request_iterator: Iterable[pb.LinkRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.LinkReply]:
        after = self.faults.pop(0) if self.name == "breaks" else None
        if after is None:
            self._next(context)
        else:
            self.called.append(time.monotonic())
        for request in request_iterator:
            yield pb.LinkReply(id=request.id)
            if isinstance(after, grpc.StatusCode):
                context.abort(after, "as told")


class Running:
    def __init__(
        self,
        servicer: Faulty,
        address: str = "127.0.0.1:0",
        secret: grpc.ServerCredentials | None = None,
    ) -> None:
        self.servicer = servicer
        self.health = health.HealthServicer()
        self.health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        add_EntityLinkerServicer_to_server(servicer, self._server)
        add_ReleaseAdminServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        port = (
            self._server.add_secure_port(address, secret)
            if secret
            else self._server.add_insecure_port(address)
        )
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def kill(self) -> None:
        self._server.stop(None).wait(10)


@contextmanager
def running(*servicers: Faulty) -> Iterator[list[Running]]:
    with ExitStack() as stack:
        servers = [Running(each) for each in servicers]
        for server in servers:
            stack.callback(server.kill)
        yield servers


def info_of(address: str, **options: Any) -> pb.InfoReply:
    with Client(address, **{"timeout": 30, **options}) as client:
        return client.info()


def info_async(address: str, **options: Any) -> pb.InfoReply:
    async def call() -> pb.InfoReply:
        async with AsyncClient(address, **{"timeout": 30, **options}) as client:
            return await client.info()

    return asyncio.run(call())


@pytest.fixture(params=[info_of, info_async], ids=["blocking", "asyncio"])
def info(request: pytest.FixtureRequest) -> Callable[..., pb.InfoReply]:
    return request.param


# Again or not


def test_overload_and_absence_are_tried_again(info) -> None:
    faulty = Faulty(
        "a", grpc.StatusCode.UNAVAILABLE, OverloadedError(0), grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    with running(faulty) as [server]:
        assert info(server.address).release == "a"
    assert len(faulty.called) == 4


def test_the_servers_delay_is_kept(info) -> None:
    faulty = Faulty("a", OverloadedError(1.5))
    with running(faulty) as [server]:
        info(server.address, timeout=20)
    first, second = faulty.called
    assert second - first >= 1.5
    # Both tries have one deadline. (gRPC sends what is left of it with two or three digits.)
    assert faulty.left[0] - faulty.left[1] > 1


def test_a_delay_past_the_deadline_is_not_waited_for(info) -> None:
    faulty = Faulty("a", OverloadedError(300))
    with running(faulty) as [server]:
        before = time.monotonic()
        with pytest.raises(OverloadedError) as caught:
            info(server.address, timeout=250)
        assert time.monotonic() - before < 200
    assert caught.value.retry_after == 300
    assert len(faulty.called) == 1


@pytest.mark.parametrize(
    "fault",
    [
        InvalidRequestError("documents", "none"),
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.PERMISSION_DENIED,
    ],
    ids=str,
)
def test_other_faults_are_not_tried_again(info, fault: Fault) -> None:
    faulty = Faulty("a", fault)
    with running(faulty) as [server], pytest.raises(BioelxError):
        info(server.address)
    assert len(faulty.called) == 1


def test_tries_end_and_can_be_turned_off(info) -> None:
    faulty = Faulty("a", *[grpc.StatusCode.UNAVAILABLE] * 9)
    with running(faulty) as [server]:
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            info(server.address)
        assert len(faulty.called) == 5
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            info(server.address, retries=NO_RETRIES)
        assert len(faulty.called) == 6


def test_the_deadline_bounds_all_tries(info) -> None:
    faulty = Faulty("a")
    faulty.hold = threading.Event()
    with running(faulty) as [server]:
        try:
            before = time.monotonic()
            with pytest.raises(ServiceError, match="DEADLINE_EXCEEDED"):
                info(server.address, timeout=0.5)
            assert 0.5 <= time.monotonic() - before < 20
            assert len(faulty.called) == 1
        finally:
            faulty.hold.set()


def test_what_may_not_happen_twice_is_not_tried_again() -> None:
    faulty = Faulty("a", grpc.StatusCode.UNAVAILABLE)
    with (
        running(faulty) as [server],
        Client(server.address) as client,
        pytest.raises(ServiceError, match="UNAVAILABLE"),
    ):
        client.roll_back()
    assert len(faulty.called) == 1


def test_calls_share_a_connection() -> None:
    faulty = Faulty("a")
    with running(faulty) as [server], Client(server.address) as client:
        for _ in range(5):
            client.info()
    assert len(faulty.called) == 5
    assert len(faulty.peers) == 1


# Several servers


def names(client: Client, calls: int) -> list[str]:
    return [client.info().release for _ in range(calls)]


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def test_calls_are_spread_and_go_on_when_a_server_is_killed() -> None:
    with running(Faulty("a"), Faulty("b")) as [a, b], Client(f"{a.address},{b.address}") as client:
        until(lambda: set(names(client, 4)) == {"a", "b"})
        assert sorted(names(client, 10)) == ["a"] * 5 + ["b"] * 5
        a.kill()
        assert set(names(client, 10)) == {"b"}


def test_a_call_that_a_dying_server_had_is_answered_by_the_other() -> None:
    with running(Faulty("a"), Faulty("b")) as [a, b], Client(f"{a.address},{b.address}") as client:
        until(lambda: set(names(client, 4)) == {"a", "b"})
        a.servicer.hold = threading.Event()
        before = len(a.servicer.called)
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(client.info) for _ in range(2)]
            until(lambda: len(a.servicer.called) > before)
            threading.Thread(target=a.kill).start()
            try:
                assert {call.result(30).release for call in calls} == {"b"}
            finally:
                a.servicer.hold.set()


def test_a_server_that_is_not_ready_gets_no_calls_until_it_is() -> None:
    with running(Faulty("a"), Faulty("b")) as [a, b], Client(f"{a.address},{b.address}") as client:
        until(lambda: set(names(client, 4)) == {"a", "b"})
        a.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
        until(lambda: set(names(client, 6)) == {"b"})
        seen = len(a.servicer.called)
        assert set(names(client, 10)) == {"b"}
        assert len(a.servicer.called) == seen
        a.health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        until(lambda: set(names(client, 4)) == {"a", "b"})


def test_the_servers_that_a_name_stands_for_share_the_calls() -> None:
    """`localhost` stands for one address or two; the server of each is asked by `dns:///` alone."""
    with running(Faulty("a")) as [a]:
        target = a.address.replace("127.0.0.1", "dns:///localhost")
        with Client(target, timeout=30) as client:
            assert names(client, 3) == ["a"] * 3
            a.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
            until(lambda: unavailable(client))
            seen = len(a.servicer.called)
            assert unavailable(client)
            assert len(a.servicer.called) == seen


def unavailable(client: Client) -> bool:
    try:
        client.info()
    except ServiceError as error:
        return error.code == "UNAVAILABLE"
    return False


def test_several_servers_may_have_certificates_for_a_name_that_is_told(
    info, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    leaf = authority.issue_cert("linker.example")
    pair = (leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
    secret = grpc.ssl_server_credentials([pair])
    servers = [Running(Faulty(name), secret=secret) for name in "ab"]
    several = ",".join(server.address for server in servers)
    named = Credentials(ca=tmp_path / "ca.pem", server_name="linker.example")
    assert info(several, credentials=named).release in "ab"
    unnamed = Credentials(ca=tmp_path / "ca.pem")
    with pytest.raises(ServiceError, match="UNAVAILABLE"):
        info(several, credentials=unnamed, retries=NO_RETRIES)
    for server in servers:
        server.kill()


def test_a_proxy_for_other_machines_is_not_asked_for_this_one(
    info, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be given what goes to this machine unencrypted, a token too."""
    for variable in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with running(Faulty("a"), Faulty("b")) as [one, other]:
        assert info(one.address, retries=NO_RETRIES).release == "a"
        assert info(f"{one.address},{other.address}", retries=NO_RETRIES).release in "ab"


def test_asyncio_spreads_calls_too() -> None:
    async def call(address: str) -> None:
        async with AsyncClient(address, timeout=30) as client:
            while {(await client.info()).release for _ in range(4)} != {"a", "b"}:
                await asyncio.sleep(0.05)

    with running(Faulty("a"), Faulty("b")) as [a, b]:
        asyncio.run(asyncio.wait_for(call(f"{a.address},{b.address}"), 60))


# Streams


@pytest.mark.parametrize("fault", [grpc.StatusCode.UNAVAILABLE, OverloadedError(0)], ids=str)
def test_a_stream_is_not_begun_again(fault: Fault) -> None:
    faulty = Faulty("a", fault)
    with running(faulty) as [server], Client(server.address) as client:
        with pytest.raises((ServiceError, OverloadedError)):
            list(client.link_stream([link_request([], id="0")], timeout=30))
        # The next one finds the same connection well.
        replies = client.link_stream([link_request([], id=str(i)) for i in range(3)], timeout=30)
        assert [reply.id for reply in replies] == ["0", "1", "2"]
    assert len(faulty.called) == 2


def test_a_stream_is_not_begun_again_after_a_reply() -> None:
    faulty = Faulty("breaks", grpc.StatusCode.UNAVAILABLE)
    with running(faulty) as [server], Client(server.address) as client:
        replies = client.link_stream([link_request([], id="0"), link_request([], id="1")])
        assert next(replies).id == "0"
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            next(replies)
    assert len(faulty.called) == 1


def test_a_stream_may_have_a_deadline() -> None:
    async def never() -> AsyncIterator[pb.LinkRequest]:
        await asyncio.sleep(60)
        yield link_request([])

    async def call(address: str) -> None:
        async with AsyncClient(address) as client:
            async for _ in client.link_stream(never(), timeout=0.5):
                pass

    with running(Faulty("a")) as [server], pytest.raises(ServiceError, match="DEADLINE_EXCEEDED"):
        asyncio.run(asyncio.wait_for(call(server.address), 30))
