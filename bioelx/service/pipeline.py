"""The stages of the online journey as a server runs them: mentions of many callers at once.

Each stage has a thread that works on one batch at a time, so the encoder is at one batch while the
one before is searched, and the ranker reads a third; ONNX Runtime, FAISS and torch let go of the
interpreter meanwhile. The encoder's thread gathers what waits whenever it is free, so batches are
as large as the load makes them, up to a budget of tokens, and nobody waits for company.

Models may be shared by several releases, and each is called by the one thread of its stage.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from bioelx.errors import ServiceError
from bioelx.linker import Mention
from bioelx.service.engine import Engine
from bioelx.service.fair import FairQueue
from bioelx.service.jobs import Answer, Item, Job
from bioelx.service.links import write_link
from bioelx.service.logs import frames_of, log
from bioelx.service.worker import Slot, Worker, do_or_divide
from bioelx.types import Candidate

_TURNS = 4
"""Parts of a batch that one job is given before others have their turn."""
_LOOK_SECONDS = 0.1
"""Between two looks at what the stages are at."""
_HIT_BYTES = 250
"""What one found concept takes in the cache."""

Answered = list[tuple[Item, Answer | Exception]]


@dataclass(slots=True)
class StageStats:
    """What a stage has done since the start of the server."""

    batches: int = 0
    mentions: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PipelineStats:
    """Counters since the start of the server, and what waits now."""

    waiting_tokens: int
    waiting_for_ranker: int
    """Mentions."""
    encoding: StageStats
    searching: StageStats
    ranking: StageStats
    workers_replaced: int


@dataclass(slots=True)
class _Stages:
    encoding: StageStats = field(default_factory=StageStats)
    searching: StageStats = field(default_factory=StageStats)
    ranking: StageStats = field(default_factory=StageStats)


class Pipeline:
    """Links the mentions of jobs in batches."""

    def __init__(self, *, batch_tokens: int, served: Callable[[int, bool], None]) -> None:
        """To be made in a running event loop.

        Args:
            batch_tokens: encoded together at most.
            served: called with the tokens of what was answered, and whether more is waiting.
        """
        self._loop = asyncio.get_running_loop()
        self._batch_tokens = batch_tokens
        self._served = served
        self._waiting = FairQueue(max(1, batch_tokens // _TURNS), lambda item: item.cost)
        self._encoded = Slot()
        # A mention at a time: to the ranker each is a batch of its own, none costs much more than
        # another, and so a request of one waits for one of each request beside it, however large.
        self._doubtful = FairQueue(1, lambda item: 1)
        self._stages = _Stages()
        self.workers = [
            Worker("encoding", self._encode, self._lost),
            Worker("searching", self._search, self._lost),
            Worker("ranking", self._rank, self._lost),
        ]

    @property
    def stats(self) -> PipelineStats:
        stages = self._stages
        return PipelineStats(
            self._waiting.waiting,
            self._doubtful.waiting,
            replace(stages.encoding),
            replace(stages.searching),
            replace(stages.ranking),
            sum(worker.deaths for worker in self.workers),
        )

    def prepare(
        self,
        engine: Engine,
        mentions: Sequence[Mention],
        *,
        caller: str = "",
        deadline: float = math.inf,
    ) -> Job:
        """Makes a job of mentions, with the answers that the cache has and tokens for the rest.

        May be called in any thread.
        """
        job = Job(engine, caller, deadline, [engine.cache.get(_answer(m)) for m in mentions])
        linker = engine.linker
        for at, answer in enumerate(job.answers):
            if answer is None:
                item = Item(job, at, mentions[at])
                item.vector = engine.cache.get(_vector(item.mention))
                if linker.ranker is not None:
                    item.hits = engine.cache.get(_hits(engine, item.mention))
                job.items.append(item)
        new = [item for item in job.items if item.vector is None and item.hits is None]
        tokens = linker.tokenise([item.mention.key for item in new]) if new else []
        for item, of_item in zip(new, tokens, strict=True):
            item.tokens = of_item
        engine.cache.count(len(mentions) - len(job.items), len(job.items))
        return job

    async def run(self, job: Job) -> None:
        """Waits until all mentions of a job are answered. If the caller is cancelled or his time is
        up, what still waits is dropped.

        Raises:
            ServiceError: DEADLINE_EXCEEDED, or UNAVAILABLE if a thread was lost with the job.
        """
        if not job.items:
            return
        started = perf_counter()
        job.left = len(job.items)
        job.done = self._loop.create_future()
        self._waiting.put(job.items)
        try:
            async with asyncio.timeout_at(None if job.deadline == math.inf else job.deadline):
                await job.done
        except TimeoutError:
            raise ServiceError("DEADLINE_EXCEEDED", "the deadline has passed") from None
        finally:
            job.abandoned = True
            self._waiting.discard(job)
            self._doubtful.discard(job)
        timing = job.timing
        busy = timing.encoding + timing.searching + timing.ranking
        timing.waiting = max(0.0, perf_counter() - started - busy)

    async def link(self, engine: Engine, mentions: Sequence[Mention]) -> list[Answer | None]:
        """Links mentions that the server itself asks for."""
        job = self.prepare(engine, mentions)
        await self.run(job)
        return job.answers

    async def progress(self) -> None:
        """Waits until each stage is done with the batch that it is at, if it is at one."""
        at = [(worker, worker.batch) for worker in self.workers]
        while any(batch and worker.batch is batch for worker, batch in at):
            await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Lets the threads finish what they are at; what waits is answered no more."""
        self._waiting.close()
        self._encoded.close()
        self._doubtful.close()
        for worker in self.workers:
            await asyncio.to_thread(worker.join)

    # The stages, each in its own thread

    def _encode(self, worker: Worker) -> bool:
        batch = worker.batch = []
        self._waiting.take(self._batch_tokens, batch)
        if not batch:
            return False
        started = perf_counter()
        engine = batch[0].job.engine
        new = {item.mention.key: item for item in batch if item.tokens}
        vectors: dict[str, Any] = {}
        for item, vector in do_or_divide(
            lambda items: engine.linker.embed([item.tokens for item in items]), list(new.values())
        ):
            vectors[item.mention.key] = vector
            if isinstance(vector, np.ndarray):
                held = vector.copy()  # not a view, which would hold all of the batch
                key = _vector(item.mention)
                engine.cache.put([item.mention.key], key, held, held.nbytes)
        found: list[Item] = []
        failed: Answered = []
        for item in batch:
            vector = vectors.get(item.mention.key, item.vector)
            if isinstance(vector, Exception):
                failed.append((item, vector))
            else:
                item.vector = vector
                found.append(item)
        tokens = sum(len(item.tokens) for item in new.values())
        seconds = _note(self._stages.encoding, batch, started, tokens)
        for job in {item.job for item in batch}:
            job.timing.encoding += seconds
        self._deliver(failed)
        if found:
            self._encoded.put(found)
        return True

    def _search(self, worker: Worker) -> bool:
        batch = worker.batch = self._encoded.look()
        if not batch:
            return False
        started = perf_counter()
        engine = batch[0].job.engine
        answered: Answered = []
        doubtful: list[Item] = []
        alive = [item for item in batch if not item.job.gone]
        # What several callers ask for is looked for once.
        same: dict[Any, list[Item]] = {}
        for item in alive:
            same.setdefault(_answer(item.mention), []).append(item)
        firsts = [items[0] for items in same.values()]
        for first, result in do_or_divide(lambda items: _searched(engine, items), firsts):
            items = same[_answer(first.mention)]
            if isinstance(result, bytes):
                key = _answer(first.mention)
                engine.cache.put(_texts(first.mention), key, result, len(result))
            if isinstance(result, bytes | Exception):
                answered += [(item, result) for item in items]
            else:
                for item in items:
                    item.hits, item.candidates = first.hits, result
                doubtful += items
                key, size = _hits(engine, first.mention), len(first.hits) * _HIT_BYTES
                engine.cache.put(_texts(first.mention), key, first.hits, size)
        seconds = _note(self._stages.searching, alive, started)
        for job in {item.job for item in alive}:
            job.timing.searching += seconds
        if doubtful:
            self._doubtful.put(doubtful)
        self._deliver(answered)
        self._encoded.free(batch)
        return True

    def _rank(self, worker: Worker) -> bool:
        batch = worker.batch = []
        self._doubtful.take(1, batch)
        if not batch:
            return False
        started = perf_counter()
        answered: Answered = list(do_or_divide(_ranked, batch))
        seconds = _note(self._stages.ranking, batch, started)
        for item in batch:
            item.job.timing.ranking += seconds
        self._deliver(answered)
        return True

    # Back in the event loop

    def _deliver(self, answered: Answered) -> None:
        if answered:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._receive, answered)

    def _receive(self, answered: Answered) -> None:
        for item, answer in answered:
            if isinstance(answer, bytes | MemoryError):
                item.job.receive(item.at, answer)
            else:
                item.job.fail(answer)
        tokens = sum(item.cost for item, _ in answered)
        self._served(tokens, self._waiting.waiting + self._doubtful.waiting > 0)

    def _lost(self, worker: Worker, error: BaseException) -> None:
        """Answers for the batch of a thread that dies."""
        log(
            "worker lost",
            thread=worker.name,
            mentions=len(worker.batch),
            exception=type(error).__name__,
            frames=frames_of(error.__traceback__),
        )
        answer = ServiceError("UNAVAILABLE", "a worker was lost with the request; send it again")
        self._deliver([(item, answer) for item in worker.batch])
        self._encoded.free(worker.batch)


