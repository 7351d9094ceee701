"""How much one caller may ask for, so that none takes all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from bioelx.errors import OverloadedError
from bioelx.service.caller import Caller

CALL_RETRY_SECONDS = 0.5
"""When a caller with too many calls in flight may try again: calls end at times of their own."""


class Quota:
    """What is left of one caller's share, over all their calls.

    Mentions refill steadily; who has been quiet may ask for a minute's worth at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls = 0
        self._spent = 0.0  # mentions, of which time has given none back yet
        self._seen = clock()

    @contextmanager
    def call(self, caller: Caller) -> Iterator[None]:
        """Counts a call for as long as it is in flight.

        Raises:
            OverloadedError: as many of the caller's are.
        """
        allowed = caller.calls_in_flight
        if allowed is not None and self._calls >= allowed:
            raise OverloadedError(
                CALL_RETRY_SECONDS, f"your quota of {allowed} calls in flight is used up"
            )
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def spend(self, mentions: int, caller: Caller) -> None:
        """Takes mentions off what is left.

        A request larger than a minute's worth is let in when all of that is there; what it takes
        beyond is waited for by the next.

        Raises:
            OverloadedError: too few are left; says when there will be enough.
        """
        a_minute = caller.mentions_per_minute
        if a_minute is None:
            return
        now = self._clock()
        refilled = (now - self._seen) * a_minute / 60
        self._spent, self._seen = max(0.0, self._spent - refilled), now
        missing = self._spent + min(mentions, a_minute) - a_minute
        if missing > 0:
            raise OverloadedError(
                missing * 60 / a_minute, f"your quota of {a_minute} mentions a minute is used up"
            )
        self._spent += mentions

    def give_back(self, mentions: int) -> None:
        """Undoes `spend` for mentions that were not linked."""
        self._spent = max(0.0, self._spent - mentions)


class Quotas:
    """The quotas of all callers, by name: who renews a token has no new one."""

    def __init__(self) -> None:
        self._of: dict[str, Quota] = {}

    @contextmanager
    def call(self, caller: Caller) -> Iterator[None]:
        """Counts a call, and lets `spending` know whose it is.

        Raises:
            OverloadedError: the caller has too many in flight.
        """
        if caller.calls_in_flight is None and caller.mentions_per_minute is None:
            yield
            return
        quota = self._of.setdefault(caller.name, Quota())
        spends = _current.set((quota, caller))
        try:
            with quota.call(caller):
                yield
        finally:
            _current.reset(spends)


_current: ContextVar[tuple[Quota, Caller] | None] = ContextVar("quota", default=None)


@asynccontextmanager
async def spending(mentions: int, *, patient: bool = False) -> AsyncIterator[None]:
    """Links mentions at the cost of the current caller; what the server is too busy for is free.

    Args:
        patient: wait until the quota allows it rather than fail.

    Raises:
        OverloadedError: the quota does not.
    """
    current = _current.get()
    if current is None:
        yield
        return
    quota, caller = current
    while True:
        try:
            quota.spend(mentions, caller)
            break
        except OverloadedError as error:
            if not patient:
                raise
            await asyncio.sleep(error.retry_after)
    try:
        yield
    except OverloadedError:
        quota.give_back(mentions)
        raise
