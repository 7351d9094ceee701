"""What is taken on, and what is turned away at once.

What counts is how long a caller would wait, and that is what is ahead of him over the rate at which
it is answered (Little's law). A fixed number of tokens is a second's work of one machine and a
minute's of another, of one ranker or of none. So the bound is a time, `queue_seconds`, at the rate
measured while there was more work than could be done; `queue_tokens` bounds the memory, whatever
the rate. More in the queue would not be answered any sooner, only later.

A burst may fill all of it. What stands in it for longer is no burst but too much work, which no
queue helps against: then a fifth of the bound holds, so that those who are taken on do not wait
longer than on a busy day, until hardly any have to be turned away (after Nichols and Jacobson 2012,
"controlled delay", where a queue may be long for a short time only).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from bioelx.errors import OverloadedError
from bioelx.settings import Limits

LEAST_TOKENS = 6144
OWN_SIZES = 24
"""A request may have as much before it as so many of its own size, up to LEAST_TOKENS, however long
that takes: who brings much work expects it to take time, and a usual pool of callers, 16 of 32
mentions each, more or less, is not turned away by a server that is theirs alone. As long as no rate
has been measured, the bound is LEAST_TOKENS for any size."""
LONG, STANDING_SECONDS = 0.75, 2.0
"""A queue that is fuller than this share for longer is no burst's. The load of a release, for one,
slows a server down for some seconds, and a server that is not overloaded has room for that."""
STANDING_SHARE = 1 / 5
"""Of the bound, where there is too much work."""
CALM_SECONDS, PROLONGED = 3.0, 10.0
"""An overload is over after so long, and each request that is turned away in it puts that off by so
many times the seconds that its answer would have taken: as long as a tenth of the work and more is
turned away, it goes on. How full the queue is does not tell: a short one is empty now and then by
chance alone, and a full burst taken on each time would make the next callers wait for all of it."""
BYTES_PER_TOKEN = 1024
"""A request is held while its mentions wait: it weighs as many tokens at least, whatever in it is
large."""
_MEASURED_SECONDS = 0.25
_NEW_SHARE = 0.3  # of a measurement in the rate
_FIRST_GUESS = 8.0  # tokens a mention
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
"""Seconds before a next try: a rate that was measured while a stage hung is none to plan by."""


class Place:
    """What one request takes up."""

    def __init__(self, admission: Admission, caller: str, tokens: int, *, patient: bool) -> None:
        self._admission = admission
        self._caller = caller
        self._patient = patient
        self.tokens = tokens

    def weigh(self, tokens: int, mentions: int, size: int) -> None:
        """Puts what was counted in place of the estimate; `size`: bytes."""
        self._admission.learn(tokens, mentions)
        self._change(self._admission.weight(tokens, size) - self.tokens)

    def leave(self) -> None:
        self._change(-self.tokens)

    def _change(self, tokens: int) -> None:
        self.tokens += tokens
        self._admission.occupy(self._caller, tokens, patient=self._patient)


class Admission:
    """Keeps count of what is taken on and not yet answered. For the event loop's thread only.

    Requests that can wait (of streams) may take up half of the bound and wait for their turn there,
    so a bulk job and short calls never keep each other out; callers take turns. A caller who has
    less than an equal share of the bound is let in even when others have filled it, up to as much
    again for all of them.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.tokens_per_second = 0.0
        """As measured while there was more to do than could be done; 0 until then."""
        self._per_mention = _FIRST_GUESS
        self._callers: Counter[str] = Counter()
        self._patient = 0
        self._lines: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}
        """The patient who wait for room, by caller in their order: weight, and their turn."""
        self._measured_from: float | None = None
        self._measured = 0
        self._overloaded_until = 0.0
        self._long_since: float | None = None
        """Since when the queue has been a long one."""
        self.tokens = 0
        """Taken on and not yet answered."""
        self.rejected = 0
        """Requests turned away since the start."""

    @property
    def bound(self) -> int:
        """Tokens that may be in the server together."""
        whole = self._whole
        return max(1, int(whole * STANDING_SHARE)) if self._is_overloaded else whole

    @property
    def _is_overloaded(self) -> bool:
        return monotonic() < self._overloaded_until

    @property
    def _whole(self) -> int:
        """The bound of a burst."""
        limits = self._limits
        in_time = int(self.tokens_per_second * limits.queue_seconds)
        least = limits.batch_tokens if self.tokens_per_second else LEAST_TOKENS
        return min(limits.queue_tokens, max(least, in_time))

    def _room_for(self, weight: int) -> int:
        """Tokens that may be in the server together with a request of this weight."""
        of_its_size = min(OWN_SIZES * weight, LEAST_TOKENS)
        return min(self._limits.queue_tokens, max(self.bound, of_its_size))

    def _note_length(self) -> None:
        """Tells a burst from more work than can be done."""
        if self._is_overloaded or self.tokens <= LONG * self._whole:
            self._long_since = None
        elif self._long_since is None:
            self._long_since = monotonic()
        elif monotonic() - self._long_since > STANDING_SECONDS:
            self._overloaded_until = monotonic() + CALM_SECONDS

    def _refuse(self, weight: int) -> OverloadedError:
        self.rejected += 1
        if self._is_overloaded:
            put_off = PROLONGED * weight / (self.tokens_per_second or self.bound)
            latest = monotonic() + CALM_SECONDS
            self._overloaded_until = min(latest, self._overloaded_until + put_off)
        return OverloadedError(self._until_room(weight))

    @asynccontextmanager
    async def place(
        self, mentions: int, size: int, caller: str, *, patient: bool = False
    ) -> AsyncIterator[Place]:
        """A place for a request, which it has to the end of the context.

        Args:
            size: of the request, in bytes.
            patient: wait for room rather than fail.

        Raises:
            OverloadedError: there is no room.
        """
        # However many were in the cache lately: a large request weighs before it is counted, or
        # any number of them would be let in together.
        weight = self.weight(int(mentions * max(1.0, self._per_mention)), size)
        if patient:
            await self._wait(weight, caller)
        elif self._fits(weight, caller):
            self.occupy(caller, weight, patient=False)
        else:
            raise self._refuse(weight)
        place = Place(self, caller, weight, patient=patient)
        try:
            yield place
        finally:
            place.leave()

    def weight(self, tokens: int, size: int) -> int:
        """What a request weighs; a large one no more than half of the bound, or it would find room
        only in an idle server, and leave none for others.
        """
        return min(max(tokens, size // BYTES_PER_TOKEN, 1), max(1, self.bound // 2))

    def occupy(self, caller: str, tokens: int, *, patient: bool) -> None:
        self.tokens += tokens
        self._note_length()
        self._callers[caller] += tokens
        if not self._callers[caller]:
            del self._callers[caller]
        if patient:
            self._patient += tokens
        if tokens < 0:
            self._wake()

    def learn(self, tokens: int, mentions: int) -> None:
        """Learns what a mention costs; those in the cache cost nothing."""
        self._per_mention += 0.1 * (tokens / max(1, mentions) - self._per_mention)

    def served(self, tokens: int, more: bool) -> None:
        """Learns the rate from what was answered, as long as there is more to do."""
        now = monotonic()
        if self._measured_from is None:
            if more:
                self._measured_from, self._measured = now, 0
            return
        self._measured += tokens
        passed = now - self._measured_from
        if passed >= _MEASURED_SECONDS:
            rate = self._measured / passed
            before = self.tokens_per_second or rate
            self.tokens_per_second = before + _NEW_SHARE * (rate - before)
            self._measured_from, self._measured = now, 0
        if not more:
            self._measured_from = None

    def _fits(self, weight: int, caller: str) -> bool:
        if self.tokens + weight <= self._room_for(weight):
            return True
        callers = len(self._callers) + (caller not in self._callers)
        if callers == 1 or self.tokens + weight > 2 * self.bound:
            return False
        return self._callers[caller] + weight <= self.bound // callers

    def _until_room(self, weight: int) -> float:
        """Seconds until there is room, as things go."""
        rate = self.tokens_per_second or self.bound
        return min(
            max(_SHORTEST_PAUSE, (self.tokens + weight - self._room_for(weight)) / rate),
            _LONGEST_PAUSE,
        )

    def _has_room_for_the_patient(self, weight: int) -> bool:
        return not self._patient or self._patient + weight <= self.bound // 2

    async def _wait(self, weight: int, caller: str) -> None:
        """Takes up room when there is some and it is this one's turn."""
        if not self._lines and self._has_room_for_the_patient(weight):
            self.occupy(caller, weight, patient=True)
            return
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(caller, deque()).append((weight, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given room while it left
                self.occupy(caller, -weight, patient=True)
            raise

    def _wake(self) -> None:
        while self._lines:
            # Who has least in the server, and of those who waited since the others' last turn: so
            # the many streams of one caller do not stand before the one of another.
            caller = min(self._lines, key=self._callers.__getitem__)
            weight, turn = self._lines[caller][0]
            if not turn.done():
                if not self._has_room_for_the_patient(weight):
                    return
                self.occupy(caller, weight, patient=True)
                turn.set_result(None)
            line = self._lines.pop(caller)
            line.popleft()
            if line:
                self._lines[caller] = line
