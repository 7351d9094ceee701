"""`bioelx eval speed`: the figures by hand, and the whole at tiny size with real processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from bioelx.client import Client
from bioelx.errors import BioelxError, FileError
from bioelx.kb import KnowledgeBase, normalise
from bioelx.linker import Linker
from bioelx.release import read_manifest, verify_release
from bioelx.types import Query
from bioelx_eval.cli import app
from bioelx_eval.datasets import DATASETS
from bioelx_eval.speed import measure as measuring
from bioelx_eval.speed.measure import measure
from bioelx_eval.speed.mentions import Mention, from_dataset, mistype, with_typing_errors
from bioelx_eval.speed.part import part_of
from bioelx_eval.speed.systems import (
    Judge,
    Reply,
    linker_inside,
    running_server,
    server,
    trigram_script,
)

SCRIPT, GRAMS = "script: torch fp32, flat", "3-grams, TF-IDF (exact)"
INSIDE, OUTSIDE = "BioELX in process", "BioELX over gRPC"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["speed", *map(str, arguments)], catch_exceptions=False)


# Figures


class Scripted:
    """A system whose replies take so long as it is told, for a mention."""

    def __init__(self, title: str, seconds: Sequence[float], asked: list[str]) -> None:
        self.title, self._seconds, self._asked = title, list(seconds), asked

    def ask(self, mentions: Sequence[Mention]) -> Reply:
        self._asked.append(f"{self.title}{len(mentions)}")
        seconds = self._seconds[len(self._asked) % len(self._seconds)] * len(mentions)
        right = tuple(mention.query.mention == "right" for mention in mentions)
        return Reply(seconds, seconds / 2, seconds / 4, 0.0, right)


def mentions(*texts: str) -> list[Mention]:
    return [Mention(Query.bare(text), frozenset({0})) for text in texts]


def test_figures_and_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "BATCHES", {1: 2, 3: 1})
    monkeypatch.setattr(measuring, "_PAUSE", 0)
    asked: list[str] = []
    slow, fast = (Scripted(title, [s], asked) for title, s in (("s", 0.4), ("f", 0.1)))
    steps: list[tuple[int, int]] = []
    rounds = [mentions("right", "wrong", "right", "wrong")] * 3
    results = measure([slow, fast], rounds, lambda *step: steps.append(step))

    assert steps == [(done, 6) for done in range(1, 7)]
    per_turn = {title: [f"{title}1"] * 2 + [f"{title}3", f"{title}1"] for title in "sf"}
    warm_up = [*["s1"] * 4, "s3", "s1", *["f1"] * 4, "f3", "f1"]
    # In the second round the second system begins.
    turns = [each for title in "sffssf" for each in per_turn[title]]
    assert asked == warm_up + turns

    alone, together = (results["s"][size] for size in (1, 3))
    assert (alone.requests, alone.mentions, alone.recall) == (6, 6, 1)
    assert (together.requests, together.mentions, together.recall) == (6, 12, 0.5)
    assert together.rates == pytest.approx((2.5, 2.5, 2.5))
    assert alone.latencies == pytest.approx((400, 400, 400))
    assert together.latencies[0] == pytest.approx(800)  # requests of 3 and of 1
    assert together.latencies[2] == pytest.approx(1200)
    assert (together.encoding, together.searching) == pytest.approx((200, 100))
    assert (together.ranking, together.overhead) == pytest.approx((0, 100))
    assert results["f"][3].times(together) == pytest.approx(4)


def test_a_slow_system_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_PAUSE", 0)
    slow, fast = (Scripted(title, [s], []) for title, s in (("s", 50.0), ("f", 0.1)))
    results = measure([slow, fast], [mentions(*["right"] * 64)] * 3)
    assert [results["s"][size].mentions for size in (1, 32)] == [3, 32]
    assert [results["f"][size].mentions for size in (1, 32)] == [48, 192]
    assert results["f"][1].times(results["s"][1]) == pytest.approx(500)


def test_ratios_are_those_within_a_round() -> None:
    def summary(*rates: float) -> measuring.Summary:
        return measuring.Summary(1, 1, 1, rates, (1, 1, 1), 0, 0, 0, 0)

    # All that made a round slow made it slow for both.
    assert summary(10, 1, 20).times(summary(5, 0.5, 10)) == 2


# Mentions


def shared(one: str, other: str) -> int:
    """How many letters at their beginnings are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


