"""The route of changes: an earlier pull brought up to date equals a whole pull of the new state."""

from __future__ import annotations

import io
import os
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bioelx.errors import FileError, SourceError
from bioelx.release.manifest import utc_now
from bioelx.types import Status
from bioelx_index.progress import Stages
from bioelx_index.sources.wikidata import changes, events
from bioelx_index.sources.wikidata.base import Base, open_base
from bioelx_index.sources.wikidata.changes import last_successor, pull_changes
from bioelx_index.sources.wikidata.endpoint import Endpoint, Manners
from bioelx_index.sources.wikidata.events import Stream
from bioelx_index.sources.wikidata.folder import RECORDS_SCHEMA
from bioelx_index.sources.wikidata.selection import Selection
from bioelx_index.sources.wikidata.sparql import fetch_pages, pull

AGENT = "bioelx-tests/1.0 (tests)"
DISEASE, DRUG, TREE = 12136, 12140, 900
LONG_AGO = utc_now() - timedelta(days=30)
SELECTION = Selection(properties=("P486",), trees=(f"Q{TREE}",))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(changes, "_FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
def update(world: Any, tmp_path: Path) -> Callable[..., Base]:
    """Brings a pull up to date by one of the routes."""

    def run(base: Base, route: str, name: str = "", *, url: str = "", **options: Any) -> Base:
        stream = Stream(world.stream.url, AGENT, silence=5, settle=0.1)
        pull_changes(
            base,
            url or world.url,
            folder := tmp_path / (name or f"{route}-{base.folder.name}"),
            user_agent=AGENT,
            stages=quiet(),
            manners=Manners(pause=0.01),
            stream=stream if route == "events" else None,
            **{"patience": 0.0, **options},
        )
        return open_base(folder)

    return run


def quiet() -> Stages:
    return Stages(Console(file=io.StringIO()))


def whole(world: Any, folder: Path) -> Base:
    """A whole pull of the present state."""
    pull(world.url, folder, SELECTION, user_agent=AGENT, stages=quiet())
    return open_base(folder)


def active_bytes(base: Base) -> bytes:
    """The active records, written as a pull writes them."""
    table = pq.read_table(base.records)
    written = io.BytesIO()
    with pq.ParquetWriter(written, RECORDS_SCHEMA, compression="zstd") as writer:
        active = table.filter(pc.equal(table["status"], Status.ACTIVE.value))
        writer.write_table(active.cast(RECORDS_SCHEMA))
    return written.getvalue()


def retired(base: Base) -> dict[int, tuple[int | None, list[str]]]:
    """The retired items, each with its successor and its names."""
    table = pq.read_table(base.records)
    rows = table.filter(pc.equal(table["status"], Status.RETIRED.value)).to_pylist()
    return {row["qid"]: (row["replaced_by"], [n["text"] for n in row["names"]]) for row in rows}


def counts(base: Base) -> dict[str, int]:
    """What a pull of changes counted, but for what it found nothing of."""
    return {name: count for name, count in base.pull.notes["changes"].items() if count}


@pytest.fixture
def first(world: Any, tmp_path: Path) -> Base:
    """A whole pull of a first state."""
    say = {qid: f"D{qid:06}" for qid in range(1, 60)}
    for qid, mesh in say.items():
        world.create(qid, f"disease {qid}", mesh=mesh, instance_of=(DISEASE,))
    world.create(TREE, "root of a tree")
    world.create(901, "class outside the tree")
    world.create(902, "class inside the tree", subclass_of=(TREE,))
    world.create(903, "class of no known type", subclass_of=(901,))
    world.create(950, "instance outside", instance_of=(901,))
    world.create(951, "instance inside", instance_of=(902,))
    world.create(952, "of a class of no known type", mesh="D000952", instance_of=(903,))
    world.create(960, "never selected", instance_of=(DISEASE,))
    world.items = {qid: replace(item, modified=LONG_AGO) for qid, item in world.items.items()}
    world.stream.messages.clear()
    world.publish()
    return whole(world, tmp_path / "first")


def change_much(world: Any) -> None:
    """Every kind of change, on the first state."""
    world.create(100, "new disease", mesh="D000100", instance_of=(DISEASE,))
    world.create(101, "new, but not selected")
    world.edit(1, german="Krankheit 1")
    world.edit(2, label="disease two")
    world.merge(10, into=11)
    world.merge(20, into=21)
    world.merge(21, into=22)
    world.merge(23, into=960)
    world.delete(30)
    world.merge(31, into=32)
    world.delete(32)
    world.edit(40, mesh="")
    world.merge(100, into=1)
    world.create(102, "created and deleted", mesh="D000102")
    world.delete(102)
    world.edit(960, label="never selected, and edited")
    # The class tree: what is below it was not touched.
    world.edit(901, subclass_of=(TREE,))
    world.edit(902, subclass_of=())
    world.create(103, "new in the tree", instance_of=(901,))
    world.edit(903, subclass_of=(901, DRUG))


ROUTES = ["modified", "events"]


@pytest.mark.parametrize("route", ROUTES)
def test_the_result_equals_a_whole_pull(
    world: Any, first: Base, update: Callable, route: str, tmp_path: Path
) -> None:
    change_much(world)
    world.publish()
    result = update(first, route)
    assert active_bytes(result) == (whole(world, tmp_path / "whole").records).read_bytes()
    assert retired(result) == {
        10: (11, ["disease 10"]),
        20: (22, ["disease 20"]),
        21: (22, ["disease 21"]),
        23: (960, ["disease 23"]),  # which is no part of the pull
        30: (None, ["disease 30"]),
        31: (None, ["disease 31"]),  # what it was merged into is deleted
        32: (None, ["disease 32"]),
        40: (None, ["disease 40"]),
        902: (None, ["class inside the tree"]),
        951: (None, ["instance inside"]),
    }
    assert counts(result) == {
        "created": 4,  # 103, and 901, 903 and 950 with the tree
        "edited": 4,  # 1, 2, 11, 22
        "merged": 5,
        "deleted": 2,
        "left": 3,
        "unchanged": result.pull.items - 8,
    }


def test_types_follow_the_class_tree(world: Any, first: Base, update: Callable) -> None:
    def types(base: Base, qid: int) -> list[str]:
        (row,) = [r for r in pq.read_table(base.records).to_pylist() if r["qid"] == qid]
        return row["types"]

    assert types(first, 952) == ["other"]
    change_much(world)
    world.publish()
    result = update(first, "modified")
    assert types(result, 952) == ["chemical"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_chain_of_pulls(
    world: Any, first: Base, update: Callable, route: str, tmp_path: Path
) -> None:
    deleted = world.items[30]
    change_much(world)
    world.publish()
    second = update(first, route)
    world.merge(22, into=33)  # what 20 and 21 were merged into
    world.delete(11)  # what 10 was merged into
    world.restore(30, deleted)
    world.edit(40, mesh="D000040")  # belongs again
    world.restore(31, replace(deleted, label="again", mesh=""))  # but does not belong
    world.edit(903, subclass_of=(901,))
    world.publish()
    third = update(second, route)
    assert active_bytes(third) == (whole(world, tmp_path / "whole").records).read_bytes()
    assert {qid: successor for qid, (successor, _) in retired(third).items()} == {
        10: None,
        11: None,
        20: 33,
        21: 33,
        22: 33,
        23: 960,
        31: None,
        32: None,
        902: None,
        951: None,
    }
    assert counts(third) == {
        "edited": 2,  # 33, 903
        "merged": 1,
        "deleted": 1,
        "restored": 2,
        "unchanged": third.pull.items - 4,
    }
    fourth = update(third, route)
    assert fourth.records.read_bytes() == third.records.read_bytes()


def test_the_two_routes_agree(world: Any, first: Base, update: Callable) -> None:
    change_much(world)
    world.publish()
    one, other = (update(first, route) for route in ROUTES)
    assert one.records.read_bytes() == other.records.read_bytes()
    assert counts(one) == counts(other)
    assert (one.pull.last_event_id, other.pull.last_event_id != "") == ("", True)


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_new_is_nothing_changed(first: Base, update: Callable, route: str) -> None:
    result = update(first, route)
    assert result.records.read_bytes() == first.records.read_bytes()
    assert counts(result) == {"unchanged": first.pull.items}


def test_only_what_changed_is_fetched(
    world: Any, first: Base, update: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def spy(ask: Endpoint, qids: Any, *rest: Any, **options: Any) -> None:
        asked.extend(qids.tolist())
        fetch_pages(ask, qids, *rest, **options)

    monkeypatch.setattr(changes, "fetch_pages", spy)
    world.edit(7, german="sieben")
    world.edit(960, german="not selected")
    world.create(100, "new", mesh="D000100")
    world.publish()
    for route in ROUTES:
        asked.clear()
        update(first, route)
        assert asked == [7, 100]


def test_items_without_a_date_are_fetched_again(
    world: Any, first: Base, update: Callable, tmp_path: Path
) -> None:
    """There is no telling whether they were edited."""
    undated = world.items[5] = replace(world.items[5], label="undated")
    triples = [t for t in undated.triples(5) if "dateModified" not in t]
    object.__setattr__(undated, "triples", lambda _: iter(triples))
    world.publish()
    result = update(first, "modified")
    assert active_bytes(result) == (whole(world, tmp_path / "whole").records).read_bytes()
    again = update(result, "modified")
    assert again.records.read_bytes() == result.records.read_bytes()


# The stream, and an endpoint that is behind it


def test_a_stream_that_drops_in_the_middle(
    world: Any, first: Base, update: Callable, tmp_path: Path
) -> None:
    before = len(world.stream.messages)
    change_much(world)
    world.publish()
    changed = len(world.stream.messages) - before
    world.stream.drop_after, world.stream.cut = 4, True
    result = update(first, "events")
    assert active_bytes(result) == (whole(world, tmp_path / "whole").records).read_bytes()
    # No connection brings more than four; how many events that tell nothing come between is chance.
    assert len(world.stream.requests) >= changed / 4 > 1


def test_the_stream_goes_on_from_the_last_event(world: Any, first: Base, update: Callable) -> None:
    second = update(first, "events")
    world.stream.requests.clear()
    world.edit(7, german="sieben")
    world.publish()
    third = update(second, "events")
    (request,) = world.stream.requests
    places = orjson.loads(request["Last-Event-ID"])
    assert [place["topic"] for place in places] == [
        place["topic"] for place in orjson.loads(second.pull.last_event_id)
    ]
    assert counts(third)["edited"] == 1


def aged(base: Base, **age: int) -> Base:
    """The pull as if it had been made earlier."""
    started = datetime.now(UTC).replace(microsecond=0) - timedelta(**age)
    return Base(base.folder, replace(base.pull, started=started))


def test_beyond_the_window_nobody_is_asked(world: Any, first: Base, tmp_path: Path) -> None:
    stream = Stream(world.stream.url, AGENT)
    old, nowhere = aged(first, days=8), "http://127.0.0.1:9/query"
    options = {"user_agent": AGENT, "stages": quiet(), "stream": stream}
    with pytest.raises(SourceError, match=r"keeps 7 days\): use --changes modified, or pull anew"):
        pull_changes(old, nowhere, tmp_path / "new", **options)
    assert not world.stream.requests


def test_a_gap_in_the_stream_is_seen(world: Any, first: Base, update: Callable) -> None:
    with pytest.raises(SourceError, match=r"no longer holds what changed since .* --changes"):
        update(aged(first, days=3), "events")


def test_an_endpoint_that_is_behind_is_waited_for(
    world: Any, first: Base, update: Callable, tmp_path: Path
) -> None:
    change_much(world)
    timer = threading.Timer(0.4, world.publish)
    timer.start()
    result = update(first, "events", patience=20.0)
    timer.join()
    assert active_bytes(result) == (whole(world, tmp_path / "whole").records).read_bytes()
    assert retired(result)[10][0] == 11
    assert result.pull.notes["behind"] == []


def test_what_the_endpoint_still_lacks_is_reported_and_asked_for_again(
    world: Any, first: Base, update: Callable, tmp_path: Path
) -> None:
    world.edit(7, german="sieben")
    world.publish()
    world.edit(8, german="acht")
    world.delete(9)
    world.merge(10, into=11)
    second = update(first, "events", patience=0.1)
    assert second.pull.notes["behind"] == [8, 9, 10, 11]
    assert counts(second) == {"edited": 1, "unchanged": first.pull.items - 1}
    world.stream.messages.clear()
    world.publish()
    third = update(second, "events")
    assert counts(third)["edited"] == 2
    assert active_bytes(third) == (whole(world, tmp_path / "whole").records).read_bytes()
    assert third.pull.notes["behind"] == []


def test_a_merger_that_the_endpoint_knows_as_gone_only(
    world: Any, first: Base, update: Callable
) -> None:
    world.merge(10, into=11)
    del world.redirects[10]
    world.publish()
    second = update(first, "events")
    assert retired(second) == {10: (None, ["disease 10"])}
    assert second.pull.notes["behind"] == [10]
    world.redirects[10] = 11
    world.publish()
    assert retired(update(second, "events")) == {10: (11, ["disease 10"])}


# Killed, and gone on


@pytest.fixture
def counting_proxy(world: Any) -> Any:
    """The SPARQL server behind a proxy that counts questions, and calls `on_question`."""

    class Proxy(ThreadingHTTPServer):
        daemon_threads = True
        asked = 0
        on_question: Callable[[int], None] | None = None

        def handle_error(self, *args: object) -> None:
            """Whoever asked was killed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            proxy.asked += 1
            if proxy.on_question:
                proxy.on_question(proxy.asked)
            headers = {name: self.headers[name] for name in ("Content-Type", "Accept")}
            request = urllib.request.Request(world.url, body, headers)
            answer = urllib.request.urlopen(request, timeout=30).read()
            try:
                self.send_response(200)
                self.send_header("Content-Type", "application/sparql-results+json")
                self.end_headers()
                self.wfile.write(answer)
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, *args: object) -> None:
            """Tests are quiet."""

    proxy = Proxy(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{proxy.server_port}/query"  # type: ignore[attr-defined]
    threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
    yield proxy
    proxy.shutdown()
    proxy.server_close()


@pytest.mark.parametrize("route", ROUTES)
def test_killed_again_and_again_it_gives_the_same(
    world: Any,
    first: Base,
    update: Callable,
    route: str,
    counting_proxy: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "_DATED_AT_ONCE", 20)
    change_much(world)
    world.publish()
    options = {"url": counting_proxy.url, "page_size": 3}
    undisturbed = update(first, route, "undisturbed", **options)
    chance, kills = random.Random(7), 0
    while True:
        child = os.fork()
        if child == 0:  # a process of its own, with all that is needed already loaded
            try:
                update(first, route, "killed", **options)
                os._exit(0)
            except BaseException:
                os._exit(1)
        last = counting_proxy.asked + chance.randint(1, 4)
        delay = chance.random() * 0.02

        def kill(asked: int, child: int = child, last: int = last, delay: float = delay) -> None:
            if asked == last:
                time.sleep(delay)
                os.kill(child, signal.SIGKILL)

        counting_proxy.on_question = kill
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        kills += 1
        assert kills < 60
    killed = open_base(undisturbed.folder.parent / "killed")
    assert kills > 3
    assert killed.records.read_bytes() == undisturbed.records.read_bytes()
    assert killed.pull.notes["changes"] == undisturbed.pull.notes["changes"]


def test_a_finished_pull_is_not_made_again(
    first: Base, update: Callable, counting_proxy: Any
) -> None:
    done = update(first, "modified", "new", url=counting_proxy.url)
    asked = counting_proxy.asked
    assert update(first, "modified", "new", url=counting_proxy.url) == done
    assert counting_proxy.asked == asked > 0


def test_another_pulls_folder_is_left_alone(world: Any, first: Base, update: Callable) -> None:
    world.edit(7, german="sieben")
    world.publish()
    second = update(first, "modified", "new")
    with pytest.raises(SourceError, match="holds another pull"):
        update(second, "modified", "new")


def test_broken_records_are_named(first: Base) -> None:
    content = bytearray(first.records.read_bytes())
    content[100] ^= 1
    first.records.write_bytes(content)
    with pytest.raises(FileError, match=r"records\.parquet: its sha256 is not the one in pull"):
        open_base(first.folder)


def test_successors_are_followed_to_the_end() -> None:
    assert last_successor(1, {1: 2, 2: 3}) == 3
    assert last_successor(1, {}) is None
    assert last_successor(1, {1: 2, 2: 1}) is None
    assert last_successor(1, {1: 1}) is None
    assert last_successor(1, {1: 2, 2: 3, 3: 2}) is None
