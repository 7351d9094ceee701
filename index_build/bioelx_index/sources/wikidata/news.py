"""What a stream of changes says of items: the latest on each, kept on disk while it is read."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from bioelx_index.progress import Advance, Stages
from bioelx_index.sources.wikidata.events import Change, Event, Position, Stream
from bioelx_index.sources.wikidata.folder import PullFolder
from bioelx_index.sources.wikidata.listing import Qids
from bioelx_index.sources.wikidata.sparql import NEVER

_NOTE = "news"
_EVENTS_AT_ONCE = 100_000
_SECONDS_AT_ONCE = 30.0

_Row = tuple[int, int, int, int]  # qid, when it was sent in milliseconds, state, revised


@dataclass(frozen=True, slots=True)
class News:
    """The latest event on each item, by ascending QID."""

    qids: Qids
    states: npt.NDArray[np.int64]
    """Each a `State`."""
    revised: npt.NDArray[np.int64]
    """The item's `schema:dateModified` after the event, in seconds since 1970; or `NEVER`."""
    reading: Reading

    def only(self, chosen: npt.NDArray[np.bool_]) -> News:
        """The part of it that is on some of the items."""
        return replace(
            self,
            qids=self.qids[chosen],
            states=self.states[chosen],
            revised=self.revised[chosen],
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the stream has been read."""

    position: Position
    events: int = 0
    unreadable: int = 0
    parts: int = 0
    whole: bool = False


_ADAPTER = TypeAdapter(Reading)


def read_news(
    work: PullFolder, stream: Stream, start: Position, until: datetime, stages: Stages
) -> News:
    """Reads the stream from `start` up to `until`, or from where a killed process came to.

    Raises:
        SourceError: as `Stream.follow`.
    """
    raw = work.recall(_NOTE)
    reading = Reading(start) if raw is None else _ADAPTER.validate_python(raw)
    # Progress is in seconds of the stream.
    done, total = (
        int((moment - start.reached).total_seconds())
        for moment in (reading.position.reached, until)
    )
    with stages.stage("listen", max(total, 1), done) as stage:
        if not reading.whole:
            reading = _read(work, stream, reading, until, stage.advance)
        news = _latest(work, reading)
        stage.result = f"{reading.events:,} events, of {len(news.qids):,} items"
        if reading.unreadable:
            stage.result += f"; {reading.unreadable:,} could not be read"
    return news


def _read(
    work: PullFolder, stream: Stream, reading: Reading, until: datetime, advance: Advance
) -> Reading:
    heard: list[_Row] = []
    kept, shown = time.monotonic(), reading.position.reached
    for event in stream.follow(reading.position, until):
        reading = _after(reading, event)
        if event.change:
            heard.append(_row(event.change, event.sent))
        due = time.monotonic() - kept > _SECONDS_AT_ONCE
        if due or reading.events % _EVENTS_AT_ONCE == 0:
            reading = _keep(work, reading, heard)
            heard, kept = [], time.monotonic()
        if seconds := int((min(reading.position.reached, until) - shown).total_seconds()):
            advance(seconds)
            shown += timedelta(seconds=seconds)
    return _keep(work, replace(reading, whole=True), heard)


def _after(reading: Reading, event: Event) -> Reading:
    return replace(
        reading,
        position=event.position,
        events=reading.events + 1,
        unreadable=reading.unreadable + (not event.readable),
    )


def _row(change: Change, sent: datetime) -> _Row:
    revised = int(change.revised.timestamp()) if change.revised else NEVER
    return change.qid, int(sent.timestamp() * 1000), change.state, revised


def _keep(work: PullFolder, reading: Reading, heard: list[_Row]) -> Reading:
    rows = np.array(heard, np.int64).reshape(-1, 4)
    work.note_numbers(_part(reading.parts), rows)
    reading = replace(reading, parts=reading.parts + 1)
    work.note(_NOTE, asdict(reading))  # last: what it does not count is read again
    return reading


def _latest(work: PullFolder, reading: Reading) -> News:
    parts: list[Any] = [work.recall_numbers(_part(number)) for number in range(reading.parts)]
    rows = np.concatenate(parts)
    # By item, then by time; and stable: of two at one time the later read comes last.
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    last = np.append(rows[1:, 0] != rows[:-1, 0], True)[: len(rows)]
    qids, _, states, revised = rows[last].T
    return News(qids, states, revised, reading)


def _part(number: int) -> str:
    return f"news-{number:05}"
