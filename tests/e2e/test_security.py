"""Who gets through to a real server, who is refused and how, and what never leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import orjson
import pytest
import trustme
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from grpc_status import rpc_status
from typer.testing import CliRunner, Result

from bioelx.cli.app import app
from bioelx.client import AsyncClient, Client, document, link_request
from bioelx.credentials import Credentials
from bioelx.errors import BioelxError, NotFoundError, OverloadedError, ServiceError
from bioelx.service.caller import Role
from bioelx.service.security.tokens import Grant, add, new_token, revoke

SECRET = "Zephyrine Quillfeather"
LINK = "/bioelx.v1.EntityLinker/Link"
UNARY = [
    f"/bioelx.v1.{method}"
    for method in ("EntityLinker/Link", "EntityLinker/Search", "EntityLinker/GetConcept",
                   "EntityLinker/Info", "ReleaseAdmin/List", "ReleaseAdmin/Activate")
]  # fmt: skip


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@dataclass(frozen=True)
class Keys:
    """An authority, and the files that a server reads."""

    authority: trustme.CA
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        return self.folder / "server.key"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.json"

    @property
    def tls(self) -> list[str]:
        return ["--tls-certificate", str(self.certificate), "--tls-key", str(self.key)]

    def install(self, authority: trustme.CA) -> None:
        """Writes a certificate of the server, as a renewal does."""
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))

    def grant(self, name: str, role: Role = Role.LINK, **more: object) -> str:
        """Lets a caller in; returns the token."""
        token, digest = new_token()
        created = datetime.now(UTC)
        add(Grant(name=name, role=role, sha256=digest, created=created, **more), self.tokens)
        return token

    def credentials(self, token: str | None = None, **more: object) -> Credentials:
        return Credentials(ca=self.ca, token=token, **more)


def make_keys(folder: Path) -> Keys:
    keys = Keys(trustme.CA(), folder)
    keys.ca.write_bytes(keys.authority.cert_pem.bytes())
    keys.install(keys.authority)
    keys.grant("somebody")
    return keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def secured(start_server, keys):
    """A server with TLS that asks for tokens."""
    options = [*keys.tls, "--tokens", str(keys.tokens), "--queue-tokens", "4000"]
    with start_server(*options) as running:
        yield running


@pytest.fixture(scope="module")
def channel(secured, keys) -> Iterator[grpc.Channel]:
    """Encrypted, and of nobody."""
    with keys.credentials().channel(secured.address, []) as opened:
        yield opened


@pytest.fixture
def as_caller(secured, keys):
    """Opens clients with a token."""

    @contextmanager
    def opened(token: str | None, **options: object) -> Iterator[Client]:
        options = {"timeout": 30, "credentials": keys.credentials(token), **options}
        with Client(secured.address, **options) as client:
            yield client

    return opened


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value.code


# Tokens


def test_a_known_token_lets_in_as_far_as_its_role_goes(as_caller, keys):
    with as_caller(keys.grant("reader")) as client:
        assert client.link_mentions(["influenza"])[0].concept_id
        assert next(client.link_stream([link_request([document("flu")], id="a")])).id == "a"
        for refused in (client.releases, client.roll_back, lambda: client.activate("x")):
            assert code_of(refused) == "PERMISSION_DENIED"
    with as_caller(keys.grant("operator", Role.ADMIN)) as client:
        assert client.releases()
        assert client.link_mentions(["influenza"])[0].concept_id


def wrong_credentials(keys: Keys) -> dict[str, tuple[tuple[str, str], ...]]:
    now = datetime.now(UTC)
    expired = keys.grant("late", Role.ADMIN, expires=now - timedelta(seconds=1))
    revoked = keys.grant("gone", Role.ADMIN)
    revoke("gone", keys.tokens)
    known = keys.grant("known", Role.ADMIN)
    return {
        "missing": (),
        "wrong": bearer(new_token()[0]),
        "expired": bearer(expired),
        "revoked": bearer(revoked),
        "empty": bearer(""),
        "a name": bearer("known"),
        "what the file holds": bearer(Grant.model_validate(
            orjson.loads(keys.tokens.read_bytes())["callers"][-1]).sha256),
        "one sign short": bearer(known[:-1]),
        "another scheme": (("authorization", f"Basic {known}"),),
        "no scheme": (("authorization", known),),
        "two": (*bearer(known), *bearer(known)),
        "elsewhere": (("x-token", known),),
    }  # fmt: skip


def test_wrong_credentials_are_refused_by_every_method(channel, keys, secured):
    told = set()
    for metadata in wrong_credentials(keys).values():
        calls = [channel.unary_unary(method).future(b"", metadata=metadata) for method in UNARY]
        stream = channel.stream_stream("/bioelx.v1.EntityLinker/LinkStream")
        calls.append(stream(iter([b""]), metadata=metadata))
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        reflection = ServerReflectionStub(channel).ServerReflectionInfo
        calls.append(reflection(iter([ask]), metadata=metadata))
        for call in calls:
            assert call.code() is grpc.StatusCode.UNAUTHENTICATED
            told.add(call.details())
    assert any("has expired" in each for each in told)
    assert any("was revoked" in each for each in told)
    assert any("is needed" in each for each in told)
    lines = [orjson.loads(line) for line in json_lines(secured.log)]
    refused = [line for line in lines if line["event"] == "refused"]
    assert {line["peer"] for line in refused} == {"ipv4:127.0.0.1"}
    assert {line["method"] for line in refused} > set(UNARY)


def json_lines(log: Path) -> list[bytes]:
    """Without those of gRPC's own core."""
    return [line for line in log.read_bytes().splitlines() if line.startswith(b"{")]


