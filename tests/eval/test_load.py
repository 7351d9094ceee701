"""`bioelx eval load`: the figures by hand, the ways of calling without a server, and each part at
tiny size with real processes."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from bioelx.errors import BioelxError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.linker import Linker
from bioelx.types import Query
from bioelx.v1 import linker_pb2 as pb
from bioelx_eval.cli import app
from bioelx_eval.load.calls import (
    INCOMPLETE,
    OK,
    REFUSED,
    Outcome,
    closed_loop,
    connected,
    is_complete,
    open_loop,
    percentiles,
    sender,
)
from bioelx_eval.load.cores import own_cores, pinned
from bioelx_eval.load.curve import LOADS, Pass, Point, bars_of, summarise
from bioelx_eval.load.draws import arrivals, request_of, requests_of, zipf_draws
from bioelx_eval.load.findings import Bar
from bioelx_eval.load.soak import Phase, Sample
from bioelx_eval.load.throughput import Turn, take_turns
from bioelx_eval.load.zipf import Answered, differing
from bioelx_eval.speed.mentions import distinct_mentions


def measure(release: Path, part: str, out: Path, *options: object) -> dict:
    """What one part says, however its bars are met: this machine may be busy."""
    command = ["load", "--release", release, "--part", part, "--threads", 1, "--out", out]
    done = CliRunner().invoke(app, [*map(str, (*command, *options))], catch_exceptions=False)
    content = orjson.loads((out / f"{part}.json").read_bytes())
    assert done.exit_code == (0 if all(bar["met"] for bar in content["bars"]) else 1)
    report = (out / f"{part}.md").read_text(encoding="utf-8")
    for bar in content["bars"]:
        assert bar["what"] in report
        assert bar["what"] in done.stdout
    return content


def bar(content: dict, what: str) -> float:
    [found] = [each["value"] for each in content["bars"] if each["what"].startswith(what)]
    return found


# Draws


def test_zipf_draws_follow_the_law() -> None:
    drawn = zipf_draws(200_000, 50_000, 1.0, np.random.default_rng(1))
    counts = np.bincount(drawn, minlength=50_000)
    harmonic = (1 / np.arange(1, 50_001)).sum()
    for rank in (1, 2, 3, 10):
        expected = 200_000 / (rank * harmonic)
        assert abs(counts[rank - 1] - expected) < 5 * math.sqrt(expected)
    chance = 1 / (np.arange(1, 50_001) * harmonic)
    came_up = (1 - (1 - chance) ** 200_000).sum()
    assert abs((counts > 0).sum() - came_up) < 5 * math.sqrt(came_up)
    flat = zipf_draws(10_000, 10, 0.0, np.random.default_rng(1))
    assert np.bincount(flat).min() > 800


def test_arrivals_are_a_poisson_process() -> None:
    rng = np.random.default_rng(2)
    times = arrivals(50, 400, rng)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < 400
    assert abs(len(times) - 20_000) < 5 * math.sqrt(20_000)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of no other process
    by_second = np.bincount(np.array(times).astype(int), minlength=400)
    assert by_second.var() == pytest.approx(by_second.mean(), rel=0.3)
    assert arrivals(0.001, 1, np.random.default_rng(0)) == []


def test_requests_hold_each_mention_in_its_document() -> None:
    queries = [Query("had a heart attack", 6, 18, "en"), *map(Query.bare, ["flu", "mumps"])]
    one, other = requests_of(queries, 2)
    assert [(d.text, d.language) for d in one.documents] == [
        ("had a heart attack", "en"),
        ("flu", ""),
    ]
    [span] = one.documents[0].mentions
    assert (span.start, span.end) == (6, 18)
    assert one.options.rerank == pb.RERANK_NEVER
    assert [d.text for d in other.documents] == ["mumps"]


def test_distinct_mentions_are_none_twice(tiny_release: Path, release: Path) -> None:
    kb = KnowledgeBase.open(tiny_release)
    found = distinct_mentions(kb, 3_000, Random(1))
    first = found[7]
    assert len({normalise(each.query.mention) for each in found}) == len(found) == 3_000
    again = distinct_mentions(kb, 50, Random(2), [first, first])
    assert again[0] == first
    assert len({normalise(each.query.mention) for each in again}) == 50
    with pytest.raises(BioelxError, match=r"different mentions, not for 5,000"):
        distinct_mentions(KnowledgeBase.open(release), 5_000, Random(1))


# Loops


async def test_an_open_loop_hides_no_wait() -> None:
    """The server stands still for the first call: those due meanwhile wait, and that is counted,
    though each by itself took no time."""
    busy = asyncio.Lock()
    stalls = iter([0.3, 0, 0, 0])

    async def send() -> str:
        async with busy:
            await asyncio.sleep(next(stalls))
        return OK

    outcomes = await open_loop([send] * 4, [0.0, 0.05, 0.1, 0.15])
    assert [outcome.due for outcome in outcomes] == [0.0, 0.05, 0.1, 0.15]
    for outcome in outcomes:
        assert outcome.ended >= 0.3
        assert outcome.seconds == pytest.approx(outcome.ended - outcome.due)
    assert outcomes[1].sent < 0.3  # it did not wait for the one before


async def test_an_open_loop_that_is_held_up_counts_from_when_calls_were_due() -> None:
    async def send() -> str:
        time.sleep(0.2)  # the generator itself stands still
        return OK

    one, other = await open_loop([send] * 2, [0.0, 0.05])
    assert other.due == 0.05
    assert other.sent >= 0.2
    assert other.seconds >= 0.3
    assert one.seconds < other.seconds


async def test_a_closed_loop_has_so_many_in_flight() -> None:
    flying, most = 0, 0

    async def send() -> str:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.001)
        flying -= 1
        return OK

    outcomes = await closed_loop([send] * 20, 3)
    assert (len(outcomes), most) == (20, 3)


def test_percentiles_are_of_the_answered() -> None:
    answered = [Outcome(1.0, 1.0, 1.0 + n / 1000, OK) for n in range(1, 101)]
    refused = [Outcome(0.0, 0.0, 99.0, REFUSED)] * 50
    assert percentiles([*answered, *refused]) == pytest.approx((50.5, 95.05, 99.01))
    assert all(map(math.isnan, percentiles(refused)))


def test_a_half_answer_is_none() -> None:
    link = pb.Link(candidates=[pb.Candidate(concept_id="a:1")])
    whole = pb.LinkReply(documents=[pb.DocumentLinks(links=[link])] * 2)
    assert is_complete(whole, 2)
    assert not is_complete(whole, 3)
    hollow = pb.LinkReply(documents=[pb.DocumentLinks(links=[link, pb.Link()])])
    assert not is_complete(hollow, 2)


def test_this_process_is_kept_on_a_core_and_let_go() -> None:
    cores = own_cores()
    with pinned(cores[:1]):
        assert own_cores() == cores[:1]
    assert own_cores() == cores


# Figures


def test_a_point_of_the_curve_by_hand() -> None:
    """Measured from second 1 to 3: what came before or ended after counts where it belongs."""
    outcomes = [
        Outcome(0.5, 0.5, 1.5, OK),  # came before, answered within
        Outcome(1.0, 1.0, 1.1, OK),
        Outcome(2.0, 2.5, 2.9, OK),
        Outcome(2.5, 2.5, 3.5, OK),  # answered after
        Outcome(2.6, 2.6, 2.7, REFUSED),
        Outcome(2.7, 2.7, 2.8, "INTERNAL"),
        Outcome(3.2, 3.2, 3.3, OK),  # came after
    ]
    point = summarise([Pass(0.5, 1.0, 3.0, outcomes)] * 2)
    assert (point.load, point.offered, point.answered) == (0.5, 2.5, 1.5)
    assert (point.refused, point.failed) == (0.2, 0.2)
    assert point.answers == 6
    assert point.p50 == pytest.approx(900)
    assert point.p99 == pytest.approx(1000)
    assert point.lag == pytest.approx(500, rel=0.1)


@pytest.mark.parametrize(
    ("answered", "p99", "failed", "met"),
    [
        (100, 300, 0, [True, True, True]),
        (94, 300, 0, [False, True, True]),
        (100, 301, 0, [True, False, True]),
        (100, math.nan, 0.01, [True, False, False]),
    ],
)
def test_bars_of_the_curve(answered: float, p99: float, failed: float, met: list[bool]) -> None:
    points = [Point(load, 1, 100, 0, 0, 1, 1, 100, 0, 500) for load in LOADS[:-1]]
    points.append(Point(LOADS[-1], 1, answered, 0, failed, 1, 1, p99, 0, 500))
    assert [each.met for each in bars_of(points)] == met


def test_bars() -> None:
    assert Bar("it", 0.85, least=0.85).met
    assert not Bar("it", 0.849, least=0.85).met
    assert not Bar("it", math.nan, most=3).met
    assert Bar("it", 1, most=3).asked == "at most 3"


def test_growth_is_of_the_last_quarter_by_the_first() -> None:
    held = [100, 100, 900, 100, 150, 150, 110, 110]  # a spike moves no median of many
    phase = Phase(samples=[Sample(n, mb, mb, 1, 1, {}) for n, mb in enumerate(held)])
    assert phase.growth(lambda sample: sample.resident) == pytest.approx(1.1)


async def test_ways_take_turns_and_the_first_round_is_not_counted() -> None:
    asked: list[str] = []

    def way(title: str) -> Callable:
        async def link(mentions: list) -> Turn:
            asked.append(title)
            return Turn(len(mentions), 2.0, 1.0)

        return link

    steps: list[float] = []
    ways = {"a": way("a"), "b": way("b")}
    rounds = [[1], [1, 2], [1, 2, 3]]
    turns = await take_turns(ways, rounds, lambda done, total: steps.append(done / total))
    assert "".join(asked) == "abbaab"
    assert [turn.rate for turn in turns["a"]] == [1.0, 1.5]
    assert turns["b"][1].rate_without_search == 3.0
    assert steps[-1] == 1


# Against a real server


async def test_calls_over_the_wire(server, tiny_linker: Linker) -> None:
    queries = [Query.bare("flue"), Query("a bad mygraine", 6, 14, "en")]
    kept: list[pb.LinkReply] = []
    async with connected(server.address) as channel:
        good = sender(channel, request_of(queries), 30, kept.append)
        hollow = pb.LinkRequest(documents=[pb.Document(text="flu"), pb.Document(text=" ")])
        # Answers from the cache come sooner than gRPC's clock ticks.
        many = [Query.bare(f"flue {number}") for number in range(200)]
        bad, late = sender(channel, hollow, 30), sender(channel, request_of(many), 1e-3)
        empty = sender(channel, pb.LinkRequest(), 30)
        outcomes = await closed_loop([good, bad, late, empty], 1)
    codes = [outcome.code for outcome in outcomes]
    assert codes == [OK, INCOMPLETE, "DEADLINE_EXCEEDED", "INVALID_ARGUMENT"]
    [reply] = kept
    answers = [
        Answered(query, document.links[0])
        for query, document in zip(queries, reply.documents, strict=True)
    ]
    assert differing(answers, tiny_linker) == 0
    assert differing([Answered(queries[1], answers[0].link), answers[0]], tiny_linker) == 1
    answers[0].link.candidates[0].retrieval_score += 0.01
    answers[1].link.candidates[0].matched.text = "another"
    assert differing(answers, tiny_linker) == 2


# The whole


def test_throughput(tiny_release: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    options = ("--rounds", 2, "--calls", 3, "--in-flight", 2)
    content = measure(tiny_release, "throughput", out, *options)
    assert content["mentions"] == {"BioELX over gRPC": 192, "BioELX in process": 192}
    for rates in content["rates"].values():
        assert len(rates) == 2
        assert all(rate > 0 for rate in rates)
    assert bar(content, "BioELX over gRPC × in process") > 0
    assert bar(content, "calls without a whole answer") == 0


def test_zipf_without_the_script(tiny_release: Path, tmp_path: Path) -> None:
    options = ("--rounds", 2, "--distinct", 100, "--draws", 400, "--in-flight", 2)
    content = measure(tiny_release, "zipf", tmp_path, *options)
    assert content["compared_with"] == "BioELX in process"
    assert 40 < content["came_up"] <= 100
    assert bar(content, "of 200 answers") == 0
    assert bar(content, "BioELX over gRPC × script") is None  # and so is missed
    assert content["times"] > 0
    assert bar(content, "calls without a whole answer") == 0
    report = (tmp_path / "zipf.md").read_text(encoding="utf-8")
    assert "it needs --torch-model FOLDER" in report


def test_script_in_torch(
    make_torch_model: Callable[[Path, int], Path], tiny_release: Path, tmp_path: Path
) -> None:
    options = ("--rounds", 1, "--calls", 2, "--in-flight", 2)
    model = make_torch_model(tmp_path, 384)
    content = measure(tiny_release, "script", tmp_path, *options, "--torch-model", model)
    assert set(content["rates"]) == {"BioELX over gRPC", "BioELX in process", "script"}
    assert bar(content, "BioELX over gRPC × script") > 0
    assert "Without search: BioELX in process is" in (tmp_path / "script.md").read_text()


def test_curve(tiny_release: Path, tmp_path: Path) -> None:
    options = ("--seconds", 0.5, "--passes", 1, "--in-flight", 2)
    content = measure(tiny_release, "curve", tmp_path, *options)
    assert [point["load"] for point in content["points"]] == list(LOADS)
    assert content["saturation"] > 0
    assert "<svg" in (tmp_path / "curve.svg").read_text(encoding="utf-8")


@pytest.mark.timeout(600)
def test_soak(tiny_release: Path, tmp_path: Path) -> None:
    options = ("--minutes", 0.1, "--swap-seconds", 1.5)
    content = measure(tiny_release, "soak", tmp_path, *options)
    for what in ("good calls that failed", "bad messages", "swaps that failed", "open files left"):
        assert bar(content, what) == 0, content["calls"]
    assert content["swaps"]
    assert {"link", "search", "concept", "stream", "oversize message"} <= set(content["calls"])
    assert any(kind.startswith("vanished") for kind in content["calls"])
    assert content["samples"]
    assert "<svg" in (tmp_path / "soak.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_is_stopped_leaves_no_server_behind(
    tiny_release: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "bioelx", "eval", "load", "--part", "curve"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*command, "--release", str(tiny_release), "--threads", "1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not (children := _children(process.pid)):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(number)
        assert process.wait(60) != 0
        assert not any(Path(f"/proc/{child}").exists() for child in children)
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def test_bad_arguments_are_named(tiny_release: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["load", "--part", "speed"])
    assert done.exit_code == 2
    assert "known are throughput, script, zipf, curve, soak" in done.output
    with pytest.raises(BioelxError, match="--cache keeps the vectors"):
        CliRunner().invoke(app, ["load", "--cache", str(tmp_path)], catch_exceptions=False)
    nowhere = ["load", "--torch-model", str(tmp_path / "nowhere")]
    with pytest.raises(BioelxError, match="nowhere: no such folder"):
        CliRunner().invoke(app, nowhere, catch_exceptions=False)
