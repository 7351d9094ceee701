"""The stream of page changes, read from a server that behaves as Wikimedia's does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioelx.errors import SourceError
from bioelx_index.sources.wikidata import events
from bioelx_index.sources.wikidata.events import Change, Event, Position, State, Stream, resumed

AGENT = "bioelx-tests/1.0 (tests)"
NOW = datetime.now(UTC).replace(microsecond=0)
BEGIN = NOW - timedelta(minutes=30)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PAUSE_SECONDS", 0.001)


def stream(url: str, **options: Any) -> Stream:
    return Stream(url, AGENT, **{"silence": 5.0, "settle": 0.1, **options})


def follow(url: str, start: Position = Position(BEGIN), **options: Any) -> list[Event]:  # noqa: B008
    return list(stream(url, **options).follow(start, datetime.now(UTC)))


def changes(read: list[Event]) -> list[Change]:
    """The changes, without those that came twice."""
    return list(dict.fromkeys(event.change for event in read if event.change))


def minute(number: int) -> datetime:
    return BEGIN + timedelta(minutes=number)


def test_each_kind_of_change_is_understood_and_the_rest_passed_over(event_stream: Any) -> None:
    old = minute(-9000)
    event_stream.publish("create", "Q1", minute(1))
    event_stream.publish("edit", "Q2", minute(2), revised=minute(2) - timedelta(seconds=1))
    event_stream.publish("edit", "Q3", minute(3), redirect="Q1")
    event_stream.publish("delete", "Q4", minute(4))
    event_stream.publish("undelete", "Q5", minute(5), revised=old)
    event_stream.publish("undelete", "Q6", minute(6), redirect="Q1")
    event_stream.publish("delete", "Q7", minute(7), redirect="Q1")
    event_stream.publish("visibility_change", "Q8", minute(8))
    event_stream.publish("edit", "Q9", minute(9), wiki="testwikidatawiki")
    event_stream.publish("edit", "Q10", minute(10), namespace=1)
    event_stream.publish("edit", "Property:P31", minute(11), namespace=120)
    event_stream.publish("edit", "Q0", minute(12))
    assert changes(follow(event_stream.url)) == [
        Change(1, State.PRESENT, minute(1)),
        Change(2, State.PRESENT, minute(2) - timedelta(seconds=1)),
        Change(3, State.REDIRECT),
        Change(4, State.GONE),
        Change(5, State.PRESENT),
        Change(6, State.REDIRECT),
        Change(7, State.GONE),
    ]


def test_reading_ends_at_the_moment_it_was_asked_for(event_stream: Any) -> None:
    event_stream.publish("edit", "Q1", minute(1))
    read = follow(event_stream.url)
    assert read[0].sent == minute(1)
    assert sum(event.sent >= NOW for event in read) > 1
    assert read[-1].position.at == read[-1].sent


def test_what_was_before_the_beginning_is_not_read(event_stream: Any) -> None:
    event_stream.publish("edit", "Q1", minute(-5))
    event_stream.publish("edit", "Q2", minute(5))
    assert changes(follow(event_stream.url)) == [Change(2, State.PRESENT, minute(5))]


def test_the_operator_introduces_himself(event_stream: Any) -> None:
    event_stream.drop_after = 2
    event_stream.publish("edit", "Q1", minute(1))
    follow(event_stream.url)
    assert {request["User-Agent"] for request in event_stream.requests} == {AGENT}
    assert len(event_stream.requests) > 1


@pytest.mark.parametrize("drop_after", [2, 7])
def test_every_connection_brings_something(event_stream: Any, drop_after: int) -> None:
    event_stream.drop_after = drop_after
    for number in range(1, 20):
        event_stream.publish("edit", f"Q{number}", BEGIN + timedelta(seconds=number))
    assert {change.qid for change in changes(follow(event_stream.url))} == set(range(1, 20))


@pytest.mark.parametrize("cut", [False, True], ids=["between events", "within an event"])
def test_dropped_connections_lose_nothing(event_stream: Any, cut: bool) -> None:
    event_stream.drop_after, event_stream.cut = 7, cut
    for number in range(1, 60):
        # Several to a millisecond, as bots edit.
        event_stream.publish("edit", f"Q{number}", BEGIN + timedelta(minutes=number // 4))
    assert {change.qid for change in changes(follow(event_stream.url))} == set(range(1, 60))
    assert len(event_stream.requests) > 5
    assert "Last-Event-ID" not in event_stream.requests[0]
    assert all("Last-Event-ID" in request for request in event_stream.requests[1:])


def test_a_later_reader_goes_on_where_an_earlier_one_stopped(event_stream: Any) -> None:
    event_stream.publish("edit", "Q1", minute(1))
    last = follow(event_stream.url)[-1].position
    event_stream.publish("edit", "Q2", datetime.now(UTC))
    found = changes(follow(event_stream.url, Position(NOW, last.event_id)))
    assert [change.qid for change in found] == [2]


def test_a_topic_that_was_silent_is_not_forgotten(event_stream: Any) -> None:
    """When the data centres change roles, what is new comes in the topic that had nothing."""
    event_stream.publish("edit", "Q1", minute(1), topic=0)
    last = follow(event_stream.url)[-1].position
    assert {"topic": "codfw.mediawiki.page_change.v1", "partition": 0, "offset": -1} in json.loads(
        last.event_id
    )
    event_stream.publish("edit", "Q2", datetime.now(UTC), topic=1)
    found = changes(follow(event_stream.url, Position(NOW, last.event_id)))
    assert 2 in {change.qid for change in found}


@pytest.mark.parametrize("drop_after", [None, 7])
def test_a_topic_that_comes_later_is_read_to_its_end(
    event_stream: Any, drop_after: int | None
) -> None:
    for topic in (0, 1):
        for number in range(1, 11):
            event_stream.publish("edit", f"Q{100 * topic + number}", minute(number), topic=topic)
    event_stream.drop_after = drop_after
    found = {change.qid for change in changes(follow(event_stream.url, settle=0.02))}
    assert found == {*range(1, 11), *range(101, 111)}


def test_beyond_the_window_nobody_is_asked(event_stream: Any) -> None:
    start = Position(NOW - timedelta(days=3))
    with pytest.raises(SourceError, match=r"keeps 2 days\): use --changes modified, or pull anew"):
        follow(event_stream.url, start, window=timedelta(days=2))
    assert not event_stream.requests


def test_a_gap_at_the_beginning_is_seen(event_stream: Any) -> None:
    event_stream.publish("edit", "Q1", minute(1))
    with pytest.raises(SourceError, match=r"no longer holds what changed .* next event is of"):
        follow(event_stream.url, Position(BEGIN - timedelta(days=2)))


GARBAGE = {
    "no JSON": '{"page_change_kind": "edit", ',
    "another document": "[1, 2, 3]",
    "no fields": "{}",
    "null": "null",
    "no time": json.dumps({"page_change_kind": "edit", "meta": {"dt": "yesterday"}}),
    "no time zone": json.dumps({"page_change_kind": "edit", "meta": {"dt": "2026-01-01T00:00"}}),
    "no page": json.dumps(
        {
            "page_change_kind": "edit",
            "wiki_id": "wikidatawiki",
            "page": None,
            "meta": {"dt": NOW.isoformat()},
        }
    ),
}


def test_what_cannot_be_read_is_passed_over_and_counted(event_stream: Any) -> None:
    event_stream.publish("edit", "Q1", minute(1))
    for number, text in enumerate(GARBAGE.values()):
        event_stream.publish_text(text, minute(2 + number))
    event_stream.publish("edit", "Q2", minute(20))
    read = follow(event_stream.url)
    assert [change.qid for change in changes(read)] == [1, 2]
    assert sum(not event.readable for event in read) == len(GARBAGE)


def test_data_of_several_lines_is_one_event(event_stream: Any) -> None:
    event_stream.publish("edit", "Q1", minute(1))
    (message,) = event_stream.messages
    message.text = json.dumps(json.loads(message.text), indent=1)
    assert changes(follow(event_stream.url)) == [Change(1, State.PRESENT, minute(1))]


def test_another_stream_is_recognised(event_stream: Any) -> None:
    for number in range(200):
        text = json.dumps({"type": "edit", "meta": {"dt": BEGIN.isoformat()}, "n": number})
        event_stream.publish_text(text, BEGIN)
    with pytest.raises(SourceError, match=r"101 of 101 events are no page changes"):
        follow(event_stream.url)


def answer(status: int, body: bytes = b"", **headers: str) -> Callable:
    def send(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return send


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True


def report_error(request: BaseHTTPRequestHandler) -> None:
    body = b':ok\n\nevent: error\nid: [{"topic":"x"}]\ndata: {"message":"broker is gone"}\n\n'
    answer(200, body, Content_Type="text/event-stream")(request)


def be_silent(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "text/event-stream")
    request.end_headers()
    request.wfile.write(b":ok\n\n")
    request.wfile.flush()
    time.sleep(0.4)
    request.close_connection = True


FAULTS = {
    "429": answer(429, b"slow down", Retry_After="0"),
    "500": answer(500, b"oops"),
    "503": answer(503),
    "HTML with status 200": answer(200, b"<html>busy</html>", Content_Type="text/html"),
    "nothing": answer(200, b"", Content_Type="text/event-stream"),
    "an error for an event": report_error,
    "hang up": hang_up,
    "silence": be_silent,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_waited_out(event_stream: Any, fault: str) -> None:
    event_stream.publish("edit", "Q1", minute(1))
    event_stream.answers = [FAULTS[fault]] * 3
    read = follow(event_stream.url, silence=0.2)
    assert changes(read) == [Change(1, State.PRESENT, minute(1))]
    assert len(event_stream.requests) == 4


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "silence"])
def test_a_server_that_never_recovers_is_named(event_stream: Any, fault: str) -> None:
    event_stream.answers = [FAULTS[fault]] * 20
    with pytest.raises(SourceError, match=f"{event_stream.url}: failed 8 times, .* read up to"):
        follow(event_stream.url)
    assert len(event_stream.requests) == 8


def test_retry_after_is_obeyed(event_stream: Any) -> None:
    event_stream.answers = [answer(429, Retry_After="1")]
    started = time.monotonic()
    follow(event_stream.url)
    assert time.monotonic() - started >= 1


def test_a_refusal_is_not_repeated(event_stream: Any) -> None:
    event_stream.answers = [answer(404, b'{"title": "Stream Not Found"}')]
    with pytest.raises(SourceError, match=r"HTTP 404: .*Stream Not Found"):
        follow(event_stream.url)
    assert len(event_stream.requests) == 1


topics = st.fixed_dictionaries(
    {"topic": st.text(), "partition": st.integers(0, 9)},
    optional={"timestamp": st.integers(0, 2**42), "offset": st.integers(-2, 2**40)},
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(max_examples=50)
@given(st.lists(topics, max_size=3))
def test_an_id_goes_on_where_it_was_in_every_topic(places: list[dict[str, Any]]) -> None:
    result = json.loads(resumed(json.dumps(places), BEGIN))
    for before, after in zip(places, result, strict=True):
        assert (after["topic"], after["partition"]) == (before["topic"], before["partition"])
        moment = before.get("timestamp", BEGIN.timestamp() * 1000 + 1) - 1
        assert after["timestamp"] == moment
        assert "offset" not in after


@settings(max_examples=50)
@given(anything.map(json.dumps) | st.text())
def test_an_id_of_another_kind_is_sent_as_it_is(text: str) -> None:
    result = resumed(text, BEGIN)
    assert result == text or (json.loads(text), result) == ([], "[]")


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "page_change_kind": anything | st.sampled_from(["edit", "delete", "undelete"]),
            "wiki_id": anything | st.just("wikidatawiki"),
            "page": anything
            | st.fixed_dictionaries(
                {"page_title": anything | st.just("Q1"), "namespace_id": anything | st.just(0)},
                optional={"is_redirect": anything},
            ),
            "meta": anything | st.just({"dt": NOW.isoformat()}),
            "revision": anything | st.just({"rev_dt": "2026-01-01T00:00:00Z"}),
        },
    )
    | anything
)
def test_no_event_stops_the_reading(event: Any) -> None:
    message = httpx2.ServerSentEvent(data=json.dumps(event), id="[]")
    read = events._read(message, Position(BEGIN))
    assert read.readable or read.change is None
    assert read.position.reached >= BEGIN
