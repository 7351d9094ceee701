"""What surrounds every call: a readable request, a status for each error, a line in the log."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from bioelx.errors import BioelxError, InvalidRequestError, ServiceError
from bioelx.service.caller import current_caller
from bioelx.service.logs import frames_of, log, start_call
from bioelx.service.status import status_of

SERVICES = "/bioelx.v1."

Behaviour = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


class CallGuard(grpc.aio.ServerInterceptor):
    """Guards the calls of BioELX's own services.

    A request that cannot be decoded reaches a streaming method as an InvalidRequestError among the
    requests; for the others it is answered here.
    """

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
            _guarded(method.rpartition("/")[2], behaviour),
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


def _guarded(method: str, behaviour: Behaviour) -> Behaviour:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        call_id, counts, started = secrets.token_hex(6), start_call(), perf_counter()
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
            status = _status(error, call_id)
            code = status.code
        finally:
            milliseconds = round((perf_counter() - started) * 1000, 3)
            if caller := current_caller():
                counts["caller"] = caller.name
            log("call", call=call_id, method=method, code=code.name, ms=milliseconds, **counts)
        return await context.abort(code, status.details, status.trailing_metadata)

    return call


def _status(error: Exception, call_id: str) -> grpc.Status:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BioelxError):
        return status_of(error)
    # The exception's own message may quote the request.
    frames = frames_of(error.__traceback__)
    kind = type(error).__name__
    log("failed", level=logging.ERROR, call=call_id, exception=kind, frames=frames)
    return status_of(ServiceError("INTERNAL", f"the server failed; its log tells of {call_id}"))


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
