"""Clients of a BioELX server, one that blocks and one for asyncio.

    from bioelx.client import Client

    with Client("localhost:50051") as client:
        client.wait_ready(timeout=10)
        for link in client.link_mentions(["Herzinfarkt", "sydäninfarkti"], top_k=3):
            print(link.concept_id, link.confidence)

        reply = client.link([document("Bekannter Herzinfarkt 2019.", (10, 21), language="de")])
        print(reply.documents[0].links[0].candidates[0].label)

    with Client("linker-1:50051,linker-2:50051") as client:  # each call to the next one
        client.link_mentions(["kalp krizi"])

    secret = Credentials(ca="hospital-ca.pem", token_file="token")
    Client("linker.hospital.example:50051", credentials=secret)

Requests and replies are the messages of `bioelx.v1.linker_pb2`. Failures are raised as
InvalidRequestError (which names the field), NotFoundError, OverloadedError, or ServiceError.
A client keeps its connections: make one and use it for all calls. Calls that find no server, or an
overloaded one, are tried again within their deadline (`bioelx.retries`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypedDict, TypeVar, Unpack

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from bioelx.channel import channel_options, target_of
from bioelx.credentials import Credentials
from bioelx.errors import BioelxError, InvalidRequestError
from bioelx.retries import RETRIES, Retries, Tries
from bioelx.service.status import error_of
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub, ReleaseAdminStub

DEFAULT_TIMEOUT = 60.0
SWITCH_TIMEOUT = 600.0
"""Seconds that a server may take to load another release and to try it."""

_POLL_SECONDS = 0.1

Q = TypeVar("Q")
R = TypeVar("R")


class Options(TypedDict, total=False):
    """What may be asked of a link; see LinkOptions in the contract."""

    top_k: int
    rerank: str  # auto, always or never
    types: Sequence[str]
    schemes: Sequence[str]
    min_confidence: float
    label_languages: Sequence[str]
    release: str
    explain: bool


def document(text: str, *spans: tuple[int, int], language: str = "", id: str = "") -> pb.Document:
    """A document with mentions at `spans`, in code points; without any, all of it is a mention.

    Raises:
        ValueError: an offset is negative, or the text holds half of a surrogate pair.
    """
    mentions = [pb.Mention(id=str(i), start=start, end=end) for i, (start, end) in enumerate(spans)]
    return pb.Document(id=id, text=text, language=language, mentions=mentions)


def link_options(**options: Unpack[Options]) -> pb.LinkOptions:
    """Options as a message.

    Raises:
        BioelxError: `rerank` is none of its values.
        InvalidRequestError: `top_k` is no number that could be meant.
    """
    chosen = dict(options)
    if not 1 <= options.get("top_k", 1) < 2**32:
        raise InvalidRequestError("options.top_k", "must be at least 1, at most what Info states")
    if "rerank" in chosen:
        name = f"RERANK_{str(chosen['rerank']).upper()}"
        if name not in pb.Rerank.keys():  # noqa: SIM118  (an enum wrapper is no mapping)
            raise BioelxError("rerank must be auto, always or never")
        chosen["rerank"] = pb.Rerank.Value(name)
    return pb.LinkOptions(**chosen)  # type: ignore[arg-type]


def link_request(
    documents: Iterable[pb.Document], id: str = "", **options: Unpack[Options]
) -> pb.LinkRequest:
    return pb.LinkRequest(id=id, documents=documents, options=link_options(**options))


def search_request(name: str, language: str = "", **options: Unpack[Options]) -> pb.SearchRequest:
    return pb.SearchRequest(name=name, language=language, options=link_options(**options))


class Client:
    """Calls a server and waits. May be shared by threads.

    Args:
        address: host:port; several with commas between them; or a target of gRPC's, such as
            `dns:///linker.example:50051` for all servers that a name stands for.
        timeout: seconds that a call may take with all its tries (streams excepted).
        retries: of calls that find no server, or an overloaded one.
        credentials: how it encrypts and shows who it is; None: it does neither.

    Raises:
        BioelxError: an address cannot be one, the credentials do not fit together, or a token would
            travel unencrypted.
        FileError: a file of theirs cannot be read.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = RETRIES,
        credentials: Credentials | None = None,
    ) -> None:
        self._timeout = timeout
        self._retries = retries
        self._metadata = credentials.metadata(address) if credentials else ()
        target, options = target_of(address), channel_options(address)
        self._channel = (
            credentials.channel(target, options)
            if credentials
            else grpc.insecure_channel(target, options)
        )
        self._stub = EntityLinkerStub(self._channel)
        self._admin = ReleaseAdminStub(self._channel)

    def link(self, documents: Iterable[pb.Document], **options: Unpack[Options]) -> pb.LinkReply:
        """Links the mentions of documents; a bad one has an `error` in its place of the reply."""
        return self._call(self._stub.Link, link_request(documents, **options))

    def link_mentions(
        self, mentions: Iterable[str], *, language: str = "", **options: Unpack[Options]
    ) -> list[pb.Link]:
        """Links mentions without documents, in their order."""
        documents = [document(mention, language=language) for mention in mentions]
        return _only_links(self.link(documents, **options))

    def link_stream(
        self, requests: Iterable[pb.LinkRequest], *, timeout: float | None = None
    ) -> Iterator[pb.LinkReply]:
        """Links requests (see `link_request`), each with an id, and yields replies when ready.

        What concerns one request is in the `error` of its reply, and the stream goes on: without a
        `field` the server failed, and a message that begins with UNAVAILABLE means: send it again.
        A stream that breaks is not begun again: send the requests whose ids have had no reply.

        Args:
            timeout: seconds for the whole stream; None: as long as it takes.
        """
        try:
            yield from self._stub.LinkStream(
                iter(requests), timeout=timeout, metadata=self._metadata
            )
        except grpc.RpcError as failed:
            raise error_of(failed) from None

    def search(
        self, name: str, *, language: str = "", **options: Unpack[Options]
    ) -> pb.SearchReply:
        """Finds concepts whose names resemble `name`."""
        return self._call(self._stub.Search, search_request(name, language, **options))

    def concept(self, concept_id: str, *, release: str = "") -> pb.GetConceptReply:
        """Gets a concept by its id or an xref."""
        request = pb.GetConceptRequest(concept_id=concept_id, release=release)
        return self._call(self._stub.GetConcept, request)

    def info(self) -> pb.InfoReply:
        return self._call(self._stub.Info, pb.InfoRequest())

    def releases(self) -> list[pb.ReleaseSummary]:
        """The releases that the server may switch to (needs the role admin), oldest first."""
        return list(self._call(self._admin.List, pb.ListReleasesRequest()).releases)

    def activate(self, release: str, *, timeout: float = SWITCH_TIMEOUT) -> pb.ActivateReleaseReply:
        """Switches the server to a release; returns when it answers from it."""
        request = pb.ActivateReleaseRequest(id=release)
        return self._call_once(self._admin.Activate, request, timeout)

    def roll_back(self, *, timeout: float = SWITCH_TIMEOUT) -> pb.ActivateReleaseReply:
        """Switches the server to the release that was active before."""
        return self._call_once(self._admin.Rollback, pb.RollbackReleaseRequest(), timeout)

    def wait_ready(self, timeout: float = 30.0) -> bool:
        """Waits until the server has loaded its release; false if `timeout` seconds pass first."""
        deadline = time.monotonic() + timeout
        check = HealthStub(self._channel).Check
        while (left := deadline - time.monotonic()) > 0:
            try:
                health = check(HealthCheckRequest(), timeout=left, wait_for_ready=True)
            except grpc.RpcError as failed:
                if failed.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise error_of(failed) from None
                return False
            if health.status == HealthCheckResponse.SERVING:
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        tries = Tries(self._retries, self._timeout)
        while True:
            try:
                return method(request, timeout=tries.left(), metadata=self._metadata)
            except grpc.RpcError as failed:
                error = error_of(failed)
            pause = tries.pause_after(error)
            if pause is None:
                raise error
            time.sleep(pause)

    def _call_once(
        self, method: grpc.UnaryUnaryMultiCallable[Q, R], request: Q, timeout: float
    ) -> R:
        """Calls what may not happen twice."""
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as failed:
            raise error_of(failed) from None


