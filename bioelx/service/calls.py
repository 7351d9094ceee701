"""What surrounds every call: an id, a readable request, a status for each error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from bioelx.errors import BioelxError, InvalidRequestError, ServiceError
from bioelx.service.call import REQUEST_ID, CallWatcher, begin_call, end_call
from bioelx.service.logs import frames_of, log
from bioelx.service.status import status_of

SERVICES = "/bioelx.v1."

Behaviour = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


class CallGuard(grpc.aio.ServerInterceptor):
    """Guards the calls of BioELX's own services, and tells the watchers of them.

    A reply may come serialised already. A request that cannot be decoded reaches a streaming method
    as an InvalidRequestError among the requests; for the others it is answered here.
    """

    def __init__(self, watchers: Sequence[CallWatcher] = ()) -> None:
        self._watchers = watchers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(SERVICES):
            return handler
        if handler.stream_stream:
            make, behaviour = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        else:
            make, behaviour = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        return make(
            _guarded(method, behaviour, self._watchers),
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=_written(handler.response_serializer),
        )


def _guarded(path: str, behaviour: Behaviour, watchers: Sequence[CallWatcher]) -> Behaviour:
    async def answer(request: Any, context: grpc.aio.ServicerContext) -> Any:
        started = perf_counter()
        call = begin_call(path, _metadata(context), watchers)
        context.set_trailing_metadata(((REQUEST_ID, call.id),))
        code = grpc.StatusCode.OK
        try:
            if isinstance(request, InvalidRequestError):
                raise request
            return await behaviour(request, context)
        except asyncio.CancelledError:
            left = context.time_remaining()
            late = left is not None and left <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except Exception as error:
            status = status_of(told_of(error, call.id))
            code = status.code
        finally:
            end_call(call, code, perf_counter() - started)
        told = ((REQUEST_ID, call.id), *(status.trailing_metadata or ()))
        return await context.abort(code, status.details, told)

    return answer


def _metadata(context: grpc.aio.ServicerContext) -> Mapping[str, str]:
    sent = context.invocation_metadata() or ()
    return {name: value for name, value in sent if isinstance(value, str)}


def told_of(error: Exception, call_id: str) -> BioelxError:
    """What a caller is told of a failure. One that nobody foresaw is INTERNAL, and only the log has
    its kind: its own message may quote the request.
    """
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BioelxError):
        return error
    frames = frames_of(error.__traceback__)
    kind = type(error).__name__
    log("failed", level=logging.ERROR, exception=kind, frames=frames)
    return ServiceError("INTERNAL", f"the server failed; its log tells of {call_id}")


def _written(serialise: Callable[[Message], bytes]) -> Callable[[Message | bytes], bytes]:
    return lambda reply: reply if isinstance(reply, bytes) else serialise(reply)


def _lenient(
    deserialise: Callable[[bytes], Message],
) -> Callable[[bytes], Message | InvalidRequestError]:
    """What gRPC cannot decode it blames on the server; it is the caller's mistake."""

    def read(data: bytes) -> Message | InvalidRequestError:
        try:
            return deserialise(data)
        except DecodeError:
            return InvalidRequestError(
                "request", "cannot be decoded: a string is not UTF-8, or the message is damaged"
            )

    return read
