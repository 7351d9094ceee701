"""A SPARQL 1.1 endpoint, asked with patience and with good manners.

The manners are those that Wikidata's own service asks for, and no other can mind: one request at a
time, a User-Agent that says who asks, a pause as long as a busy server wants one, and few failing
queries a minute.
https://www.mediawiki.org/wiki/Wikidata_Query_Service/User_Manual#Query_limits
https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy
"""

from __future__ import annotations

import ipaddress
import random
import re
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from threading import Lock, Semaphore
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import orjson
from SPARQLWrapper import JSON, POST, SPARQLWrapper
from SPARQLWrapper.SPARQLExceptions import EndPointInternalError, SPARQLWrapperException

from bioelx.errors import SourceError
from bioelx_index.sources.wikidata.vocabulary import ENTITY

PREFIXES = f"""\
PREFIX wd: <{ENTITY}>
PREFIX wdt: <http://www.wikidata.org/prop/direct/>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX skos: <http://www.w3.org/2004/02/skos/core#>
PREFIX owl: <http://www.w3.org/2002/07/owl#>
PREFIX schema: <http://schema.org/>
"""

Rows = list[dict[str, dict[str, str]]]
"""Bindings as SPARQL's JSON has them: variable -> type, value and, of a text, `xml:lang`."""

