"""Questions about many items, asked in portions that an endpoint can answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Queue
from threading import Lock, Thread
from typing import TypeVar

from bioelx_index.sources.wikidata.endpoint import Endpoint, Rows, TooMuchAskedError
from bioelx_index.sources.wikidata.listing import Qids

T = TypeVar("T")


class Portions:
    """Hands out ids in portions: half as many after too much was asked, slowly more again after
    good answers.

    Args:
        ids: of what is asked about.
        largest: ids in a portion, at most and at first.
    """

    def __init__(self, ids: Qids, largest: int) -> None:
        self.ids = ids
        self._largest = self._size = largest
        self._waiting = [(0, len(ids))] if len(ids) else []
        self._lock = Lock()

    def take(self) -> slice | None:
        """The place of the next portion among the ids, or None when all are handed out."""
        with self._lock:
            if not self._waiting:
                return None
            start, stop = self._waiting.pop()
            if stop - start > self._size:
                self._waiting.append((start + self._size, stop))
                stop = start + self._size
            return slice(start, stop)

    def too_much(self, portion: slice) -> None:
        """Takes a portion back, to hand it out in smaller ones."""
        with self._lock:
            start, stop = portion.start, portion.stop
            self._size = max(1, (stop - start) // 2)
            if self._waiting and self._waiting[-1][0] == stop:
                _, stop = self._waiting.pop()
            self._waiting.append((start, stop))

    def answered(self) -> None:
        with self._lock:
            self._size = min(self._largest, self._size + max(1, self._size // 16))

    def drop(self) -> None:
        """Hands out nothing more."""
        with self._lock:
            self._waiting.clear()


def in_portions(
    ask: Endpoint,
    portions: Portions,
    question: Callable[[Qids], str],
    read: Callable[[Qids, Rows], T],
) -> Iterator[tuple[Qids, T]]:
    """Yields each portion with what is read of the answer about it, as the answers come.

    As many are asked for at once as the endpoint's manners allow.

    Raises:
        SourceError: as `Endpoint`.
    """
    at_once = ask.manners.at_once
    answers: Queue[tuple[Qids, T] | BaseException | None] = Queue(at_once)

    def work() -> None:
        try:
            while (portion := portions.take()) is not None:
                ids = portions.ids[portion]
                single = len(ids) == 1
                try:
                    rows = ask(question(ids), tries=None if single else 1)
                except TooMuchAskedError:
                    if single:
                        raise
                    portions.too_much(portion)
                    continue
                portions.answered()
                answers.put((ids, read(ids, rows)))
            answers.put(None)
        except BaseException as error:
            answers.put(error)

    # In daemons: whoever stops this need not wait for an answer, or for a pause to end.
    for _ in range(at_once):
        Thread(target=work, daemon=True).start()
    try:
        for _ in range(at_once):
            while (answer := answers.get()) is not None:
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
    finally:
        portions.drop()
