"""Who calls: the name under which a caller's share of the server is counted."""

from __future__ import annotations

import math
from time import monotonic
from typing import Any


def caller_of(context: Any) -> str:
    """The caller of a gRPC call: its address without the port, which changes with the connection.

    Args:
        context: the call's grpc.aio.ServicerContext.
    """
    peer: str = context.peer()  # ipv4:192.0.2.1:4711, ipv6:%5B2001:db8::1%5D:4711, unix:
    return peer.rpartition(":")[0] or peer


def deadline_of(context: Any) -> float:
    """When the caller gives up, on the clock of `time.monotonic`; infinite if never."""
    left: float | None = context.time_remaining()
    return math.inf if left is None else monotonic() + left
