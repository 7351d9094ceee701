"""A server from its start to its stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from bioelx.errors import ServiceError
from bioelx.service.admin import Admin
from bioelx.service.calls import CallGuard
from bioelx.service.engine import Engines
from bioelx.service.loading import Loader
from bioelx.service.logs import log
from bioelx.service.servicer import Servicer
from bioelx.service.switch import Switch
from bioelx.settings import ServerSettings, is_loopback, releases_dir
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import (
    add_EntityLinkerServicer_to_server,
    add_ReleaseAdminServicer_to_server,
)

SERVICE = pb.DESCRIPTOR.services_by_name["EntityLinker"].full_name
ADMIN_SERVICE = pb.DESCRIPTOR.services_by_name["ReleaseAdmin"].full_name
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

    The port answers health checks at once; it is SERVING when the release is loaded, and stays so
    while another takes over.

    Args:
        on_ready: called once with the release's id and the address (`host:port`).

    Raises:
        ServiceError: the address cannot be listened on.
        NotFoundError, FileError: there is no such release, or it is damaged.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    worker = ThreadPoolExecutor(1, "linker")
    loader = Loader(settings, worker)
    engines = Engines(settings.keep_loaded)
    switch = Switch(engines, loader, releases_dir())
    servicer = Servicer(engines, switch.record, settings.limits)
    admin = Admin(engines, switch, releases_dir()) if settings.admin else None
    healthy = Health()
    server = _assemble(settings, servicer, admin, healthy)
    address = _listen(server, settings)
    watched = ("", *_services(admin))
    for service in watched:
        await healthy.set(service, NOT_SERVING)
    await server.start()
    try:
        engines.activate(await loader.load(settings.release))
    except BaseException:
        await server.stop(None)
        raise
    for service in watched:
        await healthy.set(service, SERVING)
    release = engines.active.release
    log("serving", release=release, address=address)
    on_ready(release, address)

    watching = None if settings.release else asyncio.create_task(switch.watch())
    await stopped.wait()
    log("stopping", grace_seconds=settings.grace_seconds)
    if watching:
        watching.cancel()
    await healthy.enter_graceful_shutdown()
    servicer.drain()
    await server.stop(settings.grace_seconds)
    await loader.close()
    await engines.close()
    await asyncio.to_thread(worker.shutdown)
    log("stopped")


def _services(admin: Admin | None) -> tuple[str, ...]:
    return (SERVICE, ADMIN_SERVICE) if admin else (SERVICE,)


def _assemble(
    settings: ServerSettings, servicer: Servicer, admin: Admin | None, healthy: Health
) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[CallGuard()],
        options=[
            ("grpc.so_reuseport", 0),  # or a second server on the port would take half its calls
            ("grpc.max_receive_message_length", settings.limits.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # Clients may ask during long calls whether the server is still there (bioelx.channel).
            ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
        ],
    )
    add_EntityLinkerServicer_to_server(servicer, server)
    if admin:
        add_ReleaseAdminServicer_to_server(admin, server)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection(
        (*_services(admin), health.SERVICE_NAME, reflection.SERVICE_NAME), server
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
    if not is_loopback(settings.host):
        log("without encryption or authentication on a public address", level=logging.WARNING)
    return f"{host}:{port}"
