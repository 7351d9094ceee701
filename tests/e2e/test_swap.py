"""The release of a real server is swapped: by a call, by the pointer, by a rollback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import grpc
import orjson
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from bioelx.client import AsyncClient, Client, document, link_request
from bioelx.errors import InvalidRequestError, NotFoundError, ServiceError
from bioelx.release import activate, active_release, roll_back
from bioelx.release.canaries import read_canaries, write_canaries
from bioelx.release.manifest import read_manifest
from bioelx.release.store import finish_release
from bioelx.v1 import linker_pb2 as pb
from bioelx_eval.speed.twin import twin_of

INFLUENZA = "wikidata:Q2840"
PREFIXES = ("", "b.", "c.")


@dataclass(frozen=True)
class Served:
    """A server with administration, and its folder of three releases."""

    root: Path
    releases: tuple[str, str, str]
    """They differ in the prefix of their concept ids, see `PREFIXES`."""
    server: Any
    """A RunningServer of conftest.py."""

    def logged(self, event: str) -> int:
        return logged(self.server, event)


def logged(server: Any, event: str) -> int:
    """How often the log of a server tells of something."""
    return server.log.read_bytes().count(f'"event":"{event}"'.encode())


@pytest.fixture(scope="module")
def served(tiny_release: Path, start_server, tmp_path_factory) -> Iterator[Served]:
    """Batches of one mention, so that there are calls in flight."""
    home = tmp_path_factory.mktemp("home")
    root = home / "releases"
    a, b, c = (twin_of(tiny_release, root, prefix).name for prefix in PREFIXES)
    activate(a, root)
    with start_server("--admin", "--batch-tokens", "1", home=home) as server:
        yield Served(root, (a, b, c), server)


@pytest.fixture
def releases(served: Served) -> tuple[str, str, str]:
    return served.releases


@pytest.fixture
def root(served: Served) -> Path:
    return served.root


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    """A client of the server, which answers from release a."""
    with Client(served.server.address, timeout=120) as opened:
        until(lambda: activated(opened, served.releases[0]))
        yield opened


def activated(client: Client, release: str) -> bool:
    """Whether it could be done; not while the server still follows what a test left behind."""
    try:
        client.activate(release)
    except ServiceError as error:
        if error.code != "ABORTED":
            raise
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_of(reply: pb.LinkReply | pb.SearchReply, prefix: str) -> bool:
    """Whether all candidates are of the release with this prefix."""
    if isinstance(reply, pb.SearchReply):
        found = list(reply.candidates)
    else:
        found = [c for d in reply.documents for link in d.links for c in link.candidates]
    others = [other for other in PREFIXES if other and other != prefix]
    return bool(found) and all(
        c.concept_id.startswith(prefix) and not c.concept_id.startswith(tuple(others))
        for c in found
    )


# Who may switch


def test_admin_is_for_loopback_and_for_servers_that_switch(releases, root):
    def refused(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bioelx", "serve", "--port", "0", "--admin", *options],
            env={**os.environ, "BIOELX_HOME": str(root.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr.splitlines()[-1]

    public = refused("--host", "0.0.0.0", "--insecure-without-tls-and-authentication")
    assert public.startswith("bioelx: --admin (or BIOELX_ADMIN): ")
    assert "loopback" in public
    assert "--release" in refused("--release", releases[0])


def test_servers_of_a_folder_follow_its_pointer_unless_they_are_of_one_release(
    releases, client, start_server, root
):
    a, b, _ = releases
    with (
        start_server(home=root.parent) as one,
        start_server("--release", a, home=root.parent) as other,
        Client(one.address, timeout=60) as follower,
        Client(other.address, timeout=60) as fixed,
    ):
        client.activate(b)
        until(lambda: follower.info().release == b)
        time.sleep(1)  # a look at the pointer more, if it did look
        assert fixed.info().release == a
        with pytest.raises(ServiceError) as caught:
            fixed.activate(b)
        assert caught.value.code == "UNIMPLEMENTED"


# By call, by pointer, back again


def test_by_call_by_pointer_and_back(releases, client, served, root):
    a, b, c = releases
    switches = client.info().switches
    first = client.concept(INFLUENZA)
    assert (first.release, first.concept.concept_id) == (a, INFLUENZA)

    switched = client.activate(b)
    assert (switched.active, switched.previous) == (b, a)
    assert active_release(root) == b
    assert client.search("influenza").release == b
    assert all_of(client.search("influenza"), "b.")
    with pytest.raises(NotFoundError):
        client.concept(INFLUENZA)
    assert client.concept(f"b.{INFLUENZA}").release == b

    activate(c, root)
    until(lambda: client.info().release == c)
    assert all_of(client.link([document("flu")]), "c.")

    back = client.roll_back()
    assert (back.active, back.previous) == (b, c)
    assert active_release(root) == b
    roll_back(root)
    until(lambda: client.info().release == c)

    listed = {each.id: each for each in client.releases()}
    assert set(listed) == {a, b, c}
    assert [each.id for each in listed.values() if each.active] == [c]
    assert [each.id for each in listed.values() if each.current] == [c]
    assert [each.id for each in listed.values() if each.loaded] == [c]
    assert listed[a].concepts == client.info().concepts
    info = client.info()
    assert (info.switches - switches, list(info.loaded_releases)) == (4, [c])
    assert client.activate(c).previous == c  # nothing to do
    assert client.info().switches - switches == 4

    with grpc.insecure_channel(served.server.address) as channel:
        asked = HealthCheckRequest(service="bioelx.v1.ReleaseAdmin")
        assert HealthStub(channel).Check(asked).status == HealthCheckResponse.SERVING


def test_what_is_not_there_is_not_found(releases, client):
    with pytest.raises(NotFoundError, match=releases[2]):
        client.activate("20200101T000000Z-00000000")
    with pytest.raises(NotFoundError):
        client.activate(f"../releases/{releases[1]}")
    with pytest.raises(InvalidRequestError, match=r"^id: "):
        client.activate("")
    assert client.info().release == releases[0]


async def test_async_admin(releases, served):
    async with AsyncClient(served.server.address) as client:
        assert await client.wait_ready(60)
        await client.activate(releases[0])
        assert (await client.activate(releases[1])).active == releases[1]
        assert (await client.roll_back()).active == releases[0]
        assert [each.active for each in await client.releases()].count(True) == 1
        reply = await client.concept(INFLUENZA, release=releases[0])
        assert reply.release == releases[0]


# Refusals


def draft_of(release: Path) -> Path:
    draft = release.parent / ".draft-changed"
    shutil.copytree(release, draft)
    return draft


def finished(draft: Path) -> Path:
    return draft.parent / finish_release(draft, read_manifest(draft), draft.parent).id


def another(release: Path) -> Path:
    """A release of its own with the same answers."""
    draft = draft_of(release)
    (draft / "note.txt").write_text("another", encoding="utf-8")
    return finished(draft)


def flipped(release: Path) -> Path:
    path = another(release) / "names.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it is one with other releases' files
    path.write_bytes(content)
    return path.parent


def of_another_schema(release: Path) -> Path:
    path = another(release) / "manifest.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), "schema": 99}))
    return path.parent


def with_a_wrong_canary(release: Path) -> Path:
    draft = draft_of(release)
    canaries = read_canaries(draft)
    canaries[2] = replace(canaries[2], concept_id="wikidata:Q1")
    write_canaries(canaries, draft)
    return finished(draft)


def with_vectors_of_another_order(release: Path) -> Path:
    """Whole by all checksums; only who looks for names by their vectors can tell."""
    draft = draft_of(release)
    index = faiss.read_index(str(draft / "index.faiss"))
    vectors = index.reconstruct_n(0, index.ntotal)[::-1].copy()
    index.reset()
    index.add(vectors)
    faiss.write_index(index, str(draft / "index.faiss"))
    return finished(draft)


BROKEN = {
    flipped: r"names\.arrow: its sha256",
    of_another_schema: r"manifest\.json: schema 99",
    with_a_wrong_canary: r"canaries\.jsonl:3: .* not wikidata:Q1; 1 of \d+ canaries fail",
    with_vectors_of_another_order: r"canaries\.jsonl:\d+: ",
}


def test_a_broken_release_is_refused_and_the_old_one_goes_on(releases, client, served, root):
    a = releases[0]
    before, logged = client.info(), served.logged("refused")
    memory = []
    for number, (breaks, reason) in enumerate(BROKEN.items(), start=1):
        broken = breaks(root / a)
        with pytest.raises(ServiceError, match=reason) as caught:
            client.activate(broken.name)
        shutil.rmtree(broken)
        assert caught.value.code == "FAILED_PRECONDITION"
        info = client.info()
        assert (info.release, active_release(root)) == (a, a)
        assert (info.refusals - before.refusals, info.switches) == (number, before.switches)
        assert info.refused_release.id == broken.name
        assert info.refused_release.reason in str(caught.value)
        assert info.refused_release.time.seconds <= time.time()
        assert all_of(client.search("influenza"), "")
        memory.append(resident(served.server.process.pid))
    assert served.logged("refused") - logged == len(BROKEN)
    assert memory[-1] < 1.1 * memory[0]


def resident(pid: int) -> int:
    """Kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_pointer_to_what_cannot_be_served_is_not_followed(releases, client, root):
    a, b, _ = releases
    refusals = client.info().refusals
    for number, (pointer, reason) in enumerate(
        {
            flipped(root / a).name: "its sha256",
            "no/release": "does not hold the id",
            "20200101T000000Z-00000000": "no release",
        }.items(),
        start=1,
    ):
        point(root, pointer)
        until(lambda: client.info().refusals == refusals + number)  # noqa: B023
        refused = client.info().refused_release
        assert refused.id == ("" if "/" in pointer else pointer)
        assert reason in refused.reason
        assert client.search("flu").release == a
    point(root, b)
    until(lambda: client.info().release == b)


