"""Hours of work in minutes: steady load, swaps of releases, and callers that misbehave.

A soak has two phases of the same kind. The first warms up; after it, and again after the second,
all callers leave, and what the server then holds is compared: files, threads, memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import grpc
import numpy as np
from matplotlib.figure import Figure

from bioelx.cli.page import COLOURS
from bioelx.client import Client, search_request
from bioelx.errors import BioelxError
from bioelx.v1 import linker_pb2 as pb
from bioelx.v1.linker_pb2_grpc import EntityLinkerStub
from bioelx_eval.load.calls import (
    INCOMPLETE,
    OK,
    REFUSED,
    Outcome,
    Send,
    connected,
    is_complete,
    open_loop,
    percentiles,
)
from bioelx_eval.load.curve import saturation
from bioelx_eval.load.draws import arrivals, requests_of
from bioelx_eval.load.findings import Bar, Findings, Grid, number
from bioelx_eval.load.nuisances import (
    SLOW_SECONDS,
    VANISHING,
    Bad,
    Ledger,
    bad_messages,
    paused,
    read_slowly,
    send_bad,
    vanish,
)
from bioelx_eval.load.setting import SEED, Setting
from bioelx_eval.speed.memory import Held
from bioelx_eval.speed.swaps import (
    PREFIX,
    are_all_of,
    said_by,
    serving_twins,
    swap_to,
    twins_of,
    xrefs_of,
)

LOAD = 0.7
"""Of what the server carries."""
WARM_UP = 0.1
"""Share of the soak's time that comes before it, in a phase of its own."""
MOST_GROWTH = 1.05
MOST_SECONDS_TO_STOP = 10.0
"""A call that is left behind would hold the stop up for all its grace, 20 seconds."""
SLOW_READERS = 2
MENTIONS = 16_384
DEADLINE = 60.0
SAMPLES = 300
SETTLE_SECONDS = 30.0
KINDS = {"link": 0.5, "search": 0.3, "concept": 0.2}
"""Good calls, by their share."""
MIXED = "MIXED"
"""An answer with a concept that is not of the release it names."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the server held at a time: seconds of its phase, megabytes, counts."""

    at: float
    resident: float
    own: float
    """Resident memory that no other process can share."""
    files: int
    threads: int
    named: Mapping[str, int]
    """Threads by their names; those that nobody named have the program's."""

    @classmethod
    def of(cls, pid: int, at: float) -> Sample:
        held, process = Held.of(pid), Path(f"/proc/{pid}")
        files = sum(1 for _ in (process / "fd").iterdir())
        named: Counter[str] = Counter()
        for name in process.glob("task/*/comm"):
            with suppress(OSError):  # the thread has ended since
                named[name.read_text(encoding="utf-8").strip()] += 1
        return cls(at, held.resident, held.own, files, named.total(), dict(named))


