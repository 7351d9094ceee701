"""The methods of EntityLinker, each: read the request, link, write the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from bioelx.errors import InvalidRequestError, NotFoundError, ServiceError
from bioelx.linker import Linker
from bioelx.service.batcher import Batcher
from bioelx.service.logs import count
from bioelx.service.replies import concept_reply, info_reply, link_reply, search_reply
from bioelx.service.requests import field_error, plan_link, plan_search
from bioelx.settings import Limits
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerServicer

STREAM_REQUESTS = 8
"""Requests of one stream that are worked on at a time; the next is read when one is answered."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded release with its batcher."""

    linker: Linker
    batcher: Batcher


class Servicer(EntityLinkerServicer):
    """Answers from one engine, once it is loaded."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loaded: Engine | None = None
        self._readers: set[asyncio.Task[None]] = set()

    def start(self, engine: Engine) -> None:
        self._loaded = engine

    def drain(self) -> None:
        """Reads no more from open streams; what was read is still answered."""
        for reader in self._readers:
            reader.cancel()

    @property
    def _engine(self) -> Engine:
        if self._loaded is None:
            raise ServiceError("UNAVAILABLE", "the release is still being loaded")
        return self._loaded

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
        engine = self._engine
        query, options = plan_search(request, engine.linker, self._limits)
        count(mentions=1)
        return search_reply(await engine.batcher.link([query], options))

    async def GetConcept(  # noqa: N802
        self, request: pb.GetConceptRequest, context: Any
    ) -> pb.GetConceptReply:
        return concept_reply(request, self._engine.linker)

    async def Info(self, request: pb.InfoRequest, context: Any) -> pb.InfoReply:  # noqa: N802
        return info_reply(self._engine.linker, self._limits)

    async def _link(self, request: pb.LinkRequest, *, patient: bool = False) -> pb.LinkReply:
        engine = self._engine
        plan = plan_link(request, engine.linker, self._limits)
        count(documents=len(request.documents), mentions=len(plan.queries))
        linked = await engine.batcher.link(plan.queries, plan.options, patient=patient)
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