def point(root: Path, release: str) -> None:
    """Writes the pointer without a look at the release, as a broken tool might."""
    draft = root / "current.draft"
    draft.write_text(f"{release}\n", encoding="utf-8")
    draft.replace(root / "current")


def test_files_that_are_gone_are_served_on_but_not_switched_to(releases, client, root):
    b = releases[1]
    gone = another(root / releases[0])
    client.activate(gone.name)
    shutil.rmtree(gone)
    assert client.search("influenza").release == gone.name
    assert client.concept(INFLUENZA).release == gone.name
    client.activate(b)
    with pytest.raises(NotFoundError):
        client.roll_back()
    assert client.search("flu").release == b


# Calls in flight, pinned calls


def test_calls_in_flight_finish_on_the_release_they_began_with(releases, client, served):
    a, b, _ = releases

    def unheard(of: int) -> list[pb.Document]:
        return [document(f"unheard-of ailment of kind {of} and number {i}") for i in range(250)]

    with ThreadPoolExecutor(3) as pool:
        freed = served.logged("freed")
        begun = [pool.submit(client.link, unheard(kind)) for kind in range(2)]
        begun.append(pool.submit(client.link, unheard(2), release=a))
        time.sleep(0.2)
        client.activate(b)
        assert not all(call.done() for call in begun)  # or this tells nothing
        later = client.search("influenza")
        with pytest.raises(NotFoundError, match=f"loaded: {b}$"):
            client.search("influenza", release=a)
        with pytest.raises(NotFoundError, match=f"loaded: {b}$"):
            client.concept(INFLUENZA, release=a)
        assert later.release == b
        assert all_of(later, "b.")
        for call in begun:
            reply = call.result()
            assert reply.release == a
            assert all_of(reply, "")
    until(lambda: served.logged("freed") > freed)


