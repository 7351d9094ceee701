"""An earlier pull brought up to date: what was created, edited, merged or deleted since.

The ids of the items that belong are listed anew: that shows what is new and what is gone, also
where an item itself was not touched and only its class moved. What was edited is found by either of
two routes:

    modified   the endpoint's `schema:dateModified` differs from the one in the earlier records.
               No clock and no lag can hide an edit: equal dates are equal items.
    events     a stream of page changes says so (`events.py`). The endpoint may not know yet what
               the stream has told; it is given some time, and what it still lacks is reported, and
               asked for again by the next pull of changes.

Only what is new or edited is fetched, all else is copied. Of an item that is gone a retired record
stays, for good: with its successor if it was merged into another item, else without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bioelx.types import NAME_KINDS, Name, Status
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata.base import Base
from bioelx_index.sources.wikidata.endpoint import Endpoint, Manners
from bioelx_index.sources.wikidata.events import Position, State, Stream
from bioelx_index.sources.wikidata.folder import (
    Pull,
    PullFolder,
    items_of,
    open_pull,
    read_columns,
    read_pull,
    read_tables,
)
from bioelx_index.sources.wikidata.item import Item
from bioelx_index.sources.wikidata.listing import Qids
from bioelx_index.sources.wikidata.news import News, read_news
from bioelx_index.sources.wikidata.sparql import (
    NEVER,
    PAGE,
    PAGE_SIZE,
    begun,
    effort_of,
    fetch_pages,
    last_modified,
    list_groups,
    open_endpoint,
    redirects,
    types_of_items,
    union,
)

ROUTE = "changes"
PATIENCE = 600.0
"""Seconds that an endpoint gets to take in what the stream has told."""

_LAG = timedelta(hours=1)
"""How far before an earlier pull its stream is read: so much may its endpoint have been behind."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0
_DATED_AT_ONCE = 50_000
_BEHIND = "behind"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a pull of changes found, in items."""

    created: int
    """New to the pull: created, or belonging now."""
    edited: int
    merged: int
    """Redirected to another item: retired, with that one as successor."""
    deleted: int
    left: int
    """Still there, but belonging no more: retired, without a successor."""
    restored: int
    """Retired before, and active again."""
    unchanged: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What the earlier records hold: arrays of equal length, by ascending QID."""

    qids: Qids
    modified: npt.NDArray[np.int64]
    """In seconds since 1970; `NEVER` where unknown."""
    active: npt.NDArray[np.bool_]
    successors: dict[int, int]
    """Of the retired ones that were merged."""