def test_reflection_takes_a_token_and_health_none(channel, keys):
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    token = bearer(keys.grant("curious"))
    reply = next(ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]), metadata=token))
    names = {service.name for service in reply.list_services_response.service}
    assert {"bioelx.v1.EntityLinker", "bioelx.v1.ReleaseAdmin"} <= names
    health = HealthStub(channel)
    assert health.Check(HealthCheckRequest()).status == HealthCheckResponse.SERVING
    assert next(health.Watch(HealthCheckRequest())).status == HealthCheckResponse.SERVING


def test_nothing_of_a_request_is_read_before_its_caller_is_known(channel, keys):
    """Of a message that is over the limit, the answer is not that it is."""
    large = b"\x00" * (20 * 2**20)
    call = channel.unary_unary(LINK).future(large)
    assert call.code() is grpc.StatusCode.UNAUTHENTICATED
    call = channel.unary_unary(LINK).future(large, metadata=bearer(keys.grant("large")))
    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_metadata_are_bounded(channel, keys, as_caller):
    token = keys.grant("talkative")
    metadata = (*bearer(token), ("x-long", "x" * 40_000))
    call = channel.unary_unary(UNARY[3]).future(b"", metadata=metadata)
    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    with as_caller(token) as client:
        assert client.info()


def test_a_token_is_revoked_without_a_restart_also_for_a_stream(as_caller, keys):
    token = keys.grant("passing")
    with as_caller(token) as client:

        def requests():
            yield link_request([document("flu")], id="first")
            until(lambda: answered)
            revoke("passing", keys.tokens)
            yield link_request([document("flu")], id="second")

        answered = []
        with pytest.raises(ServiceError) as caught:
            answered.extend(reply.id for reply in client.link_stream(requests()))
        assert (caught.value.code, answered) == ("UNAUTHENTICATED", ["first"])
        assert code_of(client.info) == "UNAUTHENTICATED"


