"""Threads of the stages, what passes between them, and what becomes of a failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Condition, Thread
from typing import Any

from bioelx.service.jobs import Item
from bioelx.service.logs import log


class Worker:
    """A thread that takes one step after the other; if it dies, another takes its place, or where
    the system gives none it goes on itself: a stage is never without.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[Worker], bool],
        lost: Callable[[Worker, BaseException], None],
    ) -> None:
        """Starts the thread.

        Args:
            step: works on one batch, which it lays down in `batch` as soon as it has it; false if
                there is no more to come.
            lost: called in the dying thread; to answer for `batch`.
        """
        self.name = name
        self.batch: list[Item] = []
        self.deaths = 0
        self._step = step
        self._lost = lost
        self._start()

    def join(self) -> None:
        """Waits until the steps have come to their end."""
        while (thread := self._thread).is_alive():
            thread.join()

    @property
    def ident(self) -> int | None:
        return self._thread.ident

    def _start(self) -> None:
        self._thread = Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._dies():
            try:
                self._start()
                return
            except (RuntimeError, MemoryError):  # "can't start new thread"
                self._thread = threading.current_thread()
                log("worker not replaced", level=logging.ERROR, thread=self.name)

    def _dies(self) -> bool:
        """Takes steps to the last one; true if it is cut short."""
        try:
            while self._step(self):
                self.batch = []
        except BaseException as error:  # whatever ends a thread, its callers get an answer
            self.deaths += 1
            with suppress(BaseException):
                self._lost(self, error)
            self.batch = []
            return True
        return False


class Slot:
    """A batch on its way from one stage to the next: there is room for one, and it keeps its place
    until it is done, so no thread's death loses it.
    """

    def __init__(self) -> None:
        self._batch: list[Item] = []
        self._closed = False
        self._changed = Condition()

    def put(self, batch: list[Item]) -> None:
        """Waits until the stage is done with the one before."""
        with self._changed:
            self._changed.wait_for(lambda: not self._batch or self._closed)
            self._batch = batch
            self._changed.notify_all()

    def look(self) -> list[Item]:
        """Waits for a batch; empty if there is none to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._batch or self._closed)
            return [] if self._closed else self._batch

    def free(self, batch: list[Item]) -> None:
        """Makes room, if it is this batch that is here."""
        with self._changed:
            if self._batch is batch:
                self._batch = []
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def do_or_divide(
    work: Callable[[list[Item]], Iterable[Any]], items: list[Item]
) -> Iterator[tuple[Item, Any]]:
    """Works on all items at once; what fails together is halved, down to single mentions, so only
    those at fault fail. Not by their jobs: an item may stand for those of other jobs too.

    Yields:
        each item with its result, or with the exception that it got.
    """
    if not items:
        return
    failure: Exception
    try:
        yield from zip(items, work(items), strict=True)
        return
    except MemoryError:
        failure = MemoryError()  # the traceback of the other one holds on to what was tried
        log("out of memory", mentions=len(items), thread=threading.current_thread().name)
    except Exception as error:
        failure = error
    if len(items) == 1:
        yield items[0], failure
        return
    del failure
    middle = len(items) // 2
    yield from do_or_divide(work, items[:middle])
    yield from do_or_divide(work, items[middle:])
