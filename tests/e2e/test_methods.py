"""Every method of EntityLinker, health and reflection through a real server."""

from __future__ import annotations

import math

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from bioelx.client import AsyncClient, document, link_request
from bioelx.errors import InvalidRequestError, NotFoundError
from bioelx.types import TYPES
from bioelx.v1 import linker_pb2 as pb

INFLUENZA = "wikidata:Q2840"
RETIRED = "wikidata:Q999999999"
RETIRED_EARLIER = "wikidata:Q999999998"  # in favour of RETIRED


def test_info(client, tiny_release):
    info = client.info()
    assert info.release == tiny_release.name
    assert list(info.loaded_releases) == [tiny_release.name]
    assert (info.concepts, info.names) == (241, 1908)
    assert info.encoder == "bioelx-e5-small-int8"
    assert info.index == "Flat"
    assert info.device == "cpu"
    index = info.search_index
    assert (index.factory, index.device, index.held_as) == ("Flat", "cpu", "Flat")
    assert (dict(index.parameters), index.recall_at_10, index.note) == ({}, 1, "")
    assert list(info.types) == list(TYPES)
    assert {"wikidata", "umls", "mesh"} <= set(info.schemes)
    assert {"ko", "th", "fi"} <= set(info.languages)
    assert info.limits.max_documents == 256
    assert info.limits.max_message_bytes == 16 * 2**20
    assert info.default_min_confidence == pytest.approx(0.3)
    assert info.sources[0].licence == "CC0-1.0"


def test_link_explains_itself(client, tiny_release):
    text = "Verdacht auf Influenza bei bekannter Gelenkentzündung."
    asked = document(text, (13, 22), language="de", id="a")
    reply = client.link([asked], top_k=4, schemes=["umls"], label_languages=["ko", "en"])
    assert reply.release == tiny_release.name
    assert reply.timing.encoding_ms > 0
    (linked,) = reply.documents
    assert linked.document_id == "a"
    (link,) = linked.links
    assert link.mention_id == "0"
    assert len(link.candidates) == 4
    assert sorted(c.retrieval_rank for c in link.candidates) == [1, 2, 3, 4]
    exact = {c.concept_id: c for c in link.candidates if c.matched.exact}
    assert INFLUENZA in exact
    found = exact[INFLUENZA]
    assert found.matched.text.casefold() == "influenza"
    assert list(found.xrefs) == ["umls:C0021400"]
    assert list(found.types) == ["disease"]
    assert exact["tico:influenza"].label_language == "ko"
    assert not found.HasField("ranker_log_odds")


def test_nil_below_the_minimum(client):
    (certain,) = client.link_mentions(["ibuprofen"], min_confidence=0.0)
    assert certain.HasField("concept_id")
    (nil,) = client.link_mentions(["tax declaration form"], min_confidence=1.0)
    assert not nil.HasField("concept_id")
    assert nil.candidates


@pytest.mark.parametrize("mention", ["influenza", "kalp krizi geçirmiş hasta", "tax form"])
def test_the_minimum_is_a_probability(client, mention):
    (link,) = client.link_mentions([mention])
    for minimum in (link.confidence - 1e-6, link.confidence, link.confidence + 1e-6):
        if 0 <= minimum <= 1:
            (again,) = client.link_mentions([mention], min_confidence=minimum)
            assert again.confidence == pytest.approx(link.confidence, abs=1e-12)
            assert again.HasField("concept_id") == (minimum <= link.confidence)
    (at_default,) = client.link_mentions(
        [mention], min_confidence=client.info().default_min_confidence
    )
    assert at_default.concept_id == link.concept_id


def test_shares_explain_a_probability_if_they_are_asked_for(client):
    (silent,) = client.link_mentions(["influenza"])
    (told,) = client.link_mentions(["influenza"], explain=True)
    assert not any(candidate.shares for candidate in silent.candidates)
    for candidate in told.candidates:
        shares = {share.feature: share for share in candidate.shares}
        assert shares["score"].value == candidate.retrieval_score
        assert shares["exact"].value == candidate.matched.exact
        log_odds = sum(share.log_odds for share in candidate.shares)
        assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(candidate.probability, abs=1e-8)
        del candidate.shares[:]
    assert told == silent


@pytest.mark.parametrize("mention", ["influenza", "🤒", "kalp krizi geçirmiş hasta"])
def test_confidence_does_not_depend_on_how_many_candidates_are_asked_for(client, mention):
    def answer(top_k):
        (link,) = client.link_mentions([mention], top_k=top_k)
        assert len(link.candidates) == top_k
        return link.concept_id, pytest.approx(link.confidence, abs=1e-9)

    assert answer(1) == answer(2) == answer(10) == answer(50)


@pytest.mark.parametrize("language", ["ja", "JA", "ja-JP", "ja_jp", "jpn"])
def test_languages_are_read_however_they_are_written(client, language):
    (linked,) = client.link([document("headache", language=language)]).documents
    assert linked.links[0].candidates[0].label == "頭痛"
    found = client.search("headache", label_languages=[language])
    assert found.candidates[0].label_language == "ja"


def test_types_are_kept_to(client):
    (link,) = client.link_mentions(["influenza"], types=["disease"], top_k=20)
    assert {tuple(candidate.types) for candidate in link.candidates} == {("disease",)}
    assert len(link.candidates) == 20