def test_of_a_damaged_file_the_last_good_one_stands(as_caller, keys, secured):
    token = keys.grant("steady")
    with as_caller(token) as client:
        client.info()
        whole = keys.tokens.read_bytes()
        try:
            for damaged in (whole[:-40], b"", b'{"callers": [{"name": "x", "role": "root"}]}'):
                keys.tokens.write_bytes(damaged)
                assert client.info()
            keys.tokens.unlink()
            assert client.info()
        finally:
            keys.tokens.write_bytes(whole)
        errors = [line for line in json_lines(secured.log) if b'"not read again"' in line]
        assert len(errors) == 4
        assert all(str(keys.tokens).encode() in line for line in errors)
        revoke("steady", keys.tokens)
        assert code_of(client.info) == "UNAUTHENTICATED"


# Quotas


def retry_delay(failed: grpc.RpcError) -> float:
    info = RetryInfo()
    assert rpc_status.from_call(failed).details[0].Unpack(info)
    return info.retry_delay.ToNanoseconds() / 1e9


def test_a_quota_of_mentions_holds_for_all_calls_of_a_name(as_caller, keys, channel):
    first, second = (keys.grant("frugal", mentions_per_minute=60) for _ in range(2))
    # A client that tries again would not wait for longer than its timeout.
    with as_caller(first, timeout=10) as one, as_caller(second, timeout=10) as other:
        assert one.info().limits.caller_mentions_per_minute == 60
        one.link_mentions([f"wart {i}" for i in range(50)])
        with pytest.raises(OverloadedError, match="your quota of 60 mentions a minute") as caught:
            other.link_mentions([f"flu {i}" for i in range(40)])
        assert 10 < caught.value.retry_after <= 30
        assert other.link_mentions(["flu"])
        other.link_mentions(["flu"] * 9)
        request = link_request([document("flu")] * 20)
        call = channel.unary_unary(LINK).future(request.SerializeToString(), metadata=bearer(first))
        assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_delay(call.exception()) > 1


def test_a_stream_waits_for_its_quota_where_other_calls_fail(as_caller, keys):
    few = document("flu", *[(0, 3)] * 5)
    with as_caller(keys.grant("slow", mentions_per_minute=30), timeout=5) as client:
        client.link_mentions(["flu"] * 30)
        with pytest.raises(OverloadedError):  # with a delay beyond the timeout
            client.link([few])
        (reply,) = client.link_stream([link_request([few], id="a")])
        assert len(reply.documents[0].links) == 5


def test_a_quota_of_calls_counts_those_in_flight(as_caller, keys):
    with as_caller(keys.grant("one-by-one", calls_in_flight=1)) as client:
        stream = client.link_stream(hold := Held())
        assert next(stream).id == "held"
        with pytest.raises(OverloadedError, match="your quota of 1 calls in flight"):
            client.info()
        hold.ends = True
        assert list(stream) == []
        until(lambda: succeeds(client.info))


class Held:
    """Requests of a stream that stays open."""

    ends = False

    def __iter__(self):
        yield link_request([document("flu")], id="held")
        until(lambda: self.ends, 30)


def succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except OverloadedError:
        return False
    return True


# TLS


@pytest.fixture
def restored(keys):
    """The server's certificate as it was, after a test has changed it."""
    before = keys.certificate.read_bytes(), keys.key.read_bytes()
    yield
    keys.certificate.write_bytes(before[0])
    keys.key.write_bytes(before[1])


def test_a_plain_text_client_gets_no_connection(secured, channel):
    with Client(secured.address, timeout=5) as plain:
        assert code_of(plain.info) == "UNAVAILABLE"
        assert not plain.wait_ready(timeout=0.5)
    assert HealthStub(channel).Check(HealthCheckRequest()).status == HealthCheckResponse.SERVING


