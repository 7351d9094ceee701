"""Whatever is sent to a running server, it is never blamed, never dies, and never hangs."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bioelx.v1 import linker_pb2 as pb

SHORT_SECONDS = 20.0
LONG_SECONDS = 600.0
PATIENCE = 60.0
"""Seconds after which a call counts as one that hangs."""

CALLERS_FAULT = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}

F = FieldDescriptor
WHOLE_NUMBERS = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
    F.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
HARD_WORDS = [
    "", " ", "\0", "\u200d", "\u0301", "\ufeff", "\u202e", "\ufdfa", "🧑‍⚕️", "İ", "ß", "x" * 2000,
    "%s%n", "../../etc/passwd", "{0.__class__}", "influenza", "flu", "Herzinfarkt", "심근경색",
]  # fmt: skip
"""Some that are right, so that what comes after the checks is reached too."""
RIGHT_WORDS = {
    "language": ["en", "de", "zh-Hant", "pt-BR", "x-private", "en-", "i-klingon", "a" * 300],
    "label_languages": ["en", "ko", "und", "*"],
    "types": ["disease", "gene"],
    "schemes": ["umls", "mondo", "wikidata"],
    "concept_id": ["wikidata:Q2840", "wikidata:Q999999999", ":", "a:b:c", "umls:"],
    "release": ["", "", ""],
}


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of a type, as its descriptor tells; each field is set or not."""
    fields = {field.name: _values(field) for field in descriptor.fields}
    make = GetMessageClass(descriptor)
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: make(**given))


def _values(of: FieldDescriptor) -> st.SearchStrategy[Any]:
    one = _value(of)
    return st.lists(one, max_size=4) if of.is_repeated else one


def _value(of: FieldDescriptor) -> st.SearchStrategy[Any]:
    kind = of.cpp_type
    if kind == F.CPPTYPE_MESSAGE:
        return messages(of.message_type)
    if kind == F.CPPTYPE_STRING:
        words = st.sampled_from(RIGHT_WORDS.get(of.name, HARD_WORDS))
        return words | words | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    if kind == F.CPPTYPE_BOOL:
        return st.booleans()
    if kind == F.CPPTYPE_DOUBLE:
        return st.floats()
    least, most = WHOLE_NUMBERS[kind]
    return st.integers(0, 10) | st.integers(least, most)


UNKNOWN_FIELDS = st.lists(
    st.builds(
        lambda number, wire: _varint(number << 3) + _varint(wire),
        st.integers(100, 2**28),
        st.integers(0, 2**64 - 1),
    ),
    max_size=4,
).map(b"".join)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def wire_forms(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """What may come in for a message: itself, with unknown fields, damaged, or none at all."""
    whole = messages(descriptor).map(lambda message: message.SerializeToString())
    return st.one_of(
        whole,
        st.tuples(whole, UNKNOWN_FIELDS).map(b"".join),
        st.builds(_damaged, whole, st.integers(0), st.integers(0, 255)),
        st.binary(max_size=200),
    )


def _damaged(whole: bytes, place: int, byte: int) -> bytes:
    if not whole:
        return bytes([byte])
    place %= len(whole)
    return whole[:place] + bytes([byte]) + whole[place + 1 :]


@dataclass(frozen=True)
class Fuzzed:
    """A server with administration, a channel to it, and how its methods have answered."""

    server: Any
    channel: grpc.Channel
    answers: Counter[tuple[str, grpc.StatusCode]] = field(default_factory=Counter)

    def method(self, name: str, *, streams: bool = False) -> Callable[..., Any]:
        kind = self.channel.stream_stream if streams else self.channel.unary_unary
        return kind(f"/bioelx.v1.{name}")

    def code_of(self, name: str, data: bytes) -> grpc.StatusCode:
        code: grpc.StatusCode = self.method(name).future(data, timeout=PATIENCE).code()
        self.answers[name, code] += 1
        return code

    def is_well(self) -> bool:
        """Whether it is up, says so, and has met nothing that it did not foresee."""
        health = HealthStub(self.channel).Check(HealthCheckRequest(), timeout=PATIENCE)
        lines = self.server.log.read_bytes().splitlines()
        failed = [line for line in lines if orjson.loads(line)["level"] not in ("info", "warning")]
        assert not failed, failed[:3]
        return self.server.process.poll() is None and health.status == HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def fuzzed(start_server) -> Iterator[Fuzzed]:
    with start_server("--admin") as server, grpc.insecure_channel(server.address) as channel:
        yield Fuzzed(server, channel)


def one_call(fuzzed: Fuzzed, name: str, data: bytes) -> None:
    assert fuzzed.code_of(name, data) in CALLERS_FAULT


def one_stream(fuzzed: Fuzzed, requests: list[bytes]) -> None:
    """Each request of a stream is answered in its place, whatever the others are."""
    call = fuzzed.method("EntityLinker/LinkStream", streams=True)(iter(requests), timeout=PATIENCE)
    replies = [pb.LinkReply.FromString(reply) for reply in call]
    fuzzed.answers["EntityLinker/LinkStream", call.code()] += 1
    assert call.code() is grpc.StatusCode.OK
    assert len(replies) == len(requests)


METHODS = {
    f"{service.name}/{method.name}": method.input_type
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.client_streaming
}
TARGETS = {
    **{
        name: (wire_forms(asked), lambda fuzzed, data, name=name: one_call(fuzzed, name, data))
        for name, asked in METHODS.items()
    },
    "EntityLinker/LinkStream": (
        st.lists(wire_forms(pb.LinkRequest.DESCRIPTOR), max_size=6),
        one_stream,
    ),
}


def fuzz(fuzzed: Fuzzed, seconds: float) -> None:
    """Sends to every method in turn until the time is up."""
    ends = time.monotonic() + seconds
    for inputs, send in cycle(TARGETS.values()):
        _batch(inputs, partial(send, fuzzed))
        if time.monotonic() > ends:
            break


def _batch(inputs: st.SearchStrategy[Any], send: Callable[[Any], None]) -> None:
    """Some inputs that were not tried before; a failing one is made as small as it can be."""

    @seed(random.getrandbits(64))
    @settings(
        max_examples=25,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(each: Any) -> None:
        send(each)

    run()


def test_any_message_for_a_short_time(fuzzed):
    fuzz(fuzzed, SHORT_SECONDS)
    assert fuzzed.is_well()


@pytest.mark.long
@pytest.mark.timeout(LONG_SECONDS + 300)
def test_any_message_for_ten_minutes(fuzzed):
    fuzz(fuzzed, LONG_SECONDS)
    assert fuzzed.is_well()
    # What is wrong is found in many places, and what is right gets through to the models.
    for name in METHODS:
        codes = {code for method, code in fuzzed.answers if method == name}
        assert codes <= CALLERS_FAULT
        assert grpc.StatusCode.INVALID_ARGUMENT in codes, name
        assert grpc.StatusCode.OK in codes or name.startswith("ReleaseAdmin/"), name


@pytest.mark.parametrize(
    "first", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_bytes_that_are_no_calls(fuzzed, first):
    host, _, port = fuzzed.server.address.rpartition(":")
    for number in range(20):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(first + random.Random(number).randbytes(500))
    assert fuzzed.code_of("EntityLinker/Info", b"") is grpc.StatusCode.OK
    assert fuzzed.is_well()
