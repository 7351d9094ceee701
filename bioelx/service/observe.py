"""What makes a server seen: the watchers of its calls, and its ports for metrics and health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2_grpc
from prometheus_client import CollectorRegistry

from bioelx.errors import cannot_listen
from bioelx.service.call import CallWatcher
from bioelx.service.health import Health
from bioelx.service.logs import CallLog, log
from bioelx.service.metrics import CallMetrics, ServerMetrics, new_registry
from bioelx.service.metrics_port import serve_metrics
from bioelx.service.security.bounds import HEALTH_CONNECTIONS, connection_bounds
from bioelx.service.tracing import open_spans
from bioelx.settings import ServerSettings, host_and_port

_HEALTH_BYTES = 1024
"""Of a request, which is the name of a service."""


@asynccontextmanager
async def observed(
    settings: ServerSettings, health: Health, metrics: ServerMetrics
) -> AsyncIterator[list[CallWatcher]]:
    """Opens the ports that the settings name, for as long as the context lasts.

    Yields:
        who is to hear of every call.

    Raises:
        ServiceError: an address cannot be listened on.
        InstallationError: traces are asked for, and OpenTelemetry is not installed.
    """
    watchers: list[CallWatcher] = []
    async with AsyncExitStack() as opened:
        if spans := open_spans():
            opened.push_async_callback(spans.close)
            watchers.append(spans)
        if settings.health_address:
            await opened.enter_async_context(_health_port(health, settings.health_address))
        if settings.metrics_address:
            registry = new_registry()
            registry.register(metrics)
            watchers.append(CallMetrics(registry))
            await opened.enter_async_context(_metrics_port(registry, settings.metrics_address))
        watchers.append(CallLog(settings.log_calls))
        yield watchers


@asynccontextmanager
async def _health_port(health: Health, address: str) -> AsyncIterator[None]:
    """A port that knows health checks only, and neither encryption nor tokens: probes do not."""
    host, _ = host_and_port(address)
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", _HEALTH_BYTES),
            *connection_bounds(HEALTH_CONNECTIONS),
        ]
    )
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise cannot_listen(address) from None
    await server.start()
    log("answering health checks", address=f"{host}:{port}")
    try:
        yield
    finally:
        await server.stop(None)


@asynccontextmanager
async def _metrics_port(registry: CollectorRegistry, address: str) -> AsyncIterator[None]:
    host, _ = host_and_port(address)
    server = await asyncio.to_thread(serve_metrics, registry, address)
    log("answering Prometheus", address=f"{host}:{server.server_port}")
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