@dataclass(slots=True)
class Phase:
    """What happened in one phase."""

    ledger: Ledger = field(default_factory=Ledger)
    outcomes: list[Outcome] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    swaps: list[float] = field(default_factory=list)
    """When they were done, seconds."""

    def growth(self, part: Callable[[Sample], float]) -> float:
        """The last quarter's median by the first's."""
        quarter = max(1, len(self.samples) // 4)
        first, last = self.samples[:quarter], self.samples[-quarter:]
        return median(map(part, last)) / median(map(part, first))


async def measure_soak(setting: Setting) -> Findings:
    settings = setting.settings
    seconds = 60 * settings.minutes
    with (
        twins_of(str(setting.release), setting.say) as (root, twins),
        serving_twins(root, (), setting.say, threads=settings.threads) as (address, pid),
    ):
        requests = requests_of(setting.queries(MENTIONS), settings.small)
        async with connected(address) as channel:
            setting.say("finding what the server carries")
            carried = await saturation(channel, requests, settings.in_flight, min(15, seconds / 4))
            info = await EntityLinkerStub(channel).Info(pb.InfoRequest())
        # What the others ask is a part of the load, but never most of it.
        good = max(LOAD / 2 * carried, LOAD * carried - SLOW_READERS / SLOW_SECONDS - VANISHING)
        share = KINDS["link"] + KINDS["search"] / settings.small  # of a Link's mentions, on average
        soak = _Soak(
            address=address,
            pid=pid,
            root=root,
            twins=(twins[0].name, twins[1].name),
            requests=requests,
            xrefs=xrefs_of(setting.kb),
            bad=bad_messages(info.limits),
            rate=good / share,
            swap_seconds=settings.swap_seconds,
        )
        total = (1 + WARM_UP) * seconds
        setting.say("warming up")
        await soak.phase(WARM_UP * seconds, lambda at: setting.advance(at, total))
        before = await _idle(pid)
        setting.say("soaking")
        phase = await soak.phase(seconds, lambda at: setting.advance(WARM_UP * seconds + at, total))
        after = await _idle(pid, before.files)
        setting.say("stopping the server")
        stopped = await _stop(pid)
    return _findings(setting, soak, phase, before, after, stopped)


@dataclass(slots=True)
class _Soak:
    """A server under a steady load that may be interrupted and taken up again."""

    address: str
    pid: int
    root: Path
    twins: tuple[str, str]
    """Ids of the releases that take turns, the active one first."""
    requests: Sequence[pb.LinkRequest]
    xrefs: Sequence[str]
    bad: Sequence[Bad]
    rate: float
    """Good calls a second, beside the slow readers' streams."""
    swap_seconds: float
    swapped: int = 0

    async def phase(self, seconds: float, advance: Callable[[float], None]) -> Phase:
        """Everything at once, for so long; all callers have left when it returns."""
        phase, stop, begun = Phase(), asyncio.Event(), perf_counter()
        rng = np.random.default_rng(SEED)
        requests = cycle(self.requests)
        nuisances = [
            self._sample(phase, seconds, begun, advance, stop),
            self._swap(phase, begun, stop),
            send_bad(self.address, self.bad, phase.ledger, stop),
            vanish(self.address, requests, phase.ledger, stop),
            *(
                read_slowly(self.address, requests, self._judge, phase.ledger, stop)
                for _ in range(SLOW_READERS)
            ),
        ]
        async with connected(self.address) as channel, asyncio.TaskGroup() as tasks:
            for nuisance in nuisances:
                tasks.create_task(nuisance)
            sends = self._good_calls(channel, requests, phase.ledger)
            phase.outcomes += await open_loop(sends, arrivals(self.rate, seconds, rng))
            stop.set()
        return phase

    def _good_calls(
        self, channel: grpc.aio.Channel, requests: Iterator[pb.LinkRequest], ledger: Ledger
    ) -> Iterator[Send]:
        stub = EntityLinkerStub(channel)
        rng = Random(SEED)  # noqa: S311
        xrefs = cycle(self.xrefs)

        async def link() -> str:
            request = next(requests)
            reply = await stub.Link(request, timeout=DEADLINE)
            return self._judge(reply) if is_complete(reply, len(request.documents)) else INCOMPLETE

        async def search() -> str:
            found = next(requests).documents[0]
            [span] = found.mentions
            name = found.text[span.start : span.end]
            request = search_request(name, found.language, rerank="never")
            reply = await stub.Search(request, timeout=DEADLINE)
            return self._whole(reply.release, [each.concept_id for each in reply.candidates])

        async def concept() -> str:
            request = pb.GetConceptRequest(concept_id=next(xrefs))
            reply = await stub.GetConcept(request, timeout=DEADLINE)
            return self._whole(reply.release, [reply.concept.concept_id, *reply.also])

        calls = {"link": link, "search": search, "concept": concept}
        while True:
            [kind] = rng.choices(list(KINDS), list(KINDS.values()))
            yield partial(_noted, ledger, kind, calls[kind])

    def _judge(self, reply: pb.LinkReply) -> str:
        return self._whole(*said_by(reply))

    def _whole(self, release: str, concepts: Sequence[str]) -> str:
        prefixes = dict(zip(self.twins, ("", PREFIX), strict=True))
        return OK if are_all_of(concepts, release, prefixes) else MIXED

    async def _swap(self, phase: Phase, begun: float, stop: asyncio.Event) -> None:
        with Client(self.address) as client:
            while not await paused(stop, self.swap_seconds):
                target = self.twins[(self.swapped + 1) % 2]
                try:
                    way = await asyncio.to_thread(swap_to, target, self.swapped, client, self.root)
                except BioelxError:
                    phase.ledger.note("swap", "FAILED")
                    continue
                self.swapped += 1
                phase.ledger.note("swap", f"by {way}")
                phase.swaps.append(perf_counter() - begun)

    async def _sample(
        self,
        phase: Phase,
        seconds: float,
        begun: float,
        advance: Callable[[float], None],
        stop: asyncio.Event,
    ) -> None:
        while not await paused(stop, seconds / SAMPLES):
            at = perf_counter() - begun
            phase.samples.append(Sample.of(self.pid, at))
            advance(min(at, seconds))


async def _noted(ledger: Ledger, kind: str, call: Callable[[], Awaitable[str]]) -> str:
    try:
        code = await call()
    except grpc.aio.AioRpcError as error:
        code = error.code().name
    ledger.note(kind, code)
    return code


async def _idle(pid: int, files: int = 0) -> Sample:
    """What a server holds that nobody calls, once that changes no more, or has come down to so
    many open files."""
    begun = perf_counter()
    sample = Sample.of(pid, 0)
    while (now := perf_counter() - begun) < SETTLE_SECONDS:
        await asyncio.sleep(1)
        last, sample = sample, Sample.of(pid, now)
        if sample.files <= files or (not files and now > 3 and sample.files == last.files):
            break
    return sample


async def _stop(pid: int) -> float:
    """Tells a server to stop; seconds until it had."""
    begun = perf_counter()
    os.kill(pid, signal.SIGTERM)
    status = Path(f"/proc/{pid}/stat")
    while (now := perf_counter() - begun) < SETTLE_SECONDS:
        if status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            break
        await asyncio.sleep(0.05)
    return now


def _findings(
    setting: Setting, soak: _Soak, phase: Phase, before: Sample, after: Sample, stopped: float
) -> Findings:
    settings, ends = setting.settings, phase.ledger.ends
    good = {*KINDS, "stream"}
    expected = {bad.kind: bad.code for bad in soak.bad}
    refused = sum(n for (kind, code), n in ends.items() if kind in good and code == REFUSED)
    failed = sum(
        n for (kind, code), n in ends.items() if kind in good and code not in (OK, REFUSED)
    )
    wrong = sum(n for (kind, code), n in ends.items() if expected.get(kind, code) != code)
    lost = ends["swap", "FAILED"]
    p50, p95, p99 = percentiles(phase.outcomes)
    kinds = sorted({kind for kind, _ in ends})
    bars = [
        Bar("good calls that failed", failed, most=0),
        Bar("good calls that were refused", refused, most=0),
        Bar("bad messages with another answer than theirs", wrong, most=0),
        Bar("swaps that failed", lost, most=0),
        Bar("swaps", len(phase.swaps), least=1),
        Bar("memory, last quarter × first", phase.growth(_resident), most=MOST_GROWTH),
        Bar("open files left", max(0, after.files - before.files), most=0),
        Bar("threads left", max(0, after.threads - before.threads), most=0),
        Bar("seconds to stop", stopped, most=MOST_SECONDS_TO_STOP),
    ]
    held = [
        ("idle before", before),
        ("idle after", after),
    ]
    return Findings(
        "soak",
        [
            f"{settings.minutes:g} minutes at {LOAD:g} of what the server carries, "
            f"of it {number(soak.rate)} good calls/s by a Poisson process ("
            + ", ".join(f"{share:.0%} {kind}" for kind, share in KINDS.items())
            + f"; {settings.small} mentions a link), {SLOW_READERS} slow readers of streams beside "
            f"them, callers that vanish and messages that are oversize or malformed every half a "
            f"second, a swap every {settings.swap_seconds:g} s; the same for "
            f"{WARM_UP * settings.minutes:g} minutes before, to warm up. Linked: "
            f"{setting.described}. Good callers waited {number(p50)} / {number(p95)} / "
            f"{number(p99)} ms (p50 / p95 / p99)."
        ],
        bars,
        [
            Grid(
                ("calls", "how they ended"),
                [
                    (k, ", ".join(f"{code} {n:,}" for code, n in phase.ledger.of(k).items()))
                    for k in kinds
                ],
            ),
            Grid(
                ("the server", "resident, MB", "of its own, MB", "open files", "threads"),
                [
                    (
                        name,
                        number(s.resident),
                        number(s.own),
                        f"{s.files}",
                        ", ".join(f"{count} {kind}" for kind, count in sorted(s.named.items())),
                    )
                    for name, s in held
                ],
            ),
        ],
        {
            "calls": {kind: phase.ledger.of(kind) for kind in kinds},
            "latencies_ms": [p50, p95, p99],
            "before": asdict(before),
            "after": asdict(after),
            "samples": [asdict(sample) for sample in phase.samples],
            "swaps": phase.swaps,
            "growth_of_its_own": phase.growth(lambda sample: sample.own),
        },
        partial(draw, phase),
    )


def _resident(sample: Sample) -> float:
    return sample.resident


def draw(phase: Phase) -> Figure:
    """Memory above, files and threads below, over time; a line for each swap."""
    figure = Figure(figsize=(7.2, 5.6))
    above, below = figure.subplots(2, 1, sharex=True)
    minutes = [sample.at / 60 for sample in phase.samples]
    for axes, names in ((above, ("resident", "own")), (below, ("files", "threads"))):
        for at in phase.swaps:
            axes.axvline(at / 60, color="#d9dee5", linewidth=0.8, zorder=0)
        for name, colour in zip(names, COLOURS, strict=False):
            axes.plot(minutes, [getattr(s, name) for s in phase.samples], color=colour, label=name)
        axes.set_ylim(bottom=0)
        axes.legend()
    above.set(ylabel="MB")
    below.set(xlabel="minutes", ylabel="open files, threads")
    return figure
