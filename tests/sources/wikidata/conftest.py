"""A real SPARQL server with a little of Wikidata, and a proxy before it that spoils answers."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest
from rich.console import Console

from bioelx_index.endpoint import local_endpoint
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.endpoint import Manners

TURTLE = """\
@prefix wd: <http://www.wikidata.org/entity/> .
@prefix wdt: <http://www.wikidata.org/prop/direct/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix schema: <http://schema.org/> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
wd:Q12152 rdfs:label "myocardial infarction"@en, "Herzinfarkt"@de, "hjerteinfarkt"@nb ;
    skos:altLabel "heart attack"@en, "MI"@mul, "心肌梗塞"@zh-hant ;
    schema:description "interruption of blood supply"@en, "Krankheit"@de ;
    schema:dateModified "2025-10-01T12:00:00Z"^^xsd:dateTime ;
    wdt:P31 wd:Q112193867 ; wdt:P279 wd:Q190805 ;
    wdt:P2892 "C0027051" ; wdt:P486 "D009203" ; wdt:P494 "I21" ;
    wdt:P492 [] ; wdt:P1748 "C27996" .
<https://fi.wikipedia.org/wiki/Infarkti_(sairaus)> schema:about wd:Q12152 ;
    schema:inLanguage "fi" ; schema:name "Infarkti (sairaus)"@fi .
<https://zh-yue.wikipedia.org/wiki/x> schema:about wd:Q12152 ; schema:name "心肌梗死"@yue .
<https://commons.wikimedia.org/wiki/Category:MI> schema:about wd:Q12152 ;
    schema:name "Category:MI"@en .
wd:Q190805 rdfs:label "heart disease"@en ; wdt:P279 wd:Q12136 ; wdt:P699 "DOID:114" .
<https://www.wikidata.org/wiki/Special:EntityData/Q190805> schema:about wd:Q190805 ;
    schema:dateModified "2024-02-03T04:05:06Z"^^xsd:dateTime .
wd:Q12136 rdfs:label "disease"@en .
wd:Q31 wdt:P486 "22" ; wdt:P31 [] .
wd:Q1000262 wdt:P1843 "Rotbauchwürger"@de ; wdt:P31 wd:Q16521 ; wdt:P685 "1" .
wd:Q777 owl:sameAs wd:Q12152 .
wd:L7 wdt:P486 "D009203" .
""" + "".join(
    f'wd:Q{number} rdfs:label "thing {number}"@en ; wdt:P486 "D00{number}" .\n'
    for number in range(5000, 5060)
)


@pytest.fixture(scope="session")
def hurried() -> Manners:
    """For servers of one's own that fail on purpose."""
    return Manners(pause=0.001, longest_pause=0.01, failures_a_minute=1_000_000)


@pytest.fixture(scope="session")
def turtle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wikidata") / "some.ttl"
    path.write_text(TURTLE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def endpoint(turtle: Path) -> Iterator[str]:
    """A real oxigraph server with the statements above."""
    with local_endpoint(turtle) as url:
        yield url


@dataclass(frozen=True)
class Asked:
    """One request that came to the proxy, and how the real server would have answered it."""

    number: int  # from 1
    query: str
    agent: str
    good: bytes


Answer = bytes | tuple[int, dict[str, str], bytes] | None
"""A body, or (status, headers, body), or None to hang up."""


@dataclass
class Proxy:
    url: str
    asked: list[Asked] = field(default_factory=list)


StartProxy = Callable[[Callable[[Asked], Answer]], Proxy]


@pytest.fixture
def proxy(endpoint: str) -> Iterator[StartProxy]:
    """Starts a proxy before the endpoint; a function says what it answers."""
    servers = []

    def start(answer: Callable[[Asked], Answer]) -> Proxy:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = ("Content-Type", "Accept")
                headers = {name: self.headers[name] for name in names}
                request = urllib.request.Request(endpoint, body, headers)
                good = urllib.request.urlopen(request, timeout=30).read()
                [query] = parse_qs(body.decode())["query"]
                agent = self.headers["User-Agent"]
                asked = Asked(len(started.asked) + 1, query, agent, good)
                started.asked.append(asked)
                given = answer(asked)
                if given is None:
                    return
                status, extra, data = given if isinstance(given, tuple) else (200, {}, given)
                self.send_response_only(status)  # without a date
                kind = {"Content-Type": "application/sparql-results+json"}
                for name, value in {**kind, **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                """Tests are quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        started = Proxy(f"http://127.0.0.1:{server.server_port}/query")
        return started

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def said() -> io.StringIO:
    """What a pull says while it runs."""
    return io.StringIO()


@pytest.fixture
def stages(said: io.StringIO) -> Stages:
    return Stages(Console(file=said, width=200))
