"""The SPARQL route against a real server, and against one that answers badly."""

from __future__ import annotations

import json
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from bioelx.errors import SourceError
from bioelx.types import Name
from bioelx_index.sources import SourceConcept, wikidata

AGENT = "bioelx-tests/1.0 (tests)"
SLICE = """\
@prefix wd: <http://www.wikidata.org/entity/> .
@prefix wdt: <http://www.wikidata.org/prop/direct/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix schema: <http://schema.org/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
wd:Q12152 rdfs:label "myocardial infarction"@en, "Herzinfarkt"@de ;
    skos:altLabel "heart attack"@en ;
    schema:description "interruption of blood supply"@en, "Krankheit"@de ;
    schema:dateModified "2025-10-01T12:00:00Z"^^xsd:dateTime ;
    wdt:P31 wd:Q12136 ; wdt:P2892 "C0027051" ; wdt:P486 "D009203" ; wdt:P494 "I21" .
<https://fi.wikipedia.org/wiki/Infarkti_(sairaus)> schema:about wd:Q12152 ;
    schema:inLanguage "fi" ; schema:name "Infarkti (sairaus)"@fi .
wd:Q31 wdt:P486 "22" .
wd:Q1000262 wdt:P1843 "Rotbauchwürger"@de ; wdt:P31 wd:Q16521 .
""" + "".join(f'wd:Q{number} rdfs:label "thing {number}"@en .\n' for number in range(5000, 5040))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real oxigraph server with the slice above."""
    folder = tmp_path_factory.mktemp("oxigraph")
    (folder / "slice.ttl").write_text(SLICE, encoding="utf-8")
    program = Path(sysconfig.get_path("scripts")) / "oxigraph"
    location = ["--location", str(folder / "db")]
    load = [program, "load", *location, "--file", folder / "slice.ttl"]
    subprocess.run(load, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = [program, "serve-read-only", *location, "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}/query"
        for _ in range(100):
            try:
                urllib.request.urlopen(url + "?query=ASK%7B%7D", timeout=5).read()
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        yield url
        server.terminate()


@pytest.fixture
def fault_proxy(endpoint: str) -> Iterator[Callable[[Callable[[int, bytes], object]], str]]:
    """Starts a proxy before the endpoint; a function of (number of the request, good answer)
    says what it answers: bytes, or (status, headers, bytes), or None to hang up."""
    servers = []

    def start(spoil: Callable[[int, bytes], object]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = ("Content-Type", "Accept", "User-Agent")
                headers = {name: self.headers[name] for name in names}
                request = urllib.request.Request(endpoint, body, headers)
                good = urllib.request.urlopen(request, timeout=30).read()
                server.asked.append(self.headers["User-Agent"])
                assert self.headers["User-Agent"] == AGENT
                answer = spoil(len(server.asked), good)
                if answer is None:
                    return
                status, extra, data = answer if isinstance(answer, tuple) else (200, {}, answer)
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/sparql-results+json",
                    **extra,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                """Tests are quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/query"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def pull(url: str, **options: object) -> list[SourceConcept]:
    return list(wikidata.pull(url, user_agent=AGENT, **options))


def test_an_item_comes_whole(endpoint: str) -> None:
    item = next(c for c in pull(endpoint) if c.concept_id == "wikidata:Q12152")
    assert set(item.names) == {
        Name("myocardial infarction", "en", "label", "wikidata"),
        Name("Herzinfarkt", "de", "label", "wikidata"),
        Name("heart attack", "en", "alias", "wikidata"),
        Name("Infarkti", "fi", "title", "wikidata"),
    }
    assert item.description == "interruption of blood supply"
    assert item.types == ("disease",)
    assert item.equivalent == ("mesh:D009203", "umls:C0027051")
    assert item.related == ("icd10:I21",)
    assert item.modified is not None
    assert item.modified.year == 2025


def test_paging_and_ranges_change_nothing(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pull(endpoint)
    assert len(whole) == 43
    assert [c.concept_id for c in whole] == sorted(
        (c.concept_id for c in whole), key=lambda x: int(x.removeprefix("wikidata:Q"))
    )
    pages: list[tuple[int, int]] = []
    assert pull(endpoint, page_size=7, on_page=lambda *page: pages.append(page)) == whole
    assert pages[0] == (7, 43)
    assert pages[-1] == (43, 43)
    monkeypatch.setattr(wikidata, "_LISTED_AT_ONCE", 2)
    assert pull(endpoint) == whole


def test_a_selection_of_ones_own(endpoint: str) -> None:
    (item,) = pull(endpoint, selection="?item wdt:P2892 ?cui")
    assert item.concept_id == "wikidata:Q12152"


def test_a_bad_id_and_an_item_of_common_names(endpoint: str) -> None:
    items = {c.concept_id: c for c in pull(endpoint)}
    assert items["wikidata:Q31"].equivalent == ()
    assert items["wikidata:Q1000262"].names == (Name("Rotbauchwürger", "de", "alias", "wikidata"),)


FAULTS = {
    "cut off": lambda good: good[: len(good) // 2],
    "HTML with status 200": lambda _: b"<html>busy</html>",
    "HTML that says so": lambda _: (200, {"Content-Type": "text/html"}, b"<html>busy</html>"),
    "429": lambda _: (429, {"Retry-After": "0"}, b"slow down"),
    "500": lambda _: (500, {}, b"oops"),
    "504": lambda _: (504, {}, b"timeout"),
    "dropped": lambda _: None,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_answer_in_three_loses_nothing(
    endpoint: str, fault_proxy: Callable, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wikidata, "_PAUSE_SECONDS", 0.001)
    url = fault_proxy(lambda count, good: FAULTS[fault](good) if count % 3 == 1 else good)
    assert pull(url, page_size=10) == pull(endpoint)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_an_endpoint_that_never_recovers_is_named(
    fault_proxy: Callable, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wikidata, "_PAUSE_SECONDS", 0.001)
    url = fault_proxy(lambda _, good: FAULTS[fault](good))
    with pytest.raises(SourceError, match=f"{url}: failed 5 times"):
        pull(url)


def test_an_endpoint_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikidata, "_PAUSE_SECONDS", 0.001)
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/query: failed 5 times"):
        pull("http://127.0.0.1:9/query")


def test_a_query_that_the_endpoint_refuses_is_not_repeated(endpoint: str) -> None:
    started = time.monotonic()
    with pytest.raises(SourceError, match="refuses the query"):
        pull(endpoint, selection="this is no SPARQL")
    assert time.monotonic() - started < 1


def test_items_that_are_counted_but_not_listed_are_missed(fault_proxy: Callable) -> None:
    def one_more(count: int, good: bytes) -> bytes:
        answer = json.loads(good)
        for row in answer["results"]["bindings"]:
            if "n" in row:
                row["n"]["value"] = str(int(row["n"]["value"]) + 1)
        return json.dumps(answer).encode()

    with pytest.raises(SourceError, match="lists 43 items but counts 44"):
        pull(fault_proxy(one_more))
