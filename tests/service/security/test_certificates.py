"""What certificates are good for: at the start, and as a caller's only credentials."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import trustme

from bioelx.errors import FileError
from bioelx.service.caller import caller_of
from bioelx.service.calls import CallGuard
from bioelx.service.security.access import AccessGuard, Register
from bioelx.service.security.tls import TlsFiles, server_credentials
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import (
    EntityLinkerServicer,
    EntityLinkerStub,
    ReleaseAdminServicer,
    ReleaseAdminStub,
    add_EntityLinkerServicer_to_server,
    add_ReleaseAdminServicer_to_server,
)


def make_files(authority: trustme.CA, folder: Path) -> TlsFiles:
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    files = TlsFiles(folder / "server.pem", folder / "server.key", folder / "ca.pem")
    files.certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
    files.key.write_bytes(leaf.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(files.client_ca))
    return files


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\n", None])
def test_a_file_that_is_damaged_or_missing_at_the_start_is_named(tmp_path, broken, content):
    files = make_files(trustme.CA(), tmp_path)
    path = getattr(files, broken)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        server_credentials(files)
    assert str(path) in str(caught.value)


def test_a_key_of_another_certificate_is_refused(tmp_path):
    authority = trustme.CA()
    files = make_files(authority, tmp_path)
    files.key.write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(FileError, match="is not its key"):
        server_credentials(files)


class NamesItsCaller(EntityLinkerServicer, ReleaseAdminServicer):
    async def Info(self, request, context):  # noqa: N802
        return pb.InfoReply(version=caller_of(context))

    async def List(self, request, context):  # noqa: N802
        return pb.ListReleasesReply()


async def test_without_a_file_of_callers_the_authoritys_word_is_enough_to_link(tmp_path):
    authority = trustme.CA()
    server = grpc.aio.server(
        interceptors=[CallGuard(), AccessGuard(Register(None, certificates=True))]
    )
    add_EntityLinkerServicer_to_server(NamesItsCaller(), server)
    add_ReleaseAdminServicer_to_server(NamesItsCaller(), server)
    port = server.add_secure_port(
        "127.0.0.1:0", server_credentials(make_files(authority, tmp_path))
    )
    await server.start()
    for issued, name in (
        ({"common_name": "ward-7"}, "ward-7"),
        ({}, "ward.example"),
    ):
        leaf = authority.issue_cert("ward.example", **issued)
        shown = grpc.ssl_channel_credentials(
            authority.cert_pem.bytes(),
            leaf.private_key_pem.bytes(),
            leaf.cert_chain_pems[0].bytes(),
        )
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", shown) as channel:
            assert (await EntityLinkerStub(channel).Info(pb.InfoRequest())).version == name
            with pytest.raises(grpc.RpcError) as caught:
                await ReleaseAdminStub(channel).List(pb.ListReleasesRequest())
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            with pytest.raises(grpc.RpcError) as caught:
                await EntityLinkerStub(channel).Info(
                    pb.InfoRequest(), metadata=(("authorization", "Bearer x"),)
                )
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    await server.stop(None)


async def test_without_authentication_callers_go_by_their_machine():
    server = grpc.aio.server(interceptors=[CallGuard()])
    add_EntityLinkerServicer_to_server(NamesItsCaller(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        reply = await EntityLinkerStub(channel).Info(pb.InfoRequest())
    assert reply.version == "ipv4:127.0.0.1"
    await server.stop(None)
