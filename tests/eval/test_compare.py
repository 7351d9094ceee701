"""`bioelx eval compare`: two runs on the same mentions, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from bioelx.errors import BioelxError, FileError
from bioelx_eval.cli import app
from bioelx_eval.compare import compare
from bioelx_eval.metrics import MRR, recall
from bioelx_eval.predictions import PREDICTIONS_SCHEMA
from bioelx_eval.report.files import Run
from bioelx_eval.scores import SUBSETS

COVERED, ALL, *_ = SUBSETS


def made_up(name: str, ranks: dict[str, Sequence[int]], **columns: object) -> Run:
    """A run in memory whose mentions of each group have these ranks (0: none right)."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"{group}/{i}",
            "group": group,
            "mention": f"mention {i}",
            "gold": ["umls:C0000001"],
            "covered": True,
            "reachable": True,
            "named": False,
            "seen": False,
            "rank": rank or None,
            "confidence": 0.5,
            "candidates": [],
            **columns,
        }
        for group, of_group in ranks.items()
        for i, rank in enumerate(of_group)
    ]
    groups = {group: {"rows": len(of_group)} for group, of_group in ranks.items()}
    scores = {
        "dataset": "xlbel",
        "options": {"top_k": 20},
        "scores": {"all": {"groups": groups}},
    }
    return Run(Path(name), scores, pa.Table.from_pylist(rows, PREDICTIONS_SCHEMA))


def test_differences_of_groups_and_means() -> None:
    a = made_up("a", {"de": [1, 1, 1, 2], "fi": [1, 1]})
    b = made_up("b", {"de": [1, 2, 0, 1], "fi": [1, 2]})
    found = compare(a, b, [recall(1), MRR], [COVERED]).subsets["covered"]
    german, finnish = (found.groups[group].metrics["R@1"] for group in ("de", "fi"))
    assert (german.a, german.b, german.difference) == (0.75, 0.5, 0.25)
    assert (finnish.a, finnish.b, finnish.difference) == (1, 0.5, 0.5)
    assert found.macro.metrics["R@1"].difference == (0.25 + 0.5) / 2
    assert found.micro.metrics["R@1"].difference == pytest.approx(2 / 6, abs=1e-6)
    assert german.low < 0.25 < german.high
    assert found.groups["de"].metrics["MRR"].b == pytest.approx((1 + 1 / 2 + 1) / 4, abs=1e-6)
    assert [found.groups["de"].rows, found.micro.rows] == [4, 6]


def test_what_is_hard_for_both_does_not_blur_the_difference() -> None:
    rng = np.random.default_rng(1)
    hard = rng.permutation(np.arange(1000) < 500)
    better = np.arange(1000) % 50 == 0  # 2 % of the mentions are won, whatever else is
    a = made_up("a", {"de": np.where(hard & ~better, 0, 1).tolist()})
    b = made_up("b", {"de": np.where(hard | better, 0, 1).tolist()})
    found = compare(a, b, [recall(1)], [ALL]).subsets["all"].micro.metrics["R@1"]
    assert found.difference == 0.02
    # Unpaired, each of the two has an interval of 0.03 to both sides.
    assert 0.01 < found.low < 0.02 < found.high < 0.03
    assert found.is_sure
    same = compare(a, a, [recall(1)], [ALL]).subsets["all"].micro.metrics["R@1"]
    assert (same.difference, same.low, same.high, same.is_sure) == (0, 0, 0, False)


def test_a_mention_counts_where_both_runs_count_it() -> None:
    a = made_up("a", {"de": [1, 1]})
    lacking = made_up("b", {"de": [1, 1]}, covered=False, reachable=False)
    b = replace(a, predictions=pa.concat_tables([a.predictions[:1], lacking.predictions[1:]]))
    found = compare(a, b, [recall(1)], [COVERED, ALL]).subsets
    assert (found["covered"].micro.rows, found["all"].micro.rows) == (1, 2)


def test_mentions_of_one_run_only_are_counted_and_left_out() -> None:
    a = made_up("a", {"de": [1, 1, 2], "fi": [1]})
    b = made_up("b", {"de": [2, 1]})
    found = compare(a, b, [recall(1)], [ALL])
    assert (found.rows, found.only_a, found.only_b) == (2, 2, 0)
    assert list(found.subsets["all"].groups) == ["de"]
    assert [change.id for change in found.right_to_wrong] == ["de/0"]
    # The order of a run's rows says nothing.
    turned = replace(a, predictions=a.predictions.take([3, 2, 1, 0]))
    assert compare(turned, b, [recall(1)], [ALL]).subsets == found.subsets


