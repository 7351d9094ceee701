"""Encryption, and certificates that may be renewed while the server runs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from bioelx.errors import FileError
from bioelx.service.security.reread import Reread, read_bytes
from bioelx.settings import ServerSettings


@dataclass(frozen=True)
class TlsFiles:
    """PEM files.

    Attributes:
        certificate: the server's, followed by those of the authorities between it and a root.
        key: of that certificate, without a password.
        client_ca: authorities; only clients with a certificate of one of them get a connection.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def paths(self) -> list[Path]:
        return [file for file in (self.certificate, self.key, self.client_ca) if file]


def tls_files(settings: ServerSettings) -> TlsFiles | None:
    """The files that the settings name; None: no encryption is wanted."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials for a port; each new connection gets what the files hold by then.

    Raises:
        FileError: a file is missing or damaged, or the key is not that of the certificate.
    """
    identity = Reread(files.paths(), lambda: _read(files))
    served = first = identity.get()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        latest = identity.get()
        if latest is served:
            return None
        served = latest
        return latest

    return grpc.dynamic_ssl_server_credentials(
        first,
        renewed,  # type: ignore[arg-type]  # None stands for no change
        require_client_authentication=files.client_ca is not None,
    )


def _read(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    chain, key = read_bytes(files.certificate), read_bytes(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a password would be asked for at the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError):
        raise FileError(
            files.certificate,
            f"is no certificate (PEM), or {files.key} is not its key (PEM, without a password)",
        ) from None
    roots = None
    if files.client_ca:
        roots = read_bytes(files.client_ca)
        try:
            context.load_verify_locations(cadata=roots.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise FileError(files.client_ca, "holds no certificates (PEM)") from None
    return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)
