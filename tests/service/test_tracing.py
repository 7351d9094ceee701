"""Traces are off unless the environment asks for them, and never hold a server up."""

from __future__ import annotations

import socket
import sys
from time import monotonic

import grpc
import pytest

from bioelx.errors import BioelxError, InstallationError
from bioelx.service.call import begin_call, end_call
from bioelx.service.spans import FLUSH_SECONDS, Spans
from bioelx.service.tracing import open_spans

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def _endpoint(monkeypatch):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "value"),
    [(ENDPOINT, ""), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "TRUE")],
)
def test_they_are_off(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert open_spans() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
)
def test_what_is_not_known_is_refused_by_its_name(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BioelxError, match=f"^{name}: .*{value}"):
        open_spans()


def test_what_is_not_installed_is_named_with_the_command_that_adds_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "bioelx.service.spans")
    with pytest.raises(InstallationError, match=r"pip install 'bioelx\[traces\]'"):
        open_spans()


async def test_a_collector_that_does_not_answer_does_not_hold_the_stop_up(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
        spans = Spans()
        call = begin_call("/bioelx.v1.EntityLinker/Info", {}, [spans])
        end_call(call, grpc.StatusCode.OK, 0.1)
        started = monotonic()
        await spans.close()
    assert monotonic() - started < FLUSH_SECONDS + 60