def test_search(client, tiny_release):
    reply = client.search("Lepra", language="de", top_k=3)
    assert reply.candidates[0].concept_id == "wikidata:Q36956"
    assert len(reply.candidates) == 3
    assert reply.release == tiny_release.name


def test_concept_by_id_xref_and_retired_id(client):
    by_id = client.concept(INFLUENZA).concept
    assert by_id.label == "influenza"
    assert by_id.status == "active"
    assert ("インフルエンザ", "ja") in {(name.text, name.language) for name in by_id.names}
    by_xref = client.concept("UMLS:C0021400")
    assert {by_xref.concept.concept_id, *by_xref.also} == {
        INFLUENZA,
        "tico:flu",
        "tico:influenza",
    }
    for retired in (RETIRED, RETIRED_EARLIER):
        reply = client.concept(retired)
        assert (reply.concept.concept_id, reply.concept.status) == (INFLUENZA, "active")
        assert reply.retired_id == retired
    with pytest.raises(NotFoundError):
        client.concept("wikidata:Q1")
    with pytest.raises(InvalidRequestError, match=r"^concept_id: "):
        client.concept("Q2840")


def test_stream_answers_each_request_and_the_bad_ones_in_place(client):
    requests = [link_request([document("flu")], id=str(i), top_k=1) for i in range(40)]
    requests[7].options.top_k = 1000
    requests[8].options.release = "20200101T000000Z-00000000"
    requests[9].ClearField("documents")
    requests[10].documents.extend([document("flu")] * client.info().limits.max_documents)
    requests.append(link_request([document("flu")]))  # no id
    replies = {reply.id: reply for reply in client.link_stream(iter(requests))}
    assert set(replies) == {"", *map(str, range(40))}
    errors = {key: reply.error.field for key, reply in replies.items() if reply.HasField("error")}
    expected = {"7": "options.top_k", "8": "options.release", "9": "documents", "10": "documents"}
    assert errors == {**expected, "": "id"}
    assert all(r.documents[0].links[0].candidates for k, r in replies.items() if k not in errors)


async def test_async_client(server):
    async with AsyncClient(server.address) as client:
        assert await client.wait_ready(10)
        info = await client.info()
        assert (await client.concept(INFLUENZA)).release == info.release
        assert (await client.search("lepra")).candidates
        (link,) = await client.link_mentions(["병"], language="ko", top_k=2)
        assert len(link.candidates) == 2
        with pytest.raises(InvalidRequestError) as caught:
            await client.link([])
        assert caught.value.field == "documents"

        async def requests():
            for i in range(5):
                yield link_request([document("flu")], id=str(i))

        replies = [reply.id async for reply in client.link_stream(requests())]
    assert sorted(replies) == ["0", "1", "2", "3", "4"]


def test_health_and_reflection(server):
    with grpc.insecure_channel(server.address) as channel:
        check = HealthStub(channel).Check
        for service in ("", "bioelx.v1.EntityLinker"):
            health = check(HealthCheckRequest(service=service))
            assert health.status == HealthCheckResponse.SERVING
        services = set(ProtoReflectionDescriptorDatabase(channel).get_services())
        assert {"bioelx.v1.EntityLinker", "grpc.health.v1.Health"} <= services
        assert "bioelx.v1.ReleaseAdmin" not in services


def test_answers_do_not_depend_on_company(client):
    """Each mention alone, and all of them among ragged others, to 1e-3 (int8)."""
    mentions = ["flu", "심근경색", "De-Quervain-Thyreoiditis mit langem Zusatz", "лихорадка", "หวัด"]
    company = [word * n for n, word in enumerate(["a ", "ibuprofen ", "병", "x "], start=1)] * 8
    together = client.link_mentions([*company, *mentions, *company], top_k=5)
    for i, mention in enumerate(mentions):
        (alone,) = client.link_mentions([mention], top_k=5)
        crowded = together[len(company) + i]
        assert [c.concept_id for c in crowded.candidates] == [
            c.concept_id for c in alone.candidates
        ]
        for one, other in zip(alone.candidates, crowded.candidates, strict=True):
            assert one.retrieval_score == pytest.approx(other.retrieval_score, abs=1e-3)
            assert one.probability == pytest.approx(other.probability, abs=1e-3)


@pytest.mark.parametrize(
    ("unit", "encoding", "width"),
    [
        (pb.OFFSET_UNIT_CODE_POINTS, "utf-32-le", 4),
        (pb.OFFSET_UNIT_UTF16, "utf-16-le", 2),
        (pb.OFFSET_UNIT_UTF8, "utf-8", 1),
    ],
)
def test_offsets_in_every_unit(client, unit, encoding, width):
    before, mention, after = "🫀🫀 환자는 ", "독감", " 😷 의심."
    start = len(before.encode(encoding)) // width
    end = len((before + mention).encode(encoding)) // width
    asked = pb.Document(
        text=before + mention + after,
        language="ko",
        mentions=[
            pb.Mention(id="right", start=start, end=end),
            pb.Mention(id="inside", start=1, end=end),
        ],
        offset_unit=unit,
    )
    right, inside = client.link([asked]).documents[0].links
    assert right.candidates[0].matched.exact
    assert right.candidates[0].matched.text == mention
    if unit == pb.OFFSET_UNIT_CODE_POINTS:
        assert not inside.HasField("error")
    else:
        assert inside.error.field == "documents[0].mentions[1].start"
        assert "is inside a" in inside.error.message
