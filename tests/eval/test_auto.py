"""When `auto` asks the ranker: the curve, against counting mention by mention."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from bioelx.ranking import open_ranker
from bioelx_eval.auto import LEAST_KEPT, MOST_CALLS, auto_curve
from bioelx_eval.cli import app
from bioelx_eval.predictions import PREDICTIONS_SCHEMA
from bioelx_eval.report.auto import rows, words

GROUPS = ["Chemical", "Disease"]


def candidate(part: int, rank: int, probability: float, right: bool) -> dict[str, Any]:
    return {
        "part": part, "concept_id": f"x:{rank}", "label": "", "matched": "", "matched_lang": "",
        "matched_source": "", "exact": False, "types": [], "score": 0.5, "retrieval_rank": rank,
        "retrieval_probability": probability, "ranker_log_odds": 0.0, "probability": 0.5,
        "right": right,
    }  # fmt: skip


def query(part: int, confidence: float, without: bool, ranked: bool) -> list[dict[str, Any]]:
    """The candidates of a mention as `always` answers: what retrieval had second, or first."""
    first = candidate(part, 1, confidence, without)
    if without == ranked:
        return [first, candidate(part, 2, confidence / 2, False)]
    return [candidate(part, 2, confidence / 2, ranked), first]


def predictions(mentions: list[list[tuple[float, bool, bool]]], covered: bool = True) -> pa.Table:
    """A mention is one query or several: (retrieval's confidence, right without, right with)."""
    made = []
    for number, queries in enumerate(mentions):
        found = [c for part, each in enumerate(queries) for c in query(part, *each)]
        possible = all(without or ranked for _, without, ranked in queries)
        always = all(ranked for _, _, ranked in queries)
        made.append(
            {
                "id": str(number), "group": GROUPS[number % 2], "language": "en", "mention": "m",
                "before": "", "after": "", "gold": [], "gold_concepts": [], "gold_labels": [],
                "gold_types": [], "covered": covered, "reachable": True, "named": False,
                "seen": False, "rank": (1 if always else 2) if possible else None, "link": None,
                "confidence": 0.5, "error": None, "candidates": found,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(made, PREDICTIONS_SCHEMA)


MENTION = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans(), st.booleans()),
    min_size=1,
    max_size=2,
)


@settings(max_examples=15)
@given(st.lists(MENTION, min_size=2, max_size=30))
def test_each_point_is_what_a_linker_with_that_threshold_would_answer(mentions: list) -> None:
    curve = auto_curve(predictions(mentions), GROUPS)
    assert curve is not None

    def right(below: float) -> float:
        found = [
            all(ranked if p < below else without for p, without, ranked in queries)
            for queries in mentions
        ]
        return float(np.mean([np.mean(found[group::2]) for group in (0, 1)]))

    queries = [query for of in mentions for query in of]
    for point in curve.points:
        below = float(point.below)
        # Confidences are kept as float32.
        calls = np.mean([float(np.float32(p)) < below for p, _, _ in queries])
        assert point.calls == pytest.approx(calls)
        if all(abs(p - below) > 1e-6 for p, _, _ in queries):
            assert point.gain.value == pytest.approx(right(below) - right(0), abs=1e-5)
    assert curve.always.value == pytest.approx(right(2) - right(0), abs=1e-5)
    assert curve.points[0].calls == 0
    calls = [point.calls for point in curve.points]
    assert calls == sorted(calls)


def test_the_cheapest_threshold_that_keeps_enough_is_chosen() -> None:
    unsure = [[(0.01 * n, False, True)] for n in range(1, 21)]
    sure = [[(0.9, True, True)]] * 80
    curve = auto_curve(predictions(unsure + sure), GROUPS)
    assert not curve.never
    assert curve.always.low > 0
    assert curve.chosen.kept >= LEAST_KEPT
    assert curve.chosen.calls == pytest.approx(0.19, abs=0.011)
    assert curve.holds
    assert f"below {curve.chosen.below:g}" in words(curve)
    assert any("(chosen)" in row[0] for row in rows(curve))


def test_where_the_gain_lies_among_the_sure_ones_no_cheap_threshold_holds() -> None:
    mentions = [[(0.01 * n, n <= 80, True)] for n in range(100)]
    curve = auto_curve(predictions(mentions), GROUPS)
    assert not curve.never
    assert curve.chosen.calls <= MOST_CALLS
    assert not curve.holds
    assert "less than the 95% asked for" in words(curve)


@pytest.mark.parametrize("ranked", [(True, False), (False, False)])
def test_a_gain_that_may_be_none_means_never(ranked: tuple[bool, bool]) -> None:
    mentions = [[(0.3, not ranked[n % 2], ranked[n % 2])] for n in range(200)]
    mentions = [[(p, w, r)] for [(p, w, r)] in mentions]
    curve = auto_curve(predictions(mentions), GROUPS)
    assert curve.never
    assert curve.chosen.below == 0
    assert "never" in words(curve)


def test_a_run_without_a_ranker_has_no_curve() -> None:
    table = predictions([[(0.5, True, True)]] * 4)
    rows = table.to_pylist()
    for row in rows:
        for each in row["candidates"]:
            each["ranker_log_odds"] = None
    assert auto_curve(pa.Table.from_pylist(rows, PREDICTIONS_SCHEMA), GROUPS) is None


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


BC5CDR = """\
1|t|A heart attack and asthma.
1|a|No headache.
1\t2\t14\theart attack\tDisease\tD009203
1\t19\t25\tasthma\tDisease\tD001249

"""


def test_from_a_run_to_what_a_server_reads(
    release: Path, tiny_cross_encoder: Path, tmp_path: Path
) -> None:
    for name in ("dev_corpus.txt", "test_corpus.txt"):
        (tmp_path / name).write_text(BC5CDR, encoding="utf-8")
    ranker = tmp_path / "ranker"
    ranker.mkdir()
    for file in tiny_cross_encoder.iterdir():
        os.link(file, ranker / file.name)
    out = tmp_path / "out"
    given = ("--data", tmp_path, "--release", release, "--out", out, "--threads", 1)
    always = ("--rerank", "always", "--ranker", ranker)
    result = run("run", "bc5cdr-dev", "bc5cdr", *given, *always)
    assert result.exit_code == 0, result.output
    assert "auto is to mean never" in " ".join(result.output.split())
    folder = out / release.name
    report = (folder / "bc5cdr-dev" / "report.md").read_text(encoding="utf-8")
    assert "## When to ask the ranker" in report
    assert "When to ask the ranker" in (out / "report.html").read_text(encoding="utf-8")

    refused = run("auto", folder / "bc5cdr", "--ranker", ranker)
    assert "dev part" in str(refused.exception)
    other = tmp_path / "other"
    other.mkdir()
    assert "not the ranker" in str(run("auto", folder / "bc5cdr-dev", "--ranker", other).exception)
    assert not (ranker / "auto.json").exists()
    written = run("auto", folder / "bc5cdr-dev", "--ranker", ranker)
    assert written.exit_code == 0, written.output
    said = orjson.loads((ranker / "auto.json").read_bytes())
    assert (said["below"], said["dataset"], said["release"]) == (0, "bc5cdr-dev", release.name)
    assert open_ranker(str(ranker)).below == 0

    # What was chosen changes no run of `always`, and one of `auto`.
    again = run("run", "bc5cdr-dev", *given, *always)
    assert "were linked before" in " ".join(again.output.split())
    auto = ("--rerank", "auto", "--ranker", ranker)
    assert run("run", "bc5cdr-dev", *given, *auto).exit_code == 0
    (ranker / "auto.json").unlink()
    again = run("run", "bc5cdr-dev", *given, *auto)
    assert "were linked before" not in " ".join(again.output.split())


@pytest.fixture
def dev_run(release: Path, tmp_path: Path, write_xlbel: Callable[..., Path]) -> Path:
    data = write_xlbel({})
    result = run("run", "xlbel", "--data", data, "--release", release, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    return tmp_path / "out" / release.name / "xlbel"


def test_a_run_of_never_is_refused(dev_run: Path) -> None:
    assert "no run with --rerank always" in str(run("auto", dev_run).exception)


def test_the_precision_of_a_ranker_is_part_of_what_was_run(
    release: Path, tiny_cross_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "dev_corpus.txt").write_text(BC5CDR, encoding="utf-8")
    given = ("--data", tmp_path, "--release", release, "--out", tmp_path / "out")
    ranked = ("--rerank", "always", "--ranker", tiny_cross_encoder)
    assert run("run", "bc5cdr-dev", *given, *ranked).exit_code == 0
    # The predictions that are there are none of another precision, which this ranker refuses.
    refused = run("run", "bc5cdr-dev", *given, *ranked, "--ranker-precision", "bfloat16")
    assert "int8" in str(refused.exception)
