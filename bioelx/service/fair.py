"""Work that waits for a stage, and who is next.

Fair queueing (Demers et al. 1989; the clock is Goyal et al.'s start-time one, 1996): each caller
has a line, and the line that was given least is served next. In a line the job that has waited
longest comes first, for as much as the quantum; what is left of it goes to the end of the line. So
a small job is served whole and in its turn, and never stands behind all of a large one, be it
another caller's or its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import Condition

from bioelx.service.jobs import Item, Job


@dataclass(slots=True)
class _Line:
    """A caller's jobs, the one that is next comes first."""

    served: int
    jobs: OrderedDict[Job, deque[Item]] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _Release:
    """The lines of one release, by caller. Releases take turns, so each has a clock of its own."""

    clock: int = 0
    lines: dict[str, _Line] = field(default_factory=dict)


class FairQueue:
    """Items of many callers' jobs; put in by any thread, taken out by one.

    Items of one release are taken together, and releases take turns.
    """

    def __init__(self, quantum: int, cost: Callable[[Item], int]) -> None:
        """`quantum`: what a job is given in one turn, in the unit of `cost`."""
        self._quantum = quantum
        self._cost = cost
        self._releases: OrderedDict[Hashable, _Release] = OrderedDict()
        self._closed = False
        self._changed = Condition()
        self.waiting = 0
        """The cost of all that waits."""

    def put(self, items: Sequence[Item]) -> None:
        with self._changed:
            for item in items:
                release = self._releases.setdefault(item.job.engine, _Release())
                # Who comes late, or back, is owed nothing for the time that he was away.
                line = release.lines.setdefault(item.job.caller, _Line(release.clock))
                line.jobs.setdefault(item.job, deque()).append(item)
                self.waiting += self._cost(item)
            self._changed.notify()

    def take(self, room: int, batch: list[Item]) -> None:
        """Waits for work and moves as much of it to `batch` as there is room for, one item at
        least; leaves it empty if the queue is closed.

        Items are in the batch before they leave the queue: a thread that dies here loses none.
        """
        with self._changed:
            while not batch and not self._closed:
                if self._releases:
                    self._take_of_next_release(room, batch)
                else:
                    self._changed.wait()  # and hold no release meanwhile

    def discard(self, job: Job) -> None:
        """Forgets what waits of a job."""
        with self._changed:
            release = self._releases.get(job.engine)
            line = release and release.lines.get(job.caller)
            if release and line and job in line.jobs:
                self._forget(line.jobs.pop(job))
                if not line.jobs:
                    del release.lines[job.caller]
                if not release.lines:
                    del self._releases[job.engine]

    def close(self) -> None:
        """Hands out no more; who waits in `take` returns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take_of_next_release(self, room: int, batch: list[Item]) -> None:
        key, release = next(iter(self._releases.items()))
        self._fill(batch, release, room)
        del self._releases[key]
        if release.lines:
            self._releases[key] = release

    def _fill(self, batch: list[Item], release: _Release, room: int) -> None:
        lines = release.lines
        while lines and room > 0:
            # Of lines that were given as much, the one that came first.
            caller, line = min(lines.items(), key=lambda each: each[1].served)
            job, items = next(iter(line.jobs.items()))
            release.clock = line.served
            if job.gone:
                self._forget(items)
                items.clear()
            elif batch and self._cost(items[0]) > room:
                return
            else:
                given = self._serve(batch, items, min(self._quantum, room))
                line.served += given
                room -= given
            del line.jobs[job]
            if items:
                line.jobs[job] = items
            if not line.jobs:
                del lines[caller]

    def _serve(self, batch: list[Item], items: deque[Item], most: int) -> int:
        given = 0
        while items and (not given or given + self._cost(items[0]) <= most):
            batch.append(items[0])
            cost = self._cost(items.popleft())
            given += cost
            self.waiting -= cost
        return given

    def _forget(self, items: deque[Item]) -> None:
        self.waiting -= sum(map(self._cost, items))
