"""The methods of EntityLinker, each: read the request, link, write the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from bioelx.errors import InvalidRequestError, NotFoundError, ServiceError
from bioelx.service.admission import Admission
from bioelx.service.call import LinkedRequest, count, current_call, note_failed, note_linked
from bioelx.service.caller import caller_of, current_caller, deadline_of
from bioelx.service.calls import told_of
from bioelx.service.engine import Engine, Engines
from bioelx.service.jobs import Job
from bioelx.service.links import has_concept
from bioelx.service.pipeline import Pipeline
from bioelx.service.replies import (
    add_quota,
    add_switches,
    concept_reply,
    info_reply,
    link_reply,
    search_reply,
)
from bioelx.service.requests import (
    LinkPlan,
    RequestSize,
    field_error,
    measure,
    plan_link,
    plan_search,
)
from bioelx.service.security.quotas import spending
from bioelx.service.stream import Window
from bioelx.service.switch import SwitchRecord
from bioelx.service.threads import start_threads
from bioelx.settings import Limits
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerServicer

SMALL_MENTIONS, SMALL_BYTES, SMALL_CANDIDATES = 64, 20_000, 1_000
"""Up to so much of a request is read, and of a reply written, in the event loop itself: a
millisecond or two. More would hold up all other calls, and goes to another thread."""
MENTION_TOKENS = 8
"""What a mention of a stream counts in its window, in the cache or not: its reply takes memory."""
_STREAM_BATCHES = 4
"""Batches that one stream may have in the server: enough that the stages never wait for it."""

T = TypeVar("T")


class Servicer(EntityLinkerServicer):
    """Answers each request from one of the engines: the active one, or the one it is pinned to."""

    def __init__(
        self,
        engines: Engines,
        pipeline: Pipeline,
        admission: Admission,
        record: SwitchRecord,
        limits: Limits,
    ) -> None:
        self._engines = engines
        self._pipeline = pipeline
        self._admission = admission
        self._record = record
        self._limits = limits
        self._readers: set[asyncio.Task[None]] = set()
        self._drained = False
        self._large = start_threads(1, "large requests")

    def drain(self) -> None:
        """Reads no more from streams; what was read is still answered."""
        self._drained = True
        for reader in self._readers:
            reader.cancel()

    async def close(self) -> None:
        """Waits for what is being read or written; nobody asks for the rest any more."""
        await asyncio.to_thread(self._large.shutdown, cancel_futures=True)

    async def Link(  # type: ignore[override]  # noqa: N802
        self, request: pb.LinkRequest, context: Any
    ) -> bytes:
        size = measure(request, self._limits)
        return await self._link(request, size, caller_of(context), deadline_of(context))

    async def LinkStream(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: AsyncIterator[pb.LinkRequest | InvalidRequestError],
        context: grpc.aio.ServicerContext[pb.LinkRequest, pb.LinkReply | bytes],
    ) -> None:
        self._engines.find()  # before the first release there is nothing to answer from
        window = Window(_STREAM_BATCHES * self._limits.batch_tokens)
        writing = asyncio.Lock()
        caller, deadline = caller_of(context), deadline_of(context)

        async def answer(request: pb.LinkRequest, size: RequestSize, weight: int) -> None:
            reply = await self._streamed(request, size, caller, deadline)
            async with writing:
                await context.write(reply)  # a slow reader is waited for here
            window.leave(weight)

        async def read(answers: asyncio.TaskGroup) -> None:
            async for request in request_iterator:
                if isinstance(request, InvalidRequestError):  # nothing of it is held
                    size = RequestSize(0, 0, 0, request)
                    request = pb.LinkRequest()
                else:
                    size = measure(request, self._limits)
                weight = self._admission.weight(size.mentions * MENTION_TOKENS, size.bytes)
                await window.enter(weight)
                answers.create_task(answer(request, size, weight))

        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read(tasks))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
            if self._drained:  # the stream came just before the stop
                reader.cancel()
        if reader.cancelled():
            raise ServiceError("UNAVAILABLE", "the server stops; send again what has no reply")

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchReply:  # noqa: N802
        caller = caller_of(context)
        with self._engines.find(request.options.release).call() as engine:
            size = request.ByteSize()
            async with spending(1), self._admission.place(1, size, caller) as place:
                mention = plan_search(request, engine.linker, self._limits)
                count(mentions=1)
                job = self._pipeline.prepare(
                    engine, [mention], caller=caller, deadline=deadline_of(context)
                )
                place.weigh(job.cost, 1, size)
                await self._pipeline.run(job)
                note_linked(LinkedRequest(engine.release, job.timing))
                return search_reply(job.answers[0], engine.release, job.timing)

    async def GetConcept(  # noqa: N802
        self, request: pb.GetConceptRequest, context: Any
    ) -> pb.GetConceptReply:
        return concept_reply(request, self._engines.find(request.release).linker)

    async def Info(self, request: pb.InfoRequest, context: Any) -> pb.InfoReply:  # noqa: N802
        reply = info_reply(self._engines.active.linker, self._limits)
        add_switches(reply, self._engines.loaded, self._record)
        add_quota(reply, current_caller())
        return reply

    async def _link(
        self,
        request: pb.LinkRequest,
        size: RequestSize,
        caller: str,
        deadline: float,
        *,
        patient: bool = False,
    ) -> bytes:
        """The reply, serialised."""
        if size.problem:
            raise size.problem
        self._engines.find(request.options.release)  # or refuse it at once
        place = self._admission.place(size.mentions, size.bytes, caller, patient=patient)
        async with spending(size.mentions, patient=patient), place as taken:
            # Only now: who waits, for a minute's quota perhaps, holds no release.
            with self._engines.find(request.options.release).call() as engine:
                chars = max(size.bytes, size.marked)
                small = size.mentions <= SMALL_MENTIONS and chars <= SMALL_BYTES
                plan, job = await self._do(small, self._read, request, engine, caller, deadline)
                taken.weigh(job.cost, len(job.answers), size.bytes)
                count(documents=len(request.documents), mentions=len(plan.mentions))
                await self._pipeline.run(job)
                candidates = size.mentions * plan.options.top_k
                reply = await self._do(
                    candidates <= SMALL_CANDIDATES, link_reply, plan, job.answers, job.timing
                )
                links = [answer for answer in job.answers if isinstance(answer, bytes)]
                linked = sum(map(has_concept, links))
                nil = len(links) - linked
                note_linked(LinkedRequest(engine.release, job.timing, linked, nil))
                return reply

    def _read(
        self, request: pb.LinkRequest, engine: Engine, caller: str, deadline: float
    ) -> tuple[LinkPlan, Job]:
        plan = plan_link(request, engine.linker, self._limits)
        return plan, self._pipeline.prepare(engine, plan.mentions, caller=caller, deadline=deadline)

    async def _do(self, small: bool, work: Callable[..., T], *arguments: Any) -> T:
        """Does small work here and now, and large work where it holds nobody up."""
        if small:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._large, work, *arguments)

    async def _streamed(
        self, request: pb.LinkRequest, size: RequestSize, caller: str, deadline: float
    ) -> pb.LinkReply | bytes:
        """Answers one request of a stream; a bad one, or one that failed, in its place."""
        try:
            if not (request.id or size.problem):
                raise InvalidRequestError("id", "is needed in a stream, to match replies")
            return await self._link(request, size, caller, deadline, patient=True)
        except InvalidRequestError as error:
            return pb.LinkReply(id=request.id, error=field_error(error))
        except NotFoundError as error:
            problem = pb.FieldError(field="options.release", message=str(error))
            return pb.LinkReply(id=request.id, error=problem)
        except Exception as failure:  # of the server: the others of the stream are not to blame
            call = current_call()
            told = told_of(failure, call.id if call else "")
            if not isinstance(told, ServiceError) or told.code == "DEADLINE_EXCEEDED":
                raise  # the stream's own
            note_failed(told.code)
            return pb.LinkReply(id=request.id, error=pb.FieldError(message=str(told)))
