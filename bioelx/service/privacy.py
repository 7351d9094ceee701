"""Keeps patients' words inside the process when something fails.

Documents lie in memory, and the message of an exception may quote one.
"""

from __future__ import annotations

import logging
import resource
import sys
import threading
from types import TracebackType

from bioelx.service.logs import frames_of, log


def keep_words_in() -> None:
    """For the whole process: no core dumps, and no message of an exception on standard error."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    # 0 does not stop Linux from piping a dump to a program (core(5)); 1 byte stops both.
    limit = 1 if most == resource.RLIM_INFINITY else min(1, most)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda uncaught: _log_uncaught(
        uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback
    )
    sys.unraisablehook = lambda uncaught: _log_uncaught(
        uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback
    )


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    log("uncaught", level=logging.CRITICAL, exception=kind.__name__, frames=frames_of(trace))
