"""How a client shows who it is, and makes sure of whom it talks to."""

from __future__ import annotations

from pathlib import Path

import grpc
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from bioelx.channel import AUTHORITY, ChannelOptions, stays_on_this_machine
from bioelx.errors import BioelxError, FileError


class Credentials(BaseSettings):
    """A client's credentials; what is not given comes from the environment (BIOELX_CA, ...)."""

    model_config = SettingsConfigDict(env_prefix="BIOELX_", env_ignore_empty=True, frozen=True)

    tls: bool = Field(False, description="encrypt, and trust the authorities that gRPC knows")
    ca: Path | None = Field(
        None, description="PEM file: the authority of the server's certificate; encrypts"
    )
    client_certificate: Path | None = Field(
        None, description="PEM file: certificate to show to the server (mutual TLS); encrypts"
    )
    client_key: Path | None = Field(None, description="PEM file: the key of that certificate")
    token: SecretStr | None = Field(None, description="bearer token")
    token_file: Path | None = Field(None, description="file that holds the bearer token")
    server_name: str = Field(
        "", description="name in the server's certificate, if it is not that of the address"
    )

    @property
    def encrypts(self) -> bool:
        return bool(self.tls or self.ca or self.client_certificate)

    def metadata(self, address: str) -> tuple[tuple[str, str], ...]:
        """What goes with each call to `address`.

        Raises:
            BioelxError: a token would travel unencrypted to another machine, or is none.
            FileError: the file of the token cannot be read.
        """
        token = self._read_token()
        if token is None:
            return ()
        if not self.encrypts and not stays_on_this_machine(address):
            raise BioelxError(
                "a token is not sent to another machine unencrypted: name the authority of the "
                "server's certificate (--ca, BIOELX_CA), or set BIOELX_TLS=1 for a well-known one"
            )
        if not (token.isascii() and token.isprintable() and token):
            raise BioelxError("the token is empty, or has signs that no token has")
        return (("authorization", f"Bearer {token}"),)

    def channel(self, address: str, options: ChannelOptions) -> grpc.Channel:
        """Raises: FileError: a file cannot be read. BioelxError: one of a pair is missing."""
        secure = self._of_channel()
        if secure is None:
            return grpc.insecure_channel(address, options)
        return grpc.secure_channel(address, secure, self._named(options))

    def aio_channel(self, address: str, options: ChannelOptions) -> grpc.aio.Channel:
        """As `channel`, for asyncio."""
        secure = self._of_channel()
        if secure is None:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, secure, self._named(options))

    def _of_channel(self) -> grpc.ChannelCredentials | None:
        if bool(self.client_certificate) != bool(self.client_key):
            raise BioelxError("a client certificate and its key need each other")
        if not self.encrypts:
            return None
        return grpc.ssl_channel_credentials(
            _read(self.ca), _read(self.client_key), _read(self.client_certificate)
        )

    def _named(self, options: ChannelOptions) -> ChannelOptions:
        if not self.server_name:
            return options
        # The name stands for all servers: gRPC refuses calls that are meant for another.
        others = [option for option in options if option[0] != AUTHORITY]
        return [*others, ("grpc.ssl_target_name_override", self.server_name)]

    def _read_token(self) -> str | None:
        if self.token is not None:
            if self.token_file is not None:
                raise BioelxError("a token and a file that holds one: leave one of them out")
            return self.token.get_secret_value().strip()
        content = _read(self.token_file)
        return None if content is None else content.decode(errors="replace").strip()


def _read(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileError(file, error.strerror or "cannot be read") from None
