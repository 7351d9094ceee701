"""A server's start and stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import orjson
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from bioelx.client import Client, document, link_request
from bioelx.errors import ServiceError
from bioelx.retries import NO_RETRIES
from bioelx.service.stop import STUCK
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub

FAST = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 20),
        ("grpc.min_reconnect_backoff_ms", 20)]  # fmt: skip


def bioelx(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bioelx", *arguments],
        env={**os.environ, "BIOELX_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_damaged_release_is_refused_with_the_files_name(tiny_release, tiny_home, tmp_path):
    damaged = shutil.copytree(tiny_release, tmp_path / "damaged")
    with (damaged / "index.faiss").open("r+b") as index:
        index.truncate(1000)
    done = bioelx("serve", "--port", "0", "--release", str(damaged), home=tiny_home)
    assert done.returncode == 1
    assert "index.faiss" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_calls_finish_and_new_ones_are_refused(start_server, number):
    with start_server("--batch-tokens", "1") as server, Client(server.address) as client:
        documents = [document(f"unheard-of ailment number {i}") for i in range(100)]
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(client.link, documents) for _ in range(2)]
            time.sleep(0.2)
            assert not any(call.done() for call in running)
            server.process.send_signal(number)
            time.sleep(0.3)
            with Client(server.address, timeout=5) as late, pytest.raises(ServiceError) as caught:
                late.info()
            replies = [call.result() for call in running]
        assert caught.value.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
        assert all(len(reply.documents) == 100 for reply in replies)
        assert all(each.links[0].candidates for each in replies[0].documents)
        assert server.process.wait(20) == 0


def test_every_call_under_load_is_answered_or_refused_when_it_stops(start_server):
    """Of more than it can finish in its grace, each gets an answer or an error code."""
    with start_server("--batch-tokens", "8", "--grace-seconds", "0.1") as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = EntityLinkerStub(channel)
            asked = [
                link_request([document(f"unheard-of ailment {i} {j}") for j in range(30)])
                for i in range(60)
            ]
            calls = [stub.Link.future(request, timeout=60) for request in asked]
            while not any(call.done() and call.code() is grpc.StatusCode.OK for call in calls):
                time.sleep(0.01)
            server.process.terminate()
            codes = [call.code() for call in calls]
        assert server.process.wait(30) == 0
    assert set(codes) <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
    }
    assert grpc.StatusCode.UNAVAILABLE in codes or grpc.StatusCode.CANCELLED in codes


def test_a_watcher_of_its_health_does_not_hold_the_stop_up(start_server):
    with start_server() as server, grpc.insecure_channel(server.address) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest())
        assert next(watch).status == HealthCheckResponse.SERVING
        server.process.terminate()
        assert server.process.wait(10) == 0


def test_an_idle_stream_does_not_hold_the_stop_up(start_server):
    with start_server() as server, Client(server.address) as client:
        hold = threading.Event()

        def requests():
            yield link_request([document("flu")], id="only")
            hold.wait(30)

        stream = client.link_stream(requests())
        assert next(stream).id == "only"
        server.process.terminate()
        with pytest.raises(ServiceError) as caught:
            next(stream)
        assert server.process.wait(10) == 0
        hold.set()
    assert caught.value.code == "UNAVAILABLE"


HANGING = """
import time
from bioelx.cli import main
from bioelx.linker import Linker

def hanging(step, word):
    def call(linker, asked, *more):
        if any(word == getattr(each, "key", each) for each in asked):
            time.sleep(3600)
        return step(linker, asked, *more)
    return call

Linker.tokenise = hanging(Linker.tokenise, "hangs when read")
Linker.search = hanging(Linker.search, "hangs when searched for")
main()
"""
"""A server that hangs at two mentions, as on a disk that does not answer."""


@pytest.mark.parametrize(
    ("mention", "thread"),
    [("hangs when searched for", "searching"), ("hangs when read", "large requests_0")],
)
def test_what_is_stuck_does_not_hold_the_stop_up(start_server, mention, thread):
    documents = [document(f"ailment {i}") for i in range(65)]  # more than the event loop reads
    with (
        start_server("--grace-seconds", "1", program=("-c", HANGING)) as server,
        Client(server.address, retries=NO_RETRIES, timeout=120) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        hanging = pool.submit(client.link, [*documents, document(mention)])
        time.sleep(1)
        behind = pool.submit(client.link, documents)
        stream = pool.submit(list, client.link_stream([link_request(documents, id="only")]))
        time.sleep(1)
        server.process.terminate()
        for call in (hanging, behind, stream):
            with pytest.raises(ServiceError) as caught:
                call.result()
            assert caught.value.code == "UNAVAILABLE"
        assert server.process.wait(60) == STUCK
        logged = [orjson.loads(line) for line in server.log.read_text("utf-8").splitlines()]
    (stuck,) = [line for line in logged if line["event"] == "stuck at the stop"]
    assert stuck["threads"][thread][-1].endswith(" call")
    assert "ailment" not in str(stuck)


def test_a_port_in_use_is_named(server, tiny_home):
    port = server.address.rpartition(":")[2]
    done = bioelx("serve", "--port", port, home=tiny_home)
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bioelx: ")
    assert port in last
    assert "Traceback" not in done.stderr


def test_a_missing_release_or_a_bad_setting_is_named(tiny_home, tmp_path):
    missing = bioelx("serve", "--port", "0", home=tmp_path)
    assert missing.returncode == 1
    assert "no release is active" in missing.stderr.splitlines()[-1]
    bad = bioelx("serve", home=tiny_home, BIOELX_PORT="seventy")
    assert bad.returncode == 1
    assert "BIOELX_PORT" in bad.stderr.splitlines()[-1]
    clash = bioelx("search", "flu", home=tiny_home, BIOELX_MAX_TOP_K="5")
    assert clash.returncode == 1
    assert "BIOELX_DEFAULT_TOP_K" in clash.stderr
    for done in (missing, bad, clash):
        assert "Traceback" not in done.stderr


def test_health_comes_before_the_release(tiny_home):
    """While the release is loaded the port already answers: not serving, and unavailable."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "bioelx", "serve", "--port", str(port)],
        env={**os.environ, "BIOELX_HOME": str(tiny_home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(f"localhost:{port}", retries=NO_RETRIES) as client:
            with grpc.insecure_channel(f"localhost:{port}", FAST) as channel:
                asked = HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True)
                assert asked.status == HealthCheckResponse.NOT_SERVING
            with pytest.raises(ServiceError, match="still being loaded"):
                client.info()
            assert client.wait_ready(30)
            assert client.info().concepts
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_unknown_methods_are_unimplemented(server):
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/bioelx.v1.ReleaseAdmin/List")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
