"""Swaps and rollbacks of a real server under a steady load: what callers notice, what memory says.

Two releases take turns: one, and its twin whose concept ids tell it apart, so that a reply with a
candidate of the release that it does not name is seen.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from random import Random

import numpy as np

from bioelx.client import Client, document, link_request
from bioelx.errors import BioelxError
from bioelx.kb import KnowledgeBase
from bioelx.release import activate, find_release
from bioelx.v1 import linker_pb2 as pb
from bioelx_eval.speed.mentions import Mention, with_typing_errors
from bioelx_eval.speed.systems import running_server
from bioelx_eval.speed.twin import twin_of

PREFIX = "twin."
SEED = 20261124
MENTIONS = 512
IN_A_CALL = 4
"""Mentions of a Link."""
SETTLED = 0.01
"""Memory has settled when it changes by no more than this share from one look to the next."""
GIVE_UP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class SwapSettings:
    """What to do to a server."""

    release: str = ""
    swaps: int = 50
    clients: int = 4
    pause: float = 0.05
    """Seconds that a client rests after each call."""
    calm: float = 10.0
    """Seconds of load before the first swap, to compare with."""
    settle: float = 0.5
    """Seconds between two looks at the memory after a swap."""
    threads: int = 0
    keep_loaded: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as its caller saw it."""

    method: str
    started: float
    """Seconds, by the clock of the swaps."""
    seconds: float
    failure: str = ""
    release: str = ""
    mixed: bool = False
    """A candidate or concept is not of the release that the reply names."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A process's memory, in bytes."""

    resident: int
    proportional: int
    """Resident, where what processes share counts for each of them in part."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One switch of the release, by whom, and what the server held when it had settled."""

    way: str
    started: float
    seconds: float
    memory: Memory


@dataclass(frozen=True, slots=True)
class Swaps:
    """All that was measured."""

    calls: tuple[Call, ...]
    swaps: tuple[Swap, ...]
    before: Memory
    """Before the first swap."""
    began: float
    """When the first swap did."""

    @property
    def failures(self) -> list[str]:
        return [f"{call.method}: {call.failure}" for call in self.calls if call.failure]

    @property
    def mixed(self) -> int:
        return sum(call.mixed for call in self.calls)

    def latencies(self, method: str, *, swapping: bool) -> tuple[float, float, float, float]:
        """p50, p95, p99 and the longest of a method's calls in milliseconds, in the calm before
        the first swap or after that."""
        taken = [
            1000 * call.seconds
            for call in self.calls
            if call.method == method and (call.started >= self.began) == swapping
        ]
        p50, p95, p99, longest = np.percentile(taken or [np.nan], (50, 95, 99, 100)).tolist()
        return p50, p95, p99, longest

    def growth(self, part: Callable[[Memory], int]) -> float:
        """Memory after the last swap by memory after the first."""
        return part(self.swaps[-1].memory) / part(self.swaps[0].memory)


def measure_swaps(
    settings: SwapSettings,
    say: Callable[[str], None] = lambda doing: None,
    advance: Callable[[int], None] = lambda swaps: None,
) -> Swaps:
    """Serves a release, calls it from several clients, and swaps it for its twin and back.

    Args:
        say: is told what is being prepared.
        advance: is told how many swaps are done.

    Raises:
        BioelxError: the release is not as it should be, or a swap does not come about.
    """
    options = ["--keep-loaded", str(settings.keep_loaded)]
    with (
        twins_of(settings.release, say) as (root, (one, other)),
        serving_twins(root, options, say, threads=settings.threads) as (address, pid),
    ):
        kb = KnowledgeBase.open(one)
        mentions = with_typing_errors(kb, MENTIONS, Random(SEED))  # noqa: S311  (a sample)
        load = Load(address, mentions, xrefs_of(kb), {one.name: "", other.name: PREFIX})
        with load.running(settings.clients, settings.pause), Client(address) as client:
            time.sleep(settings.calm)
            before, began = settled_memory(pid, settings.settle), time.perf_counter()
            swaps = []
            for number in range(settings.swaps):
                target = other if number % 2 == 0 else one
                started = time.perf_counter()
                way = swap_to(target.name, number, client, root)
                seconds = time.perf_counter() - started
                swaps.append(Swap(way, started, seconds, settled_memory(pid, settings.settle)))
                advance(number + 1)
        return Swaps(tuple(load.calls), tuple(swaps), before, began)


