"""Loaded releases: each with its cache, one that answers, and those kept for pinned requests.

A request takes its engine once, as soon as there is room for it, and stays with it to its end,
whatever is switched meanwhile. An engine that answers no more is freed when the last of its calls
has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from bioelx.errors import NotFoundError, ServiceError
from bioelx.linker import Linker
from bioelx.service.cache import Cache
from bioelx.service.logs import log
from bioelx.service.memory import give_back_memory


class Engine:
    """A loaded release with its cache, and the count of the calls that are with it."""

    def __init__(self, linker: Linker, cache: Cache) -> None:
        """To be made in a running event loop."""
        self.linker = linker
        self.cache = cache
        self._calls = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def release(self) -> str:
        return self.linker.manifest.id

    @contextmanager
    def call(self) -> Iterator[Engine]:
        """Holds the engine for a call."""
        self._calls += 1
        self._quiet.clear()
        try:
            yield self
        finally:
            self._calls -= 1
            if not self._calls:
                self._quiet.set()

    async def quiet(self) -> None:
        """Waits until no call is with it."""
        await self._quiet.wait()


class Engines:
    """The engines of a server."""

    def __init__(self, keep: int = 0) -> None:
        """`keep`: how many of those that answered before stay loaded."""
        self._keep = keep
        self._active: Engine | None = None
        self._kept: list[Engine] = []  # the one that answered last comes first
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> Engine:
        """The one that answers.

        Raises:
            ServiceError: none is loaded yet.
        """
        if self._active is None:
            raise ServiceError("UNAVAILABLE", "the release is still being loaded")
        return self._active

    @property
    def loaded(self) -> dict[str, Engine]:
        """All that may answer, by release; the active one first, then the last active ones."""
        return {self.active.release: self.active, **self.held}

    @property
    def held(self) -> dict[str, Engine]:
        """The same, of a server that has loaded none yet: none."""
        active = [self._active] if self._active else []
        return {engine.release: engine for engine in (*active, *self._kept)}

    def find(self, release: str = "") -> Engine:
        """The engine of a release, or (empty) the active one.

        Raises:
            NotFoundError: it is not loaded; naming those that are.
            ServiceError: none is loaded yet.
        """
        if not release:
            return self.active
        loaded = self.loaded
        if release not in loaded:
            raise NotFoundError(f"that release is not loaded; loaded: {', '.join(loaded)}")
        return loaded[release]

    def activate(self, engine: Engine) -> None:
        """Lets `engine` answer from now on; the others are kept or freed."""
        if engine is self._active:
            return
        before = [self._active] if self._active else []
        others = [each for each in (*before, *self._kept) if each is not engine]
        self._active = engine
        self._kept = others[: self._keep]
        for left in others[self._keep :]:
            self.dismiss(left)

    def dismiss(self, engine: Engine) -> None:
        """Frees an engine, which is not among the loaded ones, once its calls have ended."""
        leaving = asyncio.create_task(_free(engine))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def close(self) -> None:
        """Waits no more for those that are to be freed."""
        for leaving in self._leaving:
            leaving.cancel()


async def _free(engine: Engine) -> None:
    release = engine.release
    await engine.quiet()  # and none begins any more
    del engine  # the last reference to the linker, and so to its tables and its index
    await asyncio.to_thread(give_back_memory)
    log("freed", release=release)
