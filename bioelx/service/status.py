"""Errors as gRPC statuses, and back again in a client.

Details follow google.rpc's error model: BadRequest names the field, RetryInfo the delay. The delay
stands in the trailing metadata too, for the retries that gRPC libraries make by themselves.
"""

from __future__ import annotations

import random

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from bioelx.errors import (
    BioelxError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServiceError,
)

_PUSHBACK = "grpc-retry-pushback-ms"


def status_of(error: BioelxError) -> grpc.Status:
    """The status that tells a caller of `error`."""
    if isinstance(error, InvalidRequestError):
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        return _status(
            grpc.StatusCode.INVALID_ARGUMENT, error, BadRequest(field_violations=[violation])
        )
    if isinstance(error, OverloadedError):
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        status = _status(grpc.StatusCode.RESOURCE_EXHAUSTED, error, info)
        # Libraries keep to it as it stands, so that callers refused together would come together.
        pause = error.retry_after * random.uniform(1.0, 1.5)  # noqa: S311
        pushback = (_PUSHBACK, str(round(pause * 1000)))
        metadata = (*status.trailing_metadata, pushback)
        return status._replace(trailing_metadata=metadata)  # type: ignore[attr-defined,no-any-return]
    if isinstance(error, NotFoundError):
        return _status(grpc.StatusCode.NOT_FOUND, error)
    if isinstance(error, ServiceError):
        return _status(grpc.StatusCode[error.code], error.message)
    return _status(grpc.StatusCode.FAILED_PRECONDITION, error)


def error_of(failed: grpc.RpcError) -> BioelxError:
    """The error that a failed call stands for."""
    code: grpc.StatusCode = failed.code()
    message: str = failed.details() or "no details"
    details = {type(detail): detail for detail in _details(failed)}
    if isinstance(bad := details.get(BadRequest), BadRequest) and bad.field_violations:
        violation = bad.field_violations[0]
        return InvalidRequestError(violation.field, violation.description)
    if isinstance(retry := details.get(RetryInfo), RetryInfo):
        problem = message.partition("; try again")[0]
        return OverloadedError(retry.retry_delay.ToNanoseconds() / 1e9, problem)
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFoundError(message)
    return ServiceError(code.name, message)


def _status(code: grpc.StatusCode, message: object, *details: Message) -> grpc.Status:
    status = Status(code=code.value[0], message=str(message))
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    made: grpc.Status = rpc_status.to_status(status)
    return made


def _details(failed: grpc.RpcError) -> list[Message]:
    try:
        status = rpc_status.from_call(failed)
    except ValueError:  # the trailing metadata tell of another status: not ours
        return []
    found: list[Message] = []
    for packed in status.details if status else ():
        for known in (BadRequest(), RetryInfo()):
            if packed.Unpack(known):
                found.append(known)
    return found
