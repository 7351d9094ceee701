"""An endpoint that answers badly, and one that must not be annoyed."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioelx.errors import SourceError
from bioelx_index.sources.wikidata import endpoint as module
from bioelx_index.sources.wikidata.endpoint import Endpoint, Manners, TooMuchAskedError

AGENT = "bioelx-tests/1.0 (tests@example.org)"
QUERY = "SELECT ?name WHERE { wd:Q190805 rdfs:label ?name }"
ROWS = [{"name": {"type": "literal", "value": "heart disease", "xml:lang": "en"}}]


def slow_down(**headers: str) -> tuple:
    return 429, {name.replace("_", "-"): value for name, value in headers.items()}, b"slow down"


FAULTS: dict[str, Callable] = {
    "cut off": lambda asked: asked.good[: len(asked.good) // 2],
    "with a stack trace at the end": lambda asked: asked.good + b"java.lang.Exception",
    "empty": lambda _: b"",
    "other JSON": lambda _: b'{"message": "busy"}',
    "HTML with status 200": lambda _: b"<html>busy</html>",
    "HTML that says so": lambda _: (200, {"Content-Type": "text/html"}, b"<html>busy</html>"),
    "429": lambda _: slow_down(),
    "429 with Retry-After": lambda _: slow_down(Retry_After="0"),
    "500": lambda _: (500, {}, b"oops"),
    "502": lambda _: (502, {}, b"oops"),
    "503": lambda _: (503, {"Retry-After": "0"}, b"maintenance"),
    "504": lambda _: (504, {}, b"timeout"),
    "dropped": lambda _: None,
    "dropped in the middle": lambda asked: (200, {"Content-Length": "999"}, asked.good[:50]),
    "broken gzip": lambda asked: (200, {"Content-Encoding": "gzip"}, gzip.compress(asked.good)[:9]),
}
TOO_MUCH = {
    "cut off": FAULTS["cut off"],
    "504": FAULTS["504"],
    "500 of Blazegraph": lambda _: (500, {}, b"java.util.concurrent.TimeoutException: ..."),
    "429 of QLever": lambda _: (429, {}, b'{"exception": "Operation timed out."}'),
    "413": lambda _: (413, {}, b""),
    "Virtuoso's limit": lambda asked: (200, {"X-SPARQL-MaxRows": "1"}, asked.good),
    "too large": lambda asked: asked.good + b" " * 2000,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_answer_is_asked_for_again(proxy: Callable, fault: str, hurried: Manners) -> None:
    started = proxy(lambda asked: FAULTS[fault](asked) if asked.number < 3 else asked.good)
    ask = Endpoint(started.url, AGENT, manners=hurried)
    assert ask(QUERY) == ROWS
    assert (ask.effort.requests, ask.effort.failures) == (3, 2)
    assert {asked.agent for asked in started.asked} == {AGENT}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_endpoint_that_never_recovers_is_named(
    proxy: Callable, fault: str, hurried: Manners
) -> None:
    started = proxy(FAULTS[fault])
    with pytest.raises(SourceError, match=f"{started.url}: failed 10 times, last with: "):
        Endpoint(started.url, AGENT, manners=hurried)(QUERY)
    assert len(started.asked) == 10


@pytest.mark.parametrize("fault", TOO_MUCH)
def test_who_asks_too_much_is_told_at_once(proxy: Callable, fault: str) -> None:
    started = proxy(TOO_MUCH[fault])
    manners = Manners(pause=0.001, largest_answer=2000)
    with pytest.raises(TooMuchAskedError, match="failed 1 times"):
        Endpoint(started.url, AGENT, manners=manners)(QUERY, tries=1)


def test_silence_is_a_timeout(proxy: Callable) -> None:
    started = proxy(lambda asked: time.sleep(1.5) or asked.good)
    with pytest.raises(TooMuchAskedError, match="timed out"):
        Endpoint(started.url, AGENT, manners=Manners(silence=1))(QUERY, tries=1)


def test_a_packed_answer_is_unpacked(proxy: Callable) -> None:
    packed = {"Content-Encoding": "gzip"}
    started = proxy(lambda asked: (200, packed, gzip.compress(asked.good)))
    assert Endpoint(started.url, AGENT)(QUERY) == ROWS


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_query_that_is_refused_is_not_repeated(proxy: Callable, status: int) -> None:
    started = proxy(lambda _: (status, {}, b"not from here"))
    with pytest.raises(SourceError, match=r"refuses the query.*not from here"):
        Endpoint(started.url, AGENT)(QUERY)
    assert len(started.asked) == 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # SPARQLWrapper finds it odd, too
def test_a_real_server_refuses_what_is_no_sparql(endpoint: str) -> None:
    with pytest.raises(SourceError, match="refuses the query"):
        Endpoint(endpoint, AGENT)("this is no SPARQL")


def test_an_endpoint_that_moved_says_where(proxy: Callable) -> None:
    started = proxy(lambda _: (308, {"Location": "https://elsewhere.example/sparql"}, b""))
    with pytest.raises(SourceError, match=r"https://elsewhere\.example/sparql"):
        Endpoint(started.url, AGENT)(QUERY)


def test_an_endpoint_that_is_not_there_is_given_up_soon(hurried: Manners) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/query: failed 3 times.*refused"):
        Endpoint("http://127.0.0.1:9/query", AGENT, manners=hurried)(QUERY)


# Manners


def waits(answer: tuple, proxy: Callable, manners: Manners) -> list[tuple[float, str]]:
    """The pauses after one such answer."""
    told: list[tuple[float, str]] = []
    started = proxy(lambda asked: answer if asked.number == 1 else asked.good)
    ask = Endpoint(started.url, AGENT, manners=manners, on_wait=lambda *pause: told.append(pause))
    ask(QUERY)
    return told


def test_a_pause_is_as_long_as_the_endpoint_asks(proxy: Callable, hurried: Manners) -> None:
    before = time.monotonic()
    [(seconds, problem)] = waits(slow_down(Retry_After="1"), proxy, hurried)
    assert (seconds, problem) == (1, "HTTP 429")
    assert time.monotonic() - before >= 1


def test_a_pause_until_a_date_goes_by_the_servers_clock(proxy: Callable, hurried: Manners) -> None:
    now = datetime(2001, 2, 3, tzinfo=UTC)
    headers = {"Date": format_datetime(now, usegmt=True)}
    headers["Retry_After"] = format_datetime(now + timedelta(seconds=1), usegmt=True)
    [(seconds, _)] = waits(slow_down(**headers), proxy, hurried)
    assert seconds == 1


def test_a_ban_of_days_ends_the_job_with_the_reason(proxy: Callable) -> None:
    started = proxy(lambda _: slow_down(Retry_After=str(7 * 86_400)))
    with pytest.raises(SourceError, match=r"left alone for 168 hours \(HTTP 429\)"):
        Endpoint(started.url, AGENT)(QUERY)


DATES = ("Mon,", "31", "Feb", "2024", "0", "25:61:00", "-1", "GMT", "+99999", "9" * 20, "")


@given(*[st.text() | st.lists(st.sampled_from(DATES)).map(" ".join)] * 2)
def test_no_retry_after_is_too_odd(value: str, date: str) -> None:
    assert module.retry_after(value, date) >= 0


def test_failing_queries_are_few_a_minute(proxy: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))
    failed_at: list[float] = []
    started = proxy(lambda asked: (failed_at.append(clock[0]), (500, {}, b""))[1])
    manners = Manners(pause=0.001, failures_a_minute=4, attempts=13)
    with pytest.raises(SourceError):
        Endpoint(started.url, AGENT, manners=manners)(QUERY)
    assert all(b - a >= 60 for a, b in zip(failed_at, failed_at[4:], strict=False))
    assert clock[0] < 300


def test_pauses_grow_and_differ() -> None:
    told: list[float] = []
    manners = Manners(pause=1e-4, longest_pause=1e-3, failures_a_minute=1000)
    ask = Endpoint(
        "http://127.0.0.1:9/", AGENT, manners=manners, on_wait=lambda s, _: told.append(s)
    )
    for _ in range(5):
        with pytest.raises(SourceError):
            ask(QUERY)
    assert len(set(told)) == 15
    assert told[0] < 1.3e-4
    assert all(7e-4 < pause < 1.3e-3 for pause in told[5:])


@pytest.mark.parametrize("agent", ["", "Mozilla", "me/1.0", "me (me@example.org)", "ü/1 (a@b.c)"])
def test_strangers_must_say_who_they_are(agent: str) -> None:
    with pytest.raises(SourceError, match=r"user agent|say who you are"):
        Endpoint("https://query.wikidata.org/sparql", agent)


@pytest.mark.parametrize(
    ("url", "agent"),
    [
        ("https://query.wikidata.org/sparql", "Me/1.0 (https://me.example; me@me.example)"),
        ("https://query.wikidata.org/sparql", "Me/1.0 (me@me.example) SPARQLWrapper/2.0"),
        ("http://localhost:7878/query", ""),
        ("http://127.0.0.1:7878/query", ""),
        ("http://[::1]:7878/query", ""),
    ],
)
def test_who_says_so_may_ask_and_at_home_nobody_need(url: str, agent: str) -> None:
    assert Endpoint(url, agent).url == url


@pytest.mark.parametrize("url", ["query.wikidata.org/sparql", "ftp://host/sparql", "https://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SourceError, match="not an http or https URL"):
        Endpoint(url, AGENT)
