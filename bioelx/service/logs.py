"""Logs as JSON lines: what was called and how it went, never a word of what was said.

Messages and exceptions of libraries may quote a request, so of those only the first line of the
unfilled message and the frames of the traceback are written. Lines that belong to a call carry its
id.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import Context
from datetime import UTC, datetime
from time import monotonic
from types import FrameType, TracebackType
from typing import Any

import grpc
import orjson

from bioelx.service.call import Call, CallWatcher, current_call
from bioelx.service.caller import current_caller
from bioelx.settings import LoggedCalls

logger = logging.getLogger("bioelx.service")

REFUSALS_A_SECOND = 10
"""Calls turned away (RESOURCE_EXHAUSTED) that have a line each; one line counts the rest of the
second: an overload fills no disk."""


def set_up_logs(level: str = "info") -> None:
    """Sends the logs of the whole process to standard error, from a level's name on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Logs an event with fields that hold no text of a request."""
    logger.log(level, event, extra={"fields": fields})


class CallLog(CallWatcher):
    """Writes a line for each call, or for those only that did not end well."""

    def __init__(self, logged: LoggedCalls = "all") -> None:
        self._logged = logged
        self._second = 0
        self._refused = 0
        """In this second."""

    def ended(self, call: Call, code: grpc.StatusCode, seconds: float) -> None:
        if self._logged == "none" or (self._logged == "errors" and code is grpc.StatusCode.OK):
            return
        self._sum_up()
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self._refused += 1
            if self._refused > REFUSALS_A_SECOND:
                return
        caller = current_caller()
        known: dict[str, Any] = {"caller": caller.name} if caller else {}
        ms = round(seconds * 1000, 3)
        log("call", method=call.method, code=code.name, ms=ms, **known, **call.counts)

    def _sum_up(self) -> None:
        """Tells of the refusals without a line, when their second is over."""
        second = int(monotonic())
        if second == self._second:
            return
        if (more := self._refused - REFUSALS_A_SECOND) > 0:
            # Of no call: it has the id of none.
            Context().run(log, "more calls were refused", calls=more)
        self._second, self._refused = second, 0


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(record.msg).partition("\n")[0],
            **_ids(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = frames_of(record.exc_info[2])
        return orjson.dumps(line, default=str).decode()


def _ids() -> dict[str, str]:
    """What tells the lines of one call from those of others."""
    call = current_call()
    if call is None:
        return {}
    return {"call": call.id, "trace": call.trace} if call.trace else {"call": call.id}


def frames_of(trace: TracebackType | None) -> list[str]:
    """Where a traceback passed, innermost last, without source lines or values."""
    return _places(traceback.extract_tb(trace))


def frames_above(frame: FrameType) -> list[str]:
    """Where a thread is that runs `frame`, in the same form."""
    return _places(traceback.extract_stack(frame))


def _places(frames: traceback.StackSummary) -> list[str]:
    return [f"{f.filename}:{f.lineno} {f.name}" for f in frames]