def _searched(engine: Engine, items: list[Item]) -> list[bytes | list[Candidate]]:
    """The answer to each mention, or its candidates if the ranker is to read its context."""
    linker = engine.linker
    new = [item for item in items if item.hits is None]
    if new:
        found = linker.search(
            [item.mention for item in new], np.stack([item.vector for item in new])
        )
        for item, of_item in zip(new, found, strict=True):
            item.hits = of_item
    mentions = [item.mention for item in items]
    hits = [item.hits for item in items]
    return [
        candidates
        if linker.asks_ranker(mention, candidates)
        else write_link(linker.decide(mention, seen, candidates))
        for mention, seen, candidates in zip(
            mentions, hits, linker.describe(mentions, hits), strict=True
        )
    ]


def _ranked(items: list[Item]) -> list[bytes]:
    answers = []
    for item in items:
        linker, mention = item.job.engine.linker, item.mention
        ranked = linker.rank(mention, item.candidates)
        answers.append(write_link(linker.decide(mention, item.hits, ranked)))
    return answers


def _note(stage: StageStats, batch: Iterable[Item], started: float, tokens: int = 0) -> float:
    """Counts a batch; returns the seconds it took."""
    seconds = perf_counter() - started
    stage.batches += 1
    stage.mentions += sum(1 for _ in batch)
    stage.tokens += tokens
    stage.seconds += seconds
    return seconds


# Keys of the cache. All of what an answer depends on, where no ranker reads the context.


def _answer(mention: Mention) -> tuple[Any, ...]:
    return "answer", mention.key, mention.query.language, mention.options


def _vector(mention: Mention) -> tuple[Any, ...]:
    return "vector", mention.key


def _hits(engine: Engine, mention: Mention) -> tuple[Any, ...]:
    return "hits", mention.key, mention.query.language, engine.linker.scope(mention)


def _texts(mention: Mention) -> tuple[str, ...]:
    """What makes a key large: callers choose how much they list."""
    options = mention.options
    return (mention.key, *options.types, *options.schemes, *options.label_languages)
