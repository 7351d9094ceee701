"""Which calls reach their methods: those whose caller is known, may make them, and has the quota.

A caller is known by a bearer token, or without one by the client certificate of the connection.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import grpc

from bioelx.errors import ServiceError
from bioelx.service.caller import Caller, Role, address_of, set_caller
from bioelx.service.logs import log
from bioelx.service.security.quotas import Quotas
from bioelx.service.security.reread import Reread
from bioelx.service.security.tokens import Grant, read_grants
from bioelx.service.status import status_of

OWN_SERVICES = "/bioelx.v1."
ADMIN_SERVICE = "/bioelx.v1.ReleaseAdmin/"
HEALTH_SERVICE = "/grpc.health.v1.Health/"
HEADER = "authorization"
SCHEME = "bearer"

R = TypeVar("R")
Metadata = Any  # pairs of a key and a value
Context = grpc.aio.ServicerContext


class Register:
    """Finds out who calls."""

    def __init__(self, tokens: Path | None, *, certificates: bool) -> None:
        """
        Args:
            tokens: the file of callers (`bioelx token`), read again when it changes.
            certificates: connections have a client certificate that was checked.

        Raises:
            FileError: the file is missing or damaged.
        """
        self._grants = Reread([tokens], lambda: read_grants(tokens)) if tokens else None
        self.knows_certificates = certificates

    def identify(self, metadata: Metadata, context: Context | None) -> Caller:
        """The caller with these credentials.

        A certificate counts where no token was sent. Where a file names the callers it must name
        the certificate too; where there is none, the authority's word is enough for the role link.

        Raises:
            ServiceError: UNAUTHENTICATED.
        """
        token = _bearer(metadata)
        grants = self._grants.get() if self._grants else None
        if token is not None:
            return _caller(grants.with_token(token) if grants else None, "the token")
        names = _certificate_names(context) if self.knows_certificates and context else []
        if not names:
            raise _unknown("a token is needed, as metadata 'authorization: Bearer TOKEN'")
        if grants:
            return _caller(grants.with_certificate(names), "the client certificate's name")
        return Caller(names[0], Role.LINK)


def _caller(grant: Grant | None, credential: str) -> Caller:
    if grant is None:
        raise _unknown(f"{credential} is not known, or was revoked")
    if grant.expires is not None and grant.expires <= datetime.now(UTC):
        raise _unknown(f"{credential} has expired")
    return grant.caller()


def _authorization(metadata: Metadata) -> list[Any]:
    return [value for key, value in metadata or () if key == HEADER]


def _bearer(metadata: Metadata) -> str | None:
    """The token of a call; None if it has no authorization of any kind."""
    sent = _authorization(metadata)
    if not sent:
        return None
    scheme, _, token = str(sent[0]).partition(" ")
    if len(sent) > 1 or scheme.lower() != SCHEME:
        raise _unknown("the metadata 'authorization' must be one, of the form 'Bearer TOKEN'")
    return token.strip()


def _certificate_names(context: Context) -> list[str]:
    """Its common name, then its alternative names."""
    found = context.auth_context()
    keys = ("x509_common_name", "x509_subject_alternative_name")
    return [name.decode(errors="replace") for key in keys for name in found.get(key, ()) if name]


def _unknown(message: str) -> ServiceError:
    return ServiceError("UNAUTHENTICATED", message)


class AccessGuard(grpc.aio.ServerInterceptor):
    """Refuses calls, if it can before anything of the request is read.

    To stand inside the CallGuard, which turns what is raised here into a status and a line in the
    log. Health is for everyone.
    """

    def __init__(self, register: Register) -> None:
        self._register = register
        self._quotas = Quotas()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method, metadata = handler_call_details.method, handler_call_details.invocation_metadata
        if handler is None or method.startswith(HEALTH_SERVICE):
            return handler
        role = Role.ADMIN if method.startswith(ADMIN_SERVICE) else Role.LINK

        def admit(context: Context | None) -> Caller:
            caller = self._register.identify(metadata, context)
            if not caller.may(role):
                raise ServiceError("PERMISSION_DENIED", f"that needs the role {role}")
            return caller

        own = method.startswith(OWN_SERVICES)
        # A certificate is known only once the method runs; a token is at once.
        if not self._register.knows_certificates or _authorization(metadata):
            try:
                admit(None)
            except ServiceError as error:
                return _refusal(error, method)
        return self._guarded(handler, admit, method) if own else _admitted(handler, admit, method)

    def _guarded(self, handler: Any, admit: Callable[[Context], Caller], method: str) -> Any:
        behaviour = handler.stream_stream or handler.unary_unary

        async def call(request: Any, context: Context) -> Any:
            try:
                caller = admit(context)
            except ServiceError as error:
                _log_refusal(error, method, context)
                raise
            set_caller(caller)
            if handler.stream_stream:
                request = _while_admitted(request, lambda: admit(context))
            with self._quotas.call(caller):
                return await behaviour(request, context)

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.stream_stream
            else grpc.unary_unary_rpc_method_handler
        )
        return make(call, handler.request_deserializer, handler.response_serializer)


def _admitted(
    handler: Any, admit: Callable[[Context], Caller], method: str
) -> grpc.RpcMethodHandler:
    """Reflection, once its caller is known."""

    async def call(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        try:
            admit(context)
        except ServiceError as error:
            await _refuse(error, method, context)
        async for reply in handler.stream_stream(requests, context):
            yield reply

    return grpc.stream_stream_rpc_method_handler(
        call, handler.request_deserializer, handler.response_serializer
    )


async def _while_admitted(
    requests: AsyncIterator[R], admit: Callable[[], Caller]
) -> AsyncIterator[R]:
    """The requests of a stream until its caller's token expires or is revoked.

    Raises:
        ServiceError: it did.
    """
    async for request in requests:
        admit()
        yield request


def _refusal(error: ServiceError, method: str) -> grpc.RpcMethodHandler:
    """A method that answers with `error`; as one of streams, it need not read the request."""

    async def refuse(requests: Any, context: Context) -> None:
        await _refuse(error, method, context)

    return grpc.stream_stream_rpc_method_handler(refuse, request_deserializer=bytes)


async def _refuse(error: ServiceError, method: str, context: Context) -> None:
    """Ends the call with `error`, which the CallGuard does for BioELX's own services."""
    _log_refusal(error, method, context)
    if method.startswith(OWN_SERVICES):
        raise error
    status = status_of(error)
    await context.abort(status.code, status.details)


def _log_refusal(error: ServiceError, method: str, context: Context) -> None:
    log(
        "refused",
        level=logging.WARNING,
        method=method,
        code=error.code,
        problem=error.message,
        peer=address_of(context),
    )
