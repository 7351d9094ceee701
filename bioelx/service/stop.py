"""The wish that a server stop, and a bound on the time that this takes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading

from bioelx.service.logs import frames_above, log

STUCK = 1
"""Exit code of a server that could not end what it was at."""


class Stop:
    """Hears of SIGTERM and SIGINT. Where the server has not come to its end within so many seconds,
    because a disk does not answer or a model's call hangs, the process is ended as it is: no thread
    can be ended from outside, and Python waits for those of its pools for ever.
    """

    def __init__(self, seconds: float) -> None:
        """To be made in the main thread, in a running event loop."""
        self._seconds = seconds
        self._wished = asyncio.Event()
        self._last_resort: asyncio.TimerHandle | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._wish)

    async def wished(self) -> None:
        """Waits for the wish."""
        await self._wished.wait()

    def done(self) -> None:
        """The server has come to its end."""
        if self._last_resort:
            self._last_resort.cancel()

    def _wish(self) -> None:
        if not self._last_resort:
            loop = asyncio.get_running_loop()
            self._last_resort = loop.call_later(self._seconds, _end_the_process)
        self._wished.set()


def _end_the_process() -> None:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    threads = {
        names.get(ident, str(ident)): frames_above(frame)
        for ident, frame in sys._current_frames().items()
    }
    log("stuck at the stop", level=logging.ERROR, threads=threads)
    logging.shutdown()
    os._exit(STUCK)
