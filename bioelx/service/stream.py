"""How much of one stream is in the server at a time."""

from __future__ import annotations

import asyncio


class Window:
    """Room for requests of one stream, from when they are read until their replies have been sent.

    One reader enters and waits for room, so a caller who does not read its replies is read no
    further, and gRPC's flow control stops it from sending.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._taken = 0
        self._changed = asyncio.Event()

    async def enter(self, tokens: int) -> None:
        """Waits for room; what is larger than the window waits until it is empty."""
        while self._taken and self._taken + tokens > self._tokens:
            self._changed.clear()
            await self._changed.wait()
        self._taken += tokens

    def leave(self, tokens: int) -> None:
        self._taken -= tokens
        self._changed.set()