@dataclass(frozen=True, slots=True)
class _Dated:
    """Items, ascending, and when the endpoint says that they were modified."""

    qids: Qids
    dates: npt.NDArray[np.int64]
    """In seconds since 1970; `NEVER` for those that are not there."""

    def of(self, qids: Qids) -> npt.NDArray[np.int64]:
        """The dates of some items; `NEVER` for others."""
        if not len(self.qids):
            return np.full(len(qids), NEVER, np.int64)
        places = np.searchsorted(self.qids, qids).clip(max=len(self.qids) - 1)
        return np.where(self.qids[places] == qids, self.dates[places], NEVER)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Where each item that was or is in the pull belongs now. All ascending."""

    present: Qids
    unchanged: Qids
    """Present and to be copied."""
    gone: Qids
    """Active before."""
    still_retired: Qids


def pull_changes(
    base: Base,
    url: str,
    folder: Path,
    *,
    user_agent: str,
    stages: Stages,
    stream: Stream | None = None,
    patience: float = PATIENCE,
    page_size: int = PAGE_SIZE,
    manners: Manners | None = None,
) -> Pull:
    """Makes a pull of the items as they are now from an earlier one and what changed since.

    Its active records are those that a whole pull would have, byte for byte. A process that was
    killed goes on where it was when the same is asked for again.

    Args:
        base: the earlier pull, by whatever route; its selection holds.
        url: of the endpoint.
        folder: for the new pull.
        user_agent: name, version and contact of who pulls.
        stream: where to hear of edits; if None, dates of modification are compared.
        patience: seconds that the endpoint gets to take in what the stream has told.
        page_size: items in a request, at most.
        manners: also how many requests are under way at once.

    Raises:
        SourceError: as `Endpoint` and `Stream.follow`; or the folder is in use or another pull's.
        FileError: the earlier records are not whole.
    """
    ask = open_endpoint(url, user_agent, stages, manners)
    recipe = {
        "route": ROUTE,
        "origin": url,
        "selection": base.pull.selection,
        "base": base.pull.sha256,
        "events": stream.url if stream else "",
    }
    with open_pull(folder, recipe) as work:
        if work is None:
            return read_pull(folder)
        return _Update(base, work, ask, stages, page_size).run(stream, patience)


class _Update:
    """One pull of changes at work. Each step notes its result, and a later process takes that."""

    def __init__(
        self, base: Base, work: PullFolder, ask: Endpoint, stages: Stages, page_size: int
    ) -> None:
        self.base, self.work, self.ask, self.stages = base, work, ask, stages
        self.page_size = page_size
        self.effort = effort_of(ask, work)
        self.selection = base.selection
        self.known = _read_known(base.records)
        self.active = self.known.qids[self.known.active]

    def run(self, stream: Stream | None, patience: float) -> Pull:
        started = begun(self.work)
        news = self._hear(stream, started) if stream else None
        if news:
            self._wait(news, patience)
        groups = list_groups(self.ask, self.selection, self.work, self.stages)
        listed = union(groups.values())
        wanted = self._wanted(listed, news)
        fetched = self._fetch(wanted)
        now = self._sort(listed, wanted, fetched.qids)
        merged, rest = self._retire(now)
        self._copy(now.unchanged)
        notes: dict[str, Any] = {
            "base": self.base.pull.sha256,
            **self.effort(),
            "changes": asdict(self._count(now, fetched, merged, rest)),
        }
        if news:
            notes |= {
                "events": news.reading.events,
                "unreadable": news.reading.unreadable,
                _BEHIND: self._behind(news, now, fetched, merged, rest).tolist(),
            }
        return self._finish(started, news, notes)

    # What was edited

    def _hear(self, stream: Stream, until: datetime) -> News:
        before = self.base.pull
        begin = before.started if before.last_event_id else before.started - _LAG
        start = Position(begin, before.last_event_id)
        return read_news(self.work, stream, start, until, self.stages)

    def _wait(self, news: News, patience: float) -> None:
        """Waits until the endpoint knows of the items here what the stream has told."""
        if self.work.recall("waited"):
            return
        news = news.only(np.isin(news.qids, self.active))
        with self.stages.stage("wait") as stage:
            deadline, pause = time.monotonic() + patience, _FIRST_PAUSE_SECONDS
            behind = self._lagging(news)
            while len(behind.qids) and (left := deadline - time.monotonic()) > 0:
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                behind = self._lagging(behind)
            count = len(behind.qids)
            stage.result = "the endpoint knows what the stream told"
            if count:
                stage.result = f"the endpoint does not yet know of {count:,} changes"
        self.work.note("waited", True)

    def _lagging(self, news: News) -> News:
        """The part that the endpoint does not know yet."""
        dates = last_modified(self.ask, news.qids)
        redirected = redirects(self.ask, news.qids[news.states == State.REDIRECT])
        return news.only(_is_late(news, dates, np.fromiter(redirected, np.int64)))

    def _wanted(self, listed: Qids, news: News | None) -> Qids:
        """What must be fetched: what is new, and what was edited."""
        new = np.setdiff1d(listed, self.active)
        both = np.intersect1d(listed, self.active)
        if news:
            missed = np.array(self.base.pull.notes.get(_BEHIND, []), np.int64)
            return union([new, np.intersect1d(both, union([news.qids, missed]))])
        edited = [new]
        with self.stages.stage("compare", len(both)) as stage:
            for number, part in enumerate(_portions(both, _DATED_AT_ONCE)):
                dates = self._numbers(f"dates-{number:05}", partial(last_modified, self.ask, part))
                same = (dates == self._modified(part)) & (dates != NEVER)
                edited.append(part[~same])
                stage.advance(len(part))
            wanted = union(edited)
            stage.result = f"{len(wanted) - len(new):,} edited, {len(new):,} new"
        return wanted

    def _modified(self, qids: Qids) -> npt.NDArray[np.int64]:
        """When the earlier records say that these items of theirs were modified."""
        return self.known.modified[np.searchsorted(self.known.qids, qids)]

    # What is there now

    def _fetch(self, wanted: Qids) -> _Dated:
        """Fetches items; returns those that were there."""
        fetch_pages(
            self.ask,
            wanted,
            self.selection,
            self.work,
            self.stages,
            self.effort,
            page_size=self.page_size,
        )
        tables = [*self.work.read_parts(["qid", "modified"], PAGE)]
        if not tables:
            return _Dated(np.empty(0, np.int64), np.empty(0, np.int64))
        table = pa.concat_tables(tables).sort_by("qid")
        return _Dated(table["qid"].to_numpy(), _seconds(table["modified"]))

    def _sort(self, listed: Qids, wanted: Qids, fetched: Qids) -> _Sorted:
        present = np.union1d(np.setdiff1d(listed, wanted), fetched)
        return _Sorted(
            present=present,
            unchanged=np.setdiff1d(present, fetched),
            gone=np.setdiff1d(self.active, present),
            still_retired=np.setdiff1d(self.known.qids[~self.known.active], present),
        )

    # What is there no more

    def _retire(self, now: _Sorted) -> tuple[Qids, _Dated]:
        """Keeps a record of each item that is retired; returns those that were merged into
        another, and the others: with a date if they are there but do not belong."""
        retired = np.union1d(now.gone, now.still_retired)
        with self.stages.stage("retire") as stage:
            into = self._once("redirects", lambda: [*self._redirects(retired).items()])
            merged = np.intersect1d(retired, np.array([qid for qid, _ in into], np.int64))
            others = np.setdiff1d(retired, merged)
            dates = self._numbers("dates-retired", partial(last_modified, self.ask, others))
            rest = _Dated(others, dates)
            if "retired" not in self.work.parts():
                successors = {**self.known.successors, **dict(into)}
                for qid in rest.qids[rest.dates != NEVER].tolist():
                    successors.pop(qid, None)  # it is back, though it does not belong
                deleted = set(rest.qids[rest.dates == NEVER].tolist())
                self.work.add_part("retired", self._records_of(retired, successors, deleted))
            stage.result = f"{len(retired):,} retired, {len(now.gone):,} of them now"
        return merged, rest

    def _redirects(self, qids: Qids) -> dict[int, int]:
        """What the items were merged into, and what that was merged into, to the end."""
        found: dict[int, int] = {}
        asked: set[int] = set()
        while len(qids):
            asked.update(qids.tolist())
            new = redirects(self.ask, qids)
            found.update(new)
            qids = np.fromiter(set(new.values()) - asked, np.int64)
        return found

    def _records_of(
        self, qids: Qids, successors: Mapping[int, int], deleted: set[int]
    ) -> Iterator[Item]:
        for table in _rows_of(self.base.records, np.isin(self.known.qids, qids)):
            for item in items_of(table):
                successor = last_successor(item.qid, successors)
                yield _retired(item, None if successor in deleted else successor)

    # All else

    def _copy(self, qids: Qids) -> None:
        if "copied" in self.work.parts():
            return
        with self.stages.stage("copy") as stage:
            rows = _rows_of(self.base.records, np.isin(self.known.qids, qids))
            stage.result = f"{self.work.add_tables('copied', rows):,} unchanged items"

    def _count(self, now: _Sorted, fetched: _Dated, merged: Qids, rest: _Dated) -> Counts:
        old = np.isin(fetched.qids, self.active)
        same = fetched.dates[old] == self._modified(fetched.qids[old])
        restored = np.isin(fetched.qids, self.known.qids[~self.known.active])
        gone_merged = np.isin(now.gone, merged)
        gone_left = rest.of(now.gone) != NEVER
        return Counts(
            created=int(np.sum(~old & ~restored)),
            edited=int(np.sum(~same)),
            merged=int(np.sum(gone_merged)),
            deleted=int(np.sum(~gone_merged & ~gone_left)),
            left=int(np.sum(gone_left)),
            restored=int(np.sum(restored)),
            unchanged=len(now.unchanged) + int(np.sum(same)),
        )

    def _behind(
        self, news: News, now: _Sorted, fetched: _Dated, merged: Qids, rest: _Dated
    ) -> Qids:
        """The items here of which the stream told what the endpoint did not know to the end."""
        news = news.only(np.isin(news.qids, np.union1d(now.present, now.gone)))
        dates = np.maximum(fetched.of(news.qids), rest.of(news.qids))
        return news.qids[_is_late(news, dates, merged)]

    def _finish(self, started: datetime, news: News | None, notes: dict[str, Any]) -> Pull:
        types = types_of_items(self.ask, self.work, self.stages)
        with self.stages.stage("records") as stage:
            pull = self.work.finish(
                types,
                route=ROUTE,
                origin=self.ask.url,
                selection=self.base.pull.selection,
                started=started,
                last_event_id=news.reading.position.event_id if news else "",
                notes=notes,
            )
            stage.result = f"{pull.items:,} items, {pull.names:,} names, {pull.retired:,} retired"
        return pull

    # What earlier processes noted

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        noted = self.work.recall(name)
        if noted is None:
            noted = make()
            self.work.note(name, noted)
        return noted

    def _numbers(self, name: str, make: Callable[[], npt.NDArray[np.int64]]) -> Qids:
        noted = self.work.recall_numbers(name)
        if noted is None:
            noted = make()
            self.work.note_numbers(name, noted)
        return noted


def last_successor(qid: int, successors: Mapping[int, int]) -> int | None:
    """The last of an item's successors; None if it has none, or they go round in a circle."""
    seen, current = {qid}, successors.get(qid)
    while current is not None and current in successors:
        if current in seen:
            return None
        seen.add(current)
        current = successors[current]
    return current