@contextmanager
def twins_of(release: str, say: Callable[[str], None]) -> Iterator[tuple[Path, tuple[Path, Path]]]:
    """A folder of two releases while it is needed: a copy of one, active, and its twin.

    Raises:
        BioelxError: the release is not as it should be.
    """
    source = find_release(release)
    with tempfile.TemporaryDirectory(prefix="bioelx-swaps-") as scratch:
        root = Path(scratch) / "releases"
        say("copying the release")
        one = twin_of(source, root, "")
        say("making its twin")
        other = twin_of(source, root, PREFIX)
        activate(one.name, root)
        yield root, (one, other)


@contextmanager
def serving_twins(
    root: Path, options: Sequence[str], say: Callable[[str], None], *, threads: int
) -> Iterator[tuple[str, int]]:
    """A server that may be told to switch between a folder's releases, see `running_server`."""
    say("starting the server")
    home = {"BIOELX_HOME": str(root.parent)}
    with running_server(["--admin", *options], threads=threads, environment=home) as serving:
        yield serving


# Swaps


def _by_call(client: Client, root: Path, release: str) -> None:
    client.activate(release)


def _by_pointer(client: Client, root: Path, release: str) -> None:
    activate(release, root)


def _by_rollback(client: Client, root: Path, release: str) -> None:
    client.roll_back()


_WAYS = (_by_call, _by_pointer, _by_rollback)


def swap_to(release: str, number: int, client: Client, root: Path) -> str:
    """Switches a server to another release; returns when it answers from that.

    Args:
        number: of the swap; the ways to do it take turns.

    Returns:
        the way.

    Raises:
        BioelxError: the server does not switch.
    """
    way = _WAYS[number % len(_WAYS)]
    way(client, root, release)
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while (info := client.info()).release != release:
        if time.monotonic() > deadline:
            raise BioelxError(f"the server does not switch: {info.refused_release.reason}")
        time.sleep(0.02)
    return way.__name__.removeprefix("_by_")


# Calls