def test_a_server_of_another_authority_is_not_trusted(secured, keys, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    told = Credentials(ca=other, token=keys.grant("wary"))
    with Client(secured.address, timeout=5, credentials=told) as client:
        assert code_of(client.info) == "UNAVAILABLE"


def test_the_name_of_a_certificate_counts(secured, keys):
    token = keys.grant("exact")
    named = keys.credentials(token, server_name="linker.hospital.example")
    with Client(secured.address, timeout=5, credentials=named) as client:
        assert code_of(client.info) == "UNAVAILABLE"
    named = keys.credentials(token, server_name="localhost")
    with Client(secured.address, timeout=5, credentials=named) as client:
        assert client.info()


def test_a_certificate_is_renewed_without_a_restart(secured, keys, as_caller, tmp_path, restored):
    token = keys.grant("renewed")
    renewed = trustme.CA()
    (tmp_path / "renewed.pem").write_bytes(renewed.cert_pem.bytes())
    trusts_new = Credentials(ca=tmp_path / "renewed.pem", token=token)

    def new_connection(credentials: Credentials) -> str:
        # Channels with equal options share connections within a process.
        own = [("grpc.use_local_subchannel_pool", 1)]
        with credentials.channel(secured.address, own) as opened:
            call = opened.unary_unary(UNARY[3]).future(
                b"", metadata=credentials.metadata(secured.address), timeout=10
            )
            return call.code().name

    with as_caller(token) as before:
        before.info()
        keys.install(renewed)
        assert new_connection(trusts_new) == "OK"
        assert new_connection(keys.credentials(token)) == "UNAVAILABLE"
        assert before.info()  # on its connection

        whole = keys.certificate.read_bytes()
        for file, damaged in (
            (keys.certificate, whole[:-100]),
            (keys.certificate, keys.ca.read_bytes()),  # not of the key
            (keys.key, b"-----BEGIN PRIVATE KEY-----\n"),
        ):
            good = file.read_bytes()
            file.write_bytes(damaged)
            assert new_connection(trusts_new) == "OK"
            file.write_bytes(good)
            assert new_connection(trusts_new) == "OK"
    errors = [line for line in json_lines(secured.log) if b'"not read again"' in line]
    assert sum(str(keys.certificate).encode() in line for line in errors) >= 3
    assert secured.process.poll() is None


# Mutual TLS


@pytest.fixture(scope="module")
def mutual_keys(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("mutual"))


@pytest.fixture(scope="module")
def mutual(start_server, mutual_keys):
    """A server that asks for client certificates, or tokens beside them."""
    keys = mutual_keys
    options = ["--tls-client-ca", str(keys.ca), "--tokens", str(keys.tokens)]
    with start_server(*keys.tls, *options) as running:
        yield running


@pytest.fixture
def with_certificate(mutual, mutual_keys, tmp_path):
    """Calls with a client certificate of an authority; returns the status."""

    def call(
        authority: trustme.CA,
        name: str,
        method: Callable[[Client], object] = Client.info,
        token: str | None = None,
        **issued: object,
    ) -> str:
        leaf = authority.issue_cert(name, common_name=name, **issued)
        certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
        certificate.write_bytes(leaf.cert_chain_pems[0].bytes())
        key.write_bytes(leaf.private_key_pem.bytes())
        shown = mutual_keys.credentials(token, client_certificate=certificate, client_key=key)
        with Client(mutual.address, timeout=5, credentials=shown) as client:
            try:
                method(client)
            except ServiceError as error:
                return error.code
        return "OK"

    return call


def grant_certificate(keys: Keys, name: str, certificate: str, role: Role) -> None:
    created = datetime.now(UTC)
    add(Grant(name=name, role=role, certificate=certificate, created=created), keys.tokens)


def test_without_a_good_client_certificate_there_is_no_connection(
    mutual, mutual_keys, with_certificate
):
    token = mutual_keys.grant("token-only")
    with Client(mutual.address, timeout=5, credentials=mutual_keys.credentials(token)) as client:
        assert code_of(client.info) == "UNAVAILABLE"
    grant_certificate(mutual_keys, "ward", "ward.example", Role.LINK)
    assert with_certificate(trustme.CA(), "ward.example") == "UNAVAILABLE"
    past = datetime.now(UTC) - timedelta(days=1)
    expired = {"not_before": past - timedelta(days=1), "not_after": past}
    assert with_certificate(mutual_keys.authority, "ward.example", **expired) == "UNAVAILABLE"
    assert with_certificate(mutual_keys.authority, "ward.example") == "OK"


def test_a_client_certificate_is_a_caller_with_a_role(mutual, mutual_keys, with_certificate):
    authority = mutual_keys.authority
    grant_certificate(mutual_keys, "clinic", "clinic.example", Role.LINK)
    grant_certificate(mutual_keys, "operator", "operator.example", Role.ADMIN)
    assert with_certificate(authority, "clinic.example") == "OK"
    assert with_certificate(authority, "clinic.example", Client.releases) == "PERMISSION_DENIED"
    assert with_certificate(authority, "operator.example", Client.releases) == "OK"
    assert with_certificate(authority, "unlisted.example") == "UNAUTHENTICATED"
    revoke("clinic", mutual_keys.tokens)
    assert with_certificate(authority, "clinic.example") == "UNAUTHENTICATED"
    lines = [orjson.loads(line) for line in json_lines(mutual.log)]
    assert {"clinic", "operator"} <= {line.get("caller") for line in lines}


def reflect(client: Client) -> None:
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    try:
        next(ServerReflectionStub(client._channel).ServerReflectionInfo(iter([ask]), timeout=5))
    except grpc.RpcError as failed:
        raise ServiceError(failed.code().name, failed.details()) from None


def test_reflection_takes_a_certificate_that_is_known(mutual_keys, with_certificate):
    authority = mutual_keys.authority
    grant_certificate(mutual_keys, "curious", "curious.example", Role.LINK)
    assert with_certificate(authority, "curious.example", reflect) == "OK"
    revoke("curious", mutual_keys.tokens)
    assert with_certificate(authority, "curious.example", reflect) == "UNAUTHENTICATED"


def test_a_token_goes_before_a_certificate(mutual_keys, with_certificate):
    authority, token = mutual_keys.authority, mutual_keys.grant("both", Role.ADMIN)
    grant_certificate(mutual_keys, "lab", "lab.example", Role.LINK)
    assert with_certificate(authority, "lab.example", Client.releases, token) == "OK"
    assert with_certificate(authority, "unlisted.example", Client.releases, token) == "OK"
    assert with_certificate(authority, "lab.example", token=new_token()[0]) == "UNAUTHENTICATED"


# What the server lets itself be told, and what it lets out


def test_other_machines_are_listened_to_only_when_told_so(tiny_home, start_server):
    flag = "--insecure-without-tls-and-authentication"
    done = subprocess.run(
        [sys.executable, "-m", "bioelx", "serve", "--port", "0", "--host", "0.0.0.0"],
        env={**os.environ, "BIOELX_HOME": str(tiny_home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"bioelx: {flag} (or BIOELX_INSECURE_WITHOUT_TLS_")
    with start_server("--host", "0.0.0.0", flag) as running:
        port = running.address.rpartition(":")[2]
        with Client(f"localhost:{port}") as client:
            assert client.info()
        lines = [orjson.loads(line) for line in json_lines(running.log)]
        (warning,) = (line for line in lines if line["level"] == "warning")
        assert (warning["tls"], warning["authentication"]) == (False, False)


def test_neither_words_nor_tokens_leave_the_server(secured, keys, as_caller, channel):
    word, _, other = SECRET.partition(" ")
    token, unknown = keys.grant("discreet", mentions_per_minute=10), new_token()[0]
    told = []

    def collect(call: Callable[[], object]) -> None:
        with pytest.raises(BioelxError) as caught:
            call()
        told.append(str(caught.value))

    said = document(SECRET)
    with as_caller(token, timeout=10) as client:
        client.search(SECRET)
        client.link([document(SECRET, (0, 9), (9, 99), id=SECRET)])
        collect(lambda: client.link([said] * 11))
        collect(lambda: client.link([said], types=[SECRET]))
        collect(lambda: client.link([said], release=SECRET))
        collect(lambda: client.link([document("x", id=SECRET)] * 2))
        collect(lambda: client.search(SECRET, language=SECRET))
        collect(lambda: client.concept(SECRET))
        collect(lambda: client.concept(f"umls:{SECRET}"))
        collect(lambda: client.activate(SECRET))
        collect(lambda: client.link([document(SECRET * 900_000)]))
        replies = client.link_stream([link_request([said] * 300, id=SECRET), link_request([said])])
        told.extend(f"{reply.error.field} {reply.error.message}" for reply in replies)
    with as_caller(unknown) as client:
        collect(lambda: client.search(SECRET))
    with as_caller(keys.grant("operator", Role.ADMIN)) as client:
        collect(lambda: client.activate(SECRET))
    for method, sent, metadata in (
        (LINK, b"\x0a\x18" + SECRET.encode() + b"\xff", bearer(token)),
        (LINK, b"", bearer(SECRET)),
        (LINK, b"", (("authorization", f"Zephyrine {token}"),)),
        (f"/bioelx.v1.EntityLinker/{word}", b"", bearer(token)),
    ):
        call = channel.unary_unary(method).future(sent, metadata=metadata)
        assert call.code() is not grpc.StatusCode.OK
        told.append(call.details())
    written = secured.log.read_text(encoding="utf-8")
    digests = [each["sha256"] for each in orjson.loads(keys.tokens.read_bytes())["callers"]]
    for hidden in (word, other, token, unknown, *digests):
        assert hidden not in written
        assert all(hidden not in each for each in told)


def test_a_crash_leaves_no_words_on_the_disk(secured):
    limits = Path(f"/proc/{secured.process.pid}/limits").read_text(encoding="ascii")
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] in (["1", "1"], ["0", "0"])


# Clients


async def test_the_async_client_shows_its_token_too(secured, keys):
    told = keys.credentials(keys.grant("async"))
    async with AsyncClient(secured.address, credentials=told) as client:
        assert await client.wait_ready()
        assert (await client.link_mentions(["influenza"]))[0].concept_id

        async def requests():
            yield link_request([document("flu")], id="a")

        assert [reply.id async for reply in client.link_stream(requests())] == ["a"]


def bioelx(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=environment)


def test_a_token_from_its_making_to_its_end_on_the_command_line(secured, keys, tmp_path):
    stored = {"BIOELX_TOKENS": str(keys.tokens)}
    made = bioelx("token", "new", "ward-3", "--days", "1", "--calls-in-flight", "2", **stored)
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert token.startswith("bioelx_")
    assert token not in made.stderr
    assert token not in keys.tokens.read_text(encoding="utf-8")
    (tmp_path / "token").write_text(made.stdout, encoding="utf-8")

    search = ("search", "flu", "--server", secured.address, "--ca", str(keys.ca))
    by_file = bioelx(*search, "--token-file", str(tmp_path / "token"), BIOELX_TOKEN="another")
    assert '"concept_id"' in by_file.stdout
    named = {"BIOELX_SERVER": secured.address, "BIOELX_CA": str(keys.ca)}
    by_environment = bioelx("search", "flu", BIOELX_TOKEN=token, **named)
    assert by_environment.stdout == by_file.stdout

    listed = bioelx("token", "list", "--json", **stored).stdout.splitlines()
    (row,) = (row for row in map(orjson.loads, listed) if row["name"] == "ward-3")
    assert (row["role"], row["calls_in_flight"]) == ("link", 2)
    assert bioelx("token", "revoke", row["id"], **stored).exit_code == 0
    late = bioelx(*search, BIOELX_TOKEN=token)
    assert isinstance(late.exception, ServiceError)
    assert late.exception.code == "UNAUTHENTICATED"
    again = bioelx("token", "revoke", "ward-3", **stored)
    assert isinstance(again.exception, NotFoundError)