def _is_late(news: News, dates: npt.NDArray[np.int64], merged: Qids) -> npt.NDArray[np.bool_]:
    """Where an endpoint does not know yet what the stream told.

    Args:
        dates: when it thinks that the items were modified.
        merged: those that it knows to be redirects.
    """
    there = dates != NEVER
    edited = (news.states == State.PRESENT) & (~there | (dates < news.revised))
    gone = (news.states != State.PRESENT) & there
    redirect = (news.states == State.REDIRECT) & ~np.isin(news.qids, merged)
    return edited | gone | redirect


def _read_known(records: Path) -> _Known:
    table = read_columns(records, ["qid", "modified", "status", "replaced_by"])
    merged = table.filter(pc.is_valid(table["replaced_by"]))
    return _Known(
        qids=table["qid"].to_numpy(),
        modified=_seconds(table["modified"]),
        active=pc.equal(table["status"], Status.ACTIVE.value).to_numpy(),
        successors=dict(
            zip(merged["qid"].to_pylist(), merged["replaced_by"].to_pylist(), strict=True)
        ),
    )


def _rows_of(records: Path, wanted: npt.NDArray[np.bool_]) -> Iterator[pa.Table]:
    """The records whose place is wanted."""
    place = 0
    for table in read_tables(records):
        yield table.filter(pa.array(wanted[place : place + len(table)]))
        place += len(table)


def _retired(item: Item, successor: int | None) -> Item:
    """What stays of an item: how it was called."""
    label = min(item.names, key=_standing, default=None)
    return Item(
        item.qid,
        (label,) if label else (),
        modified=item.modified,
        status=Status.RETIRED,
        replaced_by=successor,
    )


def _standing(name: Name) -> tuple[bool, int, Name]:
    """Sorts the name first that tells most."""
    return name.lang != "en", NAME_KINDS.index(name.kind), name


def _seconds(dates: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return dates.cast(pa.int64()).fill_null(NEVER).to_numpy()


def _portions(qids: Qids, size: int) -> Iterator[Qids]:
    for start in range(0, len(qids), size):
        yield qids[start : start + size]
