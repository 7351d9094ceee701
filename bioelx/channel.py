"""How a client reaches servers: their addresses, and what gRPC does for each of its calls."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

from bioelx.errors import BioelxError
from bioelx.settings import is_loopback

ChannelOptions = Sequence[tuple[str, int | str]]

SERVICE = "bioelx.v1.EntityLinker"
AUTHORITY = "grpc.default_authority"

_REMOTE_SCHEMES = ("dns", "ipv4", "ipv6")
_LOCAL_SCHEMES = ("unix", "unix-abstract")

_SPREAD = {
    # Each call goes to the next of the servers that are ready, by their own word.
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": SERVICE},
}
"""Calls are tried again by `bioelx.retries`. gRPC could do it for streams until their first reply,
but with grpcio 1.85.1 one in a hundred such streams ended too early without an error."""

_KEEPALIVE = [
    # A server that vanished without a word is noticed while a call waits for it.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
]
_RECONNECT = [
    # A server that is starting is found soon after it listens.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
]
_SIZES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def channel_options(address: str) -> ChannelOptions:
    """What a channel to `address` is opened with."""
    options: list[tuple[str, int | str]] = [*_SIZES, *_RECONNECT, *_KEEPALIVE]
    if "," in address or address.startswith("dns:"):
        # A server alone is not asked whether it is ready: it says itself why it is not.
        options.append(("grpc.service_config", json.dumps(_SPREAD)))
    if "," in address and not _has_scheme(address):
        # What the servers' certificates are for, since the target has only numbers.
        options.append((AUTHORITY, address.split(",")[0].strip()))
    if stays_on_this_machine(address):
        # Or gRPC goes to the proxy that the environment names (http_proxy), which is on another
        # machine, and has a localhost of its own.
        options.append(("grpc.enable_http_proxy", 0))
    return options


def target_of(address: str) -> str:
    """The gRPC target of an address.

    Args:
        address: `host:port`; several, joined by commas; or a target of gRPC's own, such as
            `dns:///name:port` for all servers that a name stands for, asked again now and then.

    Raises:
        BioelxError: one of several is no `host:port`, or its name is not known.
    """
    if "," not in address or _has_scheme(address):
        return address
    found = [_resolve(each.strip()) for each in address.split(",")]
    # A target is of one family: IPv4 if each server has such an address.
    for family, scheme in ((socket.AF_INET, "ipv4"), (socket.AF_INET6, "ipv6")):
        of_family = [addresses[family] for addresses in found if family in addresses]
        if len(of_family) == len(found):
            return f"{scheme}:" + ",".join(of_family)
    raise BioelxError(f"{address}: some have only IPv4 addresses, some only IPv6")


def stays_on_this_machine(address: str) -> bool:
    """Whether a gRPC target (`host:port`, `dns:///host:port`, `ipv4:a:1,b:2`) is on loopback."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme in _LOCAL_SCHEMES:
        return True
    if colon and scheme in _REMOTE_SCHEMES:
        address = rest.rpartition("/")[2]
    return all(is_loopback(_host(each.strip())) for each in address.split(","))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    # An IPv6 address without a port has colons of its own.
    return address.partition(":")[0] if address.count(":") == 1 else address


def _has_scheme(address: str) -> bool:
    return address.partition(":")[0] in (*_REMOTE_SCHEMES, *_LOCAL_SCHEMES, "xds")


def _resolve(server: str) -> dict[socket.AddressFamily, str]:
    """An address of a server for each family of addresses that it has."""
    host, colon, port = server.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise BioelxError(f"{server or 'an empty address'}: must be host:port")
    try:
        infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (socket.gaierror, OverflowError) as error:
        raise BioelxError(f"{server}: {error}") from None
    found: dict[socket.AddressFamily, str] = {}
    for family, *_, where in infos:
        number = str(where[0])
        found.setdefault(family, f"[{number}]:{port}" if ":" in number else f"{number}:{port}")
    return found