def test_kept_releases_answer_pinned_calls(releases, client, start_server, root):
    a, b, c = releases
    with (
        start_server("--admin", "--keep-loaded", "1", home=root.parent) as running,
        Client(running.address, timeout=60) as client,
    ):
        client.activate(b)
        assert list(client.info().loaded_releases) == [b, a]
        pinned = client.search("influenza", release=a)
        assert pinned.release == a
        assert all_of(pinned, "")
        assert client.concept(INFLUENZA, release=a).release == a
        assert client.search("influenza").release == b

        loaded = running.log.read_bytes().count(b'"loaded"')
        client.roll_back()  # without loading it again
        assert running.log.read_bytes().count(b'"loaded"') == loaded
        assert list(client.info().loaded_releases) == [a, b]

        client.activate(c)
        assert list(client.info().loaded_releases) == [c, a]
        with pytest.raises(NotFoundError, match=f"loaded: {c}, {a}"):
            client.link([document("flu")], release=b)
        requests = [
            link_request([document("flu")], id=str(i), release=pin)
            for i, pin in enumerate((a, b, c, ""))
        ]
        replies = {reply.id: reply for reply in client.link_stream(requests)}
        assert [replies[each].release for each in "023"] == [a, c, c]
        assert replies["1"].error.field == "options.release"


