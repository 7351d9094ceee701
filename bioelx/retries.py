"""When a call that failed is made again.

gRPC's own retries know neither google.rpc.RetryInfo, nor that a message which is too large stays
so, nor that waiting past the deadline helps nobody.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from bioelx.errors import BioelxError, OverloadedError, ServiceError

RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_TOO_LARGE = "message larger than max"
"""gRPC's words for RESOURCE_EXHAUSTED of a message beyond a limit."""


@dataclass(frozen=True)
class Retries:
    """How often and how long after a failure a call is made again.

    The pause after failure n is drawn evenly from up to `first_pause` * 2**(n-1) seconds, at most
    `longest_pause`: callers that failed together do not come back together (AWS's "full jitter").
    Where the server says how long to wait, that comes before it.
    """

    tries: int = 5
    first_pause: float = 0.1
    longest_pause: float = 5.0


RETRIES = Retries()
NO_RETRIES = Retries(tries=1)


class Tries:
    """The tries of one call, all within its deadline."""

    def __init__(
        self,
        retries: Retries,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._retries = retries
        self._clock = clock
        self._draw = draw
        self._deadline = clock() + timeout
        self._failed = 0

    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._deadline - self._clock())

    def pause_after(self, error: BioelxError) -> float | None:
        """Seconds to wait before the next try; None if there is to be none."""
        self._failed += 1
        if self._failed >= self._retries.tries or not _may_pass(error):
            return None
        # No power of a float overflows for the sake of many tries.
        longest = self._retries.first_pause * 2.0 ** min(self._failed - 1, 64)
        pause = self._draw(0, min(longest, self._retries.longest_pause))
        if isinstance(error, OverloadedError):
            pause += error.retry_after
        return pause if pause < self.left() else None


def _may_pass(error: BioelxError) -> bool:
    """Whether the same call may go well later."""
    if isinstance(error, ServiceError):
        return error.code in RETRIED and _TOO_LARGE not in error.message
    return isinstance(error, OverloadedError)