def test_runs_that_cannot_be_compared_are_refused() -> None:
    a = made_up("a", {"de": [1]})
    other = replace(a, folder=Path("other"), scores={**a.scores, "dataset": "mantra"})
    with pytest.raises(BioelxError, match="a is a run on xlbel and other one on mantra"):
        compare(a, other, [recall(1)], [ALL])
    with pytest.raises(BioelxError, match="a and b have no mention in common"):
        compare(a, made_up("b", {"fi": [1]}), [recall(1)], [ALL])
    with pytest.raises(BioelxError, match="R@30: a has only 20 candidates"):
        compare(a, a, [recall(30)], [ALL])
    changed = made_up("b", {"de": [1]}, mention="another")
    with pytest.raises(FileError, match=r"b/predictions\.parquet: the mention of de/0 is not that"):
        compare(a, changed, [recall(1)], [ALL])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


ROWS = {
    "en": [
        "C0155877||asthma||severe <tgt>asthma</tgt> .",
        "C0021400||influenza [flu]||<tgt>influenza [flu]</tgt>",
        "C0018681||headache||<tgt>headache</tgt>",
    ],
}


@pytest.fixture
def runs(
    write_xlbel: Callable[..., Path], release: Path, tiny_release: Path, tmp_path: Path
) -> tuple[Path, Path]:
    """The folders of runs on the same English mentions of two releases."""
    data, out = write_xlbel(ROWS), tmp_path / "out"
    command = ["run", "xlbel", "--data", data, "--language", "en", "--threads", 1, "--out", out]
    result = run(*command, "--release", release, "--release", tiny_release)
    assert result.exit_code == 0
    return out / release.name / "xlbel", out / tiny_release.name / "xlbel"


def test_two_releases(runs: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = runs
    out = tmp_path / "diff"
    result = run("compare", a, b, "--subset", "all", "--out", out)
    assert result.exit_code == 0
    content = orjson.loads((out / "compare.json").read_bytes())
    assert (content["schema"], content["dataset"], content["rows"]) == (1, "xlbel", 3)
    for side, folder in (("a", a), ("b", b)):
        assert content[side]["knowledge_base"]["release"] == folder.parent.name
    english = content["subsets"]["all"]["groups"]["en"]
    assert english["metrics"]["R@1"] == {
        "a": 0.666667, "b": 0.666667, "difference": 0.0, "low": -1.0, "high": 1.0
    }  # fmt: skip
    [lost], [won] = content["right_to_wrong"], content["wrong_to_right"]
    assert (lost["id"], lost["mention"], lost["gold"]) == (
        "en/1",
        "asthma",
        ["umls:C0155877"],
    )
    assert [answer["concept_id"] for answer in lost["a"]] == ["wikidata:Q35869"]
    assert [answer["label"] for answer in won["b"]] == ["influenza"]

    report = (out / "compare.md").read_text(encoding="utf-8")
    assert "| R@1 A | 66.7 | 66.7 | 66.7 |" in report
    assert "## Wrong in A, right in B: 1\n" in report
    assert "| en/2 | influenza [flu] | umls:C0021400 |" in report
    assert "Right in A and wrong in B: 1. Wrong in A and right in B: 1." in result.stdout
    assert "influenza [flu]" in result.stdout
    # Equal comparisons give equal bytes.
    run("compare", a, b, "--subset", "all", "--out", tmp_path / "again")
    for name in ("compare.json", "compare.md"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_bad_arguments_are_named(runs: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = runs
    result = run("compare", a, b, "--subset", "hard")
    assert result.exit_code == 2
    assert "unknown subset 'hard'; known are covered, all" in result.output
    with pytest.raises(BioelxError, match="unknown metric 'accuracy'"):
        run("compare", a, b, "--metric", "accuracy")
    with pytest.raises(
        FileError, match=r"scores\.json: no such file: not the folder of a finished"
    ):
        run("compare", a, tmp_path)
    scores = orjson.loads((b / "scores.json").read_bytes())
    (b / "scores.json").write_bytes(orjson.dumps({**scores, "schema": 1}))
    with pytest.raises(FileError, match=r"scores\.json: schema 1, this version reads 3"):
        run("compare", a, b)
    (a / "predictions.parquet").write_bytes((a / "predictions.parquet").read_bytes()[:-9])
    with pytest.raises(FileError, match=r"predictions\.parquet: not a whole Parquet file"):
        run("compare", a, b)
