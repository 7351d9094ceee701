"""The port that Prometheus reads, over plain HTTP."""

from __future__ import annotations

import socket
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import Thread
from time import monotonic
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from bioelx.errors import cannot_listen
from bioelx.service.security.bounds import METRICS_CONNECTIONS, METRICS_SECONDS
from bioelx.settings import host_and_port


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a line for each scrape is of no use."""


class _Port(ThreadingMixIn, WSGIServer):
    """A thread for each connection, of which there are only so many, and each only so long."""

    daemon_threads = True

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        passive = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, *_ = passive[0]
        self._since: dict[Any, float] = {}
        """When each open connection was taken."""
        super().__init__((host, port), _Handler)
        self.set_app(make_wsgi_app(registry))

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return len(self._since) < METRICS_CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        self._since[request] = monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Ends what takes too long; called twice a second."""
        late = monotonic() - METRICS_SECONDS
        for request, since in self._since.copy().items():
            if since < late:
                with suppress(OSError):  # it has just ended by itself
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        self._since.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a reader that has gone, or was sent away, is no fault of the server."""


def serve_metrics(registry: CollectorRegistry, address: str) -> WSGIServer:
    """Answers `GET /metrics` in threads of its own, until `shutdown` and `server_close`.

    Raises:
        ServiceError: the address cannot be listened on.
    """
    try:
        server = _Port(registry, *host_and_port(address))
    except OSError:
        raise cannot_listen(address) from None
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
