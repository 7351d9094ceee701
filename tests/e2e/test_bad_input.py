"""Whatever comes in, the answer names what is wrong, and no text of it is logged or repeated."""

from __future__ import annotations

import time

import grpc
import orjson
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.client import Client, document, link_request
from bioelx.errors import InvalidRequestError, ServiceError
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub

SECRET = "Zephyrine Quillfeather"


def unary(channel: grpc.Channel, method: str):
    """A call of raw bytes."""
    return channel.unary_unary(f"/bioelx.v1.EntityLinker/{method}")


def test_errors_carry_bad_request_details(server):
    request = link_request([document("flu")], top_k=9999)
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        EntityLinkerStub(channel).Link(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = BadRequest()
    assert rpc_status.from_call(caught.value).details[0].Unpack(bad)
    assert bad.field_violations[0].field == "options.top_k"


@pytest.mark.parametrize("top_k", [-1, 0, 2**40])
def test_the_client_refuses_a_top_k_that_cannot_be_meant(client, top_k):
    with pytest.raises(InvalidRequestError, match=r"^options\.top_k: "):
        client.search("flu", top_k=top_k)


@pytest.mark.parametrize("method", ["Link", "Search", "GetConcept"])
@pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\x0a\x7f", b"\xff" * 9])
def test_what_cannot_be_decoded_is_the_callers_mistake(server, method, data):
    """A string that is not UTF-8, a truncated message, no message at all."""
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        unary(channel, method)(data)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "UTF-8" in caught.value.details()


def test_a_stream_goes_on_after_what_cannot_be_decoded(server):
    good = link_request([document("flu")], id="good").SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        call = channel.stream_stream("/bioelx.v1.EntityLinker/LinkStream")
        replies = [pb.LinkReply.FromString(r) for r in call(iter([b"\x0a\x02\xff\xfe", good]))]
    assert sorted((r.id, r.error.field) for r in replies) == [("", "request"), ("good", "")]


def test_a_message_over_the_limit_is_refused(client):
    with pytest.raises(ServiceError) as caught:
        client.link([document("x" * (17 * 2**20))])
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert client.info()


@pytest.mark.parametrize(
    ("option", "one"), [("types", "disease"), ("schemes", "umls"), ("label_languages", "ko")]
)
def test_options_list_as_much_as_info_says_and_no_more(client, option, one):
    most = client.info().limits.max_listed_options
    assert client.search("flu", **{option: [one] * most}).candidates
    with pytest.raises(InvalidRequestError, match=rf"^options\.{option}: .* more than {most}$"):
        client.search("flu", **{option: [one] * (most + 1)})


def test_a_language_tag_is_as_long_as_info_says_and_no_longer(client):
    most = client.info().limits.max_tag_chars
    tag = ("ko-x" + "-abcdefgh" * most)[:most]
    assert client.search("flu", language=tag).candidates
    with pytest.raises(InvalidRequestError, match=r"^language: "):
        client.search("flu", language=tag + "a")


def test_a_deadline_is_kept(server):
    with Client(server.address, timeout=0.02) as hasty, pytest.raises(ServiceError) as caught:
        hasty.link([document(f"disorder number {i}") for i in range(256)])
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_overload_says_when_to_come_back(start_server):
    with start_server("--queue-tokens", "300", "--batch-tokens", "64") as small:
        with grpc.insecure_channel(small.address) as channel:
            stub = EntityLinkerStub(channel)
            requests = [
                link_request([document(f"sickness {i} {j}") for j in range(30)]) for i in range(8)
            ]
            calls = [stub.Link.future(request) for request in requests]
            codes = [call.code() for call in calls]
        assert grpc.StatusCode.OK in codes
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        # A stream waits for room instead.
        with Client(small.address) as patient:
            streamed = patient.link_stream(
                link_request([document(f"malady {i} {j}") for j in range(30)], id=str(i))
                for i in range(8)
            )
            assert all(len(reply.documents) == 30 for reply in streamed)


def test_no_text_of_a_request_is_logged_or_repeated(server, client):
    asked = document(SECRET, (0, 9), (50, 60), language="en")
    client.link([asked])
    client.search(SECRET)
    told = []
    for attempt in (
        lambda: client.search(SECRET, language=SECRET),
        lambda: client.link([document(SECRET)], types=[SECRET]),
        lambda: client.link([document(SECRET)], schemes=[SECRET]),
        lambda: client.link([document("x", id=SECRET), document("y", id=SECRET)]),
        lambda: client.concept(SECRET),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            attempt()
        told.append(str(caught.value))
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError):
        unary(channel, "Link")(b"\x0a\x18" + SECRET.encode() + b"\xff\xff")
    written = server.log.read_text(encoding="utf-8")
    for part in SECRET.split():
        assert part not in written
        assert all(part not in each for each in told)


def test_the_log_has_one_json_line_a_call(server, client):
    client.link([document("flu", id="a"), document("wart and plague", (0, 4), (9, 15), id="b")])
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        lines = [orjson.loads(line) for line in server.log.read_bytes().splitlines()]
        calls = [line for line in lines if line["event"] == "call" and line.get("documents") == 2]
        if calls:
            break
    (call, *_) = calls[::-1]
    assert call["method"] == "Link"
    assert call["code"] == "OK"
    assert call["mentions"] == 3
    assert call["ms"] > 0
    assert call["call"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
OFFSETS = st.one_of(st.integers(0, 12), st.just(2**64 - 1))
DOCUMENTS = st.builds(
    pb.Document,
    id=TEXTS,
    text=TEXTS,
    language=st.one_of(st.sampled_from(["", "de", "zh-Hant", "x"]), TEXTS),
    mentions=st.lists(st.builds(pb.Mention, id=TEXTS, start=OFFSETS, end=OFFSETS), max_size=3),
    offset_unit=st.integers(0, 5),
)
OPTIONS = st.builds(
    pb.LinkOptions,
    top_k=st.integers(0, 120),
    rerank=st.integers(0, 5),
    types=st.lists(st.one_of(st.sampled_from(["disease", "gene"]), TEXTS), max_size=2),
    schemes=st.lists(st.one_of(st.just("umls"), TEXTS), max_size=2),
    min_confidence=st.none() | st.floats(),
    label_languages=st.lists(st.one_of(st.just("ko"), TEXTS), max_size=2),
    release=st.one_of(st.just(""), TEXTS),
)
REQUESTS = st.builds(
    pb.LinkRequest,
    id=TEXTS,
    documents=st.lists(DOCUMENTS, max_size=3),
    options=st.one_of(st.none(), OPTIONS),
)


@settings(max_examples=300, deadline=None)
@given(request=REQUESTS)
def test_no_request_is_ever_blamed_on_the_server(server, request):
    with grpc.insecure_channel(server.address) as channel:
        answer = EntityLinkerStub(channel).Link.future(request)
        code = answer.code()
        assert code.name in {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
        if code is not grpc.StatusCode.OK:
            return
        reply = answer.result()
    assert [each.document_id for each in reply.documents] == [each.id for each in request.documents]
    for asked, linked in zip(request.documents, reply.documents, strict=True):
        if not linked.HasField("error"):
            assert len(linked.links) == (len(asked.mentions) or 1)
        for link in linked.links:
            assert link.HasField("error") or link.candidates or request.options.types
