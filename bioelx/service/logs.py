"""Logs as JSON lines: what was called and how it went, never a word of what was said.

Messages and exceptions of libraries may quote a request, so of those only the first line of the
unfilled message and the frames of the traceback are written.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

logger = logging.getLogger("bioelx.service")

_call_fields: ContextVar[dict[str, Any]] = ContextVar("call_fields")


def set_up_logs(level: int = logging.INFO) -> None:
    """Sends the logs of the whole process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Logs an event with fields that hold no text of a request."""
    logger.log(level, event, extra={"fields": fields})


def start_call() -> dict[str, Any]:
    """Returns the fields of the current call's log line, for `count` to add to."""
    fields: dict[str, Any] = {}
    _call_fields.set(fields)
    return fields


def count(**counts: int) -> None:
    """Adds counts to the log line of the current call."""
    fields = _call_fields.get({})
    for name, number in counts.items():
        fields[name] = fields.get(name, 0) + number


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(record.msg).partition("\n")[0],
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = frames_of(record.exc_info[2])
        return orjson.dumps(line, default=str).decode()


def frames_of(trace: TracebackType | None) -> list[str]:
    """Where a traceback passed, innermost last, without source lines or values."""
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(trace)]
