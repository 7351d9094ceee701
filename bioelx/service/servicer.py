"""The methods of EntityLinker, each: read the request, link, write the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from bioelx.errors import InvalidRequestError, NotFoundError, ServiceError
from bioelx.service.call import LinkedRequest, count, note_linked
from bioelx.service.engine import Engines
from bioelx.service.replies import (
    add_switches,
    concept_reply,
    info_reply,
    link_reply,
    search_reply,
)
from bioelx.service.requests import field_error, plan_link, plan_search
from bioelx.service.switch import SwitchRecord
from bioelx.settings import Limits
from bioelx.types import LinkedBatch
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerServicer

STREAM_REQUESTS = 8
"""Requests of one stream that are worked on at a time; the next is read when one is answered."""


class Servicer(EntityLinkerServicer):
    """Answers each request from one of the engines: the active one, or the one it is pinned to."""

    def __init__(self, engines: Engines, record: SwitchRecord, limits: Limits) -> None:
        self._engines = engines
        self._record = record
        self._limits = limits
        self._readers: set[asyncio.Task[None]] = set()

    def drain(self) -> None:
        """Reads no more from open streams; what was read is still answered."""
        for reader in self._readers:
            reader.cancel()

    async def Link(self, request: pb.LinkRequest, context: Any) -> pb.LinkReply:  # noqa: N802
        return await self._link(request)

    async def LinkStream(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: AsyncIterator[pb.LinkRequest | InvalidRequestError],
        context: grpc.aio.ServicerContext[pb.LinkRequest, pb.LinkReply],
    ) -> None:
        free = asyncio.Semaphore(STREAM_REQUESTS)
        writing = asyncio.Lock()

        async def answer(request: pb.LinkRequest | InvalidRequestError) -> None:
            reply = await self._streamed(request)
            async with writing:
                await context.write(reply)
            free.release()

        async def read(answers: asyncio.TaskGroup) -> None:
            async for request in request_iterator:
                await free.acquire()
                answers.create_task(answer(request))

        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read(tasks))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
        if reader.cancelled():
            raise ServiceError("UNAVAILABLE", "the server stops; send again what has no reply")

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchReply:  # noqa: N802
        with self._engines.find(request.options.release).call() as engine:
            query, options = plan_search(request, engine.linker, self._limits)
            count(mentions=1)
            linked = await engine.batcher.link([query], options)
            note_linked(_summary(linked))
            return search_reply(linked)

    async def GetConcept(  # noqa: N802
        self, request: pb.GetConceptRequest, context: Any
    ) -> pb.GetConceptReply:
        return concept_reply(request, self._engines.find(request.release).linker)

    async def Info(self, request: pb.InfoRequest, context: Any) -> pb.InfoReply:  # noqa: N802
        reply = info_reply(self._engines.active.linker, self._limits)
        add_switches(reply, self._engines.loaded, self._record)
        return reply

    async def _link(self, request: pb.LinkRequest, *, patient: bool = False) -> pb.LinkReply:
        with self._engines.find(request.options.release).call() as engine:
            plan = plan_link(request, engine.linker, self._limits)
            count(documents=len(request.documents), mentions=len(plan.queries))
            linked = await engine.batcher.link(plan.queries, plan.options, patient=patient)
            note_linked(_summary(linked))
            return link_reply(plan, linked)

    async def _streamed(self, request: pb.LinkRequest | InvalidRequestError) -> pb.LinkReply:
        """Answers one request of a stream; a bad one in its place."""
        if isinstance(request, InvalidRequestError):
            return pb.LinkReply(error=field_error(request))
        try:
            if not request.id:
                raise InvalidRequestError("id", "is needed in a stream, to match replies")
            return await self._link(request, patient=True)
        except InvalidRequestError as error:
            return pb.LinkReply(id=request.id, error=field_error(error))
        except NotFoundError as error:
            problem = pb.FieldError(field="options.release", message=str(error))
            return pb.LinkReply(id=request.id, error=problem)


def _summary(linked: LinkedBatch) -> LinkedRequest:
    nil = sum(link.concept_id is None for link in linked.links)
    return LinkedRequest(linked.release, linked.timing, len(linked.links) - nil, nil)
