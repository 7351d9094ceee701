"""A real server as its operators see it: by Prometheus, by OpenTelemetry, by probes, by its log."""

from __future__ import annotations

import random
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
import promql_parser
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from bioelx.client import Client, document, link_request
from bioelx.service.security.bounds import HEALTH_CONNECTIONS
from bioelx.settings import CHECKOUT
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub

SECRET = "Zephyrine"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = ("traceparent", f"00-{TRACE}-{PARENT}-01")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes in spans by OTLP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.received: list[bytes] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.received.append(request.SerializeToString())
        self.services = {
            each.value.string_value
            for resource in request.resource_spans
            for each in resource.resource.attributes
            if each.key == "service.name"
        }
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


@dataclass(frozen=True)
class Seen:
    """A server, and where it is seen."""

    server: Any
    """A RunningServer of conftest.py."""
    collector: Collector

    def port(self, event: str) -> str:
        [address] = {line["address"] for line in self.log() if line["event"] == event}
        return address

    def log(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.server.log.read_bytes().splitlines()]

    def scrape(self) -> str:
        url = f"http://{self.port('answering Prometheus')}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def sample(self, name: str, **labels: str) -> float:
        """The value of a sample; 0 if there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.scrape())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found)


@pytest.fixture(scope="module")
def seen(start_server) -> Iterator[Seen]:
    collector = Collector()
    receiver = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, receiver)
    port = receiver.add_insecure_port("127.0.0.1:0")
    receiver.start()
    ports = ("--metrics-address", "127.0.0.1:0", "--health-address", "127.0.0.1:0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with start_server("--admin", *ports) as server:
            yield Seen(server, collector)
    receiver.stop(None)


@pytest.fixture
def stub(seen) -> Iterator[EntityLinkerStub]:
    with grpc.insecure_channel(seen.server.address) as channel:
        yield EntityLinkerStub(channel)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What `condition` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


# Prometheus


def test_calls_stages_and_links_are_counted(seen, stub):
    counted = {
        ("bioelx_calls_total", ("method", "Link"), ("code", "OK")): 2,
        ("bioelx_calls_total", ("method", "Search"), ("code", "INVALID_ARGUMENT")): 1,
        ("bioelx_call_seconds_count", ("method", "Link")): 2,
        ("bioelx_call_seconds_count", ("method", "GetConcept")): 1,
        ("bioelx_links_total", ("result", "linked")): 1,
        ("bioelx_links_total", ("result", "nil")): 3,
        **{
            ("bioelx_stage_seconds_count", ("stage", stage)): 2
            for stage in ("waiting", "encoding", "searching", "ranking")
        },
    }
    before = {key: seen.sample(key[0], **dict(key[1:])) for key in counted}
    encoding = seen.sample("bioelx_stage_seconds_sum", stage="encoding")
    stub.Link(link_request([document("influenza")], min_confidence=0.0))
    stub.Link(link_request([document(f"none of this {i}") for i in range(3)], min_confidence=1.0))
    with pytest.raises(grpc.RpcError):
        stub.Search(pb.SearchRequest(name=""))
    stub.GetConcept(pb.GetConceptRequest(concept_id="wikidata:Q2840"))
    for (name, *labels), more in counted.items():
        key = (name, *labels)
        assert seen.sample(name, **dict(labels)) == before[key] + more, key
    assert seen.sample("bioelx_stage_seconds_sum", stage="encoding") > encoding


def test_the_server_its_release_and_its_process_are_described(seen, stub):
    info = stub.Info(pb.InfoRequest())
    assert seen.sample("bioelx_release_info", release=info.release, encoder=info.encoder) == 1
    assert seen.sample("bioelx_server_info", version=info.version) == 1
    assert seen.sample("bioelx_release_concepts") == info.concepts
    created = info.release_created.ToDatetime().timestamp()
    assert seen.sample("bioelx_release_created_timestamp_seconds") == pytest.approx(
        created, abs=86400
    )
    assert seen.sample("bioelx_releases_loaded") == 1
    assert seen.sample("bioelx_canaries_total", result="passed") > 0
    assert seen.sample("bioelx_canaries_total", result="failed") == 0
    assert seen.sample("bioelx_release_switches_total") == info.switches
    assert seen.sample("process_resident_memory_bytes") > 2**20
    assert seen.sample("process_open_fds") > 3


def test_health_and_running_calls_are_told(seen, stub):
    assert seen.sample("bioelx_live") == seen.sample("bioelx_ready") == 1
    hold = threading.Event()

    def requests() -> Iterator[pb.LinkRequest]:
        yield link_request([document("flu")], id="only")
        hold.wait(60)

    stream = stub.LinkStream(requests())
    assert next(stream).id == "only"
    assert seen.sample("bioelx_calls_running", method="LinkStream") == 1
    hold.set()
    assert not list(stream)
    assert seen.sample("bioelx_calls_running") == 0


def test_batches_the_queue_and_the_cache_are_told(seen, stub):
    release = stub.Info(pb.InfoRequest()).release
    names = ("bioelx_cache_hits_total", "bioelx_cache_misses_total", "bioelx_cache_entries",
             "bioelx_cache_bytes", "bioelx_batch_tokens_total")  # fmt: skip
    before = {name: seen.sample(name) for name in names}
    batches = seen.sample("bioelx_batches_total", stage="encoding")
    for _ in range(3):
        stub.Link(link_request([document("a sickness that comes again")]))
    after = {name: seen.sample(name) for name in names}
    assert after["bioelx_cache_misses_total"] == before["bioelx_cache_misses_total"] + 1
    assert after["bioelx_cache_hits_total"] == before["bioelx_cache_hits_total"] + 2
    assert all(after[name] > before[name] for name in names)
    assert seen.sample("bioelx_cache_hits_total", release=release) > 0
    assert seen.sample("bioelx_batches_total", stage="encoding") == batches + 1
    for stage in ("encoding", "searching"):
        assert seen.sample("bioelx_batch_mentions_total", stage=stage) > 0
        assert seen.sample("bioelx_batch_seconds_total", stage=stage) > 0
    assert seen.sample("bioelx_queue_tokens") == 0
    assert seen.sample("bioelx_queue_bound_tokens") > 0
    assert seen.sample("bioelx_requests_rejected_total") == 0
    assert seen.sample("bioelx_workers_replaced_total") == 0


# Grafana


DASHBOARD = orjson.loads((CHECKOUT / "deploy/grafana/bioelx.json").read_bytes())
FROM_PROMETHEUS = {"job", "instance", "le"}
"""Labels that samples have or get without our naming them."""


def queries(node: Any) -> Iterator[str]:
    """Every query of a dashboard, with a range where Grafana sets one."""
    if isinstance(node, list):
        for each in node:
            yield from queries(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value.replace("$__rate_interval", "5m")
            else:
                yield from queries(value)


def selectors(node: Any) -> Iterator[promql_parser.VectorSelector]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    parts = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    for part in (*parts, *getattr(node, "args", ())):
        if part is not None:
            yield from selectors(part)


def test_every_metric_that_the_dashboard_asks_for_is_there(seen, stub):
    stub.Link(link_request([document("flu")]))
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(seen.scrape()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    asked = [each for query in queries(DASHBOARD) for each in selectors(promql_parser.parse(query))]
    assert len(asked) > 20
    for selector in asked:
        assert selector.name in labels
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched - FROM_PROMETHEUS <= labels[selector.name], selector.name
    ours = {name for name in labels if name.startswith("bioelx_")}
    shown = {selector.name for selector in asked}
    variables = " ".join(each["query"]["query"] for each in DASHBOARD["templating"]["list"][1:])
    assert set(re.findall(r"bioelx_\w+", variables)) <= ours
    assert {"bioelx_calls_total", "bioelx_stage_seconds_bucket"} <= shown


def test_the_dashboard_is_one_that_grafana_takes():
    assert DASHBOARD["uid"]
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 36  # data sources by uid
    assert DASHBOARD["id"] is None  # it is given one by the Grafana that it is put into
    datasource, *others = DASHBOARD["templating"]["list"]
    assert (datasource["type"], datasource["query"]) == ("datasource", "prometheus")
    source = {"type": "prometheus", "uid": f"${{{datasource['name']}}}"}
    assert all(each["datasource"] == source for each in others)
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & covered, panel["title"]
        covered |= cells
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)


# OpenTelemetry


def attributes(span: Span) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def test_a_call_joins_the_trace_of_its_caller(seen, stub):
    call_id = "traced-call"
    documents = [document("an ailment to be traced"), document("and another")]
    reply = stub.Link(link_request(documents), metadata=[TRACEPARENT, ("x-request-id", call_id)])
    span = until(lambda: spans_of(seen, call_id))[0]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.name == "bioelx.v1.EntityLinker/Link"
    assert span.kind == Span.SPAN_KIND_SERVER
    told = attributes(span)
    assert (told["rpc.system"], told["rpc.grpc.status_code"]) == ("grpc", 0)
    assert (told["bioelx.mentions"], told["bioelx.documents"]) == (2, 2)
    assert told["bioelx.release"] == reply.release
    assert told["bioelx.encoding_ms"] == pytest.approx(reply.timing.encoding_ms, abs=0.001)
    assert seen.collector.services == {"bioelx"}

    stages = [each for each in seen.collector.spans if each.parent_span_id == span.span_id]
    assert [each.name for each in stages] == ["waiting", "encoding", "searching"]
    assert all(each.trace_id == span.trace_id for each in stages)
    for stage, milliseconds in zip(
        stages, (reply.timing.waiting_ms, reply.timing.encoding_ms), strict=False
    ):
        assert (stage.end_time_unix_nano - stage.start_time_unix_nano) / 1e6 == pytest.approx(
            milliseconds, abs=0.001
        )
    [line] = [each for each in seen.log() if each.get("call") == call_id]
    assert line["trace"] == TRACE


def spans_of(seen: Seen, call_id: str) -> list[Span]:
    return [
        each
        for each in list(seen.collector.spans)
        if attributes(each).get("bioelx.call") == call_id
    ]


def test_a_call_without_a_trace_begins_one_and_a_stream_has_one_span(seen, stub):
    requests = (link_request([document(f"illness {i}")], id=str(i)) for i in range(40))
    stream = stub.LinkStream(requests, metadata=[("x-request-id", "stream-call")])
    assert len(list(stream)) == 40
    [span] = until(lambda: spans_of(seen, "stream-call"))
    assert not span.parent_span_id
    assert any(span.trace_id)
    assert attributes(span)["bioelx.requests"] == 40
    stages = [each for each in seen.collector.spans if each.parent_span_id == span.span_id]
    assert len([each for each in stages if each.name == "encoding"]) == 32


def test_a_failed_call_has_its_code_and_no_message(seen, stub):
    with pytest.raises(grpc.RpcError):
        stub.GetConcept(
            pb.GetConceptRequest(concept_id="wikidata:Q0"), metadata=[("x-request-id", "failed")]
        )
    [span] = until(lambda: spans_of(seen, "failed"))
    assert attributes(span)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert not span.status.message
    assert not span.events


# Ids of calls


@pytest.mark.parametrize("given", ["4bf92f35-77b3.A_1", "x" * 64])
def test_a_call_keeps_the_id_that_it_was_given(seen, stub, given):
    _, call = stub.Info.with_call(pb.InfoRequest(), metadata=[("x-request-id", given)])
    assert dict(call.trailing_metadata())["x-request-id"] == given
    assert [each["method"] for each in seen.log() if each.get("call") == given] == ["Info"]


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a;b", f"{SECRET}=="])
def test_a_malformed_id_is_replaced(seen, stub, given):
    _, call = stub.Info.with_call(pb.InfoRequest(), metadata=[("x-request-id", given)])
    made = dict(call.trailing_metadata())["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", made)


def test_a_refused_call_has_its_id_beside_the_details(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Search(pb.SearchRequest(name=""), metadata=[("x-request-id", "refused-call")])
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "refused-call"
    bad = BadRequest()
    assert rpc_status.from_call(caught.value).details[0].Unpack(bad)
    assert bad.field_violations[0].field == "name"


# Health


def check(channel: grpc.Channel, service: str = "") -> int:
    return HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=30).status


def test_the_health_port_answers_health_and_nothing_else(seen):
    address = seen.port("answering health checks")
    with grpc.insecure_channel(address) as channel:
        for service in ("", "live", "bioelx.v1.EntityLinker", "bioelx.v1.ReleaseAdmin"):
            assert check(channel, service) == HealthCheckResponse.SERVING
        for call in (
            lambda: EntityLinkerStub(channel).Info(pb.InfoRequest()),
            lambda: EntityLinkerStub(channel).Link(link_request([document("flu")])),
            lambda: channel.unary_unary("/bioelx.v1.ReleaseAdmin/List")(b""),
            lambda: list(
                channel.stream_stream(
                    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
                )(iter([b""]))
            ),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_at_the_stop_it_is_first_not_ready_and_still_live(start_server):
    ports = ("--metrics-address", "127.0.0.1:0", "--health-address", "127.0.0.1:0")
    options = ("--batch-tokens", "1", "--grace-seconds", "60")
    with start_server(*ports, *options) as server, Client(server.address, timeout=120) as client:
        seen = Seen(server, Collector())
        address = seen.port("answering health checks")
        with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(1) as pool:
            watch = HealthStub(channel).Watch(HealthCheckRequest())
            assert next(watch).status == HealthCheckResponse.SERVING
            documents = [document(f"unheard-of ailment number {i}") for i in range(200)]
            running = pool.submit(client.link, documents)
            while not seen.sample("bioelx_calls_running", method="Link"):
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            assert [each.status for each in watch] == [HealthCheckResponse.NOT_SERVING]
            assert check(channel, "live") == HealthCheckResponse.SERVING
            assert check(channel) == HealthCheckResponse.NOT_SERVING
            assert not running.done()  # or this tells nothing
            assert len(running.result().documents) == 200
        assert server.process.wait(60) == 0


def test_bytes_that_are_no_calls_do_the_ports_no_harm(seen):
    events = ("answering health checks", "answering Prometheus")
    for address in map(seen.port, events):
        host, _, port = address.rpartition(":")
        for number in range(10):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(random.Random(number).randbytes(500))
    assert seen.sample("bioelx_live") == 1
    with grpc.insecure_channel(seen.port(events[0])) as channel:
        assert check(channel, "live") == HealthCheckResponse.SERVING


def test_the_health_port_is_bounded(seen):
    """Whoever reaches it is not asked who they are, and it shares its files with the calls."""
    host, _, port = seen.port("answering health checks").rpartition(":")
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            for _ in range(HEALTH_CONNECTIONS + 10)
        ]
        refused = [is_closed(connection) for connection in connections].count(True)
    assert refused >= 5

    def large() -> grpc.StatusCode:
        with grpc.insecure_channel(seen.port("answering health checks")) as channel:
            call = channel.unary_unary("/grpc.health.v1.Health/Check").future(b"x" * 5000)
            return call.code()

    until(lambda: large() is grpc.StatusCode.RESOURCE_EXHAUSTED)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has hung up; else it says hello."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


# What is never seen


def test_no_word_of_a_request_is_seen_anywhere(seen, stub):
    """Not by whoever reads metrics, traces or logs; nor what callers say in metadata."""
    metadata = [("x-request-id", f"{SECRET} {SECRET}"), ("x-patient", SECRET),
                ("traceparent", SECRET), ("baggage", f"name={SECRET}")]  # fmt: skip
    spans = len(seen.collector.spans)
    stub.Link(link_request([document(f"{SECRET} has flu", (0, 9), id=SECRET)], id=SECRET),
              metadata=metadata)  # fmt: skip
    stub.Search(pb.SearchRequest(name=SECRET), metadata=metadata)
    for request in (
        pb.SearchRequest(name=SECRET, language=SECRET),
        pb.SearchRequest(name="flu", options=pb.LinkOptions(release=SECRET)),
        pb.SearchRequest(name="flu", options=pb.LinkOptions(types=[SECRET])),
    ):
        with pytest.raises(grpc.RpcError):
            stub.Search(request, metadata=metadata)
    with pytest.raises(grpc.RpcError):
        stub.GetConcept(pb.GetConceptRequest(concept_id=SECRET), metadata=metadata)
    until(lambda: len(seen.collector.spans) >= spans + 6)
    assert SECRET not in seen.scrape()
    assert SECRET not in seen.server.log.read_text(encoding="utf-8")
    assert not [each for each in seen.collector.received if SECRET.encode() in each]
