"""Wikimedia's stream of page changes, read from a moment in the past up to another.

The stream holds the changes of all wikis and keeps them for a week or so. It is Server-Sent Events
out of Kafka: an event's id says, for each of the stream's topics, from where to go on; connections
end every few minutes, which is no fault, and a reader that names the last id it saw goes on there.
https://wikitech.wikimedia.org/wiki/Event_Platform/EventStreams_HTTP_Service
Events are those of the schema mediawiki/page/change, 1.x.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

import httpx2
import orjson

from bioelx.errors import SourceError
from bioelx.release.manifest import utc_now
from bioelx_index.sources.wikidata.endpoint import check_caller, retry_after

STREAM = "https://stream.wikimedia.org/v2/stream/mediawiki.page_change.v1"
WINDOW = timedelta(days=7)
"""How long the stream is sure to keep an event."""

_WIKI = "wikidatawiki"
_ITEM = re.compile(r"Q([1-9]\d*)")
_REWIND = timedelta(seconds=10)
"""How far before the beginning reading begins: events may be a little out of order."""
_GAP = timedelta(hours=2)
"""Between two events that follow each other there is never so much: each topic gets a trial event
(a canary) every hour."""
_ATTEMPTS = 8
_PAUSE_SECONDS = 1.0
_CONNECT_SECONDS = 30.0
_TEMPORARY = {408, 425, 429}
_TOLERATED = 100, 0.01  # events that are no page changes: so many, and such a share of all


class State(IntEnum):
    """What an item is after an event."""

    PRESENT = 0
    REDIRECT = 1
    GONE = 2


@dataclass(frozen=True, slots=True)
class Change:
    """What one event did to an item."""

    qid: int
    state: State
    revised: datetime | None = None
    """The item's `schema:dateModified` from now on, where the event says so."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the stream: all before it has been read."""

    begin: datetime
    """When what is read began to be sent."""
    event_id: str = ""
    """Of the last event before it."""
    at: datetime | None = None
    """When the latest event before it was sent."""

    @property
    def reached(self) -> datetime:
        """The stream has been read up to then, or from then on."""
        return max(self.begin, self.at or self.begin)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream."""

    sent: datetime
    change: Change | None
    """Most events are of other wikis, or of no item."""
    position: Position
    """The place after it."""
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of page changes, and how to read it."""

    url: str
    user_agent: str
    window: timedelta = WINDOW
    silence: float = 60.0
    """Seconds without a byte after which a connection counts as dead."""
    settle: float = 2.0
    """Seconds in which nothing old comes, after which the end counts as reached: of several topics
    one may come to the present before the others."""

    def __post_init__(self) -> None:
        check_caller(self.url, self.user_agent)

    def follow(self, start: Position, until: datetime) -> Iterator[Event]:
        """Yields the events from `start` on, and ends when none before `until` is left.

        Some come twice.

        Raises:
            SourceError: `start` lies before what the stream keeps; the server refuses or does not
                come back; or it sends what are no page changes.
        """
        self.check(start)
        timeout = httpx2.Timeout(self.silence, connect=_CONNECT_SECONDS)
        headers = {"User-Agent": self.user_agent}
        with httpx2.Client(headers=headers, timeout=timeout, follow_redirects=True) as client:
            yield from self._follow(client, start, until)

    def _follow(self, client: httpx2.Client, start: Position, until: datetime) -> Iterator[Event]:
        position, count, strange, failures = start, 0, 0, 0
        settled = _Settled(until, self.settle)
        while not settled:
            problem, rest, begin, first = "the connection ended", 0.0, position, True
            try:
                for message in self._connect(client, begin):
                    event = _read(message, position)
                    count, strange = count + 1, strange + (not event.readable)
                    self._check_readable(strange, count)
                    if event.readable and first:
                        self._check_gap(position.reached, event.sent)
                        first = False
                    position = event.position
                    yield event
                    if event.readable and settled.after(event.sent):
                        return
            except _Interrupted as error:
                problem, rest = str(error), error.pause
            failures = 0 if position != begin else failures + 1
            if failures >= _ATTEMPTS:
                raise SourceError(
                    f"{self.url}: failed {_ATTEMPTS} times, last with: {problem}; read up to "
                    f"{position.reached:%Y-%m-%d %H:%M:%S} UTC"
                )
            if not settled:
                time.sleep(max(rest, _PAUSE_SECONDS * 2**failures))

    def check(self, start: Position) -> None:
        """Raises the error that `follow` raises where `start` is too long ago."""
        if utc_now() - start.reached > self.window:
            raise SourceError(self._too_old(start.reached))

    def _check_gap(self, before: datetime, after: datetime) -> None:
        if after - before > _GAP:
            raise SourceError(
                f"{self._too_old(before)} (its next event is of {after:%Y-%m-%d %H:%M} UTC)"
            )

    def _too_old(self, at: datetime) -> str:
        return (
            f"{self.url}: no longer holds what changed since {at:%Y-%m-%d %H:%M} UTC (it keeps "
            f"{self.window / timedelta(days=1):g} days): use --changes modified, or pull anew"
        )

    def _check_readable(self, strange: int, count: int) -> None:
        most, share = _TOLERATED
        if strange > most and strange > share * count:
            raise SourceError(
                f"{self.url}: {strange:,} of {count:,} events are no page changes; "
                f"is it the right stream ({STREAM})?"
            )

    def _connect(
        self, client: httpx2.Client, position: Position
    ) -> Iterator[httpx2.ServerSentEvent]:
        begin = position.begin - _REWIND
        headers = {}
        if position.event_id:
            headers["Last-Event-ID"] = resumed(position.event_id, begin)
        since = begin.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with (
            _interruptions(),
            client.sse(self.url, params={"since": since}, headers=headers) as source,
        ):
            self._check_status(source.response)
            for message in source:
                if message.event == "error":
                    raise _Interrupted(f"the server reports an error: {message.data[:200]}")
                if message.data:
                    yield message

    def _check_status(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        if status >= 500 or status in _TEMPORARY:
            wait, date = (response.headers.get(name, "") for name in ("Retry-After", "Date"))
            raise _Interrupted(f"HTTP {status}", retry_after(wait, date))
        response.read()
        raise SourceError(f"{self.url}: HTTP {status}: {response.text.strip()[:300]}")


class _Interrupted(Exception):  # noqa: N818  (it goes on)
    """A connection ended in a way that is worth another try, after `pause` seconds at least."""

    def __init__(self, problem: str, pause: float = 0.0) -> None:
        super().__init__(problem)
        self.pause = pause


class _Settled:
    """Whether the stream has been read up to a moment, in all its topics."""

    def __init__(self, until: datetime, seconds: float) -> None:
        self.until, self.seconds = until, seconds
        self.since: float | None = None

    def after(self, at: datetime) -> bool:
        """Takes note of an event that was sent at `at`."""
        if at < self.until:
            self.since = None
        elif self.since is None:
            self.since = time.monotonic()
        return bool(self)

    def __bool__(self) -> bool:
        return self.since is not None and time.monotonic() - self.since >= self.seconds


@contextmanager
def _interruptions() -> Iterator[None]:
    """What the network does to a connection, as `_Interrupted`."""
    try:
        yield
    except httpx2.ReadTimeout:
        raise _Interrupted("nothing came for too long") from None
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from None


def resumed(event_id: str, begin: datetime) -> str:
    """What an event's id must be turned into so that nothing is lost after it.

    Of topics that have sent the reader nothing an id holds an offset: the topic's end at that time
    (-1), or a number that means another event in another data centre. Those are read from the
    beginning. For the others it names the millisecond after their last event, though more events
    may be of the same one: that is read again.
    """
    try:
        topics = orjson.loads(event_id)
        if not isinstance(topics, list):
            return event_id
        return orjson.dumps([_resumed(topic, begin) for topic in topics]).decode()
    except (TypeError, AttributeError, KeyError, ValueError):
        return event_id  # another kind of server's


def _resumed(topic: dict[str, Any], begin: datetime) -> dict[str, Any]:
    moment = topic["timestamp"] - 1 if "timestamp" in topic else int(begin.timestamp() * 1000)
    return {"topic": topic["topic"], "partition": topic["partition"], "timestamp": moment}


def _read(message: httpx2.ServerSentEvent, position: Position) -> Event:
    """What a message holds, read at `position`."""
    event_id = message.id or position.event_id
    try:
        event = orjson.loads(message.data)
        sent, change = _moment(event["meta"]["dt"]), _change(event)
    except (KeyError, TypeError, AttributeError, ValueError):
        after = replace(position, event_id=event_id)
        return Event(position.reached, None, after, readable=False)
    # Never back: topics take turns, and each has its own place in the id.
    after = replace(position, event_id=event_id, at=max(sent, position.reached))
    return Event(sent, change, after)


def _change(event: dict[str, Any]) -> Change | None:
    kind, page = event["page_change_kind"], event["page"]
    if event["wiki_id"] != _WIKI or page["namespace_id"] != 0:
        return None
    title = _ITEM.fullmatch(page["page_title"])
    if title is None or kind in ("visibility_change", "move"):  # neither changes what is said
        return None
    qid = int(title[1])
    if kind == "delete":
        return Change(qid, State.GONE)
    if page.get("is_redirect"):
        return Change(qid, State.REDIRECT)
    # An item that was restored is what it was: its latest revision is older than the event.
    revised = None if kind == "undelete" else _moment(event["revision"]["rev_dt"])
    return Change(qid, State.PRESENT, revised)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text}: no time zone")
    return moment
