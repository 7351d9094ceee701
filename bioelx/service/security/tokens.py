"""The file of those who may call, each known by a token or by a client certificate.

Of a token the file holds the SHA-256 and no more. Tokens are 256 random bits, so there is nothing
to guess: a hash that is slow on purpose, as for passwords, would protect no better, and would make
each call dear for the server and cheap for those who want to keep it busy.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from bioelx.disk import write_whole
from bioelx.errors import FileError, NotFoundError
from bioelx.release.lock import locked
from bioelx.service.caller import Caller, Role
from bioelx.service.security.reread import read_bytes

PREFIX = "bioelx_"
"""Tokens begin so, and those who look for secrets in what is published can find them."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:/-]{0,63}$")]


class Grant(BaseModel):
    """One way to be known, and as whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    role: Role = Role.LINK
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    certificate: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    created: AwareDatetime
    expires: AwareDatetime | None = None
    mentions_per_minute: int | None = Field(None, ge=1)
    calls_in_flight: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _is_known_by_one(self) -> Self:
        if (self.sha256 is None) == (self.certificate is None):
            raise ValueError("needs either sha256 or certificate")
        return self

    @property
    def id(self) -> str:
        """Tells the tokens of one caller apart, and says nothing of them."""
        return (self.sha256 or sha256((self.certificate or "").encode()).hexdigest())[:8]

    def caller(self) -> Caller:
        return Caller(self.name, self.role, self.mentions_per_minute, self.calls_in_flight)


class Grants(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=1, le=1)] = 1
    callers: tuple[Grant, ...] = ()

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        known = [(grant.sha256, grant.certificate) for grant in self.callers]
        if len(set(known)) < len(known):
            raise ValueError("two callers have the same token or certificate")
        return self

    def with_token(self, token: str) -> Grant | None:
        """The grant of a token; it takes as long whichever that is, or if there is none."""
        digest = _digest(token)
        found = None
        for grant in self.callers:
            if compare_digest(grant.sha256 or "", digest):
                found = grant
        return found

    def with_certificate(self, names: list[str]) -> Grant | None:
        """The grant of a client certificate, by any of its names."""
        return next((grant for grant in self.callers if grant.certificate in names), None)


def read_grants(file: Path) -> Grants:
    """Reads the file.

    Raises:
        FileError: it is missing or damaged; says where.
    """
    try:
        return Grants.model_validate_json(read_bytes(file))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(file, f"{where}: {first['msg']}" if where else first["msg"]) from None


def new_token() -> tuple[str, str]:
    """A token, and what the file may hold of it."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, _digest(token)


def add(grant: Grant, file: Path) -> None:
    """Adds a grant to the file, which is made if there is none.

    Raises:
        FileError: the file is damaged, cannot be written, or has that token or certificate.
    """

    def with_grant(grants: Grants) -> Grants:
        if grant.certificate in {other.certificate for other in grants.callers} - {None}:
            raise FileError(file, "has that certificate; revoke it first")
        return Grants(callers=(*grants.callers, grant))

    _change(file, with_grant, if_missing=Grants())


def revoke(known_as: str, file: Path) -> list[Grant]:
    """Removes all grants with that name, or the one with that id; returns them.

    Raises:
        FileError: the file is missing or damaged, or cannot be written.
        NotFoundError: none has it.
    """
    gone: list[Grant] = []

    def without(grants: Grants) -> Grants:
        gone.extend(grant for grant in grants.callers if known_as in (grant.name, grant.id))
        if not gone:
            raise NotFoundError(f"{file} has no caller of that name or id")
        return Grants(callers=tuple(grant for grant in grants.callers if grant not in gone))

    _change(file, without)
    return gone


def _change(
    file: Path, change: Callable[[Grants], Grants], if_missing: Grants | None = None
) -> None:
    """Replaces the file by a changed one, whole at any time; those who change it take turns."""
    if not file.parent.is_dir():
        raise FileError(file.parent, "is no folder")
    try:
        with locked(file.parent, file=f".{file.name}.lock"):
            there = file.stat() if file.exists() else None
            grants = if_missing if if_missing and not there else read_grants(file)
            content = change(grants).model_dump_json(indent=2, exclude_none=True)
            # Who could read it still can: else servers would go on with those who were revoked.
            write_whole(
                content.encode() + b"\n",
                file,
                mode=there.st_mode & 0o777 if there else 0o600,
                owner=(there.st_uid, there.st_gid) if there else None,
            )
    except OSError as error:
        raise FileError(file, error.strerror or "cannot be written") from None


def _digest(token: str) -> str:
    # What is no token may be anything, also half of a surrogate pair.
    return sha256(token.encode(errors="replace")).hexdigest()
