"""Callers that no server likes: they vanish, read slowly, send too much, or send nonsense.

Each goes on until it is told to stop, and puts down how its calls ended. Those of `EXPECTED` have
one right ending; from a caller that vanishes the server only has to recover.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle

import grpc

from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub
from bioelx_eval.load.calls import OK, connected, is_complete

EVERY = 0.5
"""Seconds between two calls of one nuisance."""
VANISHING = 3.2
"""Calls a second that `vanish` begins: eight in five of its turns."""
SLOW_SECONDS = 0.5
"""That a slow reader takes for a reply."""
AHEAD = 64
"""Requests of a slow reader that are sent and not yet read, at most."""
IN_PLACE = "ERROR IN PLACE"
"""The call is answered, and says in the document's place what is wrong with that."""
LINK = "/bioelx.v1.EntityLinker/Link"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Ledger:
    """How many calls of each kind ended how."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)

    def note(self, kind: str, code: str) -> None:
        self.ends[kind, code] += 1

    def of(self, kind: str) -> dict[str, int]:
        return {code: count for (each, code), count in sorted(self.ends.items()) if each == kind}


@dataclass(frozen=True, slots=True)
class Bad:
    """A message that has one right ending."""

    kind: str
    method: str
    content: bytes
    code: str


def bad_messages(limits: pb.Limits) -> list[Bad]:
    """Messages that a server has to refuse, by what it says of its limits."""
    flood = pb.Document(text="flu")
    many = pb.LinkRequest(documents=[flood] * (limits.max_documents + 1))
    long_text = pb.LinkRequest(documents=[pb.Document(text="x" * (limits.max_document_chars + 1))])
    unknown = pb.LinkRequest(documents=[flood], options=pb.LinkOptions(release="no-such-release"))
    # A document (field 1) whose text (field 2) is one byte that no UTF-8 holds.
    not_utf8 = b"\x0a\x03\x12\x01\xff"
    invalid, exhausted = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"
    return [
        Bad("oversize message", LINK, bytes(limits.max_message_bytes + 1), exhausted),
        Bad("too many documents", LINK, many.SerializeToString(), invalid),
        Bad("too long a document", LINK, long_text.SerializeToString(), IN_PLACE),
        Bad("not a message", LINK, b"\xff" * 64, invalid),
        Bad("cut short", LINK, many.SerializeToString()[:-1], invalid),
        Bad("not UTF-8", LINK, not_utf8, invalid),
        Bad("nothing in it", LINK, b"", invalid),
        Bad("unknown release", LINK, unknown.SerializeToString(), "NOT_FOUND"),
        Bad("unknown method", "/bioelx.v1.EntityLinker/Delete", b"", "UNIMPLEMENTED"),
    ]


async def send_bad(
    address: str, messages: Sequence[Bad], ledger: Ledger, stop: asyncio.Event
) -> None:
    """Sends bad messages in turn."""
    async with connected(address) as channel:
        for bad in cycle(messages):
            try:
                answer = await _raw(channel, bad.method)(bad.content, timeout=60)
                code = IN_PLACE if _is_error(pb.LinkReply.FromString(answer)) else OK
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            ledger.note(bad.kind, code)
            if await paused(stop, EVERY):
                return


async def vanish(
    address: str, requests: Iterator[pb.LinkRequest], ledger: Ledger, stop: asyncio.Event
) -> None:
    """Begins calls and is gone, in one way after the other."""
    async with connected(address) as channel:
        stub = EntityLinkerStub(channel)

        async def cancel_a_call() -> None:
            call = stub.Link(next(requests))
            await asyncio.sleep(0.01)
            call.cancel()

        async def cancel_a_stream() -> None:
            stream = stub.LinkStream()
            for number in range(3):
                await stream.write(_with_id(next(requests), str(number)))
            stream.cancel()

        async def let_a_deadline_pass() -> None:
            with suppress(grpc.aio.AioRpcError):
                await stub.Link(next(requests), timeout=0.002)

        async def close_the_connection() -> None:
            async with connected(address) as other:
                calls = [EntityLinkerStub(other).Link(next(requests)) for _ in range(3)]
                await asyncio.sleep(0.01)
            await asyncio.gather(*calls, return_exceptions=True)

        async def reset_the_connection() -> None:
            await asyncio.to_thread(_reset, address)

        ways = (
            cancel_a_call,
            cancel_a_stream,
            let_a_deadline_pass,
            close_the_connection,
            reset_the_connection,
        )
        for way in cycle(ways):
            await way()
            ledger.note(f"vanished: {way.__name__.replace('_', ' ')}", "gone")
            if await paused(stop, EVERY):
                return


async def read_slowly(
    address: str,
    requests: Iterator[pb.LinkRequest],
    judge: Callable[[pb.LinkReply], str],
    ledger: Ledger,
    stop: asyncio.Event,
) -> None:
    """Has a stream with many requests on their way, and takes its time for each reply.

    A good caller all the same: each of its requests is to be answered, once.

    Args:
        judge: says what is wrong with a whole reply, or OK.
    """
    async with connected(address) as channel:
        stream = EntityLinkerStub(channel).LinkStream()
        room = asyncio.Semaphore(AHEAD)
        open_: dict[str, int] = {}
        """Mentions of what is not answered yet, by id."""

        async def write() -> None:
            number = 0
            while not stop.is_set():
                await room.acquire()
                request = _with_id(next(requests), str(number))
                open_[request.id] = len(request.documents)
                await stream.write(request)
                number += 1
            await stream.done_writing()

        writing = asyncio.create_task(write())
        try:
            async for reply in stream:
                mentions = open_.pop(reply.id, None)
                if mentions is None:
                    ledger.note("stream", "UNASKED")
                else:
                    whole = is_complete(reply, mentions)
                    ledger.note("stream", judge(reply) if whole else "INCOMPLETE")
                room.release()
                await paused(stop, SLOW_SECONDS)
            await writing
        except grpc.aio.AioRpcError as error:
            ledger.note("stream", error.code().name)
        finally:
            writing.cancel()
        for _ in open_:
            ledger.note("stream", "LOST")


async def paused(stop: asyncio.Event, seconds: float) -> bool:
    """Waits so long, or until it is time to stop; returns whether it is."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


def _raw(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """A method that takes and gives bytes as they are."""
    return channel.unary_unary(method, request_serializer=bytes)


def _is_error(reply: pb.LinkReply) -> bool:
    return bool(reply.documents) and all(each.HasField("error") for each in reply.documents)


def _with_id(request: pb.LinkRequest, id: str) -> pb.LinkRequest:
    copy = pb.LinkRequest(id=id)
    copy.MergeFrom(request)
    copy.id = id
    return copy


def _reset(address: str) -> None:
    """Connects, greets, and resets the connection as a crashed host's kernel would."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(_PREFACE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
