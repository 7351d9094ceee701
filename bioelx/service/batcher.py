"""Requests from many callers, linked together by one worker.

While the worker is busy with one batch the next one gathers, so batches are as large as the load
makes them and nobody waits for company. A worker may serve several batchers: each has at most one
batch before it, so they take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from bioelx.errors import OverloadedError
from bioelx.types import Link, LinkedBatch, LinkOptions, Query, Timing


class LinkFunction(Protocol):
    """`Linker.link`: each query with its own options."""

    def __call__(
        self, queries: Sequence[Query], options: Sequence[LinkOptions], /
    ) -> LinkedBatch: ...


@dataclass(eq=False, slots=True)
class _Job:
    """One caller's queries, linked in their order over one batch or several."""

    queries: Sequence[Query]
    options: LinkOptions
    done: asyncio.Future[None]
    taken: int = 0
    links: list[Link] = field(default_factory=list)
    release: str = ""
    timing: Timing = field(default_factory=Timing)

    @property
    def waiting(self) -> int:
        return len(self.queries) - self.taken

    def take(self, room: int) -> Sequence[Query]:
        taken = self.queries[self.taken : self.taken + room]
        self.taken += len(taken)
        return taken

    def receive(self, links: Sequence[Link], release: str, timing: Timing) -> None:
        self.links.extend(links)
        self.release = release
        self.timing += timing
        if len(self.links) == len(self.queries) and not self.done.done():
            self.done.set_result(None)


class Batcher:
    """Gathers queries into batches for a function that is called from one thread only."""

    def __init__(
        self, link: LinkFunction, worker: Executor, *, batch_mentions: int, queue_mentions: int
    ) -> None:
        """To be made in a running event loop.

        Args:
            worker: the thread that calls `link`.
            batch_mentions: queries linked together at most.
            queue_mentions: queries that may wait before callers are turned away.
        """
        self._link = link
        self._batch_mentions = batch_mentions
        self._queue_mentions = queue_mentions
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._seconds_per_query = 0.005
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._running = self._loop.create_task(self._run())

    @property
    def waiting_queries(self) -> int:
        return self._waiting

    @property
    def waiting_requests(self) -> int:
        return len(self._jobs)

    async def link(
        self, queries: Sequence[Query], options: LinkOptions, *, patient: bool = False
    ) -> LinkedBatch:
        """Links queries in company; if the caller is cancelled, those still waiting are dropped.

        Args:
            patient: wait for room in the queue rather than fail.

        Raises:
            OverloadedError: the queue is full.
        """
        started = perf_counter()
        # A request larger than the whole queue is let in once the queue is empty.
        while self._waiting and self._waiting + len(queries) > self._queue_mentions:
            if not patient:
                raise OverloadedError(max(0.1, self._waiting * self._seconds_per_query))
            self._room.clear()
            await self._room.wait()
        job = _Job(queries, options, self._loop.create_future())
        if queries:
            self._jobs.append(job)
            self._waiting += len(queries)
            self._work.set()
            try:
                await job.done
            finally:
                self._drop(job)
        timing = job.timing
        busy = timing.encoding + timing.searching + timing.ranking
        timing.waiting = max(0.0, perf_counter() - started - busy)
        return LinkedBatch(tuple(job.links), job.release, timing)

    async def close(self) -> None:
        """Takes no further batch; the worker may still be at one."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            batch = self._next_batch()
            if not batch:
                self._work.clear()
                continue
            self._room.set()
            queries = [query for _, taken in batch for query in taken]
            options = [job.options for job, taken in batch for _ in taken]
            started = perf_counter()
            try:
                linked = await self._loop.run_in_executor(
                    self._worker, self._link, queries, options
                )
            except Exception as error:
                for job, _ in batch:
                    if not job.done.done():
                        job.done.set_exception(error)
                continue
            self._seconds_per_query = (perf_counter() - started) / len(queries)
            links = iter(linked.links)
            for job, taken in batch:
                own = [next(links) for _ in taken]
                job.receive(own, linked.release, linked.timing)

    def _next_batch(self) -> list[tuple[_Job, Sequence[Query]]]:
        """Takes a share of every waiting job, so that a small one need not wait for a large one."""
        batch = []
        room = self._batch_mentions
        for share in range(len(self._jobs), 0, -1):
            if not room:
                break
            job = self._jobs.popleft()
            taken = job.take(max(1, room // share))
            batch.append((job, taken))
            room -= len(taken)
            self._waiting -= len(taken)
            if job.waiting:
                self._jobs.append(job)
        return batch

    def _drop(self, job: _Job) -> None:
        if job.waiting:
            self._jobs.remove(job)
            self._waiting -= job.waiting
            self._room.set()