def test_each_request_of_a_stream_takes_the_release_of_its_time(releases, client):
    a, b, _ = releases
    go_on = threading.Event()

    def requests() -> Iterator[pb.LinkRequest]:
        yield link_request([document("flu")], id="before")
        go_on.wait(60)
        yield link_request([document("flu")], id="after")

    stream = client.link_stream(requests())
    before = next(stream)
    client.activate(b)
    go_on.set()
    after = next(stream)
    assert (before.release, after.release) == (a, b)
    assert all_of(before, "")
    assert all_of(after, "b.")
    assert next(stream, None) is None


def own_threads(pid: int) -> int:
    """Threads of a process, without those of gRPC's core, which come and go and have names."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    names = [(task / "comm").read_text(encoding="ascii") for task in tasks]
    return names.count(Path(f"/proc/{pid}/comm").read_text(encoding="ascii"))


def test_threads_are_as_many_after_many_swaps_as_after_one(releases, start_server, root):
    a, b, c = releases
    with (
        start_server("--admin", "--threads", "2", home=root.parent) as running,
        Client(running.address, timeout=120) as client,
        ThreadPoolExecutor(8) as pool,
    ):

        def swap(release: str) -> None:
            before = client.info().release
            freed = logged(running, "freed")
            client.activate(release)
            if before != release:
                until(lambda: logged(running, "freed") > freed)

        swap(b)
        client.search("influenza")
        before = own_threads(running.process.pid)
        large = [document(f"unheard-of ailment number {i}") for i in range(100)]
        for release in (a, b, c, a):
            calls = [pool.submit(client.releases) for _ in range(16)]
            calls += [pool.submit(client.link, large) for _ in range(2)]
            swap(release)
            for call in calls:
                call.result()
        assert own_threads(running.process.pid) == before


# Several at once


def test_the_last_one_wanted_wins(releases, client, root):
    a, b, c = releases
    before = client.info()
    with ThreadPoolExecutor(1) as pool:
        overtaken = pool.submit(client.activate, b)
        until(lambda: client.info().loading_release == b)
        last = client.activate(c)
        with pytest.raises(ServiceError) as caught:
            overtaken.result()
    assert caught.value.code == "ABORTED"
    assert (last.active, last.previous) == (c, a)
    info = client.info()
    assert info.release == c
    assert (info.switches - before.switches, info.refusals) == (1, before.refusals)
    assert active_release(root) == c


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_a_release_is_loaded(releases, client, start_server, number, root):
    a, b, _ = releases
    with (
        start_server(home=root.parent) as running,
        Client(running.address, timeout=60) as caller,
        ThreadPoolExecutor(1) as pool,
    ):
        activate(b, root)
        until(lambda: caller.info().loading_release == b)
        documents = [document(f"unheard-of ailment number {i}") for i in range(20)]
        call = pool.submit(caller.link, documents)
        time.sleep(0.05)
        running.process.send_signal(number)
        assert call.result().release in (a, b)
        assert running.process.wait(60) == 0
