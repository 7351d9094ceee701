"""Which calls are logged, and what binds the lines of a call together."""

from __future__ import annotations

import contextvars
import logging

import grpc
import orjson
import pytest

from bioelx.errors import BioelxError
from bioelx.service import logs
from bioelx.service.call import begin_call, count, end_call
from bioelx.service.logs import CallLog, JsonFormatter, log
from bioelx.settings import ServerSettings, host_and_port, read_settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _json(caplog):
    caplog.set_level(logging.INFO)
    caplog.handler.setFormatter(JsonFormatter())


def in_a_call(do, **metadata: str):
    """Runs something in the context of a call of its own."""

    def run():
        call = begin_call("/bioelx.v1.EntityLinker/Link", metadata, [])
        do()
        return call

    return contextvars.copy_context().run(run)


def end_a_call(calls: CallLog, code: grpc.StatusCode) -> None:
    """A call of three mentions and 12.5 ms."""
    context = contextvars.copy_context()
    call = context.run(begin_call, "/bioelx.v1.EntityLinker/Link", {}, [calls])
    context.run(count, mentions=3)
    context.run(end_call, call, code, 0.0125)


@pytest.mark.parametrize(
    ("logged", "codes"),
    [("all", ["OK", "NOT_FOUND", "INTERNAL"]), ("errors", ["NOT_FOUND", "INTERNAL"]), ("none", [])],
)
def test_calls_are_logged_as_asked(caplog, logged, codes):
    calls = CallLog(logged)
    for code in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL):
        end_a_call(calls, code)
    lines = [orjson.loads(line) for line in caplog.text.splitlines()]
    assert [line["code"] for line in lines] == codes
    for line in lines:
        assert (line["method"], line["ms"], line["mentions"]) == ("Link", 12.5, 3)
        assert line["call"]


def test_of_many_refusals_ten_a_second_have_a_line_and_the_rest_is_counted(caplog, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(logs, "monotonic", lambda: now)
    calls = CallLog()
    for _ in range(25):
        end_a_call(calls, grpc.StatusCode.RESOURCE_EXHAUSTED)
    end_a_call(calls, grpc.StatusCode.OK)
    now += 1
    end_a_call(calls, grpc.StatusCode.RESOURCE_EXHAUSTED)
    now += 1
    end_a_call(calls, grpc.StatusCode.OK)
    lines = [orjson.loads(line) for line in caplog.text.splitlines()]
    told = [line.get("code") or (line["event"], line["calls"]) for line in lines]
    refused = "RESOURCE_EXHAUSTED"
    assert told == [*[refused] * 10, "OK", ("more calls were refused", 15), refused, "OK"]
    assert "call" not in lines[11]


def test_every_line_of_a_call_has_its_ids(caplog):
    sent = {"x-request-id": "a-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    in_a_call(lambda: log("ours"), **sent)
    in_a_call(lambda: logging.getLogger("library").warning("theirs"), **sent)
    in_a_call(lambda: log("untraced"))
    log("outside")
    ours, theirs, untraced, outside = (orjson.loads(line) for line in caplog.text.splitlines())
    assert (ours["call"], ours["trace"]) == (theirs["call"], theirs["trace"]) == ("a-1", TRACE)
    assert untraced["call"] not in ("", "a-1")
    assert "trace" not in untraced
    assert "call" not in outside


@pytest.mark.parametrize(
    "traceparent",
    ["", "00", f"00-{TRACE}", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE.upper()}-0-01"],
)
def test_a_malformed_trace_is_none(traceparent):
    assert in_a_call(lambda: None, traceparent=traceparent).trace == ""


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:9090", ("127.0.0.1", 9090)), ("[::1]:0", ("::1", 0)), ("host:80", ("host", 80))],
)
def test_addresses(address, parts):
    assert host_and_port(address) == parts


@pytest.mark.parametrize("address", ["9090", ":9090", "::1:9090", "host:", "host:65536", "a b:1"])
def test_what_is_no_address_is_refused_by_its_option(address):
    with pytest.raises(BioelxError, match=r"^--metrics-address \(or BIOELX_METRICS_ADDRESS\): "):
        read_settings(ServerSettings, metrics_address=address)