class Load:
    """Clients that call a server, each in a thread, until they are stopped."""

    def __init__(
        self,
        address: str,
        mentions: Sequence[Mention],
        xrefs: Sequence[str],
        prefixes: Mapping[str, str],
    ) -> None:
        """
        Args:
            xrefs: CURIEs that concepts carry in all releases.
            prefixes: see `are_all_of`.
        """
        self.calls: list[Call] = []
        self._address = address
        self._mentions = mentions
        self._xrefs = xrefs
        self._prefixes = prefixes
        self._stopped = threading.Event()

    @contextmanager
    def running(self, clients: int, pause: float) -> Iterator[None]:
        """Lets clients call, and one more have a stream that lives as long as they do."""
        with ThreadPoolExecutor(clients + 1) as pool:
            tasks = [pool.submit(self._calls, number, pause) for number in range(clients)]
            tasks.append(pool.submit(self._stream, pause))
            try:
                yield
            finally:
                self._stopped.set()
                for task in tasks:
                    task.result()

    def _calls(self, number: int, pause: float) -> None:
        rng = Random(SEED + number)  # noqa: S311
        with Client(self._address) as client:
            for call in cycle((self._link, self._search, self._concept)):
                self._record(call.__name__.removeprefix("_"), call, client, rng)
                if self._stopped.wait(pause):
                    return

    def _link(self, client: Client, rng: Random) -> tuple[str, list[str]]:
        return said_by(client.link(self._documents(rng)))

    def _search(self, client: Client, rng: Random) -> tuple[str, list[str]]:
        reply = client.search(rng.choice(self._mentions).query.mention)
        return reply.release, [each.concept_id for each in reply.candidates]

    def _concept(self, client: Client, rng: Random) -> tuple[str, list[str]]:
        reply = client.concept(rng.choice(self._xrefs))
        return reply.release, [reply.concept.concept_id, *reply.also]

    def _stream(self, pause: float) -> None:
        """Sends a request when the last one is answered, all in one stream."""
        rng = Random(SEED - 1)  # noqa: S311
        sent: list[float] = []
        # gRPC takes requests ahead of the replies: without this a slow server would collect them.
        answered = threading.Semaphore()

        def requests() -> Iterator[pb.LinkRequest]:
            for number in count():
                while not answered.acquire(timeout=pause):
                    if self._stopped.is_set():
                        return
                if number and self._stopped.wait(pause):
                    return
                sent.append(time.perf_counter())
                yield link_request(self._documents(rng), id=str(number))

        with Client(self._address) as client:
            replies = client.link_stream(requests())

            def next_reply(client: Client, rng: Random) -> tuple[str, list[str]] | None:
                reply = next(replies, None)
                answered.release()
                return said_by(reply) if reply else None

            while self._record("stream", next_reply, client, rng, lambda: sent[-1]):
                pass

    def _record(
        self,
        method: str,
        call: Callable[[Client, Random], tuple[str, list[str]] | None],
        client: Client,
        rng: Random,
        began: Callable[[], float] | None = None,
    ) -> bool:
        """Calls and puts it down; returns whether there was an answer."""
        started = time.perf_counter()
        try:
            said = call(client, rng)
        except BioelxError as error:
            self.calls.append(Call(method, started, time.perf_counter() - started, str(error)))
            return False
        if said is None:
            return False
        release, concepts = said
        started = began() if began else started
        taken = time.perf_counter() - started
        mixed = not are_all_of(concepts, release, self._prefixes)
        self.calls.append(Call(method, started, taken, release=release, mixed=mixed))
        return True

    def _documents(self, rng: Random) -> list[pb.Document]:
        chosen = rng.sample(self._mentions, IN_A_CALL)
        return [document(each.query.mention, language=each.query.language) for each in chosen]


def are_all_of(concepts: Sequence[str], release: str, prefixes: Mapping[str, str]) -> bool:
    """Whether there are concepts, and all are of the release.

    Args:
        prefixes: of concept ids, by release; "" for the release whose ids have none of the others'.
    """
    own = prefixes[release]
    others = tuple(prefix for prefix in prefixes.values() if prefix and prefix != own)
    return bool(concepts) and all(
        concept.startswith(own) and not concept.startswith(others) for concept in concepts
    )


def said_by(reply: pb.LinkReply) -> tuple[str, list[str]]:
    if reply.HasField("error"):
        raise BioelxError(reply.error.message)
    links = [link for answered in reply.documents for link in answered.links]
    return reply.release, [each.concept_id for link in links for each in link.candidates]


def xrefs_of(kb: KnowledgeBase) -> list[str]:
    """Xrefs of some concepts, or where there are none, an error."""
    rows = np.linspace(0, kb.concept_count - 1, min(MENTIONS, kb.concept_count)).astype(int)
    found = [xref for concept in kb.concepts(rows.tolist()) for xref in concept.xrefs[:1]]
    if not found:
        raise BioelxError("no concept of the release has an xref to ask for")
    return found


# Memory


def settled_memory(pid: int, settle: float) -> Memory:
    """A process's memory once it changes no more."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    memory = memory_of(pid)
    while True:
        time.sleep(settle)
        last, memory = memory, memory_of(pid)
        change = abs(memory.resident - last.resident) / last.resident
        if change <= SETTLED or time.monotonic() > deadline:
            return memory


def memory_of(pid: int) -> Memory:
    """A process's memory, as Linux tells it.

    Raises:
        BioelxError: this system does not.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise BioelxError(f"the server's memory cannot be read: {error.strerror}") from None
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return Memory(1024 * int(kilobytes["Rss"]), 1024 * int(kilobytes["Pss"]))
