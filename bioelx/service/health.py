"""Health by grpc.health.v1: whether the process lives, and whether each service is ready.

Names: `live` (the process answers and its work goes on), "" (the server as a whole is
ready), and each service by its own name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bioelx.service.logs import log

LIVE = "live"
SERVER = ""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """What is live and what is ready, for one port or several.

    Unlike grpcio-health-checking's own servicer it stays live while it drains, and lets its
    watchers go then, with a last word: they would hold the stop up for all its grace.
    """

    def __init__(self, services: Sequence[str]) -> None:
        """`services`: their names; none is ready yet."""
        self._services = services
        self._live = True
        self._ready = False
        self._draining = False
        self._changed = asyncio.Event()

    def is_ready(self) -> None:
        """From now on the services are ready, as long as the server is live."""
        self._ready = True
        self._tell()

    def set_live(self, live: bool) -> None:
        self._live = live
        self._tell()

    def drain(self) -> None:
        """No service is ready any more; the process lives on to answer what it has begun."""
        self._draining = True
        self._tell()

    def status(self, service: str) -> int:
        """A value of ServingStatus."""
        if service == LIVE:
            return SERVING if self._live else NOT_SERVING
        if service != SERVER and service not in self._services:
            return UNKNOWN
        return SERVING if self._ready and self._live and not self._draining else NOT_SERVING

    async def Check(  # type: ignore[override]  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext,
    ) -> health_pb2.HealthCheckResponse:
        status = self.status(request.service)
        if status == UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # type: ignore[override]  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext,
    ) -> None:
        told = None
        while True:
            changed, draining = self._changed, self._draining
            if (status := self.status(request.service)) != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            if draining:
                return
            await changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def watch_work(health: Health, sign: Callable[[], Awaitable[object]], limit: float) -> None:
    """Waits for signs of life of those who do the work, until cancelled.

    Args:
        sign: waits for the next one. It has to come while there is work, and soon if there is none.
        limit: seconds without one after which the server is not live, until one comes.
    """
    while True:
        waiting = asyncio.ensure_future(sign())
        try:
            await asyncio.wait_for(asyncio.shield(waiting), limit)
        except TimeoutError:
            log("stuck", level=logging.ERROR, seconds=limit)
            health.set_live(False)
            await waiting
            log("unstuck", level=logging.WARNING)
            health.set_live(True)
        await asyncio.sleep(limit / 10)
