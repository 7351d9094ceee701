"""The call that is being answered, and those who watch calls: the log, the metrics, the traces.

What a call does is told here once; each watcher makes of it what it needs. None of it holds a word
of a request.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import grpc

from bioelx.types import Timing

REQUEST_ID = "x-request-id"
"""Metadata with which a caller names a call; every call gets its id back under this name."""

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@dataclass(frozen=True, slots=True)
class LinkedRequest:
    """How a request was answered that asked for links."""

    release: str
    timing: Timing
    linked: int = 0
    """Mentions that have a concept."""
    nil: int = 0
    """Mentions that have none. A search decides of neither."""


class CallWatcher:
    """Hears of every call of BioELX's own services, in the call's own context."""

    def began(self, call: Call, metadata: Mapping[str, str]) -> None:
        """Before the method runs."""

    def linked(self, call: Call, request: LinkedRequest) -> None:
        """After each request that was linked: once a call, often in a stream."""

    def failed(self, call: Call, code: str) -> None:
        """After each request of a stream that the server failed at while the stream goes on."""

    def ended(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        """Once, however it ended."""


@dataclass(eq=False, slots=True)
class Call:
    """A call on its way."""

    id: str
    service: str
    method: str
    trace: str
    """Id of the trace that it belongs to; empty: none."""
    watchers: Sequence[CallWatcher]
    counts: Counter[str] = field(default_factory=Counter)
    timing: Timing = field(default_factory=Timing)
    """Of all its requests together."""
    release: str = ""
    """The one that answered last."""


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def begin_call(path: str, metadata: Mapping[str, str], watchers: Sequence[CallWatcher]) -> Call:
    """Makes a call the current one of this task and of those that it starts.

    Args:
        path: as gRPC has it: `/package.Service/Method`.
    """
    given = metadata.get(REQUEST_ID, "")
    traced = _TRACEPARENT.fullmatch(metadata.get("traceparent", ""))
    service, _, method = path.removeprefix("/").rpartition("/")
    call = Call(
        id=given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(8),
        service=service,
        method=method,
        trace=traced[1] if traced else "",
        watchers=watchers,
    )
    _current.set(call)
    for watcher in watchers:
        watcher.began(call, metadata)
    return call


def current_call() -> Call | None:
    return _current.get()


def count(**counts: int) -> None:
    """Adds to what the current call has asked for."""
    if call := _current.get():
        call.counts.update(counts)


def note_linked(request: LinkedRequest) -> None:
    """Tells of a request of the current call that was linked."""
    if call := _current.get():
        call.counts["requests"] += 1
        call.timing += request.timing
        call.release = request.release
        for watcher in call.watchers:
            watcher.linked(call, request)


def note_failed(code: str) -> None:
    """Tells of a request of the current stream that the server failed at.

    Args:
        code: the name of the status that it would have had as a call of its own.
    """
    if call := _current.get():
        call.counts["failed"] += 1
        for watcher in call.watchers:
            watcher.failed(call, code)


def end_call(call: Call, code: grpc.StatusCode, seconds: float) -> None:
    for watcher in call.watchers:
        watcher.ended(call, code, seconds)
