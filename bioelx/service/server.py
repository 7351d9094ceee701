"""A server from its start to its stop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bioelx.errors import ServiceError
from bioelx.linker import Linker
from bioelx.service.batcher import Batcher
from bioelx.service.calls import CallGuard
from bioelx.service.logs import log
from bioelx.service.servicer import Engine, Servicer
from bioelx.settings import ServerSettings
from bioelx.types import Query
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import add_EntityLinkerServicer_to_server

SERVICE = pb.DESCRIPTOR.services_by_name["EntityLinker"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health.aio.HealthServicer):
    """Health that lets its watchers go at shutdown: they would hold it up for all its grace."""

    def __init__(self) -> None:
        super().__init__()
        self._left = asyncio.Event()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        watching = asyncio.create_task(super().Watch(request, context))
        leaving = asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait({watching, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            leaving.cancel()

    async def enter_graceful_shutdown(self) -> None:
        await super().enter_graceful_shutdown()
        self._left.set()


async def serve(settings: ServerSettings, on_ready: Callable[[str, str], None]) -> None:
    """Serves until SIGTERM or SIGINT; then running calls finish and new ones are refused.

    The port answers health checks at once; it is SERVING when the release is loaded.

    Args:
        on_ready: called once with the release's id and the address (`host:port`).

    Raises:
        ServiceError: the address cannot be listened on.
        NotFoundError, FileError: there is no such release, or it is damaged.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    servicer = Servicer(settings.limits)
    healthy = Health()
    server = _assemble(settings, servicer, healthy)
    address = _listen(server, settings)
    for service in ("", SERVICE):
        await healthy.set(service, NOT_SERVING)
    await server.start()
    try:
        engine = await _load(settings)
    except BaseException:
        await server.stop(None)
        raise
    servicer.start(engine)
    for service in ("", SERVICE):
        await healthy.set(service, SERVING)
    log("serving", release=engine.linker.manifest.id, address=address)
    on_ready(engine.linker.manifest.id, address)

    await stopped.wait()
    log("stopping", grace_seconds=settings.grace_seconds)
    await healthy.enter_graceful_shutdown()
    servicer.drain()
    await server.stop(settings.grace_seconds)
    await engine.batcher.close()
    log("stopped")


def _assemble(settings: ServerSettings, servicer: Servicer, healthy: Health) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[CallGuard()],
        options=[
            ("grpc.so_reuseport", 0),  # or a second server on the port would take half its calls
            ("grpc.max_receive_message_length", settings.limits.max_message_bytes),
            ("grpc.max_send_message_length", -1),
        ],
    )
    add_EntityLinkerServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection(
        (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return server


def _listen(server: grpc.aio.Server, settings: ServerSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.port}")
    except RuntimeError:
        raise ServiceError(
            "UNAVAILABLE", f"cannot listen on {host}:{settings.port}: in use, or not an address"
        ) from None
    if not _is_loopback(settings.host):
        log("without encryption or authentication on a public address", level=logging.WARNING)
    return f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _load(settings: ServerSettings) -> Engine:
    linker = await asyncio.to_thread(
        Linker.open, settings.release, threads=settings.threads, ranker=settings.ranker
    )
    # The first call pays for what is set up only when needed; let it be ours.
    await asyncio.to_thread(_warm_up, linker)
    batcher = Batcher(
        linker.link,
        batch_mentions=settings.batch_mentions,
        queue_mentions=settings.queue_mentions,
    )
    return Engine(linker, batcher)


def _warm_up(linker: Linker) -> None:
    linker.link([Query.bare("fever", "en")])
    linker.knowledge_base.rows_with_xref("none:0")
    _ = linker.knowledge_base.schemes