_AGENT = re.compile(r"[!-~]+/[!-~]+ .*(@|https?://).*")
_AGENT_EXAMPLE = "'YourProject/1.0 (https://your.site; you@your.site)'"
_NEVER_REACHED = 3  # attempts at a host that was never reached: rather mistyped than down
_BUSY = {408, 425, 429}
_TIMED_OUT = re.compile(rb"time[ds]?[ -]?out|time ?limit", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+")
_CHUNK = 1 << 18


class TooMuchAskedError(SourceError):
    """The endpoint could not answer this question whole (it timed out, the answer broke off, or
    is larger than is taken); a smaller one may do."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How patient, and how considerate. Times are in seconds."""

    silence: int = 120
    """Without a byte, after which a query has timed out."""
    whole_answer: float = 600.0
    """After which an answer that still comes in has timed out."""
    largest_answer: int = 32 << 20
    """Bytes of JSON; some four times as many are needed to hold it."""
    attempts: int = 10
    pause: float = 1.0
    """After a failure; doubled with every further one in a row."""
    longest_pause: float = 60.0
    longest_rest: float = 90_000.0
    """That an endpoint may ask for with Retry-After and gets: Wikidata's bans last a day."""
    failures_a_minute: int = 20
    """Wikidata bars who has more than 30."""
    at_once: int = 1
    """Requests under way."""


@dataclass(slots=True)
class Effort:
    """What the answers took so far."""

    requests: int = 0
    failures: int = 0
    bytes: int = 0
    """Of JSON."""


class _FailureError(Exception):
    """An answer that was none, though the next one may be."""

    def __init__(
        self,
        problem: str,
        *,
        too_much: bool = False,
        rest: float = 0.0,
        unreachable: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.too_much = too_much
        self.rest = rest
        self.unreachable = unreachable


class Endpoint:
    """Asks questions, by several threads if need be, and gives whole answers only.

    What looks temporary is asked again after a growing pause, with some chance in it so that
    several pulls do not come back together, or after the one that the endpoint asks for.

    Args:
        user_agent: name, version and contact of who runs this: `Name/1.0 (mail or web address)`.
            Needed for all but loopback hosts.
        on_wait: told of every pause: how long, and why.

    Raises:
        SourceError: the URL or the user agent is not as it should be.
    """

    def __init__(
        self,
        url: str,
        user_agent: str,
        *,
        manners: Manners | None = None,
        on_wait: Callable[[float, str], None] | None = None,
    ) -> None:
        check_caller(url, user_agent)
        self.url = url
        self.user_agent = user_agent
        self.manners = manners or Manners()
        self.on_wait = on_wait
        self.effort = Effort()
        self.opened = time.monotonic()
        self._slots = Semaphore(self.manners.at_once)
        self._lock = Lock()
        self._reached = False
        self._in_a_row = 0
        self._failed: deque[float] = deque(maxlen=self.manners.failures_a_minute)
        self._resting_until = 0.0

    def __call__(self, query: str, *, tries: int | None = None) -> Rows:
        """Asks a SELECT query; the usual prefixes are added.

        Args:
            tries: how often a question is asked that looks too much for the endpoint; by default
                as often as one that fails otherwise.

        Raises:
            TooMuchAskedError: it timed out, or its answer broke off or is too large.
            SourceError: the endpoint is down, refuses the query, or keeps failing.
        """
        attempts = self.manners.attempts
        tries = tries or attempts
        too_much = 0
        for attempt in range(1, attempts + 1):
            with self._slots:
                self._rest()
                try:
                    rows = self._ask(PREFIXES + query)
                except _FailureError as failure:
                    self._note(failure)
                    too_much += failure.too_much
                    self._reached = self._reached or not failure.unreachable
                    stranger = attempt == _NEVER_REACHED and not self._reached
                    if attempt < attempts and too_much < tries and not stranger:
                        continue
                    problem = f"{self.url}: failed {attempt} times, last with: {failure.problem}"
                    kind = TooMuchAskedError if failure.too_much else SourceError
                    raise kind(problem) from None
                self._reached, self._in_a_row = True, 0
                return rows
        raise AssertionError("the last attempt returns or raises")

    def _rest(self) -> None:
        """Waits until the endpoint may be asked again."""
        while (seconds := self._resting_until - time.monotonic()) > 0:
            time.sleep(seconds)

    def _note(self, failure: _FailureError) -> None:
        """Puts off the next request of all threads."""
        manners = self.manners
        if failure.rest > manners.longest_rest:
            raise SourceError(
                f"{self.url}: asks to be left alone for {failure.rest / 3600:,.0f} hours "
                f"({failure.problem}); go on after that"
            ) from None
        with self._lock:
            self.effort.failures += 1
            now = time.monotonic()
            pause = min(manners.longest_pause, manners.pause * 2**self._in_a_row)
            pause = max(pause * random.uniform(0.75, 1.25), failure.rest)  # noqa: S311
            self._in_a_row = min(self._in_a_row + 1, 30)
            self._failed.append(now)
            if len(self._failed) == manners.failures_a_minute:
                pause = max(pause, self._failed[0] + 60 - now)
            self._resting_until = max(self._resting_until, now + pause)
        if self.on_wait:
            self.on_wait(pause, failure.problem)

    def _ask(self, query: str) -> Rows:
        wrapper = SPARQLWrapper(self.url, agent=self.user_agent)
        wrapper.setMethod(POST)
        wrapper.setReturnFormat(JSON)
        wrapper.setOnlyConneg(True)
        wrapper.setTimeout(self.manners.silence)
        wrapper.addCustomHttpHeader("Accept-Encoding", "gzip")
        wrapper.setQuery(query)
        with self._lock:
            self.effort.requests += 1
        try:
            with wrapper.query().response as response:
                if response.geturl() != self.url:
                    raise SourceError(f"{self.url}: has moved to {response.geturl()}: ask there")
                content = self._read(response)
                with self._lock:
                    self.effort.bytes += len(content)
                return _rows(content, response.headers)
        except HTTPError as error:
            raise self._refused(error) from None
        except EndPointInternalError as error:
            timed_out = bool(_TIMED_OUT.search(str(error).encode()))
            raise _FailureError("HTTP 500", too_much=timed_out) from None
        except SPARQLWrapperException as error:
            raise SourceError(f"{self.url}: refuses the query: {_said(str(error))}") from None
        except TimeoutError:
            raise _FailureError("timed out", too_much=True) from None
        except URLError as error:
            timed_out = isinstance(error.reason, TimeoutError)
            raise _FailureError(str(error.reason), unreachable=not timed_out) from None
        except (HTTPException, OSError, zlib.error) as error:
            # The status line never came, or the connection was lost in the middle of an answer.
            problem = f"the connection was lost ({error or type(error).__name__})"
            raise _FailureError(problem, too_much=True) from None

    def _refused(self, error: HTTPError) -> Exception:
        said = error.read(4096)
        rest = retry_after(error.headers.get("Retry-After", ""), error.headers.get("Date", ""))
        if error.code == 429 and not rest and _TIMED_OUT.search(said):
            return _FailureError("timed out (HTTP 429)", too_much=True)  # QLever's way
        if error.code in _BUSY or (error.code >= 500 and error.code != 501):
            too_much = error.code in (408, 504) or bool(_TIMED_OUT.search(said))
            return _FailureError(f"HTTP {error.code}", too_much=too_much, rest=rest)
        if error.code == 413:
            return _FailureError("HTTP 413", too_much=True)
        text = _said(error.headers.get("Location", "") or said.decode(errors="replace"))
        return SourceError(f"{self.url}: refuses the query: HTTP {error.code} {text}")

    def _read(self, response: HTTPResponse) -> bytes:
        packed = response.headers.get("Content-Encoding", "") == "gzip"
        unpacker = zlib.decompressobj(wbits=31) if packed else None
        deadline = time.monotonic() + self.manners.whole_answer
        content = bytearray()
        while chunk := response.read(_CHUNK):
            content += unpacker.decompress(chunk) if unpacker else chunk
            if len(content) > self.manners.largest_answer:
                size = self.manners.largest_answer >> 20
                raise _FailureError(f"an answer of more than {size} MiB", too_much=True)
            if time.monotonic() > deadline:
                raise _FailureError("timed out in the middle of the answer", too_much=True)
        return bytes(content)


def check_caller(url: str, user_agent: str) -> None:
    """Raises a SourceError if the URL is none, or the user agent does not say who asks there."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(f"{url}: not an http or https URL")
    if not (user_agent.isascii() and user_agent.isprintable()):
        raise SourceError("the user agent holds characters that a header may not hold")
    if not _AGENT.fullmatch(user_agent) and not _is_loopback(parts.hostname):
        raise SourceError(
            f"{url}: say who you are, with name, version and contact: --user-agent (or "
            f"BIOELX_USER_AGENT) {_AGENT_EXAMPLE}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _rows(content: bytes, headers: Message) -> Rows:
    try:
        rows = orjson.loads(content)["results"]["bindings"]
        if not isinstance(rows, list):
            raise TypeError("its bindings are no list")
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        # A query that timed out can end an answer with status 200 in the middle; others answer
        # with a page of HTML.
        broken = content.lstrip()[:1] == b"{"
        raise _FailureError(f"no whole SPARQL JSON ({error})", too_much=broken) from None
    # Virtuoso cuts answers at a limit and says so in a header only.
    most = headers.get("X-SPARQL-MaxRows", "")
    if _NUMBER.fullmatch(most) and len(rows) >= int(most):
        raise _FailureError(f"an answer of its utmost {most} rows", too_much=True)
    return rows


def retry_after(value: str, date: str) -> float:
    """The seconds that a Retry-After asks for, in either of its forms; 0 if it asks for none.

    Args:
        date: the answer's Date, so that the server's own clock counts, if it tells the time.
    """
    value = value.strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(date).timestamp() if date else time.time()
        return max(0.0, until.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):  # what odd dates lead to
        return 0.0


def _said(text: str) -> str:
    return " ".join(text.split())[:300]
