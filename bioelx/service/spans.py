"""A span for each call, in the trace of its caller, and one for each stage that it went through.

Spans hold ids, counts and times. The server's own are made by hand: OpenTelemetry's
instrumentation of gRPC writes down the messages of exceptions and the addresses of callers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version

import grpc

from bioelx.errors import InstallationError
from bioelx.service.call import Call, CallWatcher, LinkedRequest

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
except ImportError:
    raise InstallationError(
        "the environment asks for traces (OTEL_...), which need OpenTelemetry: "
        "pip install 'bioelx[traces]'"
    ) from None

REQUESTS_SHOWN = 32
"""Requests of one stream whose stages have spans; a trace of millions could not be looked at."""

FLUSH_SECONDS = 5.0
"""For the last spans to reach a collector when the server stops."""

_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""What OpenTelemetry counts as a server's failure; the others are their callers' mistakes."""


class Spans(CallWatcher):
    """Traces calls, and sends the spans by OTLP over gRPC from a thread of its own."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("bioelx", version("bioelx"))

    def began(self, call: Call, metadata: Mapping[str, str]) -> None:
        span = self._tracer.start_span(
            f"{call.service}/{call.method}",
            context=propagate.extract(metadata),
            kind=trace.SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": call.service,
                "rpc.method": call.method,
                "bioelx.call": call.id,
            },
        )
        # The tasks of this call inherit it; with them it goes.
        context.attach(trace.set_span_in_context(span))
        call.trace = trace.format_trace_id(span.get_span_context().trace_id)

    def linked(self, call: Call, request: LinkedRequest) -> None:
        if call.counts["requests"] > REQUESTS_SHOWN:
            return
        stages = asdict(request.timing)
        # Stages of several batches are laid together, one after the other.
        end = time.time_ns()
        start = end - round(sum(stages.values()) * 1e9)
        for stage, seconds in stages.items():
            end = start + round(seconds * 1e9)
            if seconds:
                self._tracer.start_span(stage, start_time=start).end(end)
            start = end

    def ended(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        span = trace.get_current_span()
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        if call.release:
            span.set_attribute("bioelx.release", call.release)
            for stage, spent in asdict(call.timing).items():
                span.set_attribute(f"bioelx.{stage}_ms", round(spent * 1000, 3))
        for name, number in call.counts.items():
            span.set_attribute(f"bioelx.{name}", number)
        if code in _FAULTS:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    async def close(self) -> None:
        """Sends what is left; a collector that does not answer is not waited for long."""
        last = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        done, _ = await asyncio.wait([last], timeout=FLUSH_SECONDS)
        if not done:
            self._exporter.shutdown()  # gives up what it is sending
        await last


def _resource() -> Resource:
    resource = Resource.create({SERVICE_VERSION: version("bioelx")})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: "bioelx"}))
    return resource