class AsyncClient:
    """The same as `Client` for asyncio; to be made in a running event loop."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        retries: Retries = RETRIES,
        credentials: Credentials | None = None,
    ) -> None:
        self._timeout = timeout
        self._retries = retries
        self._metadata = credentials.metadata(address) if credentials else ()
        target, options = target_of(address), channel_options(address)
        self._channel = (
            credentials.aio_channel(target, options)
            if credentials
            else grpc.aio.insecure_channel(target, options)
        )
        self._stub = EntityLinkerStub(self._channel)
        self._admin = ReleaseAdminStub(self._channel)

    async def link(
        self, documents: Iterable[pb.Document], **options: Unpack[Options]
    ) -> pb.LinkReply:
        """See `Client.link`."""
        return await self._call(self._stub.Link, link_request(documents, **options))

    async def link_mentions(
        self, mentions: Iterable[str], *, language: str = "", **options: Unpack[Options]
    ) -> list[pb.Link]:
        """See `Client.link_mentions`."""
        documents = [document(mention, language=language) for mention in mentions]
        return _only_links(await self.link(documents, **options))

    async def link_stream(
        self, requests: AsyncIterator[pb.LinkRequest], *, timeout: float | None = None
    ) -> AsyncIterator[pb.LinkReply]:
        """See `Client.link_stream`."""
        try:
            async for reply in self._stub.LinkStream(
                requests, timeout=timeout, metadata=self._metadata
            ):
                yield reply
        except grpc.RpcError as failed:
            raise error_of(failed) from None

    async def search(
        self, name: str, *, language: str = "", **options: Unpack[Options]
    ) -> pb.SearchReply:
        """See `Client.search`."""
        return await self._call(self._stub.Search, search_request(name, language, **options))

    async def concept(self, concept_id: str, *, release: str = "") -> pb.GetConceptReply:
        """See `Client.concept`."""
        request = pb.GetConceptRequest(concept_id=concept_id, release=release)
        return await self._call(self._stub.GetConcept, request)

    async def info(self) -> pb.InfoReply:
        return await self._call(self._stub.Info, pb.InfoRequest())

    async def releases(self) -> list[pb.ReleaseSummary]:
        """See `Client.releases`."""
        return list((await self._call(self._admin.List, pb.ListReleasesRequest())).releases)

    async def activate(
        self, release: str, *, timeout: float = SWITCH_TIMEOUT
    ) -> pb.ActivateReleaseReply:
        """See `Client.activate`."""
        request = pb.ActivateReleaseRequest(id=release)
        return await self._call_once(self._admin.Activate, request, timeout)

    async def roll_back(self, *, timeout: float = SWITCH_TIMEOUT) -> pb.ActivateReleaseReply:
        """See `Client.roll_back`."""
        return await self._call_once(self._admin.Rollback, pb.RollbackReleaseRequest(), timeout)

    async def wait_ready(self, timeout: float = 30.0) -> bool:
        """See `Client.wait_ready`."""
        deadline = time.monotonic() + timeout
        check = HealthStub(self._channel).Check
        while (left := deadline - time.monotonic()) > 0:
            try:
                health = await check(HealthCheckRequest(), timeout=left, wait_for_ready=True)
            except grpc.RpcError as failed:
                if failed.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise error_of(failed) from None
                return False
            if health.status == HealthCheckResponse.SERVING:
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q) -> R:
        tries = Tries(self._retries, self._timeout)
        while True:
            try:
                return await method(request, timeout=tries.left(), metadata=self._metadata)
            except grpc.RpcError as failed:
                error = error_of(failed)
            pause = tries.pause_after(error)
            if pause is None:
                raise error
            await asyncio.sleep(pause)

    async def _call_once(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Q, R], request: Q, timeout: float
    ) -> R:
        """See `Client._call_once`."""
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as failed:
            raise error_of(failed) from None


def _only_links(reply: pb.LinkReply) -> list[pb.Link]:
    """The link of each document that is a bare mention; where that was refused, its error."""
    return [each.links[0] if each.links else pb.Link(error=each.error) for each in reply.documents]
