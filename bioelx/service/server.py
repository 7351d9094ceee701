"""A server from its start to its stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from bioelx.errors import cannot_listen
from bioelx.service.admin import Admin
from bioelx.service.admission import Admission
from bioelx.service.call import CallWatcher
from bioelx.service.calls import CallGuard
from bioelx.service.engine import Engines
from bioelx.service.health import Health, watch_work
from bioelx.service.loading import Loader
from bioelx.service.logs import log
from bioelx.service.metrics import ServerMetrics
from bioelx.service.observe import observed
from bioelx.service.pipeline import Pipeline
from bioelx.service.security.access import AccessGuard, Register
from bioelx.service.security.bounds import CONNECTIONS, connection_bounds
from bioelx.service.security.tls import server_credentials, tls_files
from bioelx.service.servicer import Servicer
from bioelx.service.stats import engine_stats
from bioelx.service.stop import Stop
from bioelx.service.switch import Switch
from bioelx.service.threads import start_threads
from bioelx.settings import ServerSettings, is_loopback, releases_dir
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import (
    add_EntityLinkerServicer_to_server,
    add_ReleaseAdminServicer_to_server,
)

SERVICE = pb.DESCRIPTOR.services_by_name["EntityLinker"].full_name
ADMIN_SERVICE = pb.DESCRIPTOR.services_by_name["ReleaseAdmin"].full_name

CLOSING_SECONDS = 10.0
"""After the grace, for all that is left to do; the Helm chart waits longer before it kills."""
BACKGROUND_THREADS = 4
"""For looks at files and the like, none of which takes long."""


async def serve(settings: ServerSettings, on_ready: Callable[[str, str], None]) -> None:
    """Serves until SIGTERM or SIGINT; then running calls finish and new ones are refused.

    The port answers health checks at once; it is SERVING when the release is loaded, and stays so
    while another takes over. What has not come to its end CLOSING_SECONDS after the grace is stuck,
    and the process with it: it is ended with the code `stop.STUCK`.

    Args:
        on_ready: called once with the release's id and the address (`host:port`).

    Raises:
        ServiceError: the address cannot be listened on.
        NotFoundError, FileError: there is no such release, or it is damaged; a certificate or the
            file of callers is.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(start_threads(BACKGROUND_THREADS, "background"))
    stop = Stop(settings.grace_seconds + CLOSING_SECONDS)

    admission = Admission(settings.limits)
    pipeline = Pipeline(batch_tokens=settings.limits.batch_tokens, served=admission.served)
    loader = Loader(settings, pipeline)
    engines = Engines(settings.keep_loaded)
    switch = Switch(engines, loader, releases_dir())
    servicer = Servicer(engines, pipeline, admission, switch.record, settings.limits)
    admin = Admin(engines, switch, releases_dir()) if settings.offers_admin else None
    health = Health(_services(admin))
    stats = partial(engine_stats, engines, pipeline, admission)
    metrics = ServerMetrics(health, engines, stats, switch.record, loader.canaries)
    async with observed(settings, health, metrics) as watchers:
        server = _assemble(settings, servicer, admin, health, watchers)
        address = _listen(server, settings)
        await server.start()
        try:
            engines.activate(await loader.load(settings.release))
        except BaseException:
            await server.stop(None)
            raise
        health.is_ready()
        release = engines.active.release
        log("serving", release=release, address=address)
        on_ready(release, address)

        background = []
        if not settings.release:
            background.append(asyncio.create_task(switch.watch()))
        if settings.stuck_seconds:
            watching = watch_work(health, pipeline.progress, settings.stuck_seconds)
            background.append(asyncio.create_task(watching))
        await stop.wished()
        log("stopping", grace_seconds=settings.grace_seconds)
        for task in background:
            task.cancel()
        health.drain()
        servicer.drain()
        await server.stop(settings.grace_seconds)
    await loader.close()
    engines.close()
    await servicer.close()
    await pipeline.close()
    await loop.shutdown_default_executor()
    stop.done()
    log("stopped")


def _services(admin: Admin | None) -> tuple[str, ...]:
    return (SERVICE, ADMIN_SERVICE) if admin else (SERVICE,)


def _assemble(
    settings: ServerSettings,
    servicer: Servicer,
    admin: Admin | None,
    health: Health,
    watchers: Sequence[CallWatcher],
) -> grpc.aio.Server:
    interceptors: list[grpc.aio.ServerInterceptor] = [CallGuard(watchers)]
    if settings.authenticates:
        certificates = settings.tls_client_ca is not None
        interceptors.append(AccessGuard(Register(settings.tokens, certificates=certificates)))
    server = grpc.aio.server(
        interceptors=interceptors,
        options=[
            ("grpc.so_reuseport", 0),  # or a second server on the port would take half its calls
            ("grpc.max_receive_message_length", settings.limits.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            *connection_bounds(CONNECTIONS),
        ],
    )
    add_EntityLinkerServicer_to_server(servicer, server)
    if admin:
        add_ReleaseAdminServicer_to_server(admin, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection(
        (*_services(admin), HEALTH_SERVICE, reflection.SERVICE_NAME), server
    )
    return server


def _listen(server: grpc.aio.Server, settings: ServerSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.port}"
    files = tls_files(settings)
    credentials = server_credentials(files) if files else None
    try:
        port = (
            server.add_secure_port(address, credentials)
            if credentials
            else server.add_insecure_port(address)
        )
    except RuntimeError:
        raise cannot_listen(address) from None
    if settings.insecure_without_tls_and_authentication and not is_loopback(settings.host):
        log(
            "open to other machines without all of its protection",
            level=logging.WARNING,
            tls=files is not None,
            authentication=settings.authenticates,
        )
    return f"{host}:{port}"