@given(st.text(min_size=2), st.randoms())
def test_a_typing_error_changes_one_place(text: str, rng: Random) -> None:
    changed = mistype(text, rng)
    before, after = shared(text, changed), shared(text[::-1], changed[::-1])
    assert before >= 1
    assert before + after >= len(text) - 2
    assert abs(len(changed) - len(text)) <= 1


def test_names_with_typing_errors_are_no_names(tiny_release: Path) -> None:
    kb = KnowledgeBase.open(tiny_release)
    made = with_typing_errors(kb, 200, Random(1))
    assert len(made) == 200
    assert made == with_typing_errors(kb, 200, Random(1))
    for mention in made:
        assert kb.text_id(normalise(mention.query.mention)) is None
        assert mention.gold


def test_mentions_of_a_dataset_are_those_whose_concept_is_there(
    release: Path, write_xlbel: Callable[..., Path]
) -> None:
    rows = ["C0027051||heart attack||a <tgt>heart attack</tgt>", "C0000009||flu||<tgt>flu</tgt>"]
    data = write_xlbel({"en": rows})
    kb = KnowledgeBase.open(release)
    found = from_dataset(DATASETS["xlbel"], data, kb, 100, Random(0))
    assert {mention.query.mention for mention in found} == {"heart attack", "asthma"}
    assert "a heart attack" in {mention.query.text for mention in found}
    assert len(from_dataset(DATASETS["xlbel"], data, kb, 3, Random(0))) == 3
    (data / "test_corpus.txt").write_text("1|t|A\n1|a|B.\n\n")
    with pytest.raises(BioelxError, match=r"no concept of BC5CDR test"):
        from_dataset(DATASETS["bc5cdr"], data, kb, 3, Random(0))


def test_a_part_of_a_release_is_a_release(tiny_release: Path, tmp_path: Path) -> None:
    whole, part = KnowledgeBase.open(tiny_release), part_of(tiny_release, 300, tmp_path, 7)
    manifest = verify_release(part)
    kb = KnowledgeBase.open(part)
    assert len(kb.texts) == manifest.index.vectors == 300
    assert set(kb.texts.to_pylist()) < set(whole.texts.to_pylist())
    assert (manifest.concepts, manifest.names) == (kb.concept_count, kb.name_count)
    assert kb.texts == KnowledgeBase.open(part_of(tiny_release, 300, tmp_path / "b", 7)).texts

    linker = Linker.open(part, threads=1)
    vectors = linker.encoder.encode(kb.texts.to_pylist())
    np.testing.assert_allclose(linker.index.vectors(), vectors, atol=1e-3)
    [link] = linker.link([Query.bare(kb.texts[7].as_py())]).links
    assert link.candidates[0].exact


# The whole


