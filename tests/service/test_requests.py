from __future__ import annotations

import pytest

from bioelx.errors import InvalidRequestError, NotFoundError
from bioelx.linker import Linker
from bioelx.service.links import write_link
from bioelx.service.replies import link_reply
from bioelx.service.requests import LinkPlan, measure, plan_link, plan_search
from bioelx.settings import Limits
from bioelx.types import LinkOptions, Query, Rerank
from bioelx.v1 import linker_pb2 as pb

LIMITS = Limits(
    max_documents=3, max_mentions=4, max_document_chars=50, max_mention_chars=20, max_top_k=20
)


def request(*documents: dict, **options) -> pb.LinkRequest:
    return pb.LinkRequest(
        documents=[pb.Document(**each) for each in documents], options=pb.LinkOptions(**options)
    )


def answered(plan: LinkPlan, linker: Linker) -> pb.LinkReply:
    linked = linker.link(plan.queries, plan.options)
    written = link_reply(plan, map(write_link, linked.links), linked.timing)
    return pb.LinkReply.FromString(written)


def test_a_request_becomes_queries_in_code_points(tiny_linker):
    text = "🫀 심근경색, then influenza."
    span = {"start": 3, "end": 7}
    plan = plan_link(
        request(
            {
                "text": text,
                "language": "ko",
                "mentions": [span],
                "offset_unit": "OFFSET_UNIT_UTF16",
            },
            {"text": "flu"},
        ),
        tiny_linker,
        LIMITS,
    )
    assert plan.queries == [Query(text, 2, 6, "ko"), Query("flu", 0, 3, "")]
    assert plan.queries[0].mention == "심근경색"
    assert plan.options == LinkOptions(top_k=LIMITS.default_top_k)


def test_all_options_are_read(tiny_linker):
    wanted = {
        "top_k": 5,
        "rerank": "RERANK_NEVER",
        "types": ["disease"],
        "schemes": ["umls"],
        "min_confidence": 0.0,
        "label_languages": ["ko", "en"],
        "release": tiny_linker.manifest.id,
        "explain": True,
    }
    plan = plan_link(request({"text": "flu"}, **wanted), tiny_linker, LIMITS)
    assert plan.options == LinkOptions(
        5, Rerank.NEVER, ("disease",), ("umls",), 0.0, ("ko", "en"), explain=True
    )


@pytest.mark.parametrize(
    ("documents", "options", "field"),
    [
        ([], {}, "documents"),
        ([{"text": "flu"}] * 4, {}, "documents"),
        ([{"text": "flu", "mentions": [{"end": 3}] * 5}], {}, "documents"),
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], {}, "documents[1].id"),
        ([{"text": "flu"}], {"top_k": 21}, "options.top_k"),
        ([{"text": "flu"}], {"top_k": 2**32 - 1}, "options.top_k"),
        ([{"text": "flu"}], {"rerank": 9}, "options.rerank"),
        ([{"text": "flu"}], {"rerank": "RERANK_ALWAYS"}, "options.rerank"),
        ([{"text": "flu"}], {"types": ["disease", "Disease"]}, "options.types[1]"),
        ([{"text": "flu"}], {"schemes": ["icd99"]}, "options.schemes[0]"),
        ([{"text": "flu"}], {"min_confidence": 1.5}, "options.min_confidence"),
        ([{"text": "flu"}], {"min_confidence": float("nan")}, "options.min_confidence"),
        (
            [{"text": "flu"}],
            {"label_languages": ["en", "klingonese"]},
            "options.label_languages[1]",
        ),
        ([{"text": "flu"}], {"types": ["disease"] * 257}, "options.types"),
        ([{"text": "flu"}], {"schemes": ["mesh"] * 257}, "options.schemes"),
        ([{"text": "flu"}], {"label_languages": ["en"] * 257}, "options.label_languages"),
        (
            [{"text": "flu"}],
            {"label_languages": ["en-x" + "-abcdefgh" * 1000]},
            "options.label_languages[0]",
        ),
    ],
)
def test_what_spoils_the_request_is_raised(tiny_linker, documents, options, field):
    with pytest.raises(InvalidRequestError) as caught:
        plan_link(request(*documents, **options), tiny_linker, LIMITS)
    assert caught.value.field == field


def test_mentions_of_one_place_count_as_often_as_they_are_named():
    asked = request({"text": "x" * 40, "mentions": [{"end": 20}] * 3 + [{"start": 9, "end": 2}]})
    size = measure(asked, LIMITS)
    assert size == (4, asked.ByteSize(), 60, None)


def test_what_is_larger_than_allowed_is_told_with_its_size():
    asked = request(*[{"text": "flu"}] * (LIMITS.max_documents + 1))
    mentions, size, marked, problem = measure(asked, LIMITS)
    assert (mentions, size, marked) == (0, asked.ByteSize(), 0)
    assert problem.field == "documents"


def test_another_release_is_not_found_and_the_loaded_one_is_named(tiny_linker):
    with pytest.raises(NotFoundError, match=tiny_linker.manifest.id):
        plan_link(
            request({"text": "flu"}, release="20200101T000000Z-00000000"), tiny_linker, LIMITS
        )


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "text"),
        ({"text": "x" * 51}, "text"),
        ({"text": "flu", "language": "deutsch"}, "language"),
        ({"text": "flu", "language": "de-x" + "-abcdefgh" * 1000}, "language"),
        ({"text": "flu", "offset_unit": 7}, "offset_unit"),
    ],
)
def test_a_bad_document_fails_alone(tiny_linker, document, field):
    plan = plan_link(request({"text": "flu"}, document, {"text": "wart"}), tiny_linker, LIMITS)
    reply = answered(plan, tiny_linker)
    before, bad, after = reply.documents
    assert bad.error.field == f"documents[1].{field}"
    assert not bad.links
    assert before.links[0].concept_id
    assert after.links[0].candidates[0].concept_id == "wikidata:Q101971"


@pytest.mark.parametrize(
    ("mention", "field"),
    [
        ({"start": 5, "end": 99}, ".end"),
        ({"start": 99, "end": 100}, ".start"),
        ({"start": 9, "end": 6}, ".end"),
        ({"start": 6, "end": 6}, ".end"),
        ({"id": "first", "start": 6, "end": 10}, ".id"),
        ({"start": 5, "end": 6}, ""),  # a space
        ({"start": 0, "end": 30}, ""),  # too long
    ],
)
def test_a_bad_mention_fails_alone(tiny_linker, mention, field):
    text = "a flu wart; " * 3
    mentions = [
        {"id": "first", "start": 2, "end": 5},
        mention,
        {"id": "last", "start": 6, "end": 10},
    ]
    plan = plan_link(request({"text": text, "mentions": mentions}), tiny_linker, LIMITS)
    reply = answered(plan, tiny_linker)
    first, bad, last = reply.documents[0].links
    assert bad.error.field == f"documents[0].mentions[1]{field}"
    assert not bad.candidates
    assert first.mention_id == "first"
    assert first.candidates[0].matched.exact
    assert last.candidates[0].concept_id == "wikidata:Q101971"


@pytest.mark.parametrize(
    ("search", "field"),
    [({}, "name"), ({"name": " \u200b"}, "name"), ({"name": "x" * 21}, "name"),
     ({"name": "flu", "language": "x"}, "language")],
)  # fmt: skip
def test_a_bad_search_is_refused(tiny_linker, search, field):
    with pytest.raises(InvalidRequestError) as caught:
        plan_search(pb.SearchRequest(**search), tiny_linker, LIMITS)
    assert caught.value.field == field
