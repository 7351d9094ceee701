"""Questions about many items, asked in portions that an endpoint can answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
        runs: ids, ascending; no portion spans two runs.
        largest: ids in a portion, at most and at first.
    """

    def __init__(self, runs: Iterable[Qids], largest: int) -> None:
        self._runs = [run for run in runs if len(run)][::-1]
        self._largest = self._size = largest
        self._lock = Lock()

    def take(self) -> Qids | None:
        """The next portion, or None when all are handed out."""
        with self._lock:
            if not self._runs:
                return None
            run = self._runs.pop()
            if len(run) > self._size:
                self._runs.append(run[self._size :])
            return run[: self._size]

    def too_much(self, portion: Qids) -> None:
        """Takes a portion back, to hand it out in smaller ones."""
        with self._lock:
            self._runs.append(portion)
            self._size = max(1, len(portion) // 2)

    def answered(self) -> None:
        with self._lock:
            self._size = min(self._largest, self._size + max(1, self._size // 16))

    def drop(self) -> None:
        """Hands out nothing more."""
        with self._lock:
            self._runs.clear()


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
                single = len(portion) == 1
                try:
                    rows = ask(question(portion), tries=None if single else 1)
                except TooMuchAskedError:
                    if single:
                        raise
                    portions.too_much(portion)
                    continue
                portions.answered()
                answers.put((portion, read(portion, rows)))
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