def test_all_that_needs_no_torch(tiny_release: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    options = ["--mentions", 48, "--rounds", 2, "--threads", 1, "--names", 1000]
    left_out = ["the script that a user would write (it needs --torch-model FOLDER"]
    if not find_spec("torch"):
        options += ["--ranker", "org/model", "--torch-model", tmp_path]
        left_out = [
            "BioELX in process, model (this ranker needs torch: pip install 'bioelx[torch]')",
            "the script that a user would write (it needs torch and sentence-transformers",
        ]
    result = run("--release", tiny_release, *options, "--out", out)
    assert result.exit_code == 0

    content = orjson.loads((out / "speed.json").read_bytes())
    assert content["release"] == read_manifest(tiny_release).id
    assert (content["names"], content["rounds"], content["threads"]) == (1000, 2, 1)
    assert list(content["systems"]) == [INSIDE, OUTSIDE, GRAMS]
    for of_size in content["systems"].values():
        assert (of_size["1"]["mentions"], of_size["32"]["mentions"]) == (24, 96)
        for figures in of_size.values():
            p50, p95, p99 = figures["latencies"]
            assert 0 < p50 <= p95 <= p99
            assert figures["recall_at_1"] > 0.7
            parts = (figures[p] for p in ("encoding", "searching", "ranking", "overhead"))
            assert all(part >= 0 for part in parts)
            assert set(figures["times"]) == {GRAMS}
    assert content["systems"][GRAMS]["1"]["times"][GRAMS] == 1
    assert content["systems"][OUTSIDE]["1"]["encoding"] > 0

    report = (out / "speed.md").read_text(encoding="utf-8")
    for text in (report, result.stdout):
        assert all(f"Left out: {reason}" in text for reason in left_out)
        assert "1 thread of" in text
        assert "96 of these names, each with a typing error" in text
    assert f"| {INSIDE} |" in report
    assert "| ranking, batch 1 |" not in report


def test_systems_agree_on_names_that_are_there(tiny_release: Path, tmp_path: Path) -> None:
    kb = KnowledgeBase.open(tiny_release)
    judge = Judge(kb)
    names = tmp_path / "names.json"
    names.write_bytes(orjson.dumps(kb.texts.to_pylist()))
    asked = [
        Mention(
            Query.bare(kb.texts[text].as_py()),
            frozenset(int(kb.name_concept[row]) for row in kb.name_rows(text)),
        )
        for text in range(0, len(kb.texts), 40)
    ]
    with (
        linker_inside("inside", tiny_release, judge, threads=1) as inside,
        server("server", tiny_release, judge, threads=1) as outside,
        trigram_script(judge, names=names, threads=1) as grams,
    ):
        for system in (inside, outside, grams):
            reply = system.ask(asked)
            assert all(reply.right), system.title
            assert reply.seconds >= reply.encoding + reply.searching + reply.ranking
        nonsense = [Mention(Query.bare("\u1780\u17d2\u1798"), frozenset({0}))]
        assert grams.ask(nonsense).right == (False,)


@pytest.mark.parametrize("own", [False, True])
def test_the_script_that_a_user_would_write(
    make_torch_model: Callable[[Path, int], Path], tiny_release: Path, tmp_path: Path, own: bool
) -> None:
    model = make_torch_model(tmp_path, 384)
    cache = ("--cache", tmp_path / "cache") if own else ()
    options = ("--mentions", 16, "--rounds", 1, "--threads", 1, "--names", 200)
    command = ("--release", tiny_release, *options, "--torch-model", model, *cache)
    result = run(*command, "--out", tmp_path / "out")
    assert result.exit_code == 0
    content = orjson.loads((tmp_path / "out" / "speed.json").read_bytes())
    assert list(content["systems"]) == [INSIDE, OUTSIDE, SCRIPT, GRAMS]
    assert set(content["systems"][INSIDE]["1"]["times"]) == {SCRIPT, GRAMS}
    assert content["vectors"].startswith("vectors that it enc" if own else "the release's own")
    if own:
        [kept] = (tmp_path / "cache").iterdir()
        before = kept.stat().st_mtime_ns
        assert np.load(kept).shape == (200, 384)
        assert run(*command).exit_code == 0
        assert kept.stat().st_mtime_ns == before


def test_bad_arguments_and_systems_that_do_not_start_are_named(
    tiny_release: Path, tmp_path: Path
) -> None:
    with pytest.raises(BioelxError, match="--cache keeps the vectors of --torch-model"):
        run("--release", tiny_release, "--cache", tmp_path)
    with pytest.raises(FileError, match="nowhere: no such folder"):
        run("--release", tiny_release, "--torch-model", tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"holds no XL-BEL v1\.0"):
        run("--release", tiny_release, "--data", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be made a folder"):
        run("--release", tiny_release, "--out", tmp_path / "file")
    judge = Judge(KnowledgeBase.open(tiny_release))
    (tmp_path / "manifest.json").write_text("{}")
    for start in (linker_inside, server):
        with pytest.raises(BioelxError, match=r"manifest\.json: schema None"):
            start("it", tmp_path, judge, threads=1).__enter__()


def test_a_server_of_ones_own_is_not_the_one_that_the_environment_speaks_of(
    tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a server for others is set up, one for a measurement still lets its starter in."""
    file = tmp_path / "bioelx.toml"
    file.write_text('host = "0.0.0.0"\n')
    monkeypatch.setenv("BIOELX_CONFIG", str(file))
    monkeypatch.setenv("BIOELX_TOKENS", str(tmp_path / "tokens.json"))
    monkeypatch.setenv("bioelx_tls_certificate", str(tmp_path / "server.pem"))
    monkeypatch.setenv("BIOELX_MAX_TOP_K", "7")  # holds in this process too
    monkeypatch.setenv("BIOELX_DEFAULT_TOP_K", "7")
    with (
        running_server(["--release", str(tiny_release)], threads=1) as (address, _),
        Client(address) as client,
    ):
        assert client.info().limits.max_top_k == 7
