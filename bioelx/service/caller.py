"""Who makes the call that is being answered."""

from __future__ import annotations

import math
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

import grpc


class Role(StrEnum):
    """What a caller may do."""

    LINK = "link"
    """Call EntityLinker, and ask the server for its contract (reflection)."""
    ADMIN = "admin"
    """All of that, and ReleaseAdmin."""


@dataclass(frozen=True)
class Caller:
    """Somebody who has shown who they are.

    Attributes:
        name: goes into logs.
        mentions_per_minute, calls_in_flight: the quota of all who have this name; None: none.
    """

    name: str
    role: Role
    mentions_per_minute: int | None = None
    calls_in_flight: int | None = None

    def may(self, role: Role) -> bool:
        return self.role in (role, Role.ADMIN)


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller | None:
    """Who makes the current call; None on a server that asks nobody for a name."""
    return _current.get()


def caller_of(context: grpc.aio.ServicerContext) -> str:
    """A name under which the calls of one caller can be told from those of another.

    The caller's own, or without authentication the address of their machine.
    """
    if caller := current_caller():
        return caller.name
    return address_of(context)


def address_of(context: grpc.aio.ServicerContext) -> str:
    """The address from which a call comes, without the port: `ipv4:10.0.0.7`."""
    peer = str(context.peer())
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


def deadline_of(context: grpc.aio.ServicerContext) -> float:
    """When the caller gives up, on the clock of `time.monotonic`; infinite if never."""
    left = context.time_remaining()
    return math.inf if left is None else monotonic() + left


def set_caller(caller: Caller) -> None:
    """Makes `caller` the current one, to the end of the call: each has a context of its own."""
    _current.set(caller)
