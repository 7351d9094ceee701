"""What a server counts and measures, for Prometheus to read over HTTP.

Labels hold names of methods, stages, codes and releases: nothing that callers choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from importlib.metadata import version

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from bioelx.service.cache import CacheStats
from bioelx.service.call import Call, CallWatcher, LinkedRequest
from bioelx.service.engine import Engine, Engines
from bioelx.service.health import LIVE, SERVER, SERVING, Health
from bioelx.service.loading import CanaryRecord
from bioelx.service.pipeline import PipelineStats, StageStats
from bioelx.service.stats import EngineStats
from bioelx.service.switch import SwitchRecord
from bioelx.types import Timing
from bioelx.v1 import linker_pb2 as pb

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Bounds of the histograms of time."""


class CallMetrics(CallWatcher):
    """Counts calls as they end, and requests as they are linked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "bioelx_calls", "Calls that ended", ["method", "code"], registry=registry
        )
        self._call_seconds = Histogram(
            "bioelx_call_seconds", "Time that calls took", ["method"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        stage_seconds = Histogram(
            "bioelx_stage_seconds", "Time that requests spent in each stage", ["stage"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._running = Gauge(
            "bioelx_calls_running", "Calls that are being answered", ["method"], registry=registry
        )
        links = Counter(
            "bioelx_links", "Mentions that were linked or found to be NIL", ["result"],
            registry=registry,
        )  # fmt: skip
        self._failed = Counter(
            "bioelx_stream_requests_failed", "Requests of streams that the server failed at",
            ["code"], registry=registry,
        )  # fmt: skip
        # What has not happened yet is 0, or the first time would not be seen as an increase.
        for service in pb.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                self._calls.labels(method.name, grpc.StatusCode.OK.name)
                self._call_seconds.labels(method.name)
                self._running.labels(method.name)
        self._stages = {stage.name: stage_seconds.labels(stage.name) for stage in fields(Timing)}
        for code in ("INTERNAL", "UNAVAILABLE"):
            self._failed.labels(code)
        self._linked, self._nil = links.labels("linked"), links.labels("nil")

    def began(self, call: Call, metadata: Mapping[str, str]) -> None:
        self._running.labels(call.method).inc()

    def linked(self, call: Call, request: LinkedRequest) -> None:
        for stage, histogram in self._stages.items():
            histogram.observe(getattr(request.timing, stage))
        self._linked.inc(request.linked)
        self._nil.inc(request.nil)

    def failed(self, call: Call, code: str) -> None:
        self._failed.labels(code).inc()

    def ended(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        self._running.labels(call.method).dec()
        self._calls.labels(call.method, code.name).inc()
        self._call_seconds.labels(call.method).observe(seconds)


class ServerMetrics:
    """A collector of what a server is and does, read when Prometheus asks."""

    def __init__(
        self,
        health: Health,
        engines: Engines,
        stats: Callable[[], EngineStats],
        switches: SwitchRecord,
        canaries: CanaryRecord,
    ) -> None:
        """What it is given is read in another thread: numbers only, each of its own moment."""
        self._health = health
        self._engines = engines
        self._stats = stats
        self._switches = switches
        self._canaries = canaries

    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily("bioelx_server", "The server", {"version": version("bioelx")})
        yield GaugeMetricFamily(
            "bioelx_live",
            "1 unless the server's work has stopped",
            value=self._health.status(LIVE) == SERVING,
        )
        yield GaugeMetricFamily(
            "bioelx_ready",
            "1 while the server takes calls",
            value=self._health.status(SERVER) == SERVING,
        )
        yield CounterMetricFamily(
            "bioelx_release_switches",
            "How often another release took over",
            value=self._switches.switches,
        )
        yield CounterMetricFamily(
            "bioelx_release_refusals",
            "How often a release was not taken",
            value=self._switches.refusals,
        )
        yield GaugeMetricFamily(
            "bioelx_release_loading",
            "1 while a release is loaded beside the one that answers",
            value=bool(self._switches.loading),
        )
        canaries = CounterMetricFamily(
            "bioelx_canaries", "Canaries that releases were asked", labels=["result"]
        )
        canaries.add_metric(["passed"], self._canaries.passed)
        canaries.add_metric(["failed"], self._canaries.failed)
        yield canaries
        yield from _of_releases(self._engines.held)
        yield from _of_work(self._stats())


def _of_releases(loaded: Mapping[str, Engine]) -> Iterable[Metric]:
    """What the loaded releases are; the first one is active."""
    active = InfoMetricFamily("bioelx_release", "The release that answers")
    created = GaugeMetricFamily(
        "bioelx_release_created_timestamp_seconds", "When the release that answers was built"
    )
    concepts = GaugeMetricFamily("bioelx_release_concepts", "Concepts of the release that answers")
    names = GaugeMetricFamily("bioelx_release_names", "Names of the release that answers")
    for engine in list(loaded.values())[:1]:
        manifest = engine.linker.manifest
        ranker = engine.linker.ranker
        active.add_metric(
            [],
            {
                "release": manifest.id,
                "encoder": manifest.encoder.name,
                "index": manifest.index.factory,
                "ranker": ranker.name if ranker else "",
            },
        )
        created.add_metric([], manifest.created.timestamp())
        concepts.add_metric([], manifest.concepts)
        names.add_metric([], manifest.names)
    yield from (active, created, concepts, names)
    yield GaugeMetricFamily(
        "bioelx_releases_loaded", "Releases in memory that may answer", value=len(loaded)
    )


def _of_work(stats: EngineStats) -> Iterable[Metric]:
    yield GaugeMetricFamily(
        "bioelx_queue_tokens", "Tokens taken on and not yet answered", value=stats.tokens
    )
    yield GaugeMetricFamily(
        "bioelx_queue_bound_tokens", "Tokens over which calls are turned away", value=stats.bound
    )
    yield GaugeMetricFamily(
        "bioelx_queue_encoder_tokens",
        "Tokens that wait for the encoder",
        value=stats.pipeline.waiting_tokens,
    )
    yield GaugeMetricFamily(
        "bioelx_queue_ranker_mentions",
        "Mentions that wait for the ranker",
        value=stats.pipeline.waiting_for_ranker,
    )
    yield GaugeMetricFamily(
        "bioelx_capacity_tokens_per_second",
        "Tokens answered in a second while there was more to do; 0 until that was so",
        value=stats.tokens_per_second,
    )
    yield CounterMetricFamily(
        "bioelx_requests_rejected", "Requests turned away for overload", value=stats.rejected
    )
    yield CounterMetricFamily(
        "bioelx_workers_replaced",
        "Threads that died and were replaced",
        value=stats.pipeline.workers_replaced,
    )
    yield from _of_batches(stats.pipeline)
    yield from _of_caches(stats.caches)


def _of_batches(stats: PipelineStats) -> Iterable[Metric]:
    batches = CounterMetricFamily("bioelx_batches", "Batches of each stage", labels=["stage"])
    mentions = CounterMetricFamily("bioelx_batch_mentions", "Mentions in them", labels=["stage"])
    seconds = CounterMetricFamily("bioelx_batch_seconds", "Time spent on them", labels=["stage"])
    for stage in ("encoding", "searching", "ranking"):
        of_stage: StageStats = getattr(stats, stage)
        batches.add_metric([stage], of_stage.batches)
        mentions.add_metric([stage], of_stage.mentions)
        seconds.add_metric([stage], of_stage.seconds)
    yield from (batches, mentions, seconds)
    yield CounterMetricFamily(
        "bioelx_batch_tokens", "Tokens in the batches of the encoder", value=stats.encoding.tokens
    )


def _of_caches(caches: Mapping[str, CacheStats]) -> Iterable[Metric]:
    hits = CounterMetricFamily(
        "bioelx_cache_hits", "Mentions whose answer was in the cache", labels=["release"]
    )
    misses = CounterMetricFamily(
        "bioelx_cache_misses", "Mentions whose answer was not", labels=["release"]
    )
    entries = GaugeMetricFamily(
        "bioelx_cache_entries", "What is in the cache of a release", labels=["release"]
    )
    held = GaugeMetricFamily("bioelx_cache_bytes", "Memory that it takes", labels=["release"])
    for release, stats in caches.items():
        hits.add_metric([release], stats.hits)
        misses.add_metric([release], stats.misses)
        entries.add_metric([release], stats.entries)
        held.add_metric([release], stats.bytes)
    yield from (hits, misses, entries, held)


def new_registry() -> CollectorRegistry:
    """A registry with what is to be known of any process."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
