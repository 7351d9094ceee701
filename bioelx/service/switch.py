"""Which release a server answers from: it follows the pointer `current`, and its administrators.

Whoever asks last is heeded: a release that is still being loaded when another is asked for is put
away. A switch has one order, whoever asked: load beside, warm, ask the canaries, (an administrator
only) move the pointer, switch. The pointer goes first so that whatever is cut off leaves it at a
release that has passed: a server that dies between the two steps comes back with that release, and
other servers of the same folder follow it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bioelx.errors import BioelxError, FileError, NotFoundError, ServiceError
from bioelx.release import activate, active_release, list_releases, previous_release
from bioelx.release.store import CURRENT
from bioelx.service.engine import Engine, Engines
from bioelx.service.loading import Loader
from bioelx.service.logs import frames_of, log
from bioelx.service.memory import give_back_memory

WATCH_SECONDS = 0.5
"""Between two looks at the pointer, a file of one line."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A release that the server does not answer from, though it was asked to."""

    release: str
    reason: str
    time: datetime


@dataclass(slots=True)
class SwitchRecord:
    """What has become of the switches of a server since its start; `Info` tells."""

    loading: str = ""
    """The release that is being loaded and tried."""
    switches: int = 0
    refusals: int = 0
    refused: Refusal | None = None
    """The last refusal."""


class Switch:
    """Switches the engines of a server to the release that is wanted."""

    def __init__(self, engines: Engines, loader: Loader, root: Path) -> None:
        """To be made in a running event loop, before the first release is loaded.

        Args:
            root: the folder of releases, whose pointer is followed and moved.
        """
        self.record = SwitchRecord()
        self._engines = engines
        self._loader = loader
        self._root = root
        self._wanted = ""
        """The release that was asked for last."""
        self._one_at_a_time = asyncio.Lock()
        self._pointer = asyncio.Lock()
        """Held while we move the pointer: that is not to be followed."""
        self._seen = self._look()
        self._following: set[asyncio.Task[None]] = set()

    async def watch(self) -> None:
        """Follows the pointer until cancelled; what it names then is loaded no further."""
        try:
            while True:
                await asyncio.sleep(WATCH_SECONDS)
                async with self._pointer:
                    looked = await asyncio.to_thread(self._look)
                    if looked == self._seen:
                        continue
                    self._seen = looked
                following = asyncio.create_task(self._follow())
                self._following.add(following)
                following.add_done_callback(self._following.discard)
        finally:
            for following in self._following:
                following.cancel()

    async def activate(self, release: str) -> str:
        """Moves the pointer to a release and answers from it.

        Returns:
            the release that answered before.

        Raises:
            NotFoundError: there is no such release.
            ServiceError: FAILED_PRECONDITION if it is refused, ABORTED if another one was asked for
                meanwhile; nothing has changed.
        """
        known = await asyncio.to_thread(list_releases, self._root)
        if release not in known:
            raise NotFoundError(f"no such release; there are: {', '.join(known) or 'none'}")
        return await self._to(release, move_pointer=True)

    async def roll_back(self) -> tuple[str, str]:
        """Activates the release that was active before (see `activate`).

        Returns:
            its id, and the release that answered before.
        """
        release = await asyncio.to_thread(previous_release, self._root)
        if release is None:
            raise NotFoundError("no release was active before")
        return release, await self.activate(release)

    async def _follow(self) -> None:
        try:
            release = await asyncio.to_thread(active_release, self._root)
            if release is not None:  # without a pointer there is nothing to follow
                await self._to(release, move_pointer=False)
        except (FileError, OSError) as error:  # of the pointer itself
            self._refuse("", error)
        except ServiceError:
            pass  # refused or overtaken: the log and `Info` have it

    async def _to(self, release: str, *, move_pointer: bool) -> str:
        """Switches to a release; see `activate`."""
        before = self._engines.active.release
        self._wanted = release
        async with self._one_at_a_time:
            self._check_wanted(release)
            engine = self._engines.loaded.get(release) or await self._load(release)
            try:
                self._check_wanted(release)
                await _to_its_end(self._commit(engine, move_pointer=move_pointer))
            finally:
                if release not in self._engines.loaded:
                    self._engines.dismiss(engine)
        return before

    def _check_wanted(self, release: str) -> None:
        if release != self._wanted:
            raise _overtaken(release)

    async def _load(self, release: str) -> Engine:
        self.record.loading = release
        log("loading", release=release, active=self._engines.active.release)
        try:
            return await self._loader.load(release, beside=self._engines.active)
        except Exception as error:
            reason = self._refuse(release, error)
        finally:
            self.record.loading = ""
        # Only here has the error let go of the frames that hold what was loaded so far.
        await asyncio.to_thread(give_back_memory)
        raise ServiceError("FAILED_PRECONDITION", reason)

    async def _commit(self, engine: Engine, *, move_pointer: bool) -> None:
        release, before = engine.release, self._engines.active.release
        if move_pointer:
            async with self._pointer:
                if await asyncio.to_thread(self._look) != self._seen:
                    raise _overtaken(release)  # by who moved the pointer, and is followed next
                try:
                    await asyncio.to_thread(self._move_pointer, release)
                except (BioelxError, OSError) as error:
                    reason = self._refuse(release, error)
                    raise ServiceError("FAILED_PRECONDITION", reason) from None
        self._engines.activate(engine)
        if release != before:
            self.record.switches += 1
            log("switched", release=release, before=before)

    def _move_pointer(self, release: str) -> None:
        activate(release, self._root)
        looked = self._look()
        if active_release(self._root) == release:  # and not yet another's, which is to be followed
            self._seen = looked

    def _refuse(self, release: str, error: Exception) -> str:
        """Puts a refusal on record; returns its reason."""
        foreseen = isinstance(error, BioelxError)
        reason = str(error) if foreseen else repr(error)
        where = {} if foreseen else {"frames": frames_of(error.__traceback__)}
        self.record.refusals += 1
        self.record.refused = Refusal(release, reason, datetime.now(UTC))
        log("refused", level=logging.ERROR, release=release, reason=reason, **where)
        return reason

    def _look(self) -> tuple[int, int] | None:
        """What tells the pointer from the one of the last look: it is replaced, never rewritten."""
        try:
            found = (self._root / CURRENT).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def _overtaken(release: str) -> ServiceError:
    log("overtaken", release=release)
    return ServiceError("ABORTED", "another release was asked for meanwhile")


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that goes on to its end even if the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
