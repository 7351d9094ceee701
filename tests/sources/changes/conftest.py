"""A small Wikidata that changes: a real SPARQL server that holds what is written to it, and a
stream of page changes like Wikimedia's; both on the loopback."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bioelx_index.endpoint import local_endpoint

AGENT = "bioelx-tests/1.0 (tests)"
TOPICS = ("eqiad.mediawiki.page_change.v1", "codfw.mediawiki.page_change.v1")


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Message:
    """A message of one of the topics (each has one partition)."""

    topic: str
    at: int
    text: str


@dataclass
class FakeEventStream:
    """What Kafka and EventStreams hold and do: events by topic with their milliseconds, ids that
    name the place in each topic (`timestamp` one past the last event seen; an `offset` where none
    was, -1 for the end), resumption by Last-Event-ID before `since`, trial events (canaries) all
    the while. Offsets are another's in another data centre, and so taken from nobody."""

    messages: list[Message] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    drop_after: int | None = None
    """Ends each connection after so many events."""
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    """What the next requests get in place of the stream."""
    canaries: bool = True
    cut: bool = False
    """Ends connections in the middle of an event's data."""
    url: str = ""
    _lock: Any = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=count)
    closing: bool = False

    def publish(
        self,
        kind: str,
        title: str,
        at: datetime,
        *,
        revised: datetime | None = None,
        redirect: str = "",
        wiki: str = "wikidatawiki",
        namespace: int = 0,
        topic: int = 0,
    ) -> None:
        """Adds a page change as MediaWiki sends it."""
        number = next(self._numbers)
        page: dict[str, Any] = {
            "page_id": 1000 + number,
            "page_title": title,
            "namespace_id": namespace,
            "is_redirect": bool(redirect),
        }
        if redirect:
            page["redirect_page_link"] = {
                "page_id": 7,
                "page_title": redirect,
                "namespace_id": namespace,
                "is_redirect": False,
            }
        revision = {
            "rev_id": 5000 + number,
            "rev_parent_id": 4000,
            "rev_dt": (revised or at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "rev_size": 2043,
            "comment": "a line separator\u2028and a next line\u0085 in the middle",
            "is_minor_edit": False,
            "is_content_visible": True,
        }
        event = {
            "$schema": "/mediawiki/page/change/1.3.0",
            "changelog_kind": {"create": "insert", "delete": "delete"}.get(kind, "update"),
            "page_change_kind": kind,
            "dt": stamp(at),
            "wiki_id": wiki,
            "page": page,
            "performer": {"user_text": "Someone", "is_bot": True},
            "revision": revision,
            "meta": {
                "stream": "mediawiki.page_change.v1",
                "domain": "www.wikidata.org",
                "uri": f"https://www.wikidata.org/wiki/{title}",
                "id": f"event-{number}",
                "dt": stamp(at),
                "topic": TOPICS[topic],
                "partition": 0,
                "offset": number,
            },
        }
        self.publish_text(json.dumps(event, ensure_ascii=False), at, topic=topic)

    def publish_text(self, text: str, at: datetime, *, topic: int = 0) -> None:
        with self._lock:
            self.messages.append(Message(TOPICS[topic], millis(at), text))

    def canary(self) -> None:
        now = datetime.now(UTC)
        event = {
            "page_change_kind": "edit",
            "wiki_id": "examplewiki",
            "page": {"page_title": "Q42", "namespace_id": 0, "is_redirect": False},
            "meta": {"domain": "canary", "dt": stamp(now), "stream": "mediawiki.page_change.v1"},
        }
        self.publish_text(json.dumps(event), now)

    def begin(self, request: BaseHTTPRequestHandler) -> dict[str, dict[str, Any]]:
        """The place in each topic that a request begins at; as KafkaSSE resolves it."""
        query = parse_qs(urlsplit(request.path).query)
        if header := request.headers["Last-Event-ID"]:
            places = json.loads(header)
            if not isinstance(places, list):
                raise ValueError("Must provide an array of objects with topic, partition")
        else:
            since = millis(datetime.fromisoformat(query["since"][0]))
            places = [{"topic": name, "partition": 0, "timestamp": since} for name in TOPICS]
        now = millis(datetime.now(UTC))
        for place in places:
            if place.get("offset", -1) >= 0:
                raise ValueError("an offset of another data centre")
            place["from"] = place.pop("timestamp", now)
            topic = [m.at for m in self.messages if m.topic == place["topic"]]
            later = [offset for offset, at in enumerate(topic) if at >= place["from"]]
            place["offset"] = later[0] if later else -1
        return {place["topic"]: place for place in places}

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answers one request as the real service does."""
        self.requests.append(dict(request.headers.items()))
        if self.answers:
            self.answers.pop(0)(request)
            return
        try:
            places = self.begin(request)
        except (ValueError, KeyError) as error:
            body = json.dumps({"detail": str(error)}).encode()
            request.send_response(400)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream; charset=utf-8")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        self.chunk(request, ":ok\n\n")
        starts = {topic: place.pop("from") for topic, place in places.items()}
        with self._lock:
            seen, sent = {id(message) for message in self.messages}, 0
            known = [m for m in self.messages if m.at >= starts.get(m.topic, m.at + 1)]
        while not self.closing:
            for message in known:
                places[message.topic] = {
                    "topic": message.topic,
                    "partition": 0,
                    "timestamp": message.at + 1,
                }
                lines = "\n".join(f"data: {line}" for line in message.text.split("\n"))
                event_id = json.dumps(list(places.values()), separators=(",", ":"))
                frame = f"event: message\nid: {event_id}\n{lines}\n\n"
                if sent == self.drop_after:
                    if self.cut:
                        self.chunk(request, frame[: len(frame) * 2 // 3])
                    request.close_connection = True
                    return
                self.chunk(request, frame)
                sent += 1
            time.sleep(0.01)
            if self.canaries:
                self.canary()
            with self._lock:
                known = [m for m in self.messages if id(m) not in seen and m.topic in places]
            seen.update(map(id, known))

    @staticmethod
    def chunk(request: BaseHTTPRequestHandler, text: str) -> None:
        data = text.encode()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


@contextmanager
def _serving(stream: FakeEventStream) -> Iterator[FakeEventStream]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                stream.serve(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    stream.url = f"http://127.0.0.1:{server.server_port}/v2/stream/mediawiki.page_change.v1"
    try:
        yield stream
    finally:
        stream.closing = True
        server.shutdown()
        server.server_close()


@pytest.fixture
def event_stream() -> Iterator[FakeEventStream]:
    with _serving(FakeEventStream()) as stream:
        yield stream


LONG_AGO = datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
DISEASE = 12136


@dataclass(frozen=True)
class Entity:
    """What is said of an item."""

    label: str
    mesh: str = ""
    instance_of: tuple[int, ...] = ()
    subclass_of: tuple[int, ...] = ()
    german: str = ""
    modified: datetime = LONG_AGO

    def triples(self, qid: int) -> Iterator[str]:
        item = f"<http://www.wikidata.org/entity/Q{qid}>"
        about = {
            "http://www.w3.org/2000/01/rdf-schema#label": [f'"{self.label}"@en'],
            "http://www.w3.org/2004/02/skos/core#altLabel": [f'"{self.german}"@de'],
            "http://www.wikidata.org/prop/direct/P486": [f'"{self.mesh}"'],
            "http://schema.org/dateModified": [
                f'"{self.modified:%Y-%m-%dT%H:%M:%SZ}"^^<http://www.w3.org/2001/XMLSchema#dateTime>'
            ],
        }
        for predicate, terms in about.items():
            yield from (f"{item} <{predicate}> {term} ." for term in terms if term[:2] != '""')
        for prop, classes in (("P31", self.instance_of), ("P279", self.subclass_of)):
            for each in classes:
                yield (
                    f"{item} <http://www.wikidata.org/prop/direct/{prop}> "
                    f"<http://www.wikidata.org/entity/Q{each}> ."
                )


@dataclass
class World:
    """Wikidata in small: items and redirects. Every change is told by the stream; the SPARQL
    server knows it once `publish` is called."""

    url: str
    stream: FakeEventStream
    items: dict[int, Entity] = field(default_factory=dict)
    redirects: dict[int, int] = field(default_factory=dict)

    last: datetime = LONG_AGO

    def _now(self) -> datetime:
        """Later than before, by a millisecond at least."""
        self.last = max(datetime.now(UTC), self.last + timedelta(milliseconds=1))
        return self.last

    def create(self, qid: int, label: str, **said: Any) -> None:
        now = self._now()
        self.items[qid] = Entity(label, modified=now.replace(microsecond=0), **said)
        self.stream.publish("create", f"Q{qid}", now)

    def edit(self, qid: int, **said: Any) -> None:
        now, entity = self._now(), self.items[qid]
        # People do not edit an item twice a second, as tests do.
        at = max(now.replace(microsecond=0), entity.modified + timedelta(seconds=1))
        self.items[qid] = replace(entity, modified=at, **said)
        self.stream.publish("edit", f"Q{qid}", now, revised=at)

    def merge(self, qid: int, into: int) -> None:
        moved = self.items.pop(qid)
        self.edit(into, german=f"{moved.label} (merged)")
        self.redirects[qid] = into
        self.stream.publish("edit", f"Q{qid}", self._now(), redirect=f"Q{into}")

    def delete(self, qid: int) -> Entity | None:
        self.redirects.pop(qid, None)
        self.stream.publish("delete", f"Q{qid}", self._now())
        return self.items.pop(qid, None)

    def restore(self, qid: int, entity: Entity) -> None:
        self.redirects.pop(qid, None)
        self.items[qid] = entity
        self.stream.publish("undelete", f"Q{qid}", self._now(), revised=entity.modified)

    def publish(self) -> None:
        """Lets the SPARQL server know."""
        triples = [t for qid, entity in self.items.items() for t in entity.triples(qid)]
        same = "http://www.w3.org/2002/07/owl#sameAs"
        wd = "http://www.wikidata.org/entity/Q"
        triples += [f"<{wd}{qid}> <{same}> <{wd}{to}> ." for qid, to in self.redirects.items()]
        update = "CLEAR ALL ; INSERT DATA { " + "\n".join(triples) + " }"
        request = urllib.request.Request(
            self.url.replace("/query", "/update"),
            update.encode(),
            {"Content-Type": "application/sparql-update"},
        )
        urllib.request.urlopen(request, timeout=30).read()


@pytest.fixture(scope="session")
def sparql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real oxigraph server that can be written to, with nothing in it."""
    nothing = tmp_path_factory.mktemp("nothing") / "nothing.nt"
    nothing.touch()
    with local_endpoint(nothing, writable=True) as url:
        yield url


@pytest.fixture
def world(sparql_server: str, event_stream: FakeEventStream) -> World:
    return World(sparql_server, event_stream)
