"""Who reads the metrics takes only so much of the server."""

from __future__ import annotations

import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Counter

from bioelx.errors import ServiceError
from bioelx.service import metrics_port
from bioelx.service.metrics_port import serve_metrics
from bioelx.service.security.bounds import METRICS_CONNECTIONS


@pytest.fixture
def port() -> Iterator[int]:
    registry = CollectorRegistry()
    Counter("seen", "Something to read", registry=registry).inc()
    with serve_metrics(registry, "127.0.0.1:0") as server:
        yield server.server_port
        server.shutdown()


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return answer.read().decode()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes it without a word; waits for that."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def trickle(connection: socket.socket, seconds: float = 60) -> None:
    """Sends a request that has no end, a line at a time."""
    connection.sendall(b"GET /metrics HTTP/1.0\r\n")
    for _ in range(int(seconds / 0.05)):
        time.sleep(0.05)
        connection.sendall(b"a: b\r\n")


def test_as_many_connections_as_there_may_be_and_no_more(port: int) -> None:
    with ExitStack() as opened:
        silent = [opened.enter_context(connect(port)) for _ in range(METRICS_CONNECTIONS)]
        assert is_closed(opened.enter_context(connect(port)))
        silent[0].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        answer = silent[0].makefile("rb").read()
        assert answer.startswith(b"HTTP/1.0 200")
        assert b"seen_total 1.0" in answer
        # Its place is free again.
        assert "seen_total 1.0" in scrape(port)


def test_who_takes_too_long_is_sent_away(
    port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_port, "METRICS_SECONDS", 0.2)
    with connect(port) as silent, connect(port) as slow:
        with pytest.raises(ConnectionError):
            trickle(slow)
        assert is_closed(silent)
    assert "seen_total 1.0" in scrape(port)
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_named(port: int) -> None:
    with pytest.raises(ServiceError, match=re.escape(f"cannot listen on 127.0.0.1:{port}")):
        serve_metrics(CollectorRegistry(), f"127.0.0.1:{port}")


def test_an_ipv6_address() -> None:
    try:
        with socket.socket(socket.AF_INET6) as free:
            free.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with serve_metrics(CollectorRegistry(), "[::1]:0") as server:
        socket.create_connection(("::1", server.server_port), timeout=30).close()
        server.shutdown()
